"""Messages on their way to the host, put by any thread and taken by the loop.

Replies overtake log records, so that one function's storm of them holds up no other function. What an invocation has
logged itself leaves before its reply: where many records are in front of it, it overtakes those too, unless it is part
of the storm. Log records that wait take so much memory and no more: what does not fit is dropped, and how much that was
is told in its place.

A thread wakes the loop only when the loop may be asleep: under load most messages cost no system call.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from worker_ext.rpc import pb

LOG_BYTES = 32 << 20
"""How much memory log records may take while they wait; grave ones, and those of who has few, as much again."""

RECORD_BYTES = 600
"""What a record takes beside its text."""

FEW = 100
"""How many records a reply stays behind, and how many of its invocation's own it takes along past others."""

MakeMessage = Callable[[], pb.StreamingMessage]
"""Makes the message of a log record when it is sent: until then it would take many times the memory of the text."""


class _Record:
    """A log record that waits, and the messages that leave right after it."""

    __slots__ = ("followers", "invocation_id", "make", "number", "size")

    def __init__(self, make: MakeMessage, invocation_id: str, size: int, number: int) -> None:
        self.make = make
        self.invocation_id = invocation_id
        self.size = size
        self.number = number
        self.followers: tuple[pb.StreamingMessage, ...] = ()


class Outbox:
    """A queue whose putters never wait: the host limits the work it gives, and records are dropped beyond a limit.

    Args:
        log_bytes: How much memory log records may take.

    Attributes:
        closed: Whether the one who empties the box is to end when it is empty.
    """

    def __init__(self, log_bytes: int = LOG_BYTES) -> None:
        self._messages: deque[pb.StreamingMessage] = deque()
        # All records that wait, and those of each invocation that has any; the lock is for both.
        self._records: OrderedDict[int, _Record] = OrderedDict()
        self._own: dict[str, deque[_Record]] = {}
        self._lock = threading.Lock()
        self._log_bytes, self._log_limit = 0, log_bytes
        self._number = self._dropped = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._wake = asyncio.Event()
        self._woken = False
        self.closed = False

    def put(self, message: pb.StreamingMessage) -> None:
        """Add a message; safe in every thread, and before the loop has started."""
        if not self._own or not self._put_behind_own(message):
            self._messages.append(message)
        self._notify()

    def put_log(self, make: MakeMessage, text: str, invocation_id: str, *, is_grave: bool = False) -> None:
        """Add a log record, or drop it where too many wait; safe in every thread, and before the loop has started."""
        size = len(text) + RECORD_BYTES
        with self._lock:
            own = self._own.get(invocation_id)
            limit = 2 * self._log_limit if is_grave or own is None or len(own) < FEW else self._log_limit
            if self._log_bytes + size > limit:
                self._dropped += 1
            else:
                self._keep(make, invocation_id, size)
        self._notify()

    def _keep(self, make: MakeMessage, invocation_id: str, size: int) -> None:
        """Puts a record into the books."""
        self._number += 1
        record = self._records[self._number] = _Record(make, invocation_id, size, self._number)
        self._own.setdefault(invocation_id, deque()).append(record)
        self._log_bytes += size

    def _put_behind_own(self, message: pb.StreamingMessage) -> bool:
        """Puts a message behind the records of its invocation, or of none, that wait; whether there are any."""
        is_reply = message.HasField("invocation_response")
        with self._lock:
            own = self._own.get(message.invocation_response.invocation_id if is_reply else "")
            if own is None:
                return False
            last = own[-1]
            last.followers += (message,)
            if len(own) <= FEW <= last.number - next(iter(self._records)):
                for record in list(own):
                    self._messages.append(self._leave(record))
                    self._messages.extend(record.followers)
        return True

    def _leave(self, record: _Record) -> pb.StreamingMessage:
        """Takes the first record of an invocation out of the books; its message."""
        del self._records[record.number]
        self._log_bytes -= record.size
        own = self._own[record.invocation_id]
        own.popleft()
        if not own:
            del self._own[record.invocation_id]
        return record.make()

    def _notify(self) -> None:
        if self._woken or self._loop is None:
            return
        self._woken = True
        if threading.get_ident() == self._loop_thread:
            self._wake.set()
        else:
            self.call_on_loop(self._wake.set)

    def call_on_loop(self, callback: Callable[[], object]) -> None:
        """Call something on the loop that empties this box, from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended; whoever ended it takes what is left
                self._loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """Let the one who empties the box end when it is empty. Call it on the loop."""
        self.closed = True
        self._wake.set()

    async def wait(self) -> None:
        """Wait until there may be something to take. One caller at a time."""
        if self._loop is None:
            self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._woken = False
        if self._messages or self._records or self._dropped:
            self._woken = True
            return
        await self._wake.wait()
        self._wake.clear()

    def take(self) -> pb.StreamingMessage | None:
        """Return the oldest message, log records last, or None. One caller at a time."""
        try:
            return self._messages.popleft()
        except IndexError:
            return self._take_record() if self._records or self._dropped else None

    def _take_record(self) -> pb.StreamingMessage | None:
        with self._lock:
            if self._dropped and self._log_bytes <= self._log_limit // 2:
                dropped, self._dropped = self._dropped, 0
                return _dropped_notice(dropped)
            if not self._records:
                return None
            record = self._records[next(iter(self._records))]
            self._messages.extend(record.followers)
            return self._leave(record)


def _dropped_notice(count: int) -> pb.StreamingMessage:
    """The log record that tells how many were dropped."""
    text = f"{count} log records were dropped: the app logs faster than the host takes them"
    log = pb.RpcLog(category="worker_ext.worker", level=pb.RpcLog.Warning, message=text, log_category=pb.RpcLog.System)
    return pb.StreamingMessage(rpc_log=log)
