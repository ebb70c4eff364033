"""Recordings of the extension case by case: what came in which order, who was who, and what each function gave."""

from __future__ import annotations

import json
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from worker_ext.protocol.codec import format_timestamp, parse_timestamp

STARTED, COMPLETED, FAILED, SCHEDULED, OPENED = 0, 5, 6, 4, 12
CHILD_CREATED, CHILD_COMPLETED, CHILD_FAILED, SENT = 7, 8, 9, 14
TIMER_SET = 10
TERMINATED, RAISED, SUSPENDED, RESUMED = 3, 15, 19, 20

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?")
_FIRE_AT = re.compile(r'("fireAt": ")([^"]+)(")')
_GUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\b[0-9a-f]{32}\b")
ORCHESTRATOR_STACK = "<stack>"
"""What the recordings have in the place of an orchestrator's stack trace."""
_ENTITY = re.compile(r'(?:@counter@|"key": ")(\w+)')
_REQUEST = re.compile(r"TaskScheduled#(\d+) Name=BuiltIn::HttpActivity Input=\[(?=(.*))")
_MISSING = re.compile(r"no_?such", re.IGNORECASE)


@dataclass(frozen=True)
class Line:
    """One recorded invocation of an orchestrator or an entity."""

    key: str
    text: str
    reply: Any
    then: str = ""

    @cached_property
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.text)
        return payload

    @cached_property
    def execution(self) -> str:
        """The id of the execution; none of an entity."""
        return execution_of(self.payload)

    @cached_property
    def batch(self) -> list[dict[str, Any]]:
        """What was new: events of an orchestration, operations of an entity."""
        return batch_of(self.payload)


@dataclass(frozen=True)
class Case:
    """The invocations of one file, or of one case of it, in their order."""

    name: str
    file: str
    lines: list[Line]

    @cached_property
    def entities(self) -> set[str]:
        """The keys of the entities that it has to do with."""
        texts = [line.text + json.dumps(line.reply) for line in self.lines]
        return {key for text in texts for key in _ENTITY.findall(text)}

    @cached_property
    def is_signalled_from_outside(self) -> bool:
        """Whether it holds entities only: clients sent their operations."""
        return not any("history" in line.payload for line in self.lines)

    @cached_property
    def sets_timers(self) -> bool:
        """Whether any are set, be it between the attempts of a task."""
        return any(event["EventType"] == TIMER_SET for _, event in self._events)

    @cached_property
    def _events(self) -> list[tuple[Line, dict[str, Any]]]:
        return [(line, event) for line in self.lines for event in line.payload.get("history", ())]

    @cached_property
    def ends(self) -> dict[tuple[str, str, int], dict[str, Any]]:
        """What ended the tasks of instances."""
        kinds = {COMPLETED, FAILED, CHILD_COMPLETED, CHILD_FAILED}
        return {
            (line.key, line.execution, event["TaskScheduledId"]): event
            for line, event in self._events
            if event["EventType"] in kinds
        }

    def _begun(self, kind: int) -> dict[tuple[str, str, int], dict[str, Any]]:
        """What began tasks, in order."""
        begun: dict[tuple[str, str, int], dict[str, Any]] = {}
        for line, event in self._events:
            if event["EventType"] == kind:
                begun.setdefault((line.key, line.execution, event["EventId"]), event)
        return begun

    @cached_property
    def activities(self) -> dict[tuple[str, str], list[Task]]:
        """The activities of an instance by name, in the order they were scheduled."""
        tasks = defaultdict(list)
        for key, event in self._begun(SCHEDULED).items():
            tasks[key[0], event["Name"]].append(Task(key, self.ends.get(key)))
        return tasks

    @cached_property
    def children(self) -> dict[str, Task]:
        """The children by id."""
        begun = self._begun(CHILD_CREATED).items()
        return {event["InstanceId"]: Task(key, self.ends.get(key)) for key, event in begun}

    @cached_property
    def requests(self) -> dict[tuple[str, str, int], dict[str, Any]]:
        """The requests of durable HTTP, in the order they were sent."""
        return {
            (line.key, line.execution, int(found[1])): json.JSONDecoder().raw_decode(found[2])[0]
            for line in self.lines
            for found in _REQUEST.finditer(line.then)
        }

    @cached_property
    def operations(self) -> dict[str, list[Task]]:
        """The operations on entities, in the order they were sent."""
        answers = {event["Name"]: event for _, event in self._events if event["EventType"] == RAISED}
        found = defaultdict(list)
        for key, event in self._begun(SENT).items():
            request = json.loads(event["Input"] or "null")
            if isinstance(request, dict) and request.get("op"):
                answer = answers.get(request["id"])
                found[event["InstanceId"]].append(Task((key[0], request["id"], -1), answer))
        return found


