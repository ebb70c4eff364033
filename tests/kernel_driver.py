"""Drives the kernel by hand: recordings of the extension, and small executions that a test writes itself."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from worker_ext.host import kernel
from worker_ext.host.durable_http import HTTP_ACTIVITY
from worker_ext.host.gateway import Reply
from worker_ext.host.progress import Progress
from worker_ext.host.rendering import parse_events, render, render_batch
from worker_ext.host.turns import ActivityWork, Batch, EngineOptions, KnownFunctions, TimerLimits, Turn, Waiting
from worker_ext.protocol.codec import format_timestamp, parse_timespan, parse_timestamp
from worker_ext.protocol.history import (
    Event,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    OrchestrationStatus,
    OrchestratorStarted,
    ParentInstance,
)

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

# ---------------------------------------------------------------- recordings


@dataclass(frozen=True)
class Call:
    """One invocation as it was recorded."""

    instance_id: str
    text: str
    payload: dict[str, Any]
    history: list[HistoryEvent]
    batch: Batch
    reply: Reply
    then: str


def recorded_calls(path: Path) -> Iterator[Call]:
    """The orchestrator invocations of a recording."""
    with path.open(encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            payload = line.get("payload", "")
            if "then" in line and payload.startswith('{\n  "history"'):
                yield _call(payload, line.get("response", line.get("reply")), line["then"])


def _call(text: str, response: Any, then: str) -> Call:
    payload = json.loads(text)
    events = parse_events(json.dumps(event) for event in payload["history"])
    opened = max(i for i, event in enumerate(events) if isinstance(event, OrchestratorStarted))
    started = next(event for event in events if isinstance(event, ExecutionStarted))
    if isinstance(response, dict) and "$raised" in response:
        reply = Reply(None, response["$raised"], "  File x.py, line 1")
    else:
        reply = Reply(json.dumps(response, ensure_ascii=False))
    batch = Batch(started, events[opened:], is_replaying=started.is_played)
    return Call(payload["instanceId"], text, payload, events[:opened], batch, reply, then)


def known_functions(calls: Sequence[Call]) -> KnownFunctions:
    """The functions of the recording's app: all that were ever called, but for the ones that are named not to exist."""
    texts = " ".join(f"{call.reply.value} {call.reply.failure}" for call in calls)
    named = set(re.findall(r'"functionName": "(\w+)"', texts))
    names = {name for name in named if not name.lower().startswith(("nosuch", "no_such"))}
    names |= {call.batch.started.name for call in calls}
    return KnownFunctions(names, names, {"Counter"})


def decide_recorded(call: Call, functions: KnownFunctions, *, store_inputs: bool, carried_status: str | None) -> Turn:
    """What the kernel makes of a recorded reply."""
    limits = TimerLimits(
        parse_timespan(call.payload["maximumShortTimerDuration"]),
        parse_timespan(call.payload["longRunningTimerIntervalDuration"]),
    )
    batch = Batch(call.batch.started, call.batch.events, call.batch.is_replaying, carried_status)
    return kernel.decide(
        call.history,
        batch,
        call.reply,
        functions=functions,
        options=EngineOptions(timers=limits, store_inputs=store_inputs),
        now=parse_timestamp(call.batch.events[-1].timestamp),
        new_id=lambda: "f" * 32,
    )


_MEMBERS = {
    "name": "Name",
    "version": "Version",
    "instance_id": "InstanceId",
    "task_scheduled_id": "TaskScheduledId",
    "timer_id": "TimerId",
    "fire_at": "FireAt",
    "reason": "Reason",
    "input": "Input",
    "result": "Result",
    "orchestration_status": "OrchestrationStatus",
}


def brief(event: Event, **overrides: Any) -> str:
    """An event as the recordings describe it."""
    words = [type(event).__name__ + (f"#{event.event_id}" if event.event_id >= 0 else "")]
    for name, wire in _MEMBERS.items():
        value = overrides.get(name, getattr(event, name, None))
        if value is not None and (value != "" or name != "version"):
            words.append(f"{wire}={int(value) if isinstance(value, int) else value}")
    return " ".join(words)


def outcome(batch: Batch, turn: Turn) -> str:
    """A turn as the recordings describe it."""
    if turn.next is not None:
        return "replayed again in the same work item (continue-as-new)"
    parts = [f"events of the batch as stored: [{_joined(brief(event) for event in [*batch.events, *turn.events])}]"]
    if turn.activities:
        scheduled = {event.event_id: event for event in turn.events}
        works = (brief(scheduled[item.task_id], input=f"[{_input(item)}]") for item in turn.activities)
        parts.append(f"activities started: [{_joined(works)}]")
    if turn.timers:
        parts.append(f"timers set: [{_joined(brief(timer.event) for timer in turn.timers)}]")
    sent = [f"to {child.instance_id}: {brief(child.started)}" for child in turn.children]
    sent += [f"to {message.instance_id}: {brief(message.event)}" for message in turn.messages]
    if sent:
        parts.append(f"messages sent: [{_joined(sent)}]")
    parts.append(f"status: {turn.status.name.title()}")
    if turn.custom_status is not None:
        parts.append(f"customStatus stored: {turn.custom_status}")
    if turn.output is not None:
        parts.append(f"output stored: {turn.output}")
    return "; ".join(parts)


def _input(work: ActivityWork) -> str:
    return str(work.input) if work.name == HTTP_ACTIVITY else json.dumps(work.input, ensure_ascii=False)


def _joined(words: Iterator[str] | list[str]) -> str:
    return "; ".join(words)


_FRACTION = re.compile(r"(\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?Z")


