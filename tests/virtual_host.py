"""A host in virtual time: the real kernel, with workers that are functions of this process and a clock that jumps.

It runs recorded programs to their end in no time, and lets a test choose who answers each turn.
"""

from __future__ import annotations

import heapq
import itertools
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import msgspec

from worker_ext.host import kernel
from worker_ext.host.gateway import Reply
from worker_ext.host.turns import ActivityWork, Batch, EngineOptions, KnownFunctions, Turn, Waiting
from worker_ext.protocol.codec import encode_value, format_timespan, format_timestamp
from worker_ext.protocol.history import (
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    OrchestrationStatus,
    TaskCompleted,
    TaskFailed,
)

LATENCY = timedelta(milliseconds=20)
"""How long a message takes to its instance."""

MOST_TURNS = 300

Worker = Callable[[str, str, int], str]
"""Answers a turn: name of the orchestrator, payload, number of the turn of this instance from 0. May raise."""


@dataclass
class Outcome:
    """How an instance ended."""

    status: OrchestrationStatus
    output: str | None
    turns: int

    @property
    def result(self) -> tuple[OrchestrationStatus, str | None]:
        """What others see of it."""
        return self.status, self.output


@dataclass
class _Instance:
    history: list[HistoryEvent] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    status: OrchestrationStatus = OrchestrationStatus.PENDING
    output: str | None = None
    turns: int = 0

    @property
    def is_over(self) -> bool:
        return self.status not in (OrchestrationStatus.PENDING, OrchestrationStatus.RUNNING)


class VirtualHost:
    """Runs instances until nothing is left to happen.

    Args:
        worker: Who answers the turns of orchestrations.
        activities: The activities by name; those that sleep take that long of virtual time.
        options: The engine's options.
        now: The time at which it starts.
    """

    def __init__(
        self, worker: Worker, activities: dict[str, Callable[[Any], Any]], options: EngineOptions, now: datetime
    ) -> None:
        self._worker = worker
        self._activities = activities
        self._options = options
        self._functions = KnownFunctions((), activities)
        self.now = now
        self._agenda: list[tuple[datetime, int, str, Waiting]] = []
        self._numbers = itertools.count()
        self._instances: dict[str, _Instance] = {}

    def start(self, names: Iterable[str], name: str, instance_id: str, input_text: str | None) -> None:
        """Starts an instance; `names` are all orchestrators there are."""
        self._functions = KnownFunctions(list(names), list(self._activities))
        identity = OrchestrationInstance(instance_id, f"{next(self._numbers):032x}")
        started = ExecutionStarted(
            orchestration_instance=identity, name=name, input=input_text, timestamp=format_timestamp(self.now)
        )
        self._post(instance_id, Waiting(started), self.now)

    def raise_event(self, instance_id: str, event: EventRaised, after: timedelta) -> None:
        """Has an event arrive some time from now."""
        self._post(instance_id, Waiting(event), self.now + after)

    def run(self, instance_id: str) -> Outcome:
        """Lets everything happen, and tells how an instance ended."""
        while self._agenda:
            self.now, _, target, waiting = heapq.heappop(self._agenda)
            instance = self._instances.setdefault(target, _Instance())
            if instance.is_over and isinstance(waiting.event, ExecutionStarted):
                instance = self._instances[target] = _Instance(turns=instance.turns)
            if not instance.is_over:
                instance.waiting.append(waiting)
                self._turn(target, instance)
        root = self._instances[instance_id]
        return Outcome(root.status, root.output, root.turns)

    def _post(self, instance_id: str, waiting: Waiting, due: datetime) -> None:
        heapq.heappush(self._agenda, (due, next(self._numbers), instance_id, waiting))

    def _turn(self, instance_id: str, instance: _Instance) -> None:
        batch = kernel.open_batch(instance.history, instance.waiting, self.now)
        instance.waiting = []
        while batch is not None:
            if instance.turns == MOST_TURNS:
                raise AssertionError(f"{instance_id} does not end")
            turn = kernel.decide(
                instance.history,
                batch,
                self._reply(instance_id, instance, batch),
                functions=self._functions,
                options=self._options,
                now=self.now,
                new_id=lambda: f"{next(self._numbers):032x}",
            )
            instance.turns += 1
            if turn.next is None:
                instance.history += [*batch.events, *turn.events]
                instance.status, instance.output = turn.status, turn.output
            else:
                instance.history = []
            self._send(batch, instance_id, turn)
            batch = turn.next

    def _reply(self, instance_id: str, instance: _Instance, batch: Batch) -> Reply:
        payload = {
            "history": [*instance.history, *batch.events],
            "input": None if batch.started.input is None else json.loads(batch.started.input),
            "instanceId": instance_id,
            "isReplaying": batch.is_replaying,
            "parentInstanceId": batch.started.parent_instance
            and batch.started.parent_instance.orchestration_instance.instance_id,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 3,
            "longRunningTimerIntervalDuration": format_timespan(self._options.timers.long_interval),
            "maximumShortTimerDuration": format_timespan(self._options.timers.maximum_short),
            "defaultHttpAsyncRequestSleepTimeMillseconds": 30_000,
        }
        text = msgspec.json.encode(payload).decode()
        try:
            return Reply(self._worker(batch.started.name, text, instance.turns))
        except Exception as error:  # noqa: BLE001 - the worker's failure is the reply
            return Reply(None, f"{type(error).__name__}: {error}", "")

    def _send(self, batch: Batch, instance_id: str, turn: Turn) -> None:
        execution = batch.started.orchestration_instance.execution_id
        for work in turn.activities:
            event, seconds = self._run(work)
            self._post(instance_id, Waiting(event, execution), self.now + timedelta(seconds=seconds) + LATENCY)
        for timer in turn.timers:
            self._post(instance_id, Waiting(timer.event, execution), max(timer.due, self.now) + LATENCY)
        for child in turn.children:
            self._post(child.instance_id, Waiting(child.started), self.now + LATENCY)
        for message in turn.messages:
            self._post(message.instance_id, Waiting(message.event, message.execution_id), self.now + LATENCY)

    def _run(self, work: ActivityWork) -> tuple[HistoryEvent, float]:
        """What an activity answers, and how long it took."""
        slept: list[float] = []
        stamp = format_timestamp(self.now)
        with patch.object(time, "sleep", slept.append):
            try:
                value = self._activities[work.name](None if work.input is None else json.loads(work.input))
            except Exception as error:  # noqa: BLE001 - the activity's failure is the event
                reason = f"Activity function '{work.name}' failed: {type(error).__name__}: {error}"
                failed = TaskFailed(task_scheduled_id=work.task_id, reason=reason, details="", timestamp=stamp)
                return failed, sum(slept)
        result = None if value is None else encode_value(value)
        return TaskCompleted(task_scheduled_id=work.task_id, result=result, timestamp=stamp), sum(slept)
