"""The HTTP side of the local host: HTTP triggers, the management API, and the host's own few pages.

Two listeners, as the real host has them: the public one, and one on the loopback address for the app's own clients,
which serves the management API alone.

Source: worker protocol, section on the host's HTTP side in local development.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any, Protocol

from aiohttp import web
from aiohttp.http import HttpProcessingError

from worker_ext.host.admin import AdminApi
from worker_ext.host.background import uninterrupted
from worker_ext.host.console import Console
from worker_ext.host.cors import with_cors
from worker_ext.host.functions import FunctionCatalog, HostFunction
from worker_ext.host.gateway import WorkerLostError
from worker_ext.host.http_streams import HttpStreams
from worker_ext.host.http_trigger import request_data, response_from
from worker_ext.host.keys import Keys
from worker_ext.host.links import FIRST_WEBHOOK_PATH, WEBHOOK_PATH
from worker_ext.host.routes import RouteTable, make_route
from worker_ext.host.settings import HostSettings
from worker_ext.host.workers import Workers

GRACE = 3.0
RPC_PATH = "/durabletask"
_HOME = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>worker-ext</title></head>
<body><h1>The app is running</h1>
<p>The local host of worker-ext serves it. <a href="/admin/host/status">Status</a></p></body></html>
"""

_log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Management(Protocol):
    """The management API: answers a request for the path below its base."""

    async def handle(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answers one request."""
        ...


class WebServer:
    """Serves an app's functions and the management API of its host.

    Args:
        settings: What host.json and its like say.
        workers: What runs functions.
        management: The management API.
        console: Where failures are shown.
        keys: The keys that callers must show; None asks for none.
    """

    def __init__(
        self,
        settings: HostSettings,
        workers: Workers,
        management: Management,
        console: Console,
        keys: Keys | None = None,
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._management = management
        self._console = console
        self._runners: list[web.ServerRunner] = []
        self._catalog: FunctionCatalog | None = None
        self._routes: RouteTable[HostFunction] = RouteTable()
        self._prefix = "/" + settings.http.route_prefix.strip("/")
        self._admin = AdminApi(settings, workers, console)
        self._streams = HttpStreams(workers, console)
        self._keys = keys
        self._outstanding = 0
        most = settings.http.max_concurrent_requests
        self._turns = asyncio.Semaphore(most) if most > 0 else nullcontext()

    async def start(self, public: socket.socket, rpc: socket.socket | None) -> None:
        """Starts listening on sockets that are bound already."""
        await self._listen(with_cors(self._serve_public, self._settings.cors), public)
        if rpc is not None:
            await self._listen(self._serve_rpc, rpc)

    async def stop(self) -> None:
        """Stops listening and gives running requests a few seconds."""
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))
        await self._admin.stop()
        await self._streams.close()

    async def _listen(self, handler: Handler, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()

        def make_request(*parts: Any) -> web.BaseRequest:
            message, payload, protocol, writer, task = parts
            return web.BaseRequest(
                message, payload, protocol, writer, task, loop, client_max_size=self._settings.body_limit
            )

        server = web.Server(_patient(handler), request_factory=make_request, access_log=None, logger=_log)
        runner = web.ServerRunner(server, shutdown_timeout=GRACE)
        await runner.setup()
        self._runners.append(runner)
        await uninterrupted(web.SockSite(runner, listener).start())

    # ------------------------------------------------------------ dispatch

    async def _serve_rpc(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        for base in (RPC_PATH, WEBHOOK_PATH):
            if (rest := _below(path, base)) is not None:
                return await self._management.handle(request, rest)
        return web.Response(status=404)

    async def _serve_public(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        for base in (WEBHOOK_PATH, FIRST_WEBHOOK_PATH):
            if (rest := _below(path, base)) is not None:
                if self._keys is not None and not self._keys.opens_management(request):
                    return web.Response(status=401)
                return await self._management.handle(request, rest)
        if (rest := _below(path, "/admin")) is not None:
            rest = rest.lower().strip("/")
            if self._keys is not None and rest != "host/ping" and not self._keys.opens_admin(request):
                return web.Response(status=401)
            return await self._admin.handle(request, rest)
        if (rest := _below(path, self._prefix)) is not None and _below(path, "/runtime") is None:
            found = self._route_table().find(request.method, rest)
            if found is not None:
                return await self._trigger(request, *found)
        return self._home() if path == "/" else web.Response(status=404)

    def _home(self) -> web.Response:
        if self._settings.environment.get("AzureWebJobsDisableHomepage", "").lower() in ("true", "1"):
            return web.Response(status=204)
        return web.Response(text=_HOME, content_type="text/html")

    # ------------------------------------------------------------ functions

    def _route_table(self) -> RouteTable[HostFunction]:
        """The routes of the functions that the worker has now."""
        if self._catalog is not self._workers.catalog:
            self._catalog = self._workers.catalog
            self._routes = RouteTable(
                make_route(function.route, function.methods, function) for function in self._catalog.http_functions()
            )
        return self._routes

    async def _trigger(
        self, request: web.BaseRequest, function: HostFunction, params: dict[str, str]
    ) -> web.StreamResponse:
        if self._keys is not None and not self._keys.opens_function(request, function):
            return web.Response(status=401)
        most = self._settings.http.max_outstanding_requests
        if 0 <= most <= self._outstanding:
            return web.Response(status=429)
        self._outstanding += 1
        try:
            async with self._turns:
                response = await self._run(request, function, params)
        finally:
            self._outstanding -= 1
        for name, value in self._settings.http.custom_headers.items():
            response.headers.setdefault(name, value)
        return response

    async def _run(
        self, request: web.BaseRequest, function: HostFunction, params: dict[str, str]
    ) -> web.StreamResponse:
        if self._workers.streams_http:
            return await self._streams.answer(request, function, params)
        data = request_data(request, await request.read(), params, raw_body=self._workers.takes_raw_bodies)
        try:
            trace_parent = request.headers.get("traceparent", "")
            return response_from(function, await self._workers.invoke(function, data, trace_parent=trace_parent))
        except WorkerLostError as error:
            self._console.error(f"{function.name}: {error}")
            return web.Response(status=500)


def _patient(handler: Handler) -> Handler:
    """A handler that makes nothing of callers who hang up before they have said all."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await handler(request)
        except ConnectionError:
            return web.Response(status=400)

    return handle


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether the server's complaint is about us: callers who speak no HTTP are answered 400, which is enough."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


_log.addFilter(_is_ours)


def _below(path: str, base: str) -> str | None:
    """The part of a path below a base, or None if it is elsewhere; case does not count."""
    base = base.rstrip("/")
    if path[: len(base)].lower() != base.lower() or path[len(base) : len(base) + 1] not in ("", "/"):
        return None
    return path[len(base) :]