_REQUEST_TIME = re.compile(r'("requestTime":")[^"]*')


def in_microseconds(text: str) -> str:
    """A text whose times have six fractional digits: .NET's seventh is beyond what this host keeps.

    The wall clock in requests to entities, which is that of the recording, is left out.
    """
    text = _REQUEST_TIME.sub(r"\1", text)
    return _FRACTION.sub(lambda match: f"{match[1]}.{(match[2] or '')[:6].ljust(6, '0')}Z", text)


# ---------------------------------------------------------------- executions by hand


@dataclass
class Execution:
    """One instance, its history and its clock, driven turn by turn; every batch comes a second after the last one."""

    name: str = "Orch"
    instance_id: str = "abc"
    parent: ParentInstance | None = None
    input: str | None = None
    version: str | None = None
    functions: KnownFunctions = field(
        default_factory=lambda: KnownFunctions({"Orch", "Child"}, {"A", "B", "C"}, {"Counter"})
    )
    options: EngineOptions = field(default_factory=EngineOptions)
    history: list[HistoryEvent] = field(default_factory=list)
    now: datetime = START
    batch: Batch | None = None
    custom_status: str | None = None
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.ids: Iterator[str] = (f"{number:032x}" for number in itertools.count(1))

    @property
    def started(self) -> ExecutionStarted:
        """The message that starts it."""
        return ExecutionStarted(
            orchestration_instance=OrchestrationInstance(self.instance_id, "e1"),
            parent_instance=self.parent,
            name=self.name,
            version=self.version,
            input=self.input,
            timestamp=format_timestamp(self.now),
        )

    def start(self, *actions: dict[str, Any], **members: Any) -> Turn:
        """The first batch, answered by a list of actions."""
        return self.deliver(self.started).reply(*actions, **members)

    def deliver(self, *events: HistoryEvent) -> Execution:
        """Opens the next batch with these events."""
        self.batch = kernel.open_batch(self.history, [Waiting(event) for event in events], self.now)
        return self

    def reply(self, *actions: dict[str, Any], done: bool = False, schema: int = 2, **members: Any) -> Turn:
        """Answers the batch with a list of actions."""
        lists: list[Any] = [list(actions)] if schema else list(actions)
        return self.answer({"isDone": done, "actions": lists, "schemaVersion": schema, **members})

    def fail(self, text: str, *actions: dict[str, Any], **members: Any) -> Turn:
        """Answers the batch with a failure that carries its state."""
        state = {"isDone": False, "actions": [list(actions)], "schemaVersion": 2, "error": text, **members}
        return self.turn(Reply(None, f"ValueError: {text}\n\n$OutOfProcData$:{json.dumps(state)}", "the stack"))

    def answer(self, value: Any) -> Turn:
        """Answers the batch with any JSON value."""
        return self.turn(Reply(json.dumps(value)))

    def turn(self, reply: Reply) -> Turn:
        """Works the reply and moves the history on, as the scheduler does.

        What was kept of earlier turns makes no difference.
        """
        assert self.batch is not None
        turn, ids = self._decide(self.batch, reply, None)
        assert self._decide(self.batch, reply, self.progress)[0] == turn
        self.ids = ids
        if turn.next is not None:
            self.history, self.batch, self.progress = [], turn.next, Progress()
        else:
            stored = parse_events([render_batch(self.batch.events, turn.events)])
            self.history, self.batch = [*self.history, *stored], None
            self.now += timedelta(seconds=1)
        return turn

    def _decide(self, batch: Batch, reply: Reply, progress: Progress | None) -> tuple[Turn, Iterator[str]]:
        """A turn, and the ids that it left."""
        self.ids, ids = itertools.tee(self.ids)
        turn = kernel.decide(
            self.history,
            batch,
            reply,
            functions=self.functions,
            options=self.options,
            now=self.now,
            new_id=lambda: next(ids),
            progress=progress,
        )
        return turn, ids


def activity(name: str, input: Any = "null") -> dict[str, Any]:  # noqa: A002 - the wire's name
    """A CallActivity."""
    return {"actionType": 0, "functionName": name, "input": input}


def nb(action: dict[str, Any]) -> dict[str, Any]:
    """An action that is started and not waited for."""
    return any_of(action, all_of())


def any_of(*actions: dict[str, Any]) -> dict[str, Any]:
    """A WhenAny."""
    return {"actionType": 11, "compoundActions": list(actions)}


def all_of(*actions: dict[str, Any]) -> dict[str, Any]:
    """A WhenAll."""
    return {"actionType": 12, "compoundActions": list(actions)}


def wait(name: str) -> dict[str, Any]:
    """A WaitForExternalEvent."""
    return {"actionType": 6, "externalEventName": name, "reason": "ExternalEvent"}


def timer(after: timedelta, *, canceled: bool = False) -> dict[str, Any]:
    """A CreateTimer that is due some time after the execution's start."""
    return {"actionType": 5, "fireAt": format_timestamp(START + after), "isCanceled": canceled}


def continue_as_new(input: Any = "null") -> dict[str, Any]:  # noqa: A002 - the wire's name
    """A ContinueAsNew."""
    return {"actionType": 4, "input": input}


def child(name: str, instance_id: str | None = None, input: Any = "null", **members: Any) -> dict[str, Any]:  # noqa: A002
    """A CallSubOrchestrator."""
    return {"actionType": 2, "functionName": name, "input": input, "instanceId": instance_id, **members}


def texts(events: Sequence[Event]) -> list[str]:
    """Events as they are stored."""
    return [render(event) for event in events]


STATUS = OrchestrationStatus
