"""FunctionRpc's one method, EventStream: the stub a worker calls and the handler a host serves, for grpc.aio.

Written by hand because generated code would import messages from the default descriptor pool (see `worker_ext.rpc.pb`).
"""

from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

import grpc
import grpc.aio

from worker_ext.rpc import pb

SERVICE = "AzureFunctionsRpcMessages.FunctionRpc"
METHOD = "EventStream"
METHOD_PATH = f"/{SERVICE}/{METHOD}"

# Histories outgrow gRPC's default of 4 MiB; -1 is no limit.
_UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = _UNLIMITED
# Without SO_REUSEPORT a port that is taken is an error, where gRPC would otherwise share it with whoever has it.
# Without its probe the window stays small: what is under way, such as a storm of log records, cannot be overtaken.
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (*_UNLIMITED, ("grpc.so_reuseport", 0), ("grpc.http2.bdp_probe", 0))


class EventStreamStub:
    """The worker's side of EventStream.

    Calling it opens the stream: `call = EventStreamStub(channel)()`, then `await call.write(message)` and
    `async for message in call`; or hand it an async iterator of the messages to send.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._open = channel.stream_stream(
            METHOD_PATH,
            request_serializer=pb.StreamingMessage.SerializeToString,
            response_deserializer=pb.StreamingMessage.FromString,
        )

    def __call__(
        self, requests: AsyncIterator[pb.StreamingMessage] | None = None
    ) -> "grpc.aio.StreamStreamCall[pb.StreamingMessage, pb.StreamingMessage]":
        """Open the stream."""
        return self._open(requests)


class EventStreamServicer(Protocol):
    """The host's side of EventStream: one call a worker connection."""

    def event_stream(
        self,
        requests: AsyncIterator[pb.StreamingMessage],
        context: "grpc.aio.ServicerContext[pb.StreamingMessage, pb.StreamingMessage]",
        /,
    ) -> AsyncIterator[pb.StreamingMessage] | Awaitable[None]:
        """Serve one worker until it returns.

        Either an async generator, which yields what goes to the worker, or a coroutine function, which calls
        `context.write`; gRPC tells them apart by inspecting the function. What the worker sends comes in `requests`.
        """
        ...


def event_stream_handler(
    servicer: EventStreamServicer,
) -> "grpc.GenericRpcHandler[pb.StreamingMessage, pb.StreamingMessage]":
    """Make the handler for `server.add_generic_rpc_handlers([...])`."""
    method = grpc.stream_stream_rpc_method_handler(
        servicer.event_stream,
        request_deserializer=pb.StreamingMessage.FromString,
        response_serializer=pb.StreamingMessage.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})