@dataclass(frozen=True)
class Task:
    """Something that was begun, and the event that ended it, if that was recorded."""

    key: tuple[str, str, int]
    end: dict[str, Any] | None


@dataclass(frozen=True)
class Outcome:
    """What an activity is to do."""

    result: str | None
    failure: str | None = None

    def give(self) -> Any:
        """Returns or raises it."""
        if self.failure is not None:
            raise raising(self.failure)
        return None if self.result is None else json.loads(self.result)


def outcome_of(end: dict[str, Any], input_text: str | None) -> str:
    """The outcome that leads to an event, as an activity's input."""
    if end["EventType"] == COMPLETED:
        return json.dumps(asdict(Outcome(end["Result"])))
    if end["Details"] is None:
        given = json.loads(input_text or "null")
        return json.dumps(asdict(Outcome(None, (given if isinstance(given, dict) else json.loads(given))["fail"])))
    return json.dumps(asdict(Outcome(None, json.loads(end["Details"])["Message"])))


def stack_of(end: dict[str, Any]) -> str:
    """The stack trace that the recorded worker gave of a failed activity."""
    if end["Details"] is None:
        return ""
    said = json.loads(end["Details"])["InnerException"]["Message"]
    return str(said.partition("\nStack: ")[2])


def child_reply(end: dict[str, Any]) -> str:
    """The reply of a child that leads to its parent's event; raises what the child raised."""
    if end["EventType"] == CHILD_FAILED:
        error = end["Reason"].partition(" failed: ")[2]
        state = {"isDone": False, "actions": [[]], "schemaVersion": 2, "error": error}
        raise raising(f"ValueError: {error}\n\n$OutOfProcData$:{json.dumps(state)}")
    output = {} if end["Result"] is None else {"output": json.loads(end["Result"])}
    return json.dumps({"isDone": True, "actions": [[]], "schemaVersion": 2, **output})


def entity_reply(tasks: Iterable[Task]) -> str:
    """The reply of an entity that leads to the answers its callers got."""
    results = []
    for task in tasks:
        answer = {"result": "null"} if task.end is None else json.loads(task.end["Input"])
        is_error = "exceptionType" in answer
        results.append({"isError": is_error, "duration": 1, "startTime": 0, "result": answer.get("result")})
    return json.dumps({"entityExists": True, "entityState": "0", "results": results, "signals": []})


def raising(text: str) -> Exception:
    """An exception that a worker reports as this text."""
    name, colon, message = text.partition(": ")
    if not colon:
        name, message = "Exception", text
    error: Exception = type(name, (Exception,), {})(message)
    return error


def read_cases(files: Iterable[Path]) -> list[Case]:
    """The cases of recordings, each with its invocations in order."""
    cases: dict[tuple[str, str], Case] = {}
    for file in files:
        with file.open(encoding="utf-8") as lines:
            for record in map(json.loads, lines):
                if "payload" not in record:
                    continue
                reply = record.get("response", record.get("reply"))
                case = cases.setdefault((file.stem, record["case"]), Case(record["case"], file.stem, []))
                key = key_of(json.loads(record["payload"]))
                case.lines.append(Line(key, record["payload"], reply, record.get("then", "")))
    for case in cases.values():
        case.lines[:0] = _turns_before(case.lines[0])
    return _sorted_out(list(cases.values()))


