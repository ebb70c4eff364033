"""Patches: how code that was changed tells instances that ran the old code from those that run the new.

History has no place for a note of our own, so a patch is marked by a leaf that does nothing: a cancelled timer whose
time, long past, is made of the patch's id. Where the code asks for the first time, and history already has another
event under the id that the mark would take, the old code went on here; where it has the mark or nothing, the new may.

Source: durable-functions JSON protocol, sections 4.3, 4.6 and 4.10.1 (cancelled timers are recorded, block nothing).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_OID, uuid5

from worker_ext.engine.schedule import Schedule
from worker_ext.engine.tasks import TimerTask
from worker_ext.protocol.codec import parse_timestamp
from worker_ext.protocol.history import (
    HistoryEvent,
    TimerCreated,
)

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_UNIT = timedelta(microseconds=1)
_SPAN = timedelta(days=20 * 365) // _UNIT


class Patches:
    """The patches that the code of one execution has asked for.

    Args:
        schedule: Where marks are listed.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._answers: dict[str, bool] = {}

    def is_applied(self, patch_id: str) -> bool:
        """Whether the new code is to be run; for one id the answer stays the same throughout an execution."""
        if patch_id not in self._answers:
            self._answers[patch_id] = self._asked(patch_id)
        return self._answers[patch_id]

    def _asked(self, patch_id: str) -> bool:
        schedule, time = self._schedule, mark_of(patch_id)
        if schedule.known_next() is not None and not schedule.has_next(time):
            return False
        mark = TimerTask(schedule, time, hidden=True)
        mark.cancel()
        schedule.list_signal(mark)
        return True


def mark_of(patch_id: str) -> datetime:
    """The time of the timer that marks a patch."""
    return _EPOCH + uuid5(NAMESPACE_OID, f"patch:{patch_id}").int % _SPAN * _UNIT


def is_mark(event: HistoryEvent) -> bool:
    """Whether an event is what a mark was made into: no timer of user code fires in the years before this package."""
    return isinstance(event, TimerCreated) and _EPOCH <= parse_timestamp(event.fire_at) < _EPOCH + _SPAN * _UNIT
