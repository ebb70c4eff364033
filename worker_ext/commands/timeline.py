"""A history as a timeline: what the instance did, when it began, how long it took.

Read from the history that the management API shows, in which a completion carries the start of what it completes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from worker_ext.protocol.codec import parse_timestamp

_TASKS = {
    "TaskCompleted": ("activity", "done"),
    "TaskFailed": ("activity", "failed"),
    "TaskScheduled": ("activity", "open"),
    "SubOrchestrationInstanceCompleted": ("orchestration", "done"),
    "SubOrchestrationInstanceFailed": ("orchestration", "failed"),
    "SubOrchestrationInstanceCreated": ("orchestration", "open"),
}
_MOMENTS = {
    "EventRaised": "event",
    "EventSent": "message",
    "ExecutionSuspended": "suspended",
    "ExecutionResumed": "resumed",
    "ExecutionTerminated": "terminated",
    "ContinueAsNew": "continued as new",
}


class Step(Struct, frozen=True, kw_only=True):
    """One thing on the timeline.

    Attributes:
        kind: `activity`, `orchestration`, `timer`, `event` and so on.
        name: The function, the event, or empty.
        state: `done`, `failed`, `open`, or empty for a moment.
        begun: When it began: for what is run, when it was scheduled.
        started: When it was begun to be run, where the host tells it.
        ended: When it ended; None while it is open.
        value: What came of it: a result, a reason, a payload.
        child_id: The instance of a sub-orchestration, where the host tells it.
    """

    kind: str
    name: str = ""
    state: str = ""
    begun: datetime
    started: datetime | None = None
    ended: datetime | None = None
    value: Any = None
    child_id: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took, None while it is open."""
        return _between(self.begun, self.ended)

    @property
    def queued(self) -> float | None:
        """For how many seconds it waited to be run; None where that is not known."""
        return _between(self.begun, self.started)

    @property
    def ran(self) -> float | None:
        """For how many seconds it ran; None while it does, and where that is not known."""
        return _between(self.started, self.ended)


def timeline(history: Iterable[Mapping[str, Any]]) -> list[Step]:
    """The steps of a history, in the order they began."""
    steps: list[Step] = []
    timers: dict[str, int] = {}
    for event in history:
        kind = event["EventType"]
        at = parse_timestamp(event["Timestamp"])
        if kind in _TASKS:
            steps.append(_task(event, at))
        elif kind == "TimerCreated":
            timers[event["FireAt"]] = len(steps)
            steps.append(Step(kind="timer", state="open", begun=at, value=event["FireAt"]))
        elif kind == "TimerFired" and event["FireAt"] in timers:
            index = timers.pop(event["FireAt"])
            # A fired timer's own time is about its creation.
            fired = parse_timestamp(event["FireAt"])
            steps[index] = Step(kind="timer", state="done", begun=steps[index].begun, ended=fired)
        elif kind in _MOMENTS:
            value = event.get("Input", event.get("Reason"))
            steps.append(Step(kind=_MOMENTS[kind], name=event.get("Name") or "", begun=at, ended=at, value=value))
    return sorted(steps, key=lambda step: step.begun)


def _between(first: datetime | None, last: datetime | None) -> float | None:
    return None if first is None or last is None else max(0.0, (last - first).total_seconds())


def started(history: Iterable[Mapping[str, Any]]) -> datetime | None:
    """When the first turn of a history began; None where the host does not tell."""
    return next((_time(event, "StartedTime") for event in history if event["EventType"] == "ExecutionStarted"), None)


def _time(event: Mapping[str, Any], name: str) -> datetime | None:
    return parse_timestamp(event[name]) if name in event else None


def begun(history: Iterable[Mapping[str, Any]]) -> datetime | None:
    """When the instance of a history was started; None where the history does not say."""
    times = (event["Timestamp"] for event in history if event["EventType"] == "ExecutionStarted")
    return next((parse_timestamp(time) for time in times), None)


def _task(event: Mapping[str, Any], at: datetime) -> Step:
    kind, state = _TASKS[event["EventType"]]
    return Step(
        kind=kind,
        name=event.get("FunctionName") or event.get("Name") or "",
        state=state,
        begun=_time(event, "ScheduledTime") or at,
        started=_time(event, "StartedTime"),
        ended=None if state == "open" else at,
        value=event.get("Reason") if state == "failed" else event.get("Result"),
        child_id=event.get("InstanceId"),
    )