def _turns_before(first: Line) -> list[Line]:
    """The turns before the first that was kept of a long chain of activities: its payload and reply hold them all."""
    history = first.payload.get("history", [])
    if sum(event["EventType"] == OPENED for event in history) < 2:
        return []
    opened = [number for number, event in enumerate(history) if event["EventType"] == OPENED]
    scheduled = [number for number, event in enumerate(history) if event["EventType"] == SCHEDULED]
    played, new = ([_laid_out(event | change) for event in history] for change in ({}, {"IsPlayed": False}))
    tail = first.text[first.text.rindex("\n  ],\n") :]
    lines = []
    for number, (start, decided) in enumerate(zip(opened[:-1], scheduled, strict=True), 1):
        text = '{\n  "history": [\n' + ",\n".join(played[:start] + new[start:decided]) + tail
        if not start:
            text = text.replace('"isReplaying": true', '"isReplaying": false')
        lines.append(Line(first.key, text, first.reply | {"actions": [first.reply["actions"][0][:number]]}))
    return lines


def _laid_out(event: dict[str, Any]) -> str:
    return textwrap.indent(json.dumps(event, ensure_ascii=False, indent=2), "    ")


def _sorted_out(cases: list[Case]) -> list[Case]:
    """The cases with each batch of an entity where it was waited for; a recorder may have written it down later."""
    callers: dict[str, Line] = {}
    for line in (line for case in cases for line in case.lines if "history" in line.payload):
        for event in line.batch:
            if event["EventType"] == RAISED:
                callers.setdefault(event["Name"], line)
    homes = {id(line): case for case in cases for line in case.lines}
    for case in cases:
        for line in [line for line in case.lines if "self" in line.payload]:
            caller = callers.get(line.batch[0]["id"])
            if caller is not None and (home := homes[id(caller)]) is not case:
                case.lines.remove(line)
                home.lines.insert(home.lines.index(caller), line)
    return cases


def key_of(payload: dict[str, Any]) -> str:
    """Whom a payload is for."""
    if "self" in payload:
        return f"@{payload['self']['name']}@{payload['self']['key']}"
    return str(payload["instanceId"])


