"""The status body of an instance, with its history cleaned up as the management API shows it.

Source: durable-functions JSON protocol, section on the status object; recordings of extension 3.19.0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from worker_ext.protocol.codec import JSON, decode_json, format_timestamp
from worker_ext.protocol.history import EVENTS, Event, OrchestrationStatus

# A completion is shown with the name and time of what it completes, which is then left out.
_OPENING = {
    "TaskCompleted": "TaskScheduled",
    "TaskFailed": "TaskScheduled",
    "SubOrchestrationInstanceCompleted": "SubOrchestrationInstanceCreated",
    "SubOrchestrationInstanceFailed": "SubOrchestrationInstanceCreated",
}
# Numbers that JSON does not have, and those that are too great.
_NO_NUMBER = re.compile(r"NaN|Infinity|\d[eE]\+?\d{3}|\d{309}")
_MARKERS = frozenset({"OrchestratorStarted", "OrchestratorCompleted"})
_DROPPED = {
    "": ("EventId", "IsPlayed", "TaskScheduledId", "TimerId"),
    "TaskScheduled": ("Version",),
    "SubOrchestrationInstanceCreated": ("Version",),
    "ExecutionStarted": ("OrchestrationInstance", "ParentInstance", "Version", "Tags", "Name"),
}
_STATUS_NAMES = {
    status.value: "".join(word.title() for word in status.name.split("_")) for status in OrchestrationStatus
}


def shown_value(text: str | None) -> JSON:
    """A stored text as the API shows it: as JSON, as the text itself where it is not JSON, blank as `""`.

    Numbers that JSON does not have are shown as texts: `"NaN"`, `"Infinity"`, `"-Infinity"`.
    """
    if text is None:
        return None
    if not text.strip():
        return ""
    try:
        value = decode_json(text)
    except ValueError:
        return text
    return _in_words(value) if _NO_NUMBER.search(text) else value


def _in_words(value: JSON) -> JSON:
    match value:
        case float() if math.isnan(value):
            return "NaN"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case list():
            return [_in_words(item) for item in value]
        case dict():
            return {name: _in_words(item) for name, item in value.items()}
        case _:
            return value


def shown_history(
    events: Iterable[Event], *, show_input: bool, show_output: bool, starts: Mapping[int, datetime] | None = None
) -> list[dict[str, Any]]:
    """The history as the API shows it.

    Args:
        events: The history.
        show_input: Whether inputs are shown.
        show_output: Whether results are shown.
        starts: When activities began to run, by the ids of their tasks; they get a member `StartedTime`, and so does
            the execution with its first turn. None leaves it out.
    """
    items = [_named(event) for event in events]
    openings = {(item["EventType"], item["EventId"]): item for item in items}
    closed = {_opening_of(item) for item in items}
    shown = []
    for item in items:
        kind = item["EventType"]
        if kind in _MARKERS or (kind, item["EventId"]) in closed:
            continue
        members = _members(item, show_output=show_output) | _opening_members(openings.get(_opening_of(item)))
        if not show_input:
            members.pop("Input", None)
        if starts is not None and (begun := _begun(item, items, starts)) is not None:
            members["StartedTime"] = begun
        shown.append(members)
    return shown


def _named(event: Event) -> dict[str, Any]:
    """An event's wire members under wire names, its kind as a name."""
    members: dict[str, Any] = msgspec.to_builtins(event)
    return members | {"EventType": EVENTS[members["EventType"]].__name__}


def _begun(item: dict[str, Any], items: list[dict[str, Any]], starts: Mapping[int, datetime]) -> str | None:
    """When the activity that an event is of, or the execution that it starts, began to run."""
    match item["EventType"]:
        case "ExecutionStarted":
            first = next((other for other in items if other["EventType"] == "OrchestratorStarted"), None)
            return None if first is None else str(first["Timestamp"])
        case "TaskCompleted" | "TaskFailed":
            started = starts.get(item["TaskScheduledId"])
        case "TaskScheduled":
            started = starts.get(item["EventId"])
        case _:
            return None
    return None if started is None else format_timestamp(started)


def _opening_of(item: dict[str, Any]) -> tuple[str, int]:
    """What a completion completes; no event is named so for any other kind."""
    return _OPENING.get(item["EventType"], ""), item.get("TaskScheduledId", -1)


def _members(item: dict[str, Any], *, show_output: bool) -> dict[str, Any]:
    kind = item["EventType"]
    dropped = (*_DROPPED[""], *_DROPPED.get(kind, ()), *(() if show_output else ("Result",)))
    members = {name: value for name, value in item.items() if name not in dropped and name != "Timestamp"}
    if "OrchestrationStatus" in members:
        members["OrchestrationStatus"] = _STATUS_NAMES[members["OrchestrationStatus"]]
    if "Result" in members:
        members["Result"] = shown_value(members["Result"])
    members["Timestamp"] = item["Timestamp"]
    if kind == "ExecutionStarted":
        members["FunctionName"] = item["Name"]
    return members


def _opening_members(opening: dict[str, Any] | None) -> dict[str, Any]:
    """What a completion takes over from the event it completes."""
    if opening is None:
        return {}
    scheduled = {"ScheduledTime": f"{opening['Timestamp'].removesuffix('Z')}+00:00", "FunctionName": opening["Name"]}
    child = {"InstanceId": opening["InstanceId"]} if "InstanceId" in opening else {}
    return scheduled | child | {"Input": opening["Input"]}
