"""Schedules of timer triggers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from worker_ext.errors import HostError
from worker_ext.host.timer_schedule import parse_schedule


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "schedule, after, times",
    [
        ("0 */5 * * * *", "2026-01-02T03:04:05", ["2026-01-02T03:05:00", "2026-01-02T03:10:00"]),
        ("*/20 * * * * *", "2026-01-02T03:04:20", ["2026-01-02T03:04:40", "2026-01-02T03:05:00"]),
        ("0 0 8-9 * * Mon-Friday", "2026-01-02T08:30:00", ["2026-01-02T09:00:00", "2026-01-05T08:00:00"]),
        ("0 30 9 * Jan,feb 1", "2026-01-28T00:00:00", ["2026-02-02T09:30:00", "2026-02-09T09:30:00"]),
        # Both the day of the month and the day of the week must fit.
        ("0 0 0 13 * 5", "2026-01-01T00:00:00", ["2026-02-13T00:00:00", "2026-03-13T00:00:00"]),
        ("0 0 0 29 2 *", "2026-01-01T00:00:00", ["2028-02-29T00:00:00", "2032-02-29T00:00:00"]),
        ("0 0 * * 0", "2026-01-02T00:00:00", ["2026-01-04T00:00:00", "2026-01-11T00:00:00"]),
        ("*/15 * * * *", "2026-01-02T03:04:05", ["2026-01-02T03:15:00", "2026-01-02T03:30:00"]),
        ("00:05:00", "2026-01-02T03:04:05", ["2026-01-02T03:09:05", "2026-01-02T03:14:05"]),
        ("1.00:00:00", "2026-01-02T03:04:05", ["2026-01-03T03:04:05", "2026-01-04T03:04:05"]),
    ],
)
def test_the_next_times_follow(schedule: str, after: str, times: list[str]) -> None:
    parsed = parse_schedule(schedule, {})
    found = [parsed.next(at(after))]
    found.append(parsed.next(found[0]))
    assert found == [at(time) for time in times]


def test_the_zone_of_the_app_counts_with_its_summer_time() -> None:
    parsed = parse_schedule("0 30 9 * * *", {"WEBSITE_TIME_ZONE": "Europe/Berlin"})
    assert [parsed.next(at("2026-01-02T00:00:00")), parsed.next(at("2026-07-02T00:00:00"))] == [
        at("2026-01-02T08:30:00"),
        at("2026-07-02T07:30:00"),
    ]


@pytest.mark.parametrize("text", ["", "every day", "* * *", "@hourly", "0 0 0 L * *", "61 * * * * *", "00:00:00", "5"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(
        HostError, match=r"^schedule: expected six fields .* or a time span such as '00:05:00', found '"
    ):
        parse_schedule(text, {})


def test_a_zone_that_is_none_is_refused() -> None:
    with pytest.raises(HostError, match="WEBSITE_TIME_ZONE: expected the name of a time zone"):
        parse_schedule("* * * * * *", {"WEBSITE_TIME_ZONE": "Nowhere/Land"})
