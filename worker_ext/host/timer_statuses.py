"""What the host remembers of timer triggers: when each fired last and when it was to fire next."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from worker_ext.host.database import Database

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class TimerStatus(Struct, frozen=True):
    """When a timer trigger fired last, if it ever did, and when it is to fire next."""

    last: datetime | None
    next: datetime


class TimerStatuses:
    """The statuses of the timer triggers of one task hub."""

    def __init__(self, database: Database, hub_key: int) -> None:
        self._database = database
        self._hub_key = hub_key

    async def get(self, name: str) -> TimerStatus | None:
        """The status of a function's timer."""

        def job(connection: sqlite3.Connection) -> TimerStatus | None:
            row = connection.execute(
                "SELECT last_at, next_at FROM timer_triggers WHERE hub_key = ? AND name = ?", (self._hub_key, name)
            ).fetchone()
            return None if row is None else TimerStatus(None if row[0] is None else _time(row[0]), _time(row[1]))

        return await self._database.run(job)

    async def put(self, name: str, status: TimerStatus) -> None:
        """Keeps the status of a function's timer."""
        last = None if status.last is None else _stamp(status.last)
        values = (self._hub_key, name, last, _stamp(status.next))
        await self._database.run(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO timer_triggers (hub_key, name, last_at, next_at) VALUES (?, ?, ?, ?)", values
            ).close()
        )


def _stamp(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def _time(stamp: int) -> datetime:
    return _EPOCH + stamp * _MICROSECOND
