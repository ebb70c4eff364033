"""EventStream between a real grpc.aio server and channel."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from worker_ext.rpc import pb
from worker_ext.rpc.service import (
    CHANNEL_OPTIONS,
    SERVER_OPTIONS,
    EventStreamServicer,
    EventStreamStub,
    event_stream_handler,
)

SIX_MEGABYTES = 6 * 1024 * 1024

Requests = AsyncIterator[pb.StreamingMessage]
Context = Any


class Generator:
    """Answers each log with an invocation that carries its text."""

    async def event_stream(self, requests: Requests, context: Context) -> AsyncIterator[pb.StreamingMessage]:
        async for message in requests:
            yield answer_to(message)


class Coroutine:
    """The same, written the other way."""

    async def event_stream(self, requests: Requests, context: Context) -> None:
        async for message in requests:
            await context.write(answer_to(message))


def answer_to(message: pb.StreamingMessage) -> pb.StreamingMessage:
    binding = pb.ParameterBinding(name="in", data=pb.TypedData(json=message.rpc_log.message))
    return pb.StreamingMessage(invocation_request=pb.InvocationRequest(input_data=[binding]))


def log(text: str) -> pb.StreamingMessage:
    return pb.StreamingMessage(rpc_log=pb.RpcLog(message=text))


async def serve(servicer: EventStreamServicer) -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers([event_stream_handler(servicer)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


@pytest.mark.parametrize("servicer", [Generator(), Coroutine()], ids=lambda servicer: type(servicer).__name__)
async def test_messages_beyond_the_default_limit_pass_both_ways(servicer: EventStreamServicer) -> None:
    server, address = await serve(servicer)
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        call = EventStreamStub(channel)()
        text = "ä" * (SIX_MEGABYTES // 2)
        await call.write(log("small"))
        await call.write(log(text))
        await call.done_writing()
        answers = [message async for message in call]
    await server.stop(None)
    assert answers == [answer_to(log("small")), answer_to(log(text))]
    assert answers[1].ByteSize() > SIX_MEGABYTES


async def test_stub_sends_what_an_iterator_yields() -> None:
    async def requests() -> AsyncIterator[pb.StreamingMessage]:
        yield log("one")
        yield log("two")

    server, address = await serve(Generator())
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        answers = [message async for message in EventStreamStub(channel)(requests())]
    await server.stop(None)
    assert answers == [answer_to(log("one")), answer_to(log("two"))]


async def test_a_stock_client_reaches_the_handler_by_the_path_of_the_wire() -> None:
    """Bytes in, bytes out, and the path spelled out: what any other language's worker sends."""
    server, address = await serve(Generator())
    async with grpc.aio.insecure_channel(address) as channel:
        open_stream = channel.stream_stream("/AzureFunctionsRpcMessages.FunctionRpc/EventStream", None, None)
        call = open_stream(iter([log("raw").SerializeToString()]))
        answers = [content async for content in call]
    await server.stop(None)
    assert answers == [answer_to(log("raw")).SerializeToString()]


async def test_a_port_that_is_taken_is_refused() -> None:
    """Not shared, as gRPC would do by default on Linux: half the workers would reach the other host."""
    first, address = await serve(Generator())
    second = grpc.aio.server(options=SERVER_OPTIONS)
    with pytest.raises(RuntimeError, match="Failed to bind"):
        second.add_insecure_port(address)
    await first.stop(None)
