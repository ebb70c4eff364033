"""FunctionRpc's messages over a plain socket, for the local host and its own worker.

They are the messages of EventStream, in the same order; only gRPC is left out, which costs more a message than all the
rest of an orchestration's step. A frame is the length of a message, four bytes with the highest first, and the message.
A frame of length 0 is the last one of its sender; a connection that closes without one has broken. So has one that
announces more than a message can be, or, before whoever connects to a server has said who it is, more than that takes.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

from google.protobuf.message import DecodeError

from worker_ext.errors import HostError
from worker_ext.rpc import pb

SCHEME = "tcp"
"""How an address says that frames are spoken there."""

LOOPBACK = "127.0.0.1"
LONGEST = 2**31 - 1
"""Bytes of a message at most, which is protobuf's own limit."""

LONGEST_FIRST = 1 << 16
"""Bytes at most of the first message that a server is sent: what else connects to a port is not waited for."""

# What is in the system's buffers cannot be overtaken any more; left alone they grow to megabytes of log records.
_SOCKET_BUFFER = 1 << 19

# How many messages are read in one step of the loop where more of them wait, lest a storm of log records stop all else.
_BURST = 50

_HEAD = 4
_LAST = bytes(_HEAD)
_GOODBYE_SECONDS = 2.0
# Its stub asks for bytes; it reads whatever memory it is given.
_read_message: Callable[[memoryview], pb.StreamingMessage] = cast("Any", pb.StreamingMessage.FromString)


class BrokenStreamError(HostError):
    """The connection ended in the middle, or carried something else than frames."""


class FrameStream(asyncio.Protocol):
    """One end of a connection. What is written in one step of the loop leaves in one piece.

    Args:
        longest_first: Bytes of the first message at most.
    """

    def __init__(self, longest_first: int = LONGEST) -> None:
        self._longest = longest_first
        self._loop = asyncio.get_running_loop()  # asking for it is a system call on Python 3.11
        self._transport: asyncio.Transport | None = None
        self._rest = bytearray()
        self._messages: deque[pb.StreamingMessage] = deque()
        self._burst = 0
        self._is_paused = False
        self._reader: asyncio.Future[None] | None = None
        self._outgoing: list[bytes] = []
        self._is_flushing = False
        self._drained: asyncio.Future[None] | None = None
        self._has_heard_last = False
        self._has_said_last = False
        self._fault: BrokenStreamError | None = None

    # ------------------------------------------------------------ reading

    async def read(self) -> pb.StreamingMessage | None:
        """The next message; None when the other end has said its last. One caller at a time.

        Raises:
            BrokenStreamError: There will be no more, and the other end did not say so.
        """
        while not self._messages:
            if self._has_heard_last:
                return None
            if self._fault is not None:
                raise self._fault
            self._reader = self._loop.create_future()
            self._burst = 0
            await self._reader
        self._burst += 1
        if self._burst == _BURST:
            self._burst = 0
            await asyncio.sleep(0)
        message = self._messages.popleft()
        if self._is_paused and not self._messages:
            self._take_bytes(True)
        return message

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        connection = transport.get_extra_info("socket")
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            connection.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER)

    def data_received(self, data: bytes) -> None:
        """Takes apart the frames that have come."""
        if self._is_over:
            return
        rest = self._rest
        try:
            if rest:
                rest += data
                with memoryview(rest) as view:
                    taken = self._take_frames(view)
                del rest[:taken]
            else:
                rest += data[self._take_frames(memoryview(data)) :]
        except DecodeError as error:
            self._fault = BrokenStreamError(f"the other end sent what is no StreamingMessage: {error}")
            self.close()
        if self._has_heard_last and self._has_said_last:
            self.close()
        if len(self._messages) > _BURST:
            self._take_bytes(False)
        self._wake()

    def _take_bytes(self, wanted: bool) -> None:
        """Takes more bytes, or leaves them with the other end, until the messages that are there have been read."""
        if self._is_paused == wanted and self._transport is not None:
            self._is_paused = not wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    @property
    def _is_over(self) -> bool:
        return self._has_heard_last or self._fault is not None

    def _take_frames(self, data: memoryview) -> int:
        """Reads the messages that are whole; how many bytes they were."""
        start, size = 0, len(data)
        while size - start >= _HEAD and not self._has_heard_last:
            body = start + _HEAD
            end = body + int.from_bytes(data[start:body], "big")
            if end - body > self._longest:
                raise DecodeError(f"expected at most {self._longest} bytes, found a length of {end - body}")
            if end > size:
                break
            if end == body:
                self._has_heard_last = True
            else:
                self._messages.append(_read_message(data[body:end]))
                self._longest = LONGEST
            start = end
        return start

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells whoever reads."""
        if self._fault is None:
            self._fault = BrokenStreamError(f"the connection was closed{f': {exc}' if exc else ''}")
        self.resume_writing()
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # ------------------------------------------------------------ writing

    @property
    def is_closed(self) -> bool:
        """Whether the connection takes nothing any more."""
        return self._transport is None or self._transport.is_closing()

    @property
    def is_full(self) -> bool:
        """Whether the other end takes less than it is sent: who can wait should, until it is `drained`."""
        return self._drained is not None

    async def drained(self) -> None:
        """Waits until the other end has taken most of what it was sent, or the connection is gone."""
        if self._drained is not None:
            await asyncio.shield(self._drained)

    def pause_writing(self) -> None:
        """The connection's buffer is full."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """The connection's buffer has space again."""
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def send(self, message: pb.StreamingMessage) -> None:
        """Writes a message. Where the connection is gone it is dropped, and `read` says so."""
        data = message.SerializeToString()
        self._outgoing += (len(data).to_bytes(_HEAD, "big"), data)
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._transport is not None and not self.is_closed:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def finish(self) -> None:
        """Says that no more comes from this end; the other end has a while to say its last."""
        if self._has_said_last:
            return
        self._has_said_last = True
        self._outgoing.append(_LAST)
        self._flush()
        if self._has_heard_last:
            self.close()
        else:
            self._loop.call_later(_GOODBYE_SECONDS, self.close)

    def close(self) -> None:
        """Closes the connection once it has taken what was written."""
        if self._transport is not None:
            self._transport.close()


async def connect(host: str, port: int) -> FrameStream:
    """Opens a stream to whoever listens.

    Raises:
        OSError: Nobody does.
    """
    _, stream = await asyncio.get_running_loop().create_connection(FrameStream, host, port)
    return stream


class FrameServer:
    """Listens on a free port of 127.0.0.1.

    Args:
        serve: Serves one connection; when it returns, this end has said its last.
    """

    def __init__(self, serve: Callable[[FrameStream], Awaitable[None]]) -> None:
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._streams: set[FrameStream] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Starts listening; the port."""
        loop = asyncio.get_running_loop()
        # In two steps: where the second is cancelled, there is a server to stop.
        self._server = await loop.create_server(self._accept, LOOPBACK, 0, start_serving=False)
        await self._server.start_serving()
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Ends every stream."""
        if self._server is not None:
            self._server.close()
        streams = list(self._streams)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stream in streams:
            stream.close()

    def _accept(self) -> FrameStream:
        stream = FrameStream(LONGEST_FIRST)
        self._streams.add(stream)
        task = asyncio.get_running_loop().create_task(self._run(stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return stream

    async def _run(self, stream: FrameStream) -> None:
        try:
            await self._serve(stream)
        except BrokenStreamError:
            return  # the other end is gone, and whoever served it knows
        finally:
            self._streams.discard(stream)
            stream.finish()
