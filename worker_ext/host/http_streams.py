"""HTTP streaming: a worker that has an HTTP server of its own is handed the requests, and answers them piece by piece.

Rule: such a worker names its server in the capability HttpUri. Its HTTP functions are invoked as ever, with the route's
values and no more; the request itself goes to that server as it stands, with the id of the invocation in a header, and
what comes back goes to the caller as it comes. Left out: the limit of 240 seconds that Azure has.

Source: Functions worker protocol, capabilities HttpUri and RequiresRouteParameters.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import aiohttp
import yarl
from aiohttp import web
from multidict import CIMultiDict

from worker_ext.host.console import Console
from worker_ext.host.functions import HostFunction
from worker_ext.host.gateway import WorkerLostError
from worker_ext.host.workers import Workers
from worker_ext.rpc import pb

INVOCATION_HEADER = "x-ms-invocation-id"
CONNECT_LIMIT = 10.0
"""Seconds that a worker's server may take to listen: it is started beside the worker."""

FAILURE_GRACE = 5.0
"""Seconds that a failed invocation's answer may take."""

# What is between two hosts only, or is worked out anew for the next one.
_PER_HOP = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_RETRY_PAUSE = 0.05


class HttpStreams:
    """Hands requests to the workers' own servers.

    Args:
        workers: What runs functions.
        console: Where failures are shown.
    """

    def __init__(self, workers: Workers, console: Console) -> None:
        self._workers = workers
        self._console = console
        self._session: aiohttp.ClientSession | None = None
        self._running: set[asyncio.Task[pb.InvocationResponse]] = set()

    async def close(self) -> None:
        """Gives up what still runs."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def answer(
        self, request: web.BaseRequest, function: HostFunction, params: Mapping[str, str]
    ) -> web.StreamResponse:
        """The worker's answer to a request; its body is passed on while the server sends it."""
        begun: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        data = pb.TypedData()
        data.http.SetInParent()  # no value at all would be no request
        data.http.params.update(params)
        invocation = asyncio.create_task(
            self._workers.invoke(
                function,
                data,
                trace_parent=request.headers.get("traceparent", ""),
                on_begun=lambda address, invocation_id: begun.set_result((address, invocation_id)),
            )
        )
        self._running.add(invocation)
        invocation.add_done_callback(self._ended)
        either: list[asyncio.Future[Any]] = [begun, invocation]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            return web.Response(status=500)
        exchange = asyncio.create_task(self._send(request, *begun.result()))
        try:
            return await self._first(exchange, invocation)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._console.error(f"{function.name}: the worker's HTTP server did not answer: {error!r}")
            return web.Response(status=500)
        finally:
            exchange.cancel()

    async def _first(
        self, exchange: asyncio.Task[aiohttp.ClientResponse], invocation: asyncio.Task[pb.InvocationResponse]
    ) -> web.StreamResponse:
        """The head of the answer; an invocation that failed before it got the request leaves none."""
        either: list[asyncio.Future[Any]] = [exchange, invocation]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not exchange.done() and not _succeeded(invocation):
            await asyncio.wait([exchange], timeout=FAILURE_GRACE)
            if not exchange.done():
                return web.Response(status=500)
        return _Relayed(await exchange)

    def _ended(self, invocation: asyncio.Task[pb.InvocationResponse]) -> None:
        self._running.discard(invocation)
        if not invocation.cancelled() and (error := invocation.exception()) is not None:
            self._console.error(str(error))

    async def _send(self, request: web.BaseRequest, address: str, invocation_id: str) -> aiohttp.ClientResponse:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_LIMIT)
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(timeout=timeout, auto_decompress=False, connector=connector)
        url = yarl.URL(address.rstrip("/") + request.raw_path, encoded=True)
        headers = _end_to_end(request.headers)
        headers[INVOCATION_HEADER] = invocation_id
        deadline = asyncio.get_running_loop().time() + CONNECT_LIMIT
        while True:
            try:
                return await self._session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=request.content if request.body_exists else None,
                    allow_redirects=False,
                    skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
                )
            except aiohttp.ClientConnectorError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_RETRY_PAUSE)


class _Relayed(web.StreamResponse):
    """An answer whose head is known, and whose body is passed on when the head has been sent."""

    def __init__(self, source: aiohttp.ClientResponse) -> None:
        super().__init__(status=source.status, reason=source.reason, headers=_end_to_end(source.headers))
        length = source.headers.get("Content-Length")
        if length is not None:
            self.content_length = int(length)
        self._source = source

    async def write_eof(self, data: bytes = b"") -> None:
        """Passes the body on, to its end or to the caller's."""
        try:
            async for piece in self._source.content.iter_any():
                await self.write(piece)
            await super().write_eof(data)
        except aiohttp.ClientError:
            # The worker broke off; so does this answer, lest it look whole.
            if self._req is not None and self._req.transport is not None:
                self._req.transport.abort()
        finally:
            self._source.close()


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _PER_HOP | named)


def _succeeded(invocation: asyncio.Task[pb.InvocationResponse]) -> bool:
    with contextlib.suppress(WorkerLostError):
        return invocation.result().result.status == pb.StatusResult.Success
    return False
