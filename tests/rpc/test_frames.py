"""Messages in frames, between the two ends of a real connection."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_sockets import listening

from worker_ext.rpc import pb
from worker_ext.rpc.frames import BrokenStreamError, FrameServer, FrameStream, connect

PATIENCE = 60.0


class Ends:
    """Both ends of a connection."""

    def __init__(self, near: FrameStream, far: FrameStream) -> None:
        self.near, self.far = near, far


@asynccontextmanager
async def connected() -> AsyncIterator[Ends]:
    accepted: asyncio.Future[FrameStream] = asyncio.get_running_loop().create_future()
    released = asyncio.Event()

    async def serve(stream: FrameStream) -> None:
        accepted.set_result(stream)
        await released.wait()

    server = FrameServer(serve)
    near = await connect("127.0.0.1", await server.start())
    try:
        yield Ends(near, await accepted)
    finally:
        near.close()
        released.set()
        await server.stop()


async def read(stream: FrameStream) -> pb.StreamingMessage | None:
    async with asyncio.timeout(PATIENCE):
        return await stream.read()


def log(text: str) -> pb.StreamingMessage:
    return pb.StreamingMessage(rpc_log=pb.RpcLog(message=text))


async def test_messages_arrive_whole_and_in_order_both_ways() -> None:
    sent = [log("x" * size) for size in (1, 0, 70_000, 5, 20_000_000, 3)]
    async with connected() as ends:
        for message in sent:
            ends.near.send(message)
            ends.far.send(message)
        assert [await read(ends.far) for _ in sent] == sent
        assert [await read(ends.near) for _ in sent] == sent


@given(
    texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=300), max_size=20),
    cuts=st.lists(st.integers(0, 7000), max_size=12),
)
def test_messages_survive_any_cut_of_the_bytes(texts: list[str], cuts: list[int]) -> None:
    messages = [log(text) for text in texts]
    bodies = [message.SerializeToString() for message in messages]
    data = b"".join(len(body).to_bytes(4, "big") + body for body in bodies) + bytes(4)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]

    async def taken_apart() -> list[pb.StreamingMessage]:
        stream = FrameStream()
        for start, end in itertools.pairwise(places):
            stream.data_received(data[start:end])
        found = []
        while (message := await read(stream)) is not None:
            found.append(message)
        return found

    assert asyncio.run(taken_apart()) == messages


async def test_the_last_frame_ends_the_stream_after_what_was_sent_before_it() -> None:
    async with connected() as ends:
        ends.near.send(log("before"))
        ends.near.finish()
        assert [await read(ends.far), await read(ends.far), await read(ends.far)] == [log("before"), None, None]


async def test_the_other_end_may_still_speak_when_one_has_said_its_last() -> None:
    async with connected() as ends:
        ends.near.finish()
        assert await read(ends.far) is None
        ends.far.send(log("goodbye"))
        ends.far.finish()
        assert [await read(ends.near), await read(ends.near)] == [log("goodbye"), None]


async def test_a_connection_that_closes_without_a_last_frame_has_broken() -> None:
    async with connected() as ends:
        ends.near.send(log("before"))
        await asyncio.sleep(0)  # the loop has written it
        ends.near.close()
        assert await read(ends.far) == log("before")
        with pytest.raises(BrokenStreamError, match="the connection was closed"):
            await read(ends.far)


async def test_what_is_no_message_breaks_the_stream() -> None:
    async with connected() as ends:
        ends.far.data_received((3).to_bytes(4, "big") + b"\xff\xff\xff")
        with pytest.raises(BrokenStreamError, match="the other end sent what is no StreamingMessage"):
            await read(ends.far)
        with pytest.raises(BrokenStreamError, match="the connection was closed"):
            await read(ends.near)


async def test_whoever_connects_and_is_no_worker_is_not_waited_for() -> None:
    """The first bytes of an HTTP request are a length of more than a gigabyte."""
    async with connected() as ends:
        assert ends.near._transport is not None
        ends.near._transport.write(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(BrokenStreamError) as error:
            await read(ends.far)
        assert str(error.value) == (
            "the other end sent what is no StreamingMessage: expected at most 65536 bytes, found a length of 1195725856"
        )
        with pytest.raises(BrokenStreamError, match="the connection was closed"):
            await read(ends.near)


async def test_a_first_message_may_be_short_only_and_later_ones_long() -> None:
    short, long = log("x" * (1 << 16)), log("x" * 5_000_000)
    async with connected() as ends:
        ends.near.send(log("hello"))
        ends.near.send(long)
        assert [await read(ends.far), await read(ends.far)] == [log("hello"), long]
    async with connected() as ends:
        ends.near.send(short)
        with pytest.raises(BrokenStreamError, match="expected at most 65536 bytes"):
            await read(ends.far)


async def test_a_length_that_no_message_can_have_breaks_the_stream() -> None:
    async with connected() as ends:
        ends.near.data_received((2**31).to_bytes(4, "big"))
        with pytest.raises(BrokenStreamError, match="expected at most 2147483647 bytes, found a length of 2147483648"):
            await read(ends.near)


async def test_nothing_is_kept_of_what_comes_after_the_last_frame() -> None:
    async with connected() as ends:
        ends.near.finish()
        assert await read(ends.far) is None
        ends.far.data_received(b"x" * 1_000_000)
        assert (len(ends.far._rest), await read(ends.far)) == (0, None)


async def test_what_is_written_to_a_closed_connection_is_dropped() -> None:
    async with connected() as ends:
        ends.near.close()
        with pytest.raises(BrokenStreamError):
            await read(ends.far)
        ends.far.send(log("too late"))
        await asyncio.sleep(0)
        assert ends.far.is_closed


async def test_a_server_that_stops_ends_its_streams_in_order() -> None:
    async def serve(stream: FrameStream) -> None:
        await stream.read()

    server = FrameServer(serve)
    near = await connect("127.0.0.1", await server.start())
    near.send(log("anybody"))
    assert await read(near) is None
    near.close()
    await server.stop()


async def test_nobody_can_connect_to_a_server_that_stopped() -> None:
    async def serve(stream: FrameStream) -> None:
        await stream.read()

    server = FrameServer(serve)
    port = await server.start()
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await connect("127.0.0.1", port)


@pytest.mark.parametrize("steps", range(8))
async def test_a_start_that_is_cut_short_leaves_nothing_that_listens(steps: int) -> None:
    before = listening()

    async def serve(stream: FrameStream) -> None:
        await stream.read()

    server = FrameServer(serve)
    starting = asyncio.create_task(server.start())
    for _ in range(steps):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    await server.stop()
    assert listening() <= before


async def test_what_the_other_end_does_not_read_is_left_with_the_sender() -> None:
    """Its buffers stay small, so that what is sent later does not wait for megabytes."""
    async with connected() as ends:
        sent = 0
        while not ends.near.is_full:
            ends.near.send(log("x" * 100))
            sent += 1
            await asyncio.sleep(0)
        waiting = asyncio.ensure_future(ends.near.drained())
        assert sent < 20_000
        assert [await read(ends.far) for _ in range(sent)] == [log("x" * 100)] * sent
        async with asyncio.timeout(PATIENCE):
            await waiting
        assert not ends.near.is_full


async def test_who_waits_for_the_other_end_is_told_when_it_is_gone() -> None:
    async with connected() as ends:
        while not ends.near.is_full:
            ends.near.send(log("x" * 10_000))
            await asyncio.sleep(0)
        waiting = asyncio.ensure_future(ends.near.drained())
        ends.far.close()
        async with asyncio.timeout(PATIENCE):
            await waiting
        assert ends.near.is_closed


async def test_reading_a_storm_of_messages_leaves_room_for_everything_else() -> None:
    async with connected() as ends:
        for _ in range(1000):
            ends.near.send(log("x"))
        steps = 0

        async def step() -> None:
            nonlocal steps
            while True:
                steps += 1
                await asyncio.sleep(0)

        await read(ends.far)
        beside = asyncio.create_task(step())
        for _ in range(999):
            await read(ends.far)
        beside.cancel()
        assert steps >= 10
