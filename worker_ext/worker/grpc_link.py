"""The stream to the host over gRPC, as every Functions host speaks it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc

from worker_ext.errors import HostError
from worker_ext.rpc import pb, service


class GrpcLink:
    """One call of EventStream."""

    def __init__(self, target: str, call: grpc.aio.StreamStreamCall[pb.StreamingMessage, pb.StreamingMessage]) -> None:
        self._target = target
        self._call = call

    async def read(self) -> pb.StreamingMessage | None:
        """The next message; None when the host has ended the stream.

        Raises:
            HostError: The stream broke.
        """
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise HostError(f"the stream to the host at {self._target} broke: {error.details()}") from error
        return message if isinstance(message, pb.StreamingMessage) else None

    async def write(self, message: pb.StreamingMessage) -> bool:
        """Sends a message; whether the stream still takes any."""
        try:
            await self._call.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the call has ended
            return False
        return True

    async def finish(self) -> None:
        """Says that nothing more will be written."""
        await self._call.done_writing()

    def cancel(self) -> None:
        """Ends the stream as it is."""
        self._call.cancel()


@contextlib.asynccontextmanager
async def connect(target: str, limit: float) -> AsyncIterator[GrpcLink]:
    """Opens a stream to the host at an address.

    Raises:
        HostError: No host answers within `limit` seconds.
    """
    async with grpc.aio.insecure_channel(target, options=service.CHANNEL_OPTIONS) as channel:
        try:
            await asyncio.wait_for(channel.channel_ready(), limit)
        except TimeoutError:
            raise HostError(f"no Functions host answers at {target}: is it running, and is the port right?") from None
        yield GrpcLink(target, service.EventStreamStub(channel)())
