"""An instance as a recording: the payload that an orchestration trigger would deliver with all that has happened.

The local host tells it as it is. The management API of a deployed app shows histories cleaned up: without the markers
of turns, without sequence ids, and without the start of what has ended, which is told where it ended. All of that is
worked out again here. What was decided has a time of its own, to which it goes back, and sequence ids follow those
times. A turn begins when the last event that it delivers arrived, which is a little early; so a turn that compares its
time with one that is not of this history may be replayed on the other side of it. How long a timer may be in one piece
is taken to be as in Azure Storage.

Source: durable-functions JSON protocol, section on the status object; how batches are built.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from worker_ext.errors import PayloadError
from worker_ext.protocol.codec import JSON, encode_value, format_timestamp, parse_timestamp
from worker_ext.protocol.history import EVENTS, OrchestrationStatus

INSTANCE = "instance"
"""The member beside those of the payload that has the status of the instance."""

_NUMBERS = {cls.__name__: number for number, cls in EVENTS.items()}
_STARTS = {
    "TaskCompleted": "TaskScheduled",
    "TaskFailed": "TaskScheduled",
    "SubOrchestrationInstanceCompleted": "SubOrchestrationInstanceCreated",
    "SubOrchestrationInstanceFailed": "SubOrchestrationInstanceCreated",
}
_ACTIONS = frozenset({*_STARTS.values(), "TimerCreated", "EventSent"})
_DECIDED = frozenset(_NUMBERS[kind] for kind in (*_ACTIONS, "ExecutionCompleted", "ContinueAsNew"))
_STATUSES = {"".join(word.title() for word in status.name.split("_")): int(status) for status in OrchestrationStatus}

_Shown = Mapping[str, Any]


def from_payload(payload: Mapping[str, JSON], status: Mapping[str, JSON]) -> dict[str, JSON]:
    """A recording from what the local host tells: the payload, and the status without its history."""
    return {INSTANCE: _without_history(status), **payload}


def from_status(status: Mapping[str, JSON]) -> dict[str, JSON]:
    """A recording worked out from a status as the management API shows it, with history, inputs and results.

    Raises:
        PayloadError: The status has no history, or one that is not to be understood.
    """
    shown = status.get("historyEvents")
    if not isinstance(shown, list) or not shown:
        raise PayloadError("$.historyEvents", "expected the events of an instance that has begun, found none")
    try:
        history = list(_with_turns(_numbered(_in_order(shown), status)))
    except LookupError as missing:
        what = f"expected the start, the end and the times of everything; {missing} has no counterpart"
        raise PayloadError("$.historyEvents", what) from None
    return {
        INSTANCE: _without_history(status),
        "history": history,
        "input": status.get("input"),
        "instanceId": status.get("instanceId"),
        "isReplaying": True,
        "parentInstanceId": status.get("parentInstanceId"),
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 3,
        "longRunningTimerIntervalDuration": "3.00:00:00",
        "maximumShortTimerDuration": "6.00:00:00",
        "defaultHttpAsyncRequestSleepTimeMillseconds": 30_000,
    }


def text(recorded: Mapping[str, JSON]) -> str:
    """A recording as the text of a file."""
    return json.dumps(recorded, indent=2, ensure_ascii=False) + "\n"


def _without_history(status: Mapping[str, JSON]) -> dict[str, JSON]:
    return {name: value for name, value in status.items() if name != "historyEvents"}


class _Item(NamedTuple):
    """An event that was shown, and a number that an end shares with its start."""

    event: dict[str, Any]
    pair: int | None = None

    @property
    def kind(self) -> str:
        return str(self.event["EventType"])


def _in_order(shown: list[Any]) -> list[_Item]:
    """The events with the start of what has ended back in its place: before the first thing that came later."""
    items = [_Item(_known(event, index), index) for index, event in enumerate(shown)]
    starts = [_Item(_start(item.event), item.pair) for item in items if item.kind in _STARTS and _tells_start(item)]
    for start in sorted(starts, key=lambda item: _time(item.event)):
        items.insert(_place(items, start), start)
    return items


def _known(event: Any, index: int) -> dict[str, Any]:
    kind = event.get("EventType") if isinstance(event, dict) else None
    if kind not in _NUMBERS:
        raise PayloadError(f"$.historyEvents[{index}].EventType", f"expected the name of an event, found {kind!r}")
    known: dict[str, Any] = event
    return known


def _tells_start(end: _Item) -> bool:
    return "ScheduledTime" in end.event


def _start(end: _Shown) -> dict[str, Any]:
    """The start of something that has ended, as its end tells it."""
    child = {"InstanceId": end["InstanceId"]} if "InstanceId" in end else {}
    return {
        "EventType": _STARTS[end["EventType"]],
        "Timestamp": format_timestamp(parse_timestamp(end["ScheduledTime"])),
        "Name": end.get("FunctionName"),
        "Input": end.get("Input"),
        **child,
    }


def _place(items: list[_Item], start: _Item) -> int:
    time = _time(start.event)
    for index, item in enumerate(items):
        if item.pair == start.pair or (index > 0 and _time(item.event) > time):
            return index
    return len(items)


def _numbered(items: Iterable[_Item], status: Mapping[str, JSON]) -> Iterator[dict[str, Any]]:
    """The events as they are on the wire: kinds as numbers, sequence ids, ends that name what they end."""
    ids: dict[int | None, int] = {}
    timers: dict[str, list[int]] = {}
    for item in items:
        event, kind = item.event, item.kind
        members = {name: value for name, value in event.items() if name not in ("ScheduledTime", "FunctionName")}
        members |= {"EventType": _NUMBERS[kind], "EventId": -1, "IsPlayed": True}
        if kind in _ACTIONS:
            members["EventId"] = ids[item.pair] = len(ids)
        if kind == "TimerCreated":
            timers.setdefault(event["FireAt"], []).append(members["EventId"])
        elif kind == "TimerFired":
            members["TimerId"] = timers[event["FireAt"]].pop(0)
        elif kind in _STARTS:
            members["TaskScheduledId"] = ids[item.pair]
        elif kind == "ExecutionStarted":
            instance = {"InstanceId": status.get("instanceId"), "ExecutionId": None}
            members |= {"Name": event.get("FunctionName"), "OrchestrationInstance": instance}
        elif kind == "ExecutionCompleted":
            members["OrchestrationStatus"] = _STATUSES.get(event.get("OrchestrationStatus", ""), 0)
        if "Result" in event:
            members["Result"] = _text(event["Result"])
        yield members


def _text(shown: JSON) -> str | None:
    """A result as it was before it was shown as JSON."""
    return None if shown is None else encode_value(shown)


def _with_turns(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The events with the markers of turns: what arrives after something was decided begins another turn."""
    turns: list[list[dict[str, Any]]] = [[]]
    for event in events:
        if turns[-1] and turns[-1][-1]["EventType"] in _DECIDED and event["EventType"] not in _DECIDED:
            turns.append([])
        turns[-1].append(event)
    begun = _time(turns[0][0])
    for turn in turns:
        begun = max([begun, *(_arrival(event) for event in turn if event["EventType"] not in _DECIDED)])
        yield _marker("OrchestratorStarted", begun)
        yield from turn
        yield _marker("OrchestratorCompleted", max(begun, _time(turn[-1])))


def _arrival(event: _Shown) -> datetime:
    """When an event arrived; the own time of a fired timer is that of its creation."""
    return parse_timestamp(event["FireAt"]) if "FireAt" in event else _time(event)


def _marker(kind: str, time: datetime) -> dict[str, Any]:
    return {"EventType": _NUMBERS[kind], "EventId": -1, "IsPlayed": False, "Timestamp": format_timestamp(time)}


def _time(event: _Shown) -> datetime:
    return parse_timestamp(event["Timestamp"])
