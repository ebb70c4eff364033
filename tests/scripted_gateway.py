"""A gateway whose functions are Python functions of the test: the scheduler's other side, without a worker."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from worker_ext.host.gateway import FunctionKind, Reply, WorkerLostError

Orchestrator: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""A payload to the members of a reply."""

Entity: TypeAlias = Callable[[dict[str, Any]], Any]
"""A batch's payload to a reply; raises to fail the invocation."""

Activity: TypeAlias = Callable[[str | None], Any | Awaitable[Any]]
"""An input to a result; raises to fail, waits to take its time."""


class ScriptedGateway:
    """Runs scripted functions and counts what it was asked for.

    Attributes:
        payloads: Every payload, by instance.
        batches: Every batch of an entity that was answered, by instance.
        calls: How often each activity was asked for with which input.
        most_orchestrators: The most orchestrators that ever ran at the same time; `most_activities` likewise.
        lost: How many of the next invocations find no worker.
    """

    def __init__(
        self,
        orchestrators: dict[str, Orchestrator],
        activities: dict[str, Activity],
        entities: dict[str, Entity] | None = None,
    ) -> None:
        self.orchestrators = orchestrators
        self.activities = activities
        self.entities = entities or {}
        self.batches: dict[str, list[dict[str, Any]]] = {}
        self.payloads: dict[str, list[dict[str, Any]]] = {}
        self.calls: Counter[tuple[str, str | None]] = Counter()
        self.most_orchestrators = self.most_activities = self.most_entities = 0
        self.lost = 0
        self.turn_begun = asyncio.Event()
        self.turn_may_end = asyncio.Event()
        self.turn_may_end.set()
        self._orchestrators = self._activities = self._entities = 0
        self._running: set[str] = set()

    def function_names(self, kind: FunctionKind) -> frozenset[str]:
        if kind == "entity":
            return frozenset(self.entities)
        return frozenset(self.orchestrators if kind == "orchestration" else self.activities)

    async def run_orchestrator(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        assert instance_id not in self._running, "two turns of one instance at once"
        self._running.add(instance_id)
        self._orchestrators += 1
        self.most_orchestrators = max(self.most_orchestrators, self._orchestrators)
        self.turn_begun.set()
        try:
            await self.turn_may_end.wait()
            self._lose_worker()
            context = json.loads(payload)
            self.payloads.setdefault(instance_id, []).append(context)
            return Reply(json.dumps(self.orchestrators[name](context)))
        finally:
            self._orchestrators -= 1
            self._running.discard(instance_id)

    async def run_activity(self, name: str, instance_id: str, input_text: str | None, trace_parent: str = "") -> Reply:
        self.calls[name, input_text] += 1
        self._activities += 1
        self.most_activities = max(self.most_activities, self._activities)
        try:
            self._lose_worker()
            result = self.activities[name](input_text)
            if isinstance(result, Awaitable):
                result = await result
        except (ValueError, LookupError) as error:
            return Reply(None, f"{type(error).__name__}: {error}", "the trace")
        finally:
            self._activities -= 1
        return Reply(json.dumps(result))

    async def run_entity(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        assert instance_id not in self._running, "two batches of one entity at once"
        self._running.add(instance_id)
        self._entities += 1
        self.most_entities = max(self.most_entities, self._entities)
        try:
            await self.turn_may_end.wait()
            self._lose_worker()
            batch = json.loads(payload)
            function = next(value for known, value in self.entities.items() if known.lower() == name)
            reply = function(batch)
            self.batches.setdefault(instance_id, []).append(batch)
            return Reply(json.dumps(reply))
        except (ValueError, LookupError) as error:
            return Reply(None, f"{type(error).__name__}: {error}", "the trace")
        finally:
            self._entities -= 1
            self._running.discard(instance_id)

    def _lose_worker(self) -> None:
        if self.lost:
            self.lost -= 1
            raise WorkerLostError("no worker is running")


def completions(context: dict[str, Any]) -> list[Any]:
    """The results of the activities that have completed, in order."""
    return [json.loads(event["Result"]) for event in context["history"] if event["EventType"] == 5 and event["Result"]]


def raised(context: dict[str, Any]) -> list[str]:
    """The names of the events that were raised, in order."""
    return [event["Name"] for event in context["history"] if event["EventType"] == 15]


def state(*actions: dict[str, Any], done: bool = False, **members: Any) -> dict[str, Any]:
    """A reply."""
    return {"isDone": done, "actions": [list(actions)], "schemaVersion": 2, **members}


def chain(name: str, length: int) -> Orchestrator:
    """An orchestrator that calls an activity with 0, 1, 2 and so on, one after the other, and returns the results."""

    def run(context: dict[str, Any]) -> dict[str, Any]:
        results = completions(context)
        wanted = min(len(results) + 1, length)
        actions = [{"actionType": 0, "functionName": name, "input": str(number)} for number in range(wanted)]
        if len(results) == length:
            return state(*actions, done=True, output=results)
        return state(*actions)

    return run


def fan_out(name: str, width: int) -> Orchestrator:
    """An orchestrator that calls an activity with 0, 1, 2 and so on, all at once, and returns the sorted results."""

    def run(context: dict[str, Any]) -> dict[str, Any]:
        actions = [{"actionType": 0, "functionName": name, "input": str(number)} for number in range(width)]
        results = sorted(completions(context))
        group = {"actionType": 12, "compoundActions": actions}
        return state(group, done=len(results) == width, output=results)

    return run


def counter(payload: dict[str, Any]) -> dict[str, Any]:
    """An entity that counts: `add`, `get`, `fail`, `delete`, and `forward`, which signals the counter it names."""
    exists, total = payload["exists"], json.loads(payload["state"] or "0")
    results, signals = [], []
    for operation in payload["batch"]:
        value = json.loads(operation["input"] or "null")
        result, is_error = "null", False
        match operation["name"]:
            case "add":
                exists, total = True, total + int(value)
            case "get":
                result = json.dumps(total)
            case "fail":
                result, is_error = '"bad op"', True
            case "delete":
                exists, total = False, 0
            case "forward":
                target = {"name": "counter", "key": json.loads(value)}
                signals.append({"target": target, "name": "add", "input": json.dumps(json.dumps(1))})
        results.append({"isError": is_error, "duration": 0, "startTime": 0, "result": result})
    return {"entityExists": exists, "entityState": json.dumps(total), "results": results, "signals": signals}