def batch_of(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """What is new in a payload."""
    if "self" in payload:
        operations: list[dict[str, Any]] = payload["batch"]
        return operations
    history = payload["history"]
    opened = max(i for i, event in enumerate(history) if event["EventType"] == OPENED)
    return list(history[opened + 1 :])


def clock_of(payload: dict[str, Any]) -> datetime:
    """When the batch of an orchestration was opened."""
    return parse_timestamp(next(e for e in reversed(payload["history"]) if e["EventType"] == OPENED)["Timestamp"])


def execution_of(payload: dict[str, Any]) -> str:
    """The id of the execution that a payload is for; none of an entity."""
    started = [event for event in payload.get("history", ()) if event["EventType"] == STARTED]
    return str(started[-1]["OrchestrationInstance"]["ExecutionId"]) if started else ""


def function_names(cases: Iterable[Case]) -> dict[str, list[str]]:
    """The app's functions by kind: what was started or called, but for those that are named not to exist."""
    names: dict[str, dict[str, str]] = {"orchestrator": {}, "activity": {}, "entity": {"counter": "Counter"}}

    def add(kind: str, name: str) -> None:
        if not _MISSING.match(name):
            names[kind].setdefault(name.lower(), name)

    for case in cases:
        for line in case.lines:
            if "self" in line.payload:
                add("entity", line.payload["self"]["name"])
                continue
            for event in line.payload["history"]:
                if event["EventType"] == STARTED:
                    add("orchestrator", event["Name"])
            for kind, name in re.findall(r'"actionType": (\d+), "functionName": "(\w+)"', json.dumps(line.reply)):
                add("orchestrator" if kind in "23" else "activity", name)
    return {kind: list(found.values()) for kind, found in names.items()}


@dataclass
class Identities:
    """Who is who: instances of this run, and the recorded ones they stand for."""

    cases: Sequence[Case]
    lines: dict[str, list[Line]] = field(init=False)
    children: dict[str, Task] = field(init=False)
    operations: dict[str, list[Task]] = field(init=False)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    executions: dict[str, str] = field(default_factory=dict)
    clocks: dict[tuple[str, str, str], str] = field(default_factory=dict)
    shifts: dict[tuple[str, str], timedelta] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lines = defaultdict(list)
        self.children = {}
        self.operations = defaultdict(list)
        for case in self.cases:
            for line in case.lines:
                self.lines[line.key].append(line)
            self.children |= case.children
            for key, tasks in case.operations.items():
                self.operations[key] += tasks

    def recorded(self, instance_id: str) -> str:
        """The recorded id of an instance: that of a child has its parent's execution in it."""
        execution, colon, rest = instance_id.partition(":")
        return self.executions.get(execution, execution) + colon + rest

    def next_line(self, key: str) -> Line | None:
        """What was recorded of the next invocation of an instance."""
        lines, count = self.lines.get(key, []), self.counts[key]
        return lines[count] if count < len(lines) else None

    def accept(self, text: str) -> tuple[str, Line | None]:
        """Whose payload it is, and what was recorded of this invocation."""
        payload = json.loads(text)
        key = self.recorded(key_of(payload))
        line = self.next_line(key)
        self.counts[key] += 1
        if line is not None and (execution := execution_of(payload)):
            self.executions[execution] = line.execution
        return key, line

    def told(self, key: str, line: Line | None, text: str) -> list[Task]:
        """What others are told of an invocation: of a child's end, or of each operation."""
        if key in self.children:
            if self.next_line(key) is not None:
                return []
            return [self.children[key]]
        if line is not None and "self" in line.payload:
            ids = [operation["id"] for operation in line.batch]
            return [task for task in self.operations[key] if task.key[1] in ids]
        count = len(batch_of(json.loads(text)))
        first = self.counts["operations of " + key]
        self.counts["operations of " + key] += count
        return self.operations[key][first : first + count]

    def moved(self, line: Line, text: str, reply: str) -> str:
        """A recorded reply with its due times as far from this payload's clock as they were from the recorded one.

        Their order is kept, also where a turn comes sooner after the one before it than was recorded.
        """
        payload = json.loads(text)
        if "history" not in payload:
            return reply
        execution = line.key, line.execution
        shift = clock_of(payload) - clock_of(line.payload)
        shift = self.shifts[execution] = max(shift, self.shifts.get(execution, shift))

        def move(found: re.Match[str]) -> str:
            try:
                due = parse_timestamp(found[2])
            except ValueError:
                return found[0]
            key = *execution, found[2]
            if key not in self.clocks:
                self.clocks[key] = format_timestamp(due + shift)
            return found[1] + self.clocks[key] + found[3]

        return _FIRE_AT.sub(move, reply)


# ---------------------------------------------------------------- comparison


def comparable(text: str) -> str:
    """A payload's text without its times, and with generated ids by the order in which they come up."""
    numbers: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return f"ID{numbers.setdefault(found[0].replace('-', ''), len(numbers))}"

    return _GUID.sub(number, _TIME.sub("TIME", text))


@dataclass(frozen=True)
class Rewriting:
    """What this host writes in the place of a recorded text in `Details` of failed activities, and why."""

    reason: str
    pattern: re.Pattern[str]
    replacement: str


_ACTIVITY_DETAILS = re.compile(r'^ *"Details": "\{.*$', re.MULTILINE)
_HOST = "Microsoft.Azure.WebJobs.Script"
REWRITINGS = {
    "no frames": Rewriting(
        "there are no .NET frames here: the stack trace of the Functions host's exception in `Details` is empty",
        re.compile(r'((?<!Remote)StackTrace\\":\\")<stack>'),
        r"\1",
    ),
    "another exception": Rewriting(
        "the recorder raised an exception of its own; that of the Functions host has the worker's words in members too",
        re.compile(
            r'RpcLikeException, ThinHost\\",'
            r'(\\"Message\\":\\"Result: Failure\\\\nException: )(.*?)(\\\\nStack: )(.*?)\\"'
        ),
        rf'{_HOST}.Workers.Rpc.RpcException, ThinHost\\",\\"IsUserException\\":false,\\"RemoteStackTrace\\":\\"\4\\",'
        r'\\"RemoteMessage\\":\\" \2\\",\\"RemoteTypeName\\":null,\1 \2\3\4\\"',
    ),
    "another name": Rewriting(
        "the recorder stood in for the Functions host, under a name of its own", re.compile("ThinHost"), _HOST
    ),
}


def rewritten(text: str, used: set[str]) -> str:
    """A recorded payload as this host writes it; adds the names of what was rewritten to `used`."""

    def rewrite(found: re.Match[str]) -> str:
        details = found[0]
        for name, rewriting in REWRITINGS.items():
            details, count = rewriting.pattern.subn(rewriting.replacement, details)
            if count:
                used.add(name)
        return details

    return _ACTIVITY_DETAILS.sub(rewrite, text)
