"""A history, as the management API shows it, read as a timeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from worker_ext.commands.output import brief, show_seconds
from worker_ext.commands.timeline import Step, begun, started, timeline

T = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float) -> str:
    return f"{T + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%fZ}"


def after(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "event, step",
    [
        (
            {
                "EventType": "TaskCompleted",
                "Timestamp": at(3),
                "ScheduledTime": at(1),
                "FunctionName": "f",
                "Result": 5,
            },
            Step(kind="activity", name="f", state="done", begun=after(1), ended=after(3), value=5),
        ),
        (
            {
                "EventType": "TaskFailed",
                "Timestamp": at(3),
                "ScheduledTime": at(1),
                "FunctionName": "f",
                "Reason": "no",
            },
            Step(kind="activity", name="f", state="failed", begun=after(1), ended=after(3), value="no"),
        ),
        (
            {"EventType": "TaskScheduled", "Timestamp": at(1), "Name": "f", "Input": None},
            Step(kind="activity", name="f", state="open", begun=after(1)),
        ),
        (
            {
                "EventType": "SubOrchestrationInstanceCompleted",
                "Timestamp": at(3),
                "ScheduledTime": f"{T:%Y-%m-%dT%H:%M:%S}+00:00",
                "FunctionName": "o",
                "InstanceId": "c",
            },
            Step(kind="orchestration", name="o", state="done", begun=T, ended=after(3), child_id="c"),
        ),
        (
            {"EventType": "EventRaised", "Timestamp": at(2), "Name": "go", "Input": "1"},
            Step(kind="event", name="go", begun=after(2), ended=after(2), value="1"),
        ),
        (
            {"EventType": "ExecutionTerminated", "Timestamp": at(2), "Input": "enough"},
            Step(kind="terminated", begun=after(2), ended=after(2), value="enough"),
        ),
    ],
)
def test_an_event_is_a_step(event: dict[str, object], step: Step) -> None:
    assert timeline([event]) == [step]


def test_a_timer_ends_when_it_fires_whatever_time_its_event_has() -> None:
    created = {"EventType": "TimerCreated", "Timestamp": at(1), "FireAt": at(60)}
    fired = {"EventType": "TimerFired", "Timestamp": at(1.5), "FireAt": at(60)}
    assert timeline([created]) == [Step(kind="timer", state="open", begun=after(1), value=at(60))]
    assert timeline([created, fired]) == [Step(kind="timer", state="done", begun=after(1), ended=after(60))]


def test_waiting_and_running_are_told_apart_where_the_host_does() -> None:
    done = {"EventType": "TaskCompleted", "ScheduledTime": at(1), "StartedTime": at(3), "Timestamp": at(7)}
    runs = {"EventType": "TaskScheduled", "Timestamp": at(1), "StartedTime": at(3)}
    waits = {"EventType": "TaskScheduled", "Timestamp": at(1)}
    steps = timeline([done, runs, waits])
    assert [(step.queued, step.ran, step.seconds) for step in steps] == [(2, 4, 6), (2, None, None), (None,) * 3]


@pytest.mark.parametrize("event, time", [({"StartedTime": at(2)}, after(2)), ({}, None)])
def test_the_first_turn_has_a_time_where_the_host_tells_it(event: dict[str, str], time: datetime | None) -> None:
    assert started([{"EventType": "ExecutionStarted", "Timestamp": at(1), **event}]) == time


def test_steps_stand_in_the_order_they_began() -> None:
    late = {"EventType": "TaskCompleted", "Timestamp": at(9), "ScheduledTime": at(1), "FunctionName": "slow"}
    early = {"EventType": "TaskCompleted", "Timestamp": at(5), "ScheduledTime": at(2), "FunctionName": "quick"}
    assert [step.name for step in timeline([early, late])] == ["slow", "quick"]


def test_what_is_no_step_is_passed_over() -> None:
    assert (
        timeline([{"EventType": "ExecutionStarted", "Timestamp": at(0)}, {"EventType": "New", "Timestamp": at(0)}])
        == []
    )


def test_an_instance_began_when_it_was_started() -> None:
    assert begun([{"EventType": "ExecutionStarted", "Timestamp": at(1.5)}]) == after(1.5)
    assert begun([]) is None


@pytest.mark.parametrize(
    "seconds, text",
    [(0.0123, "12 ms"), (1.5, "1.50 s"), (61, "1m 1s"), (3661, "1h 1m 1s"), (90061, "1d 1h 1m"), (59.999, "60.00 s")],
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert show_seconds(seconds) == text


@pytest.mark.parametrize(
    "value, text", [(None, ""), ("a\n b", "a b"), ({"n": 1}, '{"n": 1}'), (0, "0"), ("x" * 9, "xxxx…")]
)
def test_values_are_cut_short(value: object, text: str) -> None:
    assert brief(value, most=5 if value == "x" * 9 else 60) == text
