"""Random `async def` programs: written as data, and run as orchestrators or on whatever stands for a host."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any

import worker_ext as df

Node = list[Any]
"""An operation: its number, its name, then its arguments. A list of nodes is run one after the other."""

EVENTS = ("x", "y")
COUNTERS = ("a", "b")


class Writer:
    """Writes programs.

    Args:
        seed: The same seed writes the same program.
        entities: Whether entities and children are among the operations.
        locks: Whether locks are among them.
        steady: Whether to leave out whatever ends as it does by a race: then everything in the program is run.
        events: Whether waits for events are among them.
    """

    def __init__(
        self, seed: int, *, entities: bool = False, locks: bool = False, steady: bool = False, events: bool = True
    ) -> None:
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self._entities = entities
        self._locks = locks
        self._steady = steady
        self._events = events and not steady

    def program(self, depth: int = 3) -> list[Node]:
        """A few operations, one after the other."""
        return [[next(self._numbers), *self._node(depth)] for _ in range(self._random.randint(1, 3))]

    def seconds(self) -> float:
        """A time that no other operation has, so that nothing happens at once that need not."""
        return round(self._random.uniform(0.1, 8), 3) + next(self._numbers) * 1e-5

    def _node(self, depth: int) -> Node:
        simple: list[Callable[[], Node]] = [self._activity, self._activity, self._sleep, self._retry]
        nested: list[Callable[[int], Node]] = [self._gather, self._group]
        if not self._steady:
            nested += [
                self._first, self._timeout, self._spawn, self._cancel, self._shield, self._completed, self._queue,
                self._cleanup,
            ]  # fmt: skip
        if self._events:
            simple += [self._event]
        if self._entities:
            simple += [self._entity, self._signal, self._child]
        if self._locks:
            nested += [self._lock]
        if depth == 0 or self._random.random() < 0.45:
            return self._random.choice(simple)()
        return self._random.choice(nested)(depth - 1)

    def _several(self, depth: int) -> list[list[Node]]:
        return [self.program(depth) for _ in range(self._random.randint(1, 3))]

    def _activity(self) -> Node:
        fails = not self._steady and self._random.random() < 0.15
        return ["activity", next(self._numbers), self.seconds(), fails]

    def _retry(self) -> Node:
        fails = not self._steady and self._random.random() < 0.4
        return ["retry", next(self._numbers), self.seconds(), self.seconds(), fails]

    def _sleep(self) -> Node:
        return ["sleep", self.seconds() if self._random.random() < 0.85 else 0]

    def _event(self) -> Node:
        return ["event", self._random.choice(EVENTS), self.seconds()]

    def _entity(self) -> Node:
        return ["entity", self._random.choice(COUNTERS), self._random.choice(["get", "add"])]

    def _signal(self) -> Node:
        return ["signal", self._random.choice(COUNTERS)]

    def _child(self) -> Node:
        return ["child", next(self._numbers)]

    def _lock(self, depth: int) -> Node:
        names = sorted(self._random.sample(COUNTERS, self._random.randint(1, 2)))
        inside = [
            [next(self._numbers), *self._random.choice([["step_up", self._random.choice(names)], self._activity()])]
            for _ in range(self._random.randint(0, 3))
        ]
        return ["lock", names, inside]

    def _gather(self, depth: int) -> Node:
        return ["gather", self._several(depth)]

    def _group(self, depth: int) -> Node:
        return ["group", self._several(depth)]

    def _first(self, depth: int) -> Node:
        return ["first", self._several(depth)]

    def _completed(self, depth: int) -> Node:
        return ["completed", self._several(depth)]

    def _queue(self, depth: int) -> Node:
        return ["queue", self._several(depth)]

    def _timeout(self, depth: int) -> Node:
        return ["timeout", self.seconds(), self.program(depth)]

    def _spawn(self, depth: int) -> Node:
        return ["spawn", self.program(depth)]

    def _shield(self, depth: int) -> Node:
        return ["shield", self.seconds(), self.program(depth)]

    def _cancel(self, depth: int) -> Node:
        return ["cancel", self.program(depth), self.program(0)]

    def _cleanup(self, depth: int) -> Node:
        return ["cleanup", self.program(depth), self.program(0)]


class Run:
    """Runs a program and notes what it sees, in order.

    Args:
        context: The orchestrator's context, or what stands for it.
        is_going: Whether code is run on, and not only closed.
    """

    def __init__(self, context: Any, is_going: Callable[[], bool] = lambda: True) -> None:
        self.context = context
        self.is_going = is_going
        self.seen: list[Any] = []
        self.spawned: list[asyncio.Task[Any]] = []

    async def all_of(self, program: list[Node]) -> Any:
        """Runs operations one after the other."""
        outcome = None
        for number, name, *arguments in program:
            try:
                outcome = await getattr(self, f"_{name}")(*arguments)
            except Exception as error:
                if self.is_going():  # else the code is only let go until the next turn
                    self.seen.append([number, name, type(error).__name__])
                raise
            self.seen.append([number, name, outcome])
        return outcome

    async def safely(self, program: list[Node]) -> Any:
        """The same, with failures as outcomes."""
        try:
            return await self.all_of(program)
        except Exception as error:  # noqa: BLE001 - programs are to go on
            return type(error).__name__

    async def _activity(self, number: int, seconds: float, fails: bool) -> Any:
        return await self.context.call_activity("Work", {"number": number, "sleep": seconds, "fail": fails})

    async def _retry(self, number: int, pause: float, seconds: float, fails: bool) -> Any:
        options = df.RetryOptions(round(pause * 1000), 2)
        work = {"number": number, "sleep": seconds, "fail": fails}
        return await self.context.call_activity_with_retry("Work", options, work)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _event(self, name: str, seconds: float) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await self.context.wait_for_external_event(name)
        except TimeoutError:
            return "no event"

    async def _entity(self, key: str, operation: str) -> Any:
        return await self.context.call_entity(df.EntityId("counter", key), operation)

    async def _step_up(self, key: str) -> None:
        """Reads, thinks and writes, which only a lock keeps together."""
        counter = df.EntityId("counter", key)
        value = await self.context.call_entity(counter, "get")
        await self.context.call_activity("Work", {"number": -1, "sleep": 0.05, "fail": False})
        await self.context.call_entity(counter, "set", value + 1)

    async def _signal(self, key: str) -> None:
        self.context.signal_entity(df.EntityId("counter", key), "add")

    async def _child(self, number: int) -> Any:
        return await self.context.call_sub_orchestrator("Child", number)

    async def _lock(self, keys: list[str], program: list[Node]) -> Any:
        async with self.context.lock(*(df.EntityId("counter", key) for key in keys)):
            return await self.all_of(program)

    async def _gather(self, programs: list[list[Node]]) -> Any:
        return await asyncio.gather(*(self.safely(program) for program in programs))

    async def _group(self, programs: list[list[Node]]) -> Any:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.all_of(program)) for program in programs]
        except ExceptionGroup as errors:
            return len(errors.exceptions)
        return [task.result() for task in tasks]

    async def _first(self, programs: list[list[Node]]) -> Any:
        tasks = [asyncio.create_task(self.safely(program)) for program in programs]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return [task.cancelled() for task in tasks]

    async def _completed(self, programs: list[list[Node]]) -> Any:
        tasks = [asyncio.create_task(self.safely(program)) for program in programs]
        return [await done for done in asyncio.as_completed(tasks)]

    async def _queue(self, programs: list[list[Node]]) -> Any:
        queue: asyncio.Queue[Any] = asyncio.Queue(1)

        async def produce(program: list[Node]) -> None:
            await queue.put(await self.safely(program))

        producers = [asyncio.create_task(produce(program)) for program in programs]
        taken = [await queue.get() for _ in programs]
        await asyncio.wait(producers)
        return taken

    async def _timeout(self, seconds: float, program: list[Node]) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await self.safely(program)
        except TimeoutError:
            return "late"

    async def _spawn(self, program: list[Node]) -> None:
        self.spawned.append(asyncio.create_task(self.safely(program)))

    async def _shield(self, seconds: float, program: list[Node]) -> Any:
        task = asyncio.create_task(self.safely(program))
        try:
            return await asyncio.wait_for(asyncio.shield(task), seconds)
        except TimeoutError:
            return ["late", await task]

    async def _cancel(self, program: list[Node], meanwhile: list[Node]) -> Any:
        task = asyncio.create_task(self.safely(program))
        await self.safely(meanwhile)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    async def _cleanup(self, program: list[Node], last: list[Node]) -> Any:
        try:
            return await self.safely(program)
        finally:
            await self.safely(last)
