"""What a committed turn has set in motion outside its instance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from worker_ext.host.records import Activity


class TurnEffects(Struct, frozen=True):
    """What is to go on behind a turn.

    Attributes:
        activities: Those to run, as stored.
        woken: The instances that have something to do.
        due: When the turn's first timer is due, if it started any.
        is_over: The instance has come to its end.
    """

    activities: Sequence[Activity] = ()
    woken: Sequence[str] = ()
    due: datetime | None = None
    is_over: bool = False


NOTHING = TurnEffects()
"""What follows a turn that only took note of its messages."""
