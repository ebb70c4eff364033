"""Random orchestrations that fail and are rewound until they are through: they end as if nothing had ever failed.

Activities fail a number of times of their own. However turns, results and losses fall, each activity runs once more
than it fails, whatever had succeeded is never run again, and there are as many rewinds as the model below counts. A
rewind is done here as the host does it: a failed instance with its failed children, by their histories alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kernel_driver import activity, all_of, child
from kernel_world import World, retried, run_at_random, run_straight

from worker_ext.host.gateway import Reply
from worker_ext.host.progress import Progress
from worker_ext.host.rendering import parse_events, render
from worker_ext.host.rewind import open_timers, plan_rewind, rewound_history
from worker_ext.host.turns import Batch, KnownFunctions, Timer, Waiting
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import (
    ExecutionRewound,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    OrchestrationStatus,
    ParentInstance,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
)

ATTEMPTS = 3
"""How often the retried ones are tried before they fail."""


# ---------------------------------------------------------------- programs


@dataclass(frozen=True)
class Work:
    """An activity that fails so many times before it succeeds; alone in its step it may be retried."""

    failures: int
    is_retried: bool = False


Step = tuple["Work | Steps", ...]
"""What is asked for at once, and awaited together."""


@dataclass(frozen=True)
class Steps:
    """An orchestrator: one step after the other."""

    steps: tuple[Step, ...]


failures = st.sampled_from([0, 0, 0, 1, 2])
several = st.lists(st.builds(Work, failures), max_size=3).map(tuple)
alone = st.builds(Work, st.integers(0, 7), st.just(True)).map(lambda work: (work,))
children = st.builds(Steps, st.lists(st.one_of(several, alone), max_size=3).map(tuple))
mixed = st.lists(st.one_of(st.builds(Work, failures), children), max_size=3).map(tuple)
programs = st.builds(Steps, st.lists(st.one_of(mixed, alone), min_size=1, max_size=4).map(tuple))


def named(steps: Steps, name: str) -> Iterator[tuple[str, Work | Steps]]:
    """Everything in a program, each by the place where it stands."""
    yield name, steps
    for i, step in enumerate(steps.steps):
        for j, item in enumerate(step):
            place = f"{name}.{i}.{j}"
            if isinstance(item, Steps):
                yield from named(item, place)
            else:
                yield place, item


# ---------------------------------------------------------------- the model


class Model:
    """What must come of a program: it is run until nothing fails any more."""

    def __init__(self, program: Steps) -> None:
        self.left = {name: item.failures for name, item in named(program, "main") if isinstance(item, Work)}
        self.done: set[str] = set()
        self.rewinds = 0
        while not self.run(program, "main"):
            self.rewinds += 1

    def run(self, steps: Steps, name: str) -> bool:
        """Runs an orchestrator from where it stands; whether it comes to its end."""
        for i, step in enumerate(steps.steps):
            places = [(f"{name}.{i}.{j}", item) for j, item in enumerate(step)]
            succeeded = [self.run_item(place, item) for place, item in places]  # all of them, whichever fails
            if not all(succeeded):
                return False
        return True

    def run_item(self, place: str, item: Work | Steps) -> bool:
        if isinstance(item, Steps):
            return self.run(item, place)
        failed = min(self.left[place], ATTEMPTS if item.is_retried else 1)
        succeeds = failed < (ATTEMPTS if item.is_retried else 1)
        self.left[place] -= failed
        return succeeds


def result(steps: Steps, name: str) -> list[Any]:
    """What an orchestrator gives in the end."""
    return [
        [
            result(item, f"{name}.{i}.{j}") if isinstance(item, Steps) else f"{name}.{i}.{j}"
            for j, item in enumerate(step)
        ]
        for i, step in enumerate(steps.steps)
    ]


# ---------------------------------------------------------------- the world


class RewoundWorld(World):
    """A world whose main instance can be rewound."""

    def __init__(self, program: Steps) -> None:
        super().__init__([])
        self.items = dict(named(program, "main"))
        self.functions = KnownFunctions({"Main", "Child"}, self.failures().keys())
        self.rewinds = 0

    def failures(self) -> dict[str, int]:
        """How often each activity fails."""
        return {name: item.failures for name, item in self.items.items() if isinstance(item, Work)}

    def fails(self, name: str, attempt: int) -> bool:
        return attempt <= self.failures()[name]

    def worker(self, history: list[HistoryEvent], batch: Batch) -> Reply:
        """Asks for one step after the other; gives up with the first failure that it sees."""
        name = batch.started.orchestration_instance.instance_id
        program = self.items[name]
        assert isinstance(program, Steps)
        ended = Ended([*history, *batch.events])
        actions, output = [], []
        for i, step in enumerate(program.steps):
            places = [f"{name}.{i}.{j}" for j in range(len(step))]
            leaves = [self.action(place) for place in places]
            actions.append(leaves[0] if len(leaves) == 1 else all_of(*leaves))
            reasons = [ended.failures[place] for place in places if self.has_failed(ended, place)]
            if reasons:
                return self.failure(actions, reasons[0])
            if not all(place in ended.results for place in places):
                return self.reply(actions, isDone=False)
            output.append([json.loads(ended.results[place]) for place in places])
        return self.reply(actions, isDone=True, output=output)

    def action(self, place: str) -> dict[str, Any]:
        item = self.items[place]
        if isinstance(item, Steps):
            return child("Child", place)
        return retried(place) if item.is_retried else activity(place)

    def has_failed(self, ended: Ended, place: str) -> bool:
        item = self.items[place]
        limit = ATTEMPTS if isinstance(item, Work) and item.is_retried else 1
        return place not in ended.results and ended.attempts[place] >= limit

    def reply(self, actions: list[dict[str, Any]], **members: Any) -> Reply:
        return Reply(json.dumps({"actions": [actions], "schemaVersion": 2, **members}))

    def failure(self, actions: list[dict[str, Any]], reason: str) -> Reply:
        state = self.reply(actions, isDone=False, error=reason).value
        return Reply(None, f"TaskFailedError: {reason}\n\n$OutOfProcData$:{state}", "stack")

    def rewind(self) -> None:
        """Rewinds the main instance and its failed children."""
        self.rewinds += 1
        waiting: list[tuple[str, ParentInstance | None]] = [("main", None)]
        while waiting:
            name, parent = waiting.pop()
            instance = self.instances[name]
            plan, execution_id = plan_rewind(instance.history), next(self.ids)
            failed = {
                task_id: child_id
                for task_id, child_id in plan.children.items()
                if self.instances[child_id].status is OrchestrationStatus.FAILED
            }
            timers = open_timers(instance.history, plan)
            events = rewound_history(
                instance.history, plan, execution_id=execution_id, rewound=failed.keys(), parent=parent
            )
            instance.history = parse_events([",".join(map(render, events))])
            instance.status, instance.output, instance.progress = OrchestrationStatus.RUNNING, None, Progress()
            self.post(name, Waiting(ExecutionRewound(reason=None, timestamp=format_timestamp(self.now)), execution_id))
            self.timers += [(name, execution_id, Timer(self.now + timer.left, timer.event)) for timer in timers]
            started = next(event for event in events if isinstance(event, ExecutionStarted))
            waiting += (
                (
                    child_id,
                    ParentInstance(
                        name=started.name,
                        orchestration_instance=OrchestrationInstance(name, execution_id),
                        task_schedule_id=task_id,
                        version=started.version,
                    ),
                )
                for task_id, child_id in failed.items()
            )

    def check(self) -> None:
        """No id stands for two things: what was undone gives its id back."""
        for instance in self.instances.values():
            numbers = [event.event_id for event in instance.history if event.event_id >= 0]
            assert len(numbers) == len(set(numbers))


class Ended:
    """What has ended by a history: results and reasons by the place where the task stands."""

    def __init__(self, events: list[HistoryEvent]) -> None:
        places: dict[int, str] = {}
        self.results: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self.attempts: Counter[str] = Counter()
        for event in events:
            match event:
                case TaskScheduled():
                    places[event.event_id] = event.name
                case SubOrchestrationInstanceCreated():
                    places[event.event_id] = event.instance_id or ""
                case TaskCompleted() | SubOrchestrationInstanceCompleted():
                    self.results[places[event.task_scheduled_id]] = event.result or "null"
                case TaskFailed() | SubOrchestrationInstanceFailed():
                    place = places[event.task_scheduled_id]
                    self.failures[place] = event.reason or ""
                    self.attempts[place] += 1
                case _:
                    pass


def run_until_it_is_through(program: Steps, run: Callable[[World], None]) -> None:
    """Runs and rewinds a program, and checks what came of it against the model."""
    world, model = RewoundWorld(program), Model(program)
    run(world)
    main = world.instances["main"]
    while main.status is OrchestrationStatus.FAILED and world.rewinds <= model.rewinds:
        world.rewind()
        run(world)
    expected = (OrchestrationStatus.COMPLETED, result(program, "main"), model.rewinds)
    assert (main.status, json.loads(main.output or "null"), world.rewinds) == expected
    assert world.attempts == {name: count + 1 for name, count in world.failures().items()}


@given(programs)
def test_what_is_rewound_until_it_is_through_ends_as_if_nothing_had_failed(program: Steps) -> None:
    run_until_it_is_through(program, run_straight)


@given(programs, st.data())
def test_rewinds_in_any_interleaving_with_any_crashes_do_the_same(program: Steps, data: st.DataObject) -> None:
    run_until_it_is_through(program, lambda world: run_at_random(world, data))
