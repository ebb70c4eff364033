"""The gRPC pump: the stream to the host, and nothing else.

The stream ends when the host ends it, when the host asks the worker to terminate, and on SIGTERM; in the last two cases
running invocations get their time first.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc

from worker_ext.errors import HostError
from worker_ext.rpc import pb, service
from worker_ext.worker.dispatcher import Dispatcher
from worker_ext.worker.outbox import Outbox

CONNECT_SECONDS = 5.0
SIGTERM_GRACE = timedelta(seconds=5)
_GOODBYE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where the host listens and who it expects."""

    host: str
    port: int
    worker_id: str
    request_id: str

    @property
    def target(self) -> str:
        """The address as gRPC takes it."""
        return f"{self.host}:{self.port}"


async def serve(address: Address, outbox: Outbox) -> None:
    """Serve the host until the stream ends.

    Raises:
        HostError: There is no host, or it went away without ending the stream.
    """
    async with grpc.aio.insecure_channel(address.target, options=service.CHANNEL_OPTIONS) as channel:
        try:
            await asyncio.wait_for(channel.channel_ready(), CONNECT_SECONDS)
        except TimeoutError:
            raise HostError(
                f"no Functions host answers at {address.target}: is it running, and is the port right?"
            ) from None
        try:
            await _Session(address, outbox, service.EventStreamStub(channel)()).run()
        except grpc.aio.AioRpcError as error:
            raise HostError(f"the stream to the host at {address.target} broke: {error.details()}") from error


class _Session:
    """One stream. Its tasks are never cancelled while they read or write: gRPC would cancel the stream with them."""

    def __init__(
        self,
        address: Address,
        outbox: Outbox,
        call: grpc.aio.StreamStreamCall[pb.StreamingMessage, pb.StreamingMessage],
    ) -> None:
        self._outbox = outbox
        self._call = call
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
        elif reader.done():
            reader.result()
        else:
            await writer
            await reader  # the host has ended the call: reading says how

    def _stop(self, grace: timedelta) -> None:
        if not self._stopping.done():
            self._stopping.set_result(grace)

    async def _finish(self, reader: asyncio.Task[None], writer: asyncio.Task[None]) -> None:
        running = asyncio.create_task(self._dispatcher.finish(self._stopping.result()))
        await asyncio.wait({running, reader}, return_when=asyncio.FIRST_COMPLETED)
        self._outbox.close()
        await asyncio.wait({writer}, timeout=_GOODBYE_SECONDS)
        if writer.done() and not reader.done():
            await self._call.done_writing()
            await asyncio.wait({reader}, timeout=_GOODBYE_SECONDS)
        self._call.cancel()

    async def _read(self) -> None:
        receive, read = self._dispatcher.receive, self._call.read
        while isinstance(message := await read(), pb.StreamingMessage):
            receive(message)

    async def _write(self) -> None:
        take, write = self._outbox.take, self._call.write
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the call has ended
            await write(self._dispatcher.greeting())
            while True:
                while (message := take()) is not None:
                    await write(message)
                if self._outbox.closed:
                    return
                await self._outbox.wait()
