"""The pump: the stream to the host, and nothing else.

The stream ends when the host ends it, when the host asks the worker to terminate, and on SIGTERM; in the last two cases
running invocations get their time first.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from worker_ext.rpc import pb
from worker_ext.worker import frame_link
from worker_ext.worker.dispatcher import Dispatcher
from worker_ext.worker.outbox import Outbox

CONNECT_SECONDS = 5.0
SIGTERM_GRACE = timedelta(seconds=5)
_GOODBYE_SECONDS = 1.0
_BURST = 100  # messages


@dataclass(frozen=True, slots=True)
class Address:
    """Where the host listens and who it expects, and whether it speaks frames in place of gRPC."""

    host: str
    port: int
    worker_id: str
    request_id: str
    speaks_frames: bool = False

    @property
    def target(self) -> str:
        """The address as gRPC takes it."""
        return f"{self.host}:{self.port}"


class Link(Protocol):
    """What carries the messages of one stream to the host and back."""

    async def read(self) -> pb.StreamingMessage | None:
        """The next message; None when the host has ended the stream.

        Raises:
            HostError: The stream broke.
        """
        ...

    async def write(self, message: pb.StreamingMessage) -> bool:
        """Sends a message; whether the stream still takes any."""
        ...

    async def finish(self) -> None:
        """Says that nothing more will be written."""
        ...

    def cancel(self) -> None:
        """Ends the stream as it is."""
        ...


async def serve(address: Address, outbox: Outbox) -> None:
    """Serve the host until the stream ends.

    Raises:
        HostError: There is no host, or it went away without ending the stream.
    """
    if address.speaks_frames:
        link: Link = await frame_link.connect(address.host, address.port, CONNECT_SECONDS)
        await _Session(address, outbox, link).run()
        return
    from worker_ext.worker import grpc_link  # a local host's worker starts sooner without gRPC

    async with grpc_link.connect(address.target, CONNECT_SECONDS) as link:
        await _Session(address, outbox, link).run()


class _Session:
    """One stream. Its tasks are never cancelled while they read or write: gRPC would cancel the stream with them."""

    def __init__(
        self,
        address: Address,
        outbox: Outbox,
        link: Link,
    ) -> None:
        self._outbox = outbox
        self._link = link
        self._stopping: asyncio.Future[timedelta] = asyncio.get_running_loop().create_future()
        self._dispatcher = Dispatcher(address.worker_id, address.request_id, outbox, self._stop, address.host)

    async def run(self) -> None:
        with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers in the loop
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop, SIGTERM_GRACE)
        reader, writer = asyncio.create_task(self._read()), asyncio.create_task(self._write())
        ends: set[asyncio.Future[Any]] = {reader, writer, self._stopping}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self._stopping.done() and not reader.done():
            await self._finish(reader, writer)
        else:
            self._dispatcher.abandon()
            if not reader.done():
                await writer
            await reader  # the host has ended the stream: reading says how

    def _stop(self, grace: timedelta) -> None:
        if not self._stopping.done():
            self._stopping.set_result(grace)

    async def _finish(self, reader: asyncio.Task[None], writer: asyncio.Task[None]) -> None:
        running = asyncio.create_task(self._dispatcher.finish(self._stopping.result()))
        await asyncio.wait({running, reader}, return_when=asyncio.FIRST_COMPLETED)
        self._outbox.close()
        await asyncio.wait({writer}, timeout=_GOODBYE_SECONDS)
        if writer.done() and not reader.done():
            await self._link.finish()
            await asyncio.wait({reader}, timeout=_GOODBYE_SECONDS)
        self._link.cancel()

    async def _read(self) -> None:
        receive, read = self._dispatcher.receive, self._link.read
        while (message := await read()) is not None:
            receive(message)

    async def _write(self) -> None:
        take, write = self._outbox.take, self._link.write
        is_open = await write(self._dispatcher.greeting())
        while is_open:
            burst = 0
            while is_open and (message := take()) is not None:
                is_open = await write(message)
                burst += 1
                if not burst % _BURST:  # what the host sends is to be read, however much there is to write
                    await asyncio.sleep(0)
            if self._outbox.closed:
                return
            await self._outbox.wait()
