"""FunctionRpc over gRPC, the host's side: what every worker of the Functions host speaks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import grpc

from worker_ext.rpc import pb, service


class _Stream(Protocol):
    def receive(self, message: pb.StreamingMessage) -> None: ...

    def lose(self) -> None: ...


Admit = Callable[[pb.StreamingMessage, Callable[[pb.StreamingMessage], None]], _Stream | None]
"""Takes a worker's first message and how to send to it; its stream, or None where it is turned away."""


class GrpcListener:
    """A gRPC server on a free port of 127.0.0.1.

    Args:
        admit: Decides who is let in.
    """

    def __init__(self, admit: Admit) -> None:
        self._admit = admit
        self._server = grpc.aio.server(options=service.SERVER_OPTIONS)
        self._server.add_generic_rpc_handlers([service.event_stream_handler(self)])

    async def start(self) -> int:
        """Starts listening; the port."""
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Ends every stream."""
        await self._server.stop(grace=0)

    async def event_stream(
        self,
        requests: AsyncIterator[pb.StreamingMessage],
        context: grpc.aio.ServicerContext[pb.StreamingMessage, pb.StreamingMessage],
        /,
    ) -> None:
        """Serves one worker until either side ends the stream."""
        first = await anext(requests, None)
        outgoing: asyncio.Queue[pb.StreamingMessage] = asyncio.Queue()
        stream = None if first is None else self._admit(first, outgoing.put_nowait)
        if stream is None:
            return
        writer = asyncio.create_task(_write(outgoing, context))
        try:
            async for message in requests:
                stream.receive(message)
        finally:
            writer.cancel()
            stream.lose()
            with contextlib.suppress(asyncio.CancelledError, grpc.RpcError):
                await writer


async def _write(
    outgoing: asyncio.Queue[pb.StreamingMessage],
    context: grpc.aio.ServicerContext[pb.StreamingMessage, pb.StreamingMessage],
) -> None:
    while True:
        await context.write(await outgoing.get())
