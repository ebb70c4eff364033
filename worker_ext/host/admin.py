"""The host's own pages under /admin: its status, its functions, and how any of them is started by hand.

Source: worker protocol, section on endpoints outside user routes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from typing import Any

from aiohttp import web

from worker_ext.host.answers import json_answer
from worker_ext.host.console import Console
from worker_ext.host.functions import HostFunction
from worker_ext.host.gateway import WorkerLostError
from worker_ext.host.settings import HostSettings
from worker_ext.host.timer_triggers import timer_data
from worker_ext.host.workers import HOST_VERSION, Workers
from worker_ext.protocol.codec import decode_json
from worker_ext.rpc import pb


class AdminApi:
    """Answers requests for paths below /admin."""

    def __init__(self, settings: HostSettings, workers: Workers, console: Console) -> None:
        self._settings = settings
        self._workers = workers
        self._console = console
        self._host_id = str(uuid.uuid4())
        self._started = time.monotonic()
        self._running: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answers a request for a path below /admin, in lower case and without slashes around it."""
        match request.method, path.split("/"):
            case "GET" | "POST", ["host", "ping"]:
                return web.Response()
            case "GET", ["host", "status"]:
                return json_answer(200, self._status())
            case "GET", ["functions"]:
                functions = self._workers.catalog.functions
                return json_answer(200, [self._describe(request, function) for function in functions])
            case method, ["functions", name, *rest]:
                function = next((f for f in self._workers.catalog.functions if f.name.lower() == name), None)
                if function is not None:
                    return await self._function(request, method, function, rest)
        return web.Response(status=404)

    async def stop(self) -> None:
        """Waits for nothing: what was started by hand and still runs is given up."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _function(
        self, request: web.BaseRequest, method: str, function: HostFunction, rest: list[str]
    ) -> web.Response:
        match method, rest:
            case "GET", []:
                return json_answer(200, self._describe(request, function))
            case "GET", ["status"]:
                errors = [error for error in (self._workers.error_of(function),) if error is not None]
                return json_answer(200, {"errors": errors})
            case "POST", []:
                return self._start(function, await request.read())
        return web.Response(status=404)

    def _status(self) -> dict[str, object]:
        return {
            "id": self._host_id,
            "state": "Running",
            "version": HOST_VERSION,
            "versionDetails": f"{HOST_VERSION} worker-ext",
            "platformVersion": "",
            "instanceId": self._host_id,
            "computerName": socket.gethostname(),
            "processUptime": int(1000 * (time.monotonic() - self._started)),
            "functionAppContentEditingState": "Unknown",
            "extensionBundle": None,
            "errors": [],
            "processId": os.getpid(),
        }

    def _describe(self, request: web.BaseRequest, function: HostFunction) -> dict[str, Any]:
        origin = f"{request.scheme}://{request.host}"
        prefix = self._settings.http.route_prefix.strip("/")
        path = "/".join(part for part in (prefix, function.route.strip("/")) if part)
        return {
            "name": function.name,
            "script_root_path_href": None,
            "script_href": None,
            "config_href": None,
            "test_data_href": None,
            "href": f"{origin}/admin/functions/{function.name}",
            "invoke_url_template": f"{origin}/{path}" if function.is_http else None,
            "language": "python",
            "config": {"bindings": list(function.bindings)},
            "isDisabled": function.disabled,
        }

    # ------------------------------------------------------------ by hand

    def _start(self, function: HostFunction, body: bytes) -> web.Response:
        """Starts a function without waiting for it."""
        try:
            given = decode_json(body.decode("utf-8-sig")) if body else None
        except ValueError:
            given = None
        if not isinstance(given, dict):
            return web.Response(status=400)
        value = given.get("input")
        task = asyncio.create_task(self._run(function, None if value is None else str(value)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return web.Response(status=202)

    async def _run(self, function: HostFunction, text: str | None) -> None:
        if function.kind in ("orchestration", "entity"):
            self._console.error(
                f"{function.name}: an {function.kind} cannot be started by hand. Start it through the durable client: "
                f"worker-ext start-new {function.durable_name}"
            )
            return
        if not function.is_loaded:
            self._console.error(f"{function.name} cannot be started by hand: {function.fault or 'it is disabled'}")
            return
        try:
            await self._workers.invoke(function, _input(function, text))
        except WorkerLostError as error:
            self._console.error(f"{function.name}: {error}")


def _input(function: HostFunction, text: str | None) -> pb.TypedData:
    """The text as the function's trigger has it."""
    if function.is_timer:
        return timer_data(None)
    if not function.is_http:
        return pb.TypedData() if text is None else pb.TypedData(string=text)
    data = pb.TypedData()
    data.http.method = "POST"
    data.http.url = f"http://localhost/{function.route}"
    if text is not None:
        data.http.body.string = text
    return data
