"""The web extension's server in the worker: on its loop, on a free port of the loopback, and as quiet as the worker.

Rule: signals stay the worker's, which ends the server itself; failures that the host has been told of are not logged
again.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from worker_ext.errors import AppError
from worker_ext.worker import web_extension
from worker_ext.worker.http_requests import TOLD, HttpRequests

_LOOPBACK = "127.0.0.1"
_START_LIMIT = 30.0
_START_PAUSE = 0.01
_SERVER_LOGGERS = ("uvicorn.error", "uvicorn.access")

_log = logging.getLogger(__name__)


class HttpServer:
    """One server.

    Args:
        requests: Answers what comes.
    """

    def __init__(self, requests: HttpRequests) -> None:
        self._requests = requests
        self._serving: asyncio.Task[None] | None = None
        self._interrupt: Callable[[], object] | None = None
        self.address = ""
        """Where it listens, as a URL."""

    async def start(self) -> None:
        """Start it, and wait until it takes connections.

        Raises:
            AppError: It ended at once, or does not listen in time.
        """
        port = _free_port()
        handlers = _signal_handlers()
        for name in _SERVER_LOGGERS:
            logging.getLogger(name).addFilter(_is_news)
        serving = asyncio.create_task(_run(web_extension.server(_LOOPBACK, port, self._requests.answer)))
        try:
            async with asyncio.timeout(_START_LIMIT):
                while not await _listens(port):
                    self._take_signals_back(handlers)
                    if serving.done():
                        raise AppError("the server of the web extension ended at its start") from serving.exception()
                    await asyncio.sleep(_START_PAUSE)
            self._take_signals_back(handlers)
        except TimeoutError:
            serving.cancel()
            raise AppError(f"the server of the web extension did not listen within {_START_LIMIT:g} seconds") from None
        serving.add_done_callback(_tell_end)
        self._serving, self.address = serving, f"http://{_LOOPBACK}:{port}"

    def _take_signals_back(self, handlers: dict[signal.Signals, Any]) -> None:
        """Signals are the worker's; what the server does at one is how it is asked to end."""
        for number, handler in handlers.items():
            taken = signal.getsignal(number)
            if taken != handler:
                signal.signal(number, handler)
                if number == signal.SIGINT and callable(taken):
                    self._interrupt = functools.partial(taken, signal.SIGINT, None)

    async def stop(self, grace: float) -> None:
        """End it: answers that are on their way have so many seconds."""
        if self._serving is None:
            return
        if self._interrupt is not None:
            self._interrupt()
            await asyncio.wait([self._serving], timeout=grace)
        self.abandon()
        self._serving.cancel()
        await asyncio.wait([self._serving])

    def abandon(self) -> None:
        """Have it end with the loop: what it logs of being cancelled says nothing."""
        for name in _SERVER_LOGGERS:
            logging.getLogger(name).disabled = True


async def _run(serving: Coroutine[Any, Any, None]) -> None:
    try:
        await serving
    except SystemExit as error:  # uvicorn's way to say that it cannot start
        raise AppError(f"the server of the web extension exited with {error.code!r}") from error


def _tell_end(serving: asyncio.Task[None]) -> None:
    if not serving.cancelled() and (error := serving.exception()) is not None:
        _log.error("the server of the web extension failed", exc_info=error)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether the host is to see what the server logs: not that it runs, nor failures that the host has been told."""
    if record.exc_info is not None and record.exc_info[1] is not None and record.exc_info[1] is TOLD.get():
        return False
    return record.levelno >= logging.WARNING or logging.getLogger().level <= logging.DEBUG


def _signal_handlers() -> dict[signal.Signals, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    return {number: signal.getsignal(number) for name in names if (number := getattr(signal, name, None)) is not None}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


async def _listens(port: int) -> bool:
    await asyncio.sleep(0)  # the server has its first step
    try:
        _, writer = await asyncio.open_connection(_LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True
