"""Random generator orchestrators: written as data, and run with this package or with azure-functions-durable 1.7.0."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import Any

EVENTS = ("ea", "eb")
NEVER_WELL = 99
"""More failures than there are attempts."""

Steps = Generator[Any, Any, Any]


@dataclass(frozen=True)
class Activity:
    """A call that fails at first, so many times; with attempts, one that is retried."""

    number: int
    seconds: float
    failures: int
    attempts: int = 0
    delay: int = 0


@dataclass(frozen=True)
class Timer:
    number: int
    seconds: float


@dataclass(frozen=True)
class Child:
    """A sub-orchestration that sleeps."""

    number: int
    seconds: float
    fails: bool


@dataclass(frozen=True)
class Event:
    number: int
    name: str


@dataclass(frozen=True)
class Group:
    """Several side by side: `task_all` or `task_any`."""

    number: int
    kind: str
    parts: tuple[Node, ...]


Node = Activity | Timer | Child | Event | Group


@dataclass(frozen=True)
class Await:
    """Yields something new; then cancels every timer that is open, or leaves all of it open."""

    node: Node
    cancels: bool


@dataclass(frozen=True)
class AwaitLeftOpen:
    """Yields the first of what the last `Await` left open."""


@dataclass(frozen=True)
class SetStatus:
    value: int


Step = Await | AwaitLeftOpen | SetStatus
Program = tuple[Step, ...]


class Writer:
    """Writes programs.

    Args:
        seed: The same seed writes the same program.
        nests_any: Whether one `task_any` may stand within another.
    """

    def __init__(self, seed: int, *, nests_any: bool) -> None:
        self._random = random.Random(seed)
        self._nests_any = nests_any
        self._last = 0

    def program(self) -> Program:
        """A few steps."""
        return tuple([self._step() for _ in range(self._random.randint(1, 5))])

    def events(self) -> list[tuple[str, float]]:
        """Events from outside, each after so many seconds; their names need not be written as the program has them."""
        names = (*EVENTS, "EA")
        count = self._random.randint(0, 4)
        return [(self._random.choice(names), round(self._random.uniform(0, 8), 2)) for _ in range(count)]

    def _step(self) -> Step:
        kind = self._random.choices(["await", "left open", "status"], [8, 1, 1])[0]
        if kind == "await":
            return Await(self._node(depth=2, in_any=False), cancels=self._random.random() < 0.7)
        return AwaitLeftOpen() if kind == "left open" else SetStatus(self._random.randint(0, 9))

    def _node(self, depth: int, *, in_any: bool) -> Node:
        if depth and self._random.random() < 0.4:
            return self._group(depth - 1, in_any=in_any)
        writers: list[Callable[[], Node]] = [self._activity, self._retry, self._timer, self._child, self._event]
        return self._random.choices(writers, [11, 3, 3, 1.5, 1.5])[0]()

    def _group(self, depth: int, *, in_any: bool) -> Group:
        kinds = ["task_all"] if in_any and not self._nests_any else ["task_all", "task_any"]
        kind = self._random.choice(kinds)
        inside = in_any or kind == "task_any"
        parts = tuple([self._node(depth, in_any=inside) for _ in range(self._random.randint(1, 3))])
        return Group(self._number(), kind, parts)

    def _activity(self) -> Activity:
        return Activity(self._number(), self._seconds(), self._random.choices([0, NEVER_WELL], [9, 2])[0])

    def _retry(self) -> Activity:
        failures, attempts = self._random.choice([0, 1, 1, 2, 5]), self._random.randint(1, 3)
        return Activity(self._number(), self._seconds(), failures, attempts, self._random.choice([300, 1000]))

    def _timer(self) -> Timer:
        return Timer(self._number(), self._seconds())

    def _child(self) -> Child:
        return Child(self._number(), self._seconds(), fails=self._random.random() < 1 / 3)

    def _event(self) -> Event:
        return Event(self._number(), self._random.choice(EVENTS))

    def _number(self) -> int:
        self._last += 1
        return self._last

    def _seconds(self) -> float:
        return round(self._random.uniform(0, 3), 2)


class Run:
    """One run of a program's code on a context; what it saw is what it returns."""

    def __init__(self, package: ModuleType, context: Any) -> None:
        self._package = package
        self._context = context
        self._made: list[tuple[Node, Any]] = []
        self._left_open: list[Any] = []
        self._seen: list[Any] = []

    def steps(self, program: Program) -> Steps:
        for step in program:
            match step:
                case Await():
                    yield from self._await(step)
                case AwaitLeftOpen():
                    yield from self._await_left_open()
                case SetStatus():
                    self._context.set_custom_status(step.value)
        return self._seen

    def _await(self, step: Await) -> Steps:
        yield from self._look_at(self._task(step.node))
        still_open = [(node, task) for node, task in self._made if not task.is_completed]
        if not step.cancels:
            self._left_open = [task for node, task in still_open if not isinstance(node, Group | Child)]
            return
        for node, task in still_open:
            if isinstance(node, Timer):
                task.cancel()

    def _await_left_open(self) -> Steps:
        for task in self._left_open:
            if not task.is_completed and not getattr(task, "is_cancelled", False):
                yield from self._look_at(task)
                return

    def _look_at(self, task: Any) -> Steps:
        try:
            value = yield task
        except Exception as error:  # noqa: BLE001 - what an app would catch is part of what it sees
            self._seen.append(["failed", str(error)[:60]])
        else:
            self._seen.append(self._shown(value))

    def _shown(self, value: Any) -> Any:
        """A value as JSON has it: tasks by what they were made of, with their results."""
        for node, task in self._made:
            if value is task:
                return ["task", type(node).__name__, node.number, self._shown(task.result)]
        if isinstance(value, list):
            return [self._shown(part) for part in value]
        return str(value)[:60] if isinstance(value, Exception) else value

    def _task(self, node: Node) -> Any:
        task = self._new_task(node)
        self._made.append((node, task))
        return task

    def _new_task(self, node: Node) -> Any:
        context = self._context
        match node:
            case Activity(attempts=0):
                return context.call_activity("Work", work_of(node))
            case Activity():
                options = self._package.RetryOptions(node.delay, node.attempts)
                return context.call_activity_with_retry("Work", options, work_of(node))
            case Timer():
                return context.create_timer(context.current_utc_datetime + timedelta(seconds=node.seconds))
            case Child():
                return context.call_sub_orchestrator("Child", [node.number, node.seconds, node.fails])
            case Event():
                return context.wait_for_external_event(node.name)
            case Group():
                return getattr(context, node.kind)([self._task(part) for part in node.parts])


def work_of(node: Activity) -> dict[str, Any]:
    """What the activity is given."""
    return {"number": node.number, "seconds": node.seconds, "failures": node.failures}


def orchestrators(package: ModuleType, program: Program) -> dict[str, Callable[[Any], Steps]]:
    """A program, and the child it may start, as orchestrators of a package."""

    def flow(context: Any) -> Steps:
        return (yield from Run(package, context).steps(program))

    def child(context: Any) -> Steps:
        number, seconds, fails = context.get_input()
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))
        if fails:
            raise ValueError(f"child {number}")
        return number

    return {"Flow": flow, "Child": child}


def activities() -> dict[str, Callable[[Any], Any]]:
    """The activities of one run of a program: they count the attempts."""
    attempts: Counter[int] = Counter()

    def work(given: Any) -> int:
        arguments = json.loads(given) if isinstance(given, str) else given
        number = int(arguments["number"])
        time.sleep(arguments["seconds"])
        attempts[number] += 1
        if attempts[number] <= arguments["failures"]:
            raise ValueError(f"no {number}")
        return number

    return {"Work": work}
