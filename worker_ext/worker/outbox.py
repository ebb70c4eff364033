"""Messages on their way to the host, put by any thread and taken by the loop.

A thread wakes the loop only when the loop may be asleep: under load most messages cost no system call.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable

from worker_ext.rpc import pb


class Outbox:
    """A queue without a limit: the host limits the work it gives, and a log line must never wait."""

    def __init__(self) -> None:
        self._messages: deque[pb.StreamingMessage] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._wake = asyncio.Event()
        self._woken = False
        self.closed = False

    def put(self, message: pb.StreamingMessage) -> None:
        """Add a message; safe in every thread, and before the loop has started."""
        self._messages.append(message)
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
        if self._messages:
            self._woken = True
            return
        await self._wake.wait()
        self._wake.clear()

    def take(self) -> pb.StreamingMessage | None:
        """Return the oldest message, or None."""
        try:
            return self._messages.popleft()
        except IndexError:
            return None

    def __len__(self) -> int:
        return len(self._messages)
