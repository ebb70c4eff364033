"""A world around the kernel, in memory: what the scheduler and the store do, in any order that they might.

It delivers any part of what waits, works a turn and loses it, works it again. An activity's results depend on its name
and the attempt alone, so whatever the order, the same is scheduled and the same comes out.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from kernel_driver import START, activity, continue_as_new

from worker_ext.host import kernel
from worker_ext.host.activity_results import activity_result
from worker_ext.host.gateway import Reply
from worker_ext.host.progress import Progress
from worker_ext.host.records import OVER
from worker_ext.host.rendering import parse_events, render_batch
from worker_ext.host.turns import Batch, EngineOptions, KnownFunctions, Timer, Turn, Waiting
from worker_ext.protocol.codec import format_timestamp, parse_timestamp
from worker_ext.protocol.history import (
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    OrchestrationStatus,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)

FUNCTIONS = KnownFunctions({"Main", "Child"}, {"Good", "Flaky", "Bad"})
OPTIONS = EngineOptions()


def retried(name: str) -> dict[str, Any]:
    options = {"firstRetryIntervalInMilliseconds": 5000, "maxNumberOfAttempts": 3}
    return {"actionType": 1, "functionName": name, "input": "null", "retryOptions": options}


@dataclass
class Instance:
    history: list[HistoryEvent] = field(default_factory=list)
    inbox: list[Waiting] = field(default_factory=list)
    execution_id: str | None = None
    status: OrchestrationStatus = OrchestrationStatus.PENDING
    output: str | None = None
    progress: Progress = field(default_factory=Progress)


class World:
    """Instances, activities and timers, and one step at a time."""

    functions = FUNCTIONS

    def __init__(self, program: list[list[dict[str, Any]]]) -> None:
        self.program = program
        self.now: datetime = START
        self.instances: dict[str, Instance] = {}
        self.activities: list[tuple[str, str, int, str]] = []
        self.timers: list[tuple[str, str, Timer]] = []
        self.attempts: Counter[str] = Counter()
        self.scheduled: Counter[tuple[str, str]] = Counter()
        self.ids: Iterator[str] = (f"{number:032x}" for number in itertools.count(1))
        started = ExecutionStarted(
            orchestration_instance=OrchestrationInstance("main", "e1"),
            name="Main",
            input="0",
            timestamp=format_timestamp(START),
        )
        self.post("main", Waiting(started, "e1"))

    def post(self, instance_id: str, message: Waiting) -> None:
        instance = self.instances.setdefault(instance_id, Instance())
        if instance.status not in OVER:
            instance.inbox.append(message)

    def worker(self, history: list[HistoryEvent], batch: Batch) -> Reply:
        """Every generation's whole list, whatever has come so far: when it is through is the kernel's affair."""
        if batch.started.name == "Child":
            return Reply(json.dumps({"isDone": True, "actions": [[activity("Good")]], "schemaVersion": 2, "output": 1}))
        number = int(batch.started.input or "0")
        actions = list(self.program[number])
        if number + 1 < len(self.program):
            actions.append(continue_as_new(number + 1))
        return Reply(json.dumps({"isDone": True, "actions": [actions], "schemaVersion": 2, "output": number}))

    def decide(self, history: list[HistoryEvent], batch: Batch, progress: Progress) -> Turn:
        """Whatever was kept of earlier turns, the outcome is that of a replay from the beginning."""
        turn, ids = self._decide(history, batch, None)
        assert self._decide(history, batch, progress)[0] == turn
        self.ids = ids
        return turn

    def _decide(
        self, history: list[HistoryEvent], batch: Batch, progress: Progress | None
    ) -> tuple[Turn, Iterator[str]]:
        self.ids, ids = itertools.tee(self.ids)
        turn = kernel.decide(
            history,
            batch,
            self.worker(history, batch),
            functions=self.functions,
            options=OPTIONS,
            now=self.now,
            new_id=lambda: next(ids),
            progress=progress,
        )
        return turn, ids

    def turn(self, instance_id: str, taken: int, losses: int) -> None:
        """Delivers the oldest messages; the turn is worked and lost a few times before it is kept."""
        instance = self.instances[instance_id]
        messages, rest = instance.inbox[:taken], instance.inbox[taken:]
        batch = kernel.open_batch(instance.history, messages, self.now)
        for _ in range(losses):
            if batch is not None:
                self.decide(instance.history, batch, instance.progress)
                instance.progress = Progress()  # it goes with the turn that was lost
            self.now += timedelta(milliseconds=1)
            batch = kernel.open_batch(instance.history, messages, self.now)
        instance.inbox = rest
        while batch is not None:
            turn = self.decide(instance.history, batch, instance.progress)
            self.send(instance_id, batch, turn)
            if turn.next is not None:
                instance.history, batch, instance.progress = [], turn.next, Progress()
                continue
            stored = parse_events([render_batch(batch.events, turn.events)])
            instance.history = [*instance.history, *stored]
            instance.status, instance.output = turn.status, turn.output
            if turn.status in OVER:
                instance.inbox = []
            batch = None

    def send(self, instance_id: str, batch: Batch, turn: Turn) -> None:
        execution_id = batch.started.orchestration_instance.execution_id or ""
        for event in turn.events:
            if isinstance(event, TaskScheduled | TimerCreated | SubOrchestrationInstanceCreated):
                self.scheduled[type(event).__name__, getattr(event, "name", "")] += 1
        for work in turn.activities:
            self.activities.append((instance_id, execution_id, work.task_id, work.name))
        for set_timer in turn.timers:
            self.timers.append((instance_id, execution_id, set_timer))
        for start in turn.children:
            self.post(start.instance_id, Waiting(start.started))
        for message in turn.messages:
            self.post(message.instance_id, Waiting(message.event, message.execution_id))

    def run_activity(self, index: int) -> None:
        instance_id, execution_id, task_id, name = self.activities.pop(index)
        self.attempts[name] += 1
        reply = Reply(None, "E: x") if self.fails(name, self.attempts[name]) else Reply(f'"{name}"')
        event = activity_result(name, task_id, reply, format_timestamp(self.now))
        self.post(instance_id, Waiting(event, execution_id))

    def fails(self, name: str, attempt: int) -> bool:
        """Whether an attempt of an activity fails."""
        return name == "Bad" or (name == "Flaky" and attempt % 2 == 1)

    def fire(self, index: int) -> None:
        instance_id, execution_id, set_timer = self.timers.pop(index)
        self.now = max(self.now, set_timer.due)
        self.post(instance_id, Waiting(set_timer.event, execution_id))

    def raise_event(self) -> None:
        event = EventRaised(name="go", input="1", timestamp=format_timestamp(self.now))
        self.post("main", Waiting(event))

    @property
    def is_over(self) -> bool:
        return self.instances["main"].status in OVER

    def waiting(self) -> list[str]:
        return [name for name, instance in self.instances.items() if instance.inbox]

    def check(self) -> None:
        """What must hold after every step."""
        for instance in self.instances.values():
            batches = [event.timestamp for event in instance.history if isinstance(event, OrchestratorStarted)]
            assert [parse_timestamp(text) for text in batches] == sorted(map(parse_timestamp, batches))
            numbers = [event.event_id for event in instance.history if event.event_id >= 0]
            assert numbers == sorted(set(numbers))


def run_straight(world: World) -> None:
    """Runs a world to its end."""
    while not world.is_over:
        if names := world.waiting():
            world.turn(names[0], len(world.instances[names[0]].inbox), 0)
        elif world.activities:
            world.run_activity(0)
        elif world.timers:
            world.fire(min(range(len(world.timers)), key=lambda index: world.timers[index][2].due))
        else:
            world.raise_event()


def run_at_random(world: World, data: st.DataObject) -> None:
    """Runs a world to its end, in any order."""
    choose = data.draw
    while not world.is_over:
        choices = ["turn"] * bool(world.waiting()) + ["activity"] * bool(world.activities)
        # As in the straight run an event comes only where nothing else can: its place in the history matters.
        choices += ["timer"] * bool(world.timers)
        match choose(st.sampled_from(choices)) if choices else "event":
            case "turn":
                name = choose(st.sampled_from(world.waiting()))
                taken = choose(st.integers(1, len(world.instances[name].inbox)))
                world.turn(name, taken, choose(st.integers(0, 2)))
            case "activity":
                world.run_activity(choose(st.integers(0, len(world.activities) - 1)))
            case "timer":
                world.fire(choose(st.integers(0, len(world.timers) - 1)))
            case _:
                world.raise_event()
        world.now += timedelta(milliseconds=choose(st.integers(-2000, 2000)))
        world.check()
