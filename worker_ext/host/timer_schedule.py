"""When a timer trigger fires: six-field NCRONTAB expressions and plain intervals.

`{second} {minute} {hour} {day} {month} {day of week}`, with `*`, lists, ranges, steps and English names; five fields
leave the second out. A day counts when both its fields let it through. An interval is a time span such as `00:05:00`.

Source: Azure Functions' documentation of the timer trigger; NCrontab's grammar.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from worker_ext.errors import HostError, PayloadError
from worker_ext.protocol.codec import parse_timespan

_VALUE = r"(?:\d+|[A-Za-z]{3,9})"
_FIELD = re.compile(rf"(?:\*|{_VALUE}(?:-{_VALUE})?)(?:/\d+)?", re.ASCII)
_LONG_NAME = re.compile(r"([A-Za-z]{3})[a-z]+")
_SPAN = re.compile(r"(?:\d+\.)?\d{1,2}:\d{2}:\d{2}(?:\.\d+)?", re.ASCII)
_ZONE = "WEBSITE_TIME_ZONE"


class Schedule(Protocol):
    """When something is to happen, over and over."""

    adjusts_for_dst: bool

    def next(self, after: datetime) -> datetime:
        """The first time after another one."""
        ...


class CronSchedule:
    """An NCRONTAB expression in a time zone."""

    adjusts_for_dst = True

    def __init__(self, expression: str, zone: tzinfo = UTC) -> None:
        self._expression = expression
        self._zone = zone

    def next(self, after: datetime) -> datetime:
        """The first time after another one that fits every field."""
        from croniter import croniter  # imported when an app has such a schedule

        start = after.astimezone(self._zone)
        times = croniter(self._expression, start, ret_type=datetime, day_or=False, second_at_beginning=True)
        found: datetime = times.get_next(datetime)
        return found.astimezone(UTC)


class IntervalSchedule:
    """A time span."""

    adjusts_for_dst = False

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval

    def next(self, after: datetime) -> datetime:
        """The time one span after another one."""
        return after + self._interval


def parse_schedule(text: str, environment: Mapping[str, str]) -> Schedule:
    """Reads the schedule of a timer trigger; WEBSITE_TIME_ZONE of the environment is its zone, UTC by default.

    Raises:
        HostError: It is neither an NCRONTAB expression nor a time span.
    """
    text = text.strip()
    if _SPAN.fullmatch(text):
        return _interval(text)
    fields = text.split()
    if len(fields) not in (5, 6) or not all(_FIELD.fullmatch(part) for field in fields for part in field.split(",")):
        raise _refusal(text)
    expression = _LONG_NAME.sub(r"\1", " ".join(fields if len(fields) == 6 else ["0", *fields]))
    from croniter import CroniterError

    schedule = CronSchedule(expression, _zone(environment.get(_ZONE)))
    try:
        schedule.next(datetime(2000, 1, 1, tzinfo=UTC))
    except CroniterError as error:
        raise _refusal(text, f": {error}") from None
    return schedule


def _interval(text: str) -> IntervalSchedule:
    try:
        interval = parse_timespan(text)
    except PayloadError:
        interval = timedelta(0)
    if interval <= timedelta(0):
        raise _refusal(text)
    return IntervalSchedule(interval)


def _zone(name: str | None) -> tzinfo:
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise HostError(f"{_ZONE}: expected the name of a time zone such as Europe/Berlin, found {name!r}") from None


def _refusal(text: str, why: str = "") -> HostError:
    return HostError(
        f"schedule: expected six fields (second minute hour day month weekday) such as '0 */5 * * * *', or a time span "
        f"such as '00:05:00', found {text!r}{why}"
    )
