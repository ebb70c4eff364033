"""HTTP streaming: requests that the worker takes on an HTTP server of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from real_workers.cases import APPS, HANDLERS, Case, prepare
from real_workers.environments import Environments
from running_host import PATIENCE, Host, run_host

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXTENSION = "azurefunctions-extensions-http-fastapi"
CASES = [
    Case("v2", "proxy", "3.13", more=(EXTENSION,)),
    Case("v2", "own", "3.13", more=(*HANDLERS, EXTENSION)),
    Case("v2", "own", "3.12", more=(EXTENSION,)),
]


def write(case: Case, environments: Environments, code: Path, folder: Path) -> Path:
    app = prepare(case, environments, code, folder)
    shutil.copy(APPS / "streaming" / "function_app.py", app)
    return app


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CASES, ids=str)
async def host(
    request: pytest.FixtureRequest, environments: Environments, code: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Host]:
    app = write(request.param, environments, code, tmp_path_factory.mktemp("streaming"))
    async with run_host(app) as running:
        yield running


async def test_an_answer_reaches_the_caller_while_it_is_made(host: Host) -> None:
    async with asyncio.timeout(PATIENCE), host.client.get(f"{host.url}/api/ticks") as answer:
        assert (answer.status, answer.headers["X-Own"]) == (200, "1")
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert await answer.content.readline() == b"first\n"
        went = await host.get("/api/go")
        assert (went.status, went.json) == (201, {"went": True})
        assert await answer.content.read() == b"last\n"


async def test_a_request_is_passed_on_piece_by_piece_with_its_route_and_query(host: Host) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65536

    url = f"{host.url}/api/sizes/some%20file?a=1&b="
    async with host.client.put(url, data=pieces(), headers={"Content-Type": "application/x-own"}) as answer:
        assert await answer.json() == {
            "name": "some file",
            "query": {"a": "1", "b": ""},
            "kind": "application/x-own",
            "bytes": 64 * 65536,
        }


async def test_many_requests_at_once_get_each_its_own_answer(host: Host) -> None:
    answers = await asyncio.gather(*(host.send("PUT", f"/api/sizes/n{n}", b"x" * n) for n in range(1, 50)))
    found = [(answer.json["name"], answer.json["bytes"]) for answer in answers]
    assert found == [(f"n{n}", n) for n in range(1, 50)]


async def test_a_function_that_raises_is_an_error_of_its_request_only(host: Host) -> None:
    assert (await host.get("/api/broken")).status == 500
    await host.until(lambda: "broken: failed: LookupError: no luck" in host.printed.getvalue(), "the failure")
    assert (await host.send("PUT", "/api/sizes/next", b"1")).json["bytes"] == 1


async def test_a_streaming_function_starts_a_workflow(host: Host) -> None:
    begun = await host.post("/api/start", b'"Oslo"')
    link = f"/runtime/webhooks/durabletask/instances/{begun.json['id']}"
    async with asyncio.timeout(PATIENCE):
        while (status := await host.get(link)).status == 202:  # noqa: ASYNC110 - another process ends it
            await asyncio.sleep(0.02)
    assert status.json["output"] == "Hello Oslo!"


async def test_an_answer_that_breaks_off_does_not_look_whole(host: Host) -> None:
    async with asyncio.timeout(PATIENCE), host.client.get(f"{host.url}/api/endless") as answer:
        assert await answer.content.readline() == b"first\n"
        killed = set(host.local.workers.pids)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(aiohttp.ClientError):
            await answer.content.read()
    await host.until(lambda: bool(set(host.local.workers.pids) - killed), "another worker")
    assert (await host.send("PUT", "/api/sizes/next", b"1")).json["bytes"] == 1
