"""How the client reaches the management API: a transport is one async method, `send`.

The default one keeps one aiohttp session for each event loop, opened at the first request; aiohttp is imported then and
not before. A session is closed when its loop shuts its async generators down, which is what `asyncio.run` and its
relatives do last; what a loop leaves behind by ending otherwise is closed when Python exits.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

if TYPE_CHECKING:
    from aiohttp import ClientSession

TOTAL_TIMEOUT_SECONDS = 240
"""For one request: starting and purging may take minutes on a busy store."""
CONNECT_TIMEOUT_SECONDS = 10
MAX_CONNECTIONS = 30


class Request(Struct, frozen=True):
    """A request to the management API; the URL is complete and quoted."""

    method: str
    url: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Response(Struct, frozen=True):
    """Its answer; names of headers are in lower case. Where it came from, without the query, the client adds."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""


class Transport(Protocol):
    """Whatever can send a request and bring its answer, whatever the answer's status is."""

    async def send(self, request: Request) -> Response:
        """Sends one request."""
        raise NotImplementedError


class AiohttpTransport:
    """The default transport. Errors of the connection are aiohttp's own and pass through."""

    async def send(self, request: Request) -> Response:
        """Sends one request on the session of the running loop."""
        from yarl import URL

        session = await _session()
        url = URL(request.url, encoded=True)
        answer = await session.request(request.method, url, data=request.body, headers=request.headers)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, await answer.read(), headers)  # read to its end, the connection is free again


_sessions: dict[asyncio.AbstractEventLoop, tuple[ClientSession, AsyncGenerator[None, None]]] = {}


async def _session() -> ClientSession:
    """The session of the running loop, opened on first use."""
    loop = asyncio.get_running_loop()
    session, _ = _sessions.get(loop, (None, None))
    if session is None or session.closed:
        session = _open_session()
        closer = _close_at_shutdown(loop, session)
        _sessions[loop] = (session, closer)  # before the first await, so that tasks side by side share one
        await anext(closer)  # from here on the loop knows the generator and will close it
        await _close_sessions_of_closed_loops()
    return session


def _open_session() -> ClientSession:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=TOTAL_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS)
    return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS))


async def _close_at_shutdown(loop: asyncio.AbstractEventLoop, session: ClientSession) -> AsyncGenerator[None, None]:
    """Lives as long as its loop, which finishes the async generators it knows before it closes."""
    try:
        yield
    finally:
        if loop in _sessions and _sessions[loop][0] is session:
            del _sessions[loop]
        await session.close()


async def _close_sessions_of_closed_loops() -> None:
    """Closes what loops have left that were closed without being shut down."""
    for loop in [loop for loop in _sessions if loop.is_closed()]:
        session, _ = _sessions.pop(loop)
        await session.close()


@atexit.register
def _close_all() -> None:
    """Closes what is left when Python exits; a loop that still runs in a thread is let be."""
    for loop, (session, _) in list(_sessions.items()):
        if not (loop.is_closed() or loop.is_running()):
            loop.run_until_complete(session.close())
            del _sessions[loop]
    if _sessions:
        asyncio.run(_close_sessions_of_closed_loops())
