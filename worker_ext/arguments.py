"""Arguments of the wrong kind: what was given, and what to give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker_ext.engine.schedule import Schedule

_EXPECTED: dict[type, str] = {
    str: "text",
    dict: "a dict",
    int: "a whole number",
    timedelta: "a timedelta, such as timedelta(minutes=5)",
}


def expect(call: str, argument: str, value: Any, kind: type) -> None:
    """Checks an argument.

    Args:
        call: The method that was given it.
        argument: Its name.
        value: What was given.
        kind: What it must be.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(value, kind):
        expected = _EXPECTED.get(kind, f"worker_ext.{kind.__name__}(...)")
        raise TypeError(f"{call} was given {argument}={value!r}; expected {expected}")


def due(schedule: Schedule, time: datetime | timedelta, call: str) -> datetime:
    """When something is to happen, in UTC.

    Args:
        schedule: The schedule, whose time is now.
        time: When, as an aware datetime, or how long from now.
        call: The method that was given it.

    Raises:
        TypeError: The time has no zone, or is none.
        OverflowError: It ends later than dates can tell.
    """
    try:
        if isinstance(time, timedelta):
            return schedule.now + time
        if not isinstance(time, datetime):
            raise TypeError(f"{call} was given {time!r}; expected a datetime or a timedelta")
        if time.tzinfo is None:
            raise TypeError(
                f"{call} was given {time!r}, which has no time zone. Use context.current_utc_datetime + "
                "timedelta(...), a timedelta, or a datetime with a zone"
            )
        return time if time.tzinfo is UTC else time.astimezone(UTC)
    except OverflowError as error:
        raise OverflowError(f"{call} was given {time!r}, which ends after the year 9999") from error
