"""The services that recorded requests went to, as real servers on this machine: one for each case and address.

They answer what was recorded, once the director of the case lets the request end. What a recorded service told of the
request itself is told of the request that came.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDict
from recorded_cases import Case

Json = dict[str, Any]
TaskKey = tuple[str, str, int]


class Director(Protocol):
    """What knows when a request may end."""

    @property
    def case(self) -> Case: ...

    async def until_released(self, key: TaskKey) -> None: ...


class Service:
    """Answers the requests of a case to one address.

    Attributes:
        origin: The recorded address.
        url: The one of this service.
        faults: What came otherwise than it was recorded.
    """

    def __init__(self, director: Director, origin: str) -> None:
        self.origin = origin
        self.url = ""
        self.faults: list[str] = []
        self._director = director
        self._expected: dict[tuple[str, str], list[tuple[TaskKey, Json]]] = defaultdict(list)
        for key, request in director.case.requests.items():
            if request["uri"].startswith(origin):
                self._expected[request["method"], request["uri"].removeprefix(origin)].append((key, request))

    async def answer(self, request: web.Request) -> web.Response:
        """Answers the next request of this method and path."""
        body = await request.text()
        expected = self._expected.get((request.method, request.path_qs))
        if not expected:
            self.faults.append(f"{request.method} {request.path_qs} was not recorded")
            return web.Response(status=500)
        key, recorded = expected.pop(0)
        self._check(recorded, request, body)
        await self._director.until_released(key)
        end = self._director.case.ends[key]
        result = json.loads(end["Result"].replace(self.origin, self.url))
        echo = ECHOES.get(request.path)
        content = result["content"] if echo is None else json.dumps(echo(request, body))
        headers = CIMultiDict({"Content-Type": "text/plain; charset=utf-8"})
        for name, value in result["headers"].items():
            values = value if isinstance(value, list) else [value]
            for one in [" ".join(values)] if name == "Server" else values:
                headers.add(name, one)
        return web.Response(status=result["statusCode"], body=content.encode(), headers=headers)

    def _check(self, recorded: Json, request: web.Request, body: str) -> None:
        sent = {name: request.headers.get(name) for name in recorded["headers"]}
        if (sent, body) != (recorded["headers"], recorded["content"] or ""):
            self.faults.append(f"{request.method} {request.path_qs}: {sent}, {body!r}; recorded was {recorded}")
        if "x-functions-key" in request.headers and "x-functions-key" not in recorded["headers"]:
            self.faults.append(f"{request.method} {request.path_qs} has the functions key")


def _hello(request: web.Request, _: str) -> Json:
    return {"method": request.method, "path": request.path_qs}


def _echo(request: web.Request, body: str) -> Json:
    content_type = request.content_type if "Content-Type" in request.headers else None
    return {"method": request.method, "contentType": content_type, "body": body}


def _headers(request: web.Request, _: str) -> Json:
    return {name: request.headers.get(name) for name in ("x-request-id", "accept", "x-functions-key", "user-agent")}


ECHOES: Mapping[str, Callable[[web.Request, str], Json]] = {"/hello": _hello, "/echo": _echo, "/headers": _headers}


@contextlib.asynccontextmanager
async def services(directors: Sequence[Director]) -> AsyncIterator[dict[str, list[Service]]]:
    """Runs the services of cases, by the name of their case."""
    running: dict[str, list[Service]] = defaultdict(list)
    async with contextlib.AsyncExitStack() as stack:
        for director in directors:
            uris = [urlsplit(request["uri"]) for request in director.case.requests.values()]
            for origin in sorted({f"{uri.scheme}://{uri.netloc}" for uri in uris}):
                service = Service(director, origin)
                app = web.Application()
                app.router.add_route("*", "/{path:.*}", service.answer)
                runner = web.AppRunner(app, access_log=None)
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                running[director.case.name].append(service)
        yield running
