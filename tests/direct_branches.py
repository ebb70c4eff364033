"""Random programs run directly on asyncio in virtual time: what they are expected to see as orchestrators."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from random_branches import EVENTS, Node, Run

import worker_ext as df


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio loop whose clock jumps; every timer takes a message's latency longer, as on the host."""

    def __init__(self, latency: timedelta) -> None:
        super().__init__()
        self._latency = latency.total_seconds()
        self._time = 0.0
        self._selector = self

    def time(self) -> float:
        return self._time

    def select(self, timeout: float | None) -> list[Any]:
        """Stands where loops wait."""
        assert timeout is not None, "nothing will ever happen"
        self._time += timeout
        return []

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        late = self._latency if when > self._time else 0
        return super().call_at(when + late, callback, *args, context=context)

    def _process_events(self, events: Any) -> None: ...

    def _write_to_self(self) -> None: ...


BEHIND_CHILDREN = 2e-6
"""Seconds by which messages to entities are later: the host sends those of one turn after it has started children."""


class DirectContext:
    """What an orchestrator's context gives, by asyncio's own means.

    Args:
        loop: The loop.
        latency: How long a message takes.

    Attributes:
        counters: What the counters have come to.
        busy_until: When everything that was asked for will have been answered.
    """

    def __init__(self, loop: VirtualLoop, latency: timedelta) -> None:
        self._loop = loop
        self._latency = latency.total_seconds()
        self._posted = itertools.count()
        self.counters: Counter[str] = Counter()
        self.busy_until = 0.0
        self._waiters: dict[str, deque[asyncio.Future[Any]]] = {name: deque() for name in EVENTS}
        self._events: dict[str, deque[Any]] = {name: deque() for name in EVENTS}

    def raise_event(self, name: str, value: Any) -> None:
        """An event arrives: for the oldest waiter, or for the first to come."""
        waiters = self._waiters[name]
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(value)
                return
        self._events[name].append(value)

    async def wait_for_external_event(self, name: str) -> Any:
        if self._events[name]:
            return self._events[name].popleft()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[name].append(waiter)
        return await waiter

    def _busy(self, seconds: float) -> None:
        self.busy_until = max(self.busy_until, self._loop.time() + seconds)

    def _after(self, messages: int, callback: Callable[[], object], late: float = 0) -> None:
        """Calls back when so many messages have come one after the other; those of one moment in their order."""
        delay = messages * self._latency + late + next(self._posted) * 3e-9
        asyncio.BaseEventLoop.call_at(self._loop, self._loop.time() + delay, callback)

    async def _answer(self, value: Callable[[], Any], late: float = 0) -> Any:
        """What is answered to a message; the answer comes whether or not it is waited for."""
        self._busy(2 * self._latency)
        future = self._loop.create_future()

        def reached() -> None:
            answer = value()
            self._after(1, lambda: None if future.done() else future.set_result(answer))

        self._after(1, reached, late)
        return await future

    def _operate(self, key: str, operation: str) -> int | None:
        if operation == "get":
            return self.counters[key]
        self.counters[key] += 1
        return None

    async def call_entity(self, entity: df.EntityId, operation: str) -> Any:
        return await self._answer(lambda: self._operate(entity.key, operation), BEHIND_CHILDREN)

    def signal_entity(self, entity: df.EntityId, operation: str) -> None:
        self._after(1, lambda: self._operate(entity.key, operation), BEHIND_CHILDREN)

    async def call_sub_orchestrator(self, name: str, number: int) -> Any:
        return await self._answer(lambda: number)

    async def call_activity(self, name: str, work: dict[str, Any]) -> Any:
        self._busy(work["sleep"] + self._latency)
        await asyncio.sleep(work["sleep"])
        if work["fail"]:
            raise df.TaskFailedError(name, "no")
        return work["number"]

    async def call_activity_with_retry(self, name: str, options: df.RetryOptions, work: dict[str, Any]) -> Any:
        try:
            return await self.call_activity(name, work)
        except df.TaskFailedError:
            await asyncio.sleep(options.first_retry_interval_in_milliseconds / 1000)
            return await self.call_activity(name, work)


class NumberedTask(asyncio.Task[Any]):
    """A task that hashes by its number, so that sets of tasks iterate as they do in orchestrators."""

    numbers = itertools.count()

    def __init__(self, *args: Any, **options: Any) -> None:
        self.number = next(self.numbers)
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self.number


def directly(
    program: list[Node], raised: list[tuple[float, str, Any]], latency: timedelta, generations: int = 1
) -> list[list[Any]] | None:
    """What each generation of a program sees on asyncio.

    None where that says nothing: Python 3.11 cancels it by mistake, or a generation ends with something unanswered,
    for which the host may put the next one off.
    """
    loop = VirtualLoop(latency)
    loop.set_exception_handler(lambda loop, context: None)
    tasks: list[asyncio.Task[Any]] = []

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        tasks.append(NumberedTask(coroutine, loop=loop, **options))
        return tasks[-1]

    loop.set_task_factory(make)
    context = DirectContext(loop, latency)
    for seconds, name, value in raised:
        asyncio.BaseEventLoop.call_at(loop, seconds, context.raise_event, name, value)

    async def generation(run: Run, is_last: bool) -> None:
        await run.safely(program)
        if not is_last:  # what continues as new ends at once, also where it could go on
            for task in tasks:
                if task is not asyncio.current_task():
                    task.cancel()

    seen = []
    try:
        for number in range(generations):
            run = Run(context)
            loop.run_until_complete(generation(run, number == generations - 1))
            left = [task for task in tasks if not task.done()]  # as asyncio.run does it, but in order
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
            seen.append(run.seen)
            if number < generations - 1 and loop.time() < context.busy_until:
                return None
    except asyncio.CancelledError:
        return None
    finally:
        loop.close()
    return seen
