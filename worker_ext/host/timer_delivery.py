"""Delivers durable timers, and whatever else has a time of its own, when they are due."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from worker_ext.errors import HostError
from worker_ext.host.background import Background
from worker_ext.host.redelivery import Redelivery
from worker_ext.host.store import Store

# A wall clock that was set forward is noticed after this time at the latest.
_LONGEST_SLEEP = 5.0
_KEY = "timers"


class TimerDelivery:
    """Makes messages of timers that are due.

    Args:
        store: Where they are kept.
        background: What it runs in.
        redelivery: What to do when the store refuses.
        wake: Told every instance that has got a message.
    """

    def __init__(
        self, store: Store, background: Background, redelivery: Redelivery, wake: Callable[[str], None]
    ) -> None:
        self._store = store
        self._background = background
        self._redelivery = redelivery
        self._wake = wake
        self._next_due: datetime | None = None
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Takes up the timers that the store holds."""
        self._next_due = await self._store.next_due()
        self._background.run_until_stopped(self._deliver())

    def expect(self, due: datetime | None) -> None:
        """There is a timer, due at that time."""
        if due is not None and (self._next_due is None or due < self._next_due):
            self._next_due = due
            self._changed.set()

    async def _deliver(self) -> None:
        """Sleeps until the earliest timer is due, and makes messages of those that are."""
        while True:
            self._changed.clear()
            wait = None if self._next_due is None else (self._next_due - _now()) / timedelta(seconds=1)
            if wait is None or wait > 0:
                with contextlib.suppress(TimeoutError):
                    limit = None if wait is None else min(wait, _LONGEST_SLEEP)
                    await asyncio.wait_for(self._changed.wait(), limit)
                continue
            self._next_due = None
            try:
                woken, next_due = await self._store.deliver_due(_now())
            except HostError as error:
                delay = self._redelivery.failed("a", "timer", _KEY, error)
                self._next_due = _now() + timedelta(seconds=delay)
                continue
            self._redelivery.done(_KEY)
            self.expect(next_due)
            for instance_id in woken:
                self._wake(instance_id)


def _now() -> datetime:
    return datetime.now(UTC)
