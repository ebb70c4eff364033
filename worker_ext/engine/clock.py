"""ReplayClock: time as history tells it. Each batch of events has one; between batches time stands still.

There are two readings. The orchestrator's clock never goes back. The extension's is whatever the batch says that is in
force at a position of the history, even if another machine's clock was behind.

Source: durable-functions JSON protocol, sections 4.4 and 4.10.2.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime

from worker_ext.protocol.codec import parse_timestamp

START = -1
"""The position before the first event: a list that waits for nothing is passed there."""

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


class ReplayClock:
    """The times of the batches so far.

    Times are parsed when one is asked for: code that never asks does not pay for them.

    Args:
        begin: The timestamp of the first batch.

    Attributes:
        begin_batch: Takes position and timestamp of the batch that begins.
    """

    def __init__(self, begin: str) -> None:
        self._unread = [(START, begin)]
        self.begin_batch: Callable[[tuple[int, str]], None] = self._unread.append
        self._positions: list[int] = []
        self._times: list[datetime] = []
        self._now = _BEFORE_ALL

    @property
    def now(self) -> datetime:
        """The orchestrator's time: the latest of all batches so far."""
        if self._unread:
            self._read()
        return self._now

    @property
    def first(self) -> datetime:
        """The time of the first batch."""
        if not self._times:
            self._read()
        return self._times[0]

    def at(self, position: int) -> datetime:
        """The extension's time at a position: that of the last batch that began at or before it."""
        self._read()
        return self._times[max(bisect_right(self._positions, position) - 1, 0)]

    def _read(self) -> None:
        for position, timestamp in self._unread:
            time = parse_timestamp(timestamp)
            self._positions.append(position)
            self._times.append(time)
            if time > self._now:
                self._now = time
        self._unread.clear()
