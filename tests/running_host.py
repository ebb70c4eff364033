"""Hosts that run for the tests of one module: real server, real worker, real HTTP."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import yarl
from host_process import PATIENCE, Answer

from worker_ext.host.console import Console
from worker_ext.host.local_host import LocalHost

__all__ = ["APPS", "PATIENCE", "Answer", "Host", "run_host"]

APPS = Path(__file__).parent / "host" / "apps"


@dataclass
class Host:
    """A running host and a client of it."""

    local: LocalHost
    client: aiohttp.ClientSession
    printed: io.StringIO = field(default_factory=io.StringIO)

    @property
    def url(self) -> str:
        """Its address, without name resolution."""
        return self.local.url.replace("localhost", "127.0.0.1")

    async def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Sends a request to a path or a whole URL, byte for byte as given."""
        url = yarl.URL(path if path.startswith("http") else self.url + path, encoded=True)
        skipped = ["Content-Type"] if not headers or "Content-Type" not in headers else []
        async with self.client.request(
            method, url, data=body and io.BytesIO(body), headers=headers, skip_auto_headers=skipped
        ) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def get(self, path: str) -> Answer:
        return await self.send("GET", path)

    async def post(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        return await self.send("POST", path, body, headers)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits for something that is about to happen."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    if condition():
                        return
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"waited for {what}; the host printed:\n{self.printed.getvalue()}") from None


@asynccontextmanager
async def run_host(
    app: Path, db: str | Path | None = ":memory:", *, enable_auth: bool = False, reload: bool = False
) -> AsyncIterator[Host]:
    """Runs a host of an app on a free port; what it prints is kept."""
    printed = io.StringIO()
    local = LocalHost(app, port=0, db=db, console=Console(printed), enable_auth=enable_auth, reload=reload)
    async with local, aiohttp.ClientSession() as client:
        yield Host(local, client, printed)
