"""Flow helpers: patterns of orchestrators in plain code over tasks.

Each can be awaited in an `async def` orchestrator and used with `yield from` in a generator:

    results = await flow.map(lambda order: context.call_activity("Ship", order), orders, limit=10)
    results = yield from flow.map(lambda order: context.call_activity("Ship", order), orders, limit=10)

In an `async def` orchestrator whatever can be awaited will do; in a generator it must be tasks of the context.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, overload

from worker_ext.arguments import expect
from worker_ext.context import DurableOrchestrationContext
from worker_ext.engine.tasks import (
    LongTimerTask,
    Task,
    TimerTask,
    WaitTask,
    WhenAllSettledTask,
    WhenAllTask,
    WhenAnyTask,
    timer_until,
)
from worker_ext.errors import OrchestratorError

__all__ = ["Flow", "NotEnoughEventsError", "Saga", "collect", "map", "race", "timeout"]

if TYPE_CHECKING:
    from typing_extensions import TypeForm

_NOTHING = timedelta(0)

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T_co = TypeVar("T_co", covariant=True)
Item = TypeVar("Item")


class Flow(Coroutine[Any, Any, T_co]):
    """Something that can be awaited, or used with `yield from` in a generator. It is run once, by one of them.

    It is a coroutine to asyncio: `create_task`, `gather`, `wait_for` and all others that take one take it.
    """

    def __init__(
        self, coroutine: Callable[[], Coroutine[Any, Any, T_co]], steps: Callable[[], Generator[Any, Any, T_co]]
    ) -> None:
        self._coroutine = coroutine
        self._steps = steps
        self._is_begun = False
        self._running: Coroutine[Any, Any, T_co] | None = None

    def __await__(self) -> Generator[Any, Any, T_co]:
        self._begin()
        return self._coroutine().__await__()

    def __iter__(self) -> Generator[Any, Any, T_co]:
        self._begin()
        return self._steps()

    def _begin(self) -> None:
        if self._is_begun:
            raise OrchestratorError(
                "a flow was used a second time. It is run once, like a coroutine: keep what `await` or `yield from` "
                "gave, or make another flow. To wait for it in several places, await one "
                "`asyncio.create_task(flow.map(...))` there"
            )
        self._is_begun = True

    # -- what asyncio's tasks run ------------------------------------------------------------------------------------

    def send(self, value: Any) -> Any:
        """Runs it to its next await."""
        return self._as_coroutine().send(value)

    def throw(self, *error: Any) -> Any:
        """Raises an error where it awaits."""
        return self._as_coroutine().throw(*error)

    def close(self) -> None:
        """Ends it where it awaits; one that has not begun has nothing to end."""
        if self._running is not None:
            self._running.close()

    def _as_coroutine(self) -> Coroutine[Any, Any, T_co]:
        if self._running is None:
            self._begin()
            self._running = self._coroutine()
        return self._running


def of_steps(steps: Callable[[], Generator[Any, Any, T]]) -> Flow[T]:
    """A flow that is written as a generator of tasks, for both kinds of orchestrators."""
    return Flow(lambda: _drive(steps()), steps)


async def _drive(steps: Generator[Any, Any, T]) -> T:
    try:
        task = next(steps)
        while True:
            try:
                value = await task
            except BaseException as error:  # noqa: BLE001 - thrown on, cancellation as well
                task = steps.throw(error)
            else:
                task = steps.send(value)
    except StopIteration as end:
        result: T = end.value
        return result


# ---------------------------------------------------------------- map


def map(  # noqa: A001 - it is what map is, for work that takes time
    function: Callable[[Item], Awaitable[T]], items: Iterable[Item], *, limit: int | None = None, fail_fast: bool = True
) -> Flow[list[T]]:
    """Runs a function for each item, so many at a time, and gives the results in the order of the items.

    Args:
        function: Makes what is awaited for an item; called when its turn has come.
        items: What to run it for.
        limit: How many may be under way at once; None for all.
        fail_fast: Fail with the first failure, at once, and start no more. Else run everything, and fail with an
            ExceptionGroup of what failed.

    Raises:
        TypeError: The limit is no number.
        ValueError: The limit is less than 1.
    """
    if limit is not None:
        expect("map", "limit", limit, int)
        if limit < 1:
            raise ValueError(f"limit says how many may run at once: expected 1 or more, found {limit}")
    work = list(items)
    return Flow(
        lambda: _map_async(function, work, limit or len(work), fail_fast),
        lambda: _MapInSteps(function, work, limit or len(work), fail_fast).run(),
    )


async def _map_async(
    function: Callable[[Item], Awaitable[T]], items: list[Item], limit: int, fail_fast: bool
) -> list[T]:
    results: dict[int, T] = {}
    errors: dict[int, Exception] = {}
    waiting = iter(enumerate(items))

    async def work() -> None:
        for index, item in waiting:
            try:
                results[index] = await function(item)
            except Exception as error:
                if fail_fast:
                    raise
                errors[index] = error

    tasks: list[asyncio.Future[None]] = [asyncio.create_task(work()) for _ in range(min(limit, len(items)))]
    try:
        await asyncio.gather(*tasks)
        return _in_order(results, errors, len(items))
    finally:
        errors.clear()  # it and the tracebacks in it would keep each other
        await _cancel(tasks)


class _MapInSteps(Generic[Item, T]):
    """`map` in a generator: what has been started, and what came of it."""

    def __init__(
        self, function: Callable[[Item], Awaitable[T]], items: list[Item], limit: int, fail_fast: bool
    ) -> None:
        self._function = function
        self._count = len(items)
        self._limit = limit
        self._fail_fast = fail_fast
        self._waiting = iter(enumerate(items))
        self._running: list[tuple[int, Task]] = []
        self._results: dict[int, T] = {}
        self._errors: dict[int, Exception] = {}

    def run(self) -> Generator[Any, Any, list[T]]:
        try:
            while self._fill():
                yield from self._next([task for _, task in self._running])
                ended = [pair for pair in self._running if pair[1].is_completed]
                self._running = [pair for pair in self._running if not pair[1].is_completed]
                for index, task in ended:
                    self._take(index, task)
            return _in_order(self._results, self._errors, self._count)
        except Exception:
            for _, task in self._running:
                if not task.is_completed:
                    _give_up(task)
            raise
        finally:
            self._running = []  # these and the tracebacks of errors would keep each other
            self._errors = {}

    def _fill(self) -> bool:
        """Starts what may be started; whether anything is under way."""
        while len(self._running) < self._limit and (entry := next(self._waiting, None)) is not None:
            try:
                begun = self._function(entry[1])
            except Exception as error:
                if self._fail_fast:
                    raise
                self._errors[entry[0]] = error
            else:
                self._running.append((entry[0], _task(begun)))
        return bool(self._running)

    def _next(self, tasks: list[Task]) -> Generator[Any, Any, None]:
        """Waits for the next to end; for all of them where no other waits for its turn, since one wait costs less."""
        schedule = tasks[0].schedule
        if self._limit < self._count:
            yield WhenAnyTask(schedule, tasks)
        elif self._fail_fast:
            yield WhenAllTask(schedule, tasks)
        else:
            with suppress(ExceptionGroup):  # of whatever failed, which is told one by one
                yield WhenAllSettledTask(schedule, tasks)

    def _take(self, index: int, task: Task) -> None:
        if not task.is_failed:
            self._results[index] = task.result
        elif self._fail_fast:
            raise task.result
        else:
            self._errors[index] = task.result


def _in_order(results: dict[int, T], errors: dict[int, Exception], count: int) -> list[T]:
    if errors:
        raise ExceptionGroup(f"{len(errors)} of {count} failed", [errors[index] for index in sorted(errors)])
    return [results[index] for index in range(count)]


# ---------------------------------------------------------------- race, timeout


@overload
def race(contender: Awaitable[T1], other: Awaitable[T2], /) -> Flow[T1 | T2]: ...
@overload
def race(contender: Awaitable[T1], second: Awaitable[T2], third: Awaitable[T3], /) -> Flow[T1 | T2 | T3]: ...
@overload
def race(*contenders: Awaitable[T]) -> Flow[T]: ...
def race(*contenders: Awaitable[Any]) -> Flow[Any]:
    """The outcome of whichever ends first, well or badly; the others are cancelled.

    An activity or a sub-orchestration that has begun cannot be called back: the orchestration goes on without it, and
    ends when it is through.

    Raises:
        ValueError: There are no contenders.
    """
    if not contenders:
        raise ValueError("race was given nothing to wait for; pass at least one task")
    return Flow(lambda: _race_async(contenders), lambda: _race_steps(contenders))


async def _race_async(contenders: Iterable[Awaitable[T]]) -> T:
    tasks: list[asyncio.Future[T]] = [asyncio.ensure_future(contender) for contender in contenders]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        await _cancel(tasks)


def _race_steps(contenders: Iterable[Awaitable[T]]) -> Generator[Any, Any, T]:
    tasks = [_task(contender) for contender in contenders]
    winner: Task = yield WhenAnyTask(tasks[0].schedule, tasks)
    for task in tasks:
        if task is not winner:
            _give_up(task)
    result: T = _outcome(winner)
    return result


def timeout(awaitable: Awaitable[T], after: timedelta) -> Flow[T]:
    """The outcome of something that must end in time.

    Args:
        awaitable: What to wait for. It is cancelled when the time is over.
        after: How long it may take. Where no time is left it is not begun.

    Raises:
        TimeoutError: It has not ended in time; raised where the result is awaited.
        TypeError: The time is no timedelta.
    """
    expect("timeout", "after", after, timedelta)
    return Flow(lambda: _timeout_async(awaitable, after), lambda: _timeout_steps(awaitable, after))


async def _timeout_async(awaitable: Awaitable[T], after: timedelta) -> T:
    if after <= _NOTHING:
        future = asyncio.ensure_future(awaitable)
        if future.cancel():
            raise _too_long(after)
        return future.result()
    try:
        async with asyncio.timeout(after.total_seconds()) as scope:
            return await awaitable
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise _too_long(after) from error


def _too_long(after: timedelta) -> TimeoutError:
    return TimeoutError(f"it took longer than {after}")


def _timeout_steps(awaitable: Awaitable[T], after: timedelta) -> Generator[Any, Any, T]:
    task = _task(awaitable)
    if after <= _NOTHING and not task.is_completed:
        raise _too_long(after)
    timer = timer_until(task.schedule, task.schedule.now + after)
    winner = yield WhenAnyTask(task.schedule, [task, timer])
    if winner is timer:
        _give_up(task)
        raise _too_long(after)
    timer.cancel()
    result: T = _outcome(task)
    return result


def _outcome(task: Task) -> Any:
    if task.is_failed:
        raise task.result
    return task.result


def _give_up(task: Task) -> None:
    """Lets go of a task in a generator: what can be cancelled is."""
    if isinstance(task, TimerTask | LongTimerTask) and not task.is_completed:
        task.cancel()
    elif isinstance(task, WaitTask):
        task.dropped = True


async def _cancel(tasks: list[asyncio.Future[T]]) -> None:
    """Cancels what still runs, and waits for it to end.

    The list is emptied: it would keep errors of its tasks, and their tracebacks would keep the list.
    """
    running = [task for task in tasks if not task.done()]
    tasks.clear()
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)


def _flow_or_task(awaitable: object) -> Flow[Any] | Task:
    return awaitable if isinstance(awaitable, Flow) else _task(awaitable)


def _task(awaitable: object) -> Task:
    if not isinstance(awaitable, Task):
        raise TypeError(
            f"in a generator the helpers of worker_ext.flow work on tasks of the context, and found {awaitable!r}. "
            "Pass what its methods return, or write the orchestrator as `async def`"
        )
    return awaitable


# ---------------------------------------------------------------- events


class NotEnoughEventsError(TimeoutError):
    """Fewer events came in time than were asked for.

    Attributes:
        events: The payloads of those that came.
    """

    def __init__(self, name: str, count: int, events: list[Any]) -> None:
        super().__init__(f"{len(events)} of {count} events {name!r} came in time")
        self.events = events


@overload
def collect(
    context: DurableOrchestrationContext,
    name: str,
    count: int,
    *,
    expected_type: None = None,
    timeout: timedelta | None = None,
) -> Flow[list[Any]]: ...
@overload
def collect(
    context: DurableOrchestrationContext,
    name: str,
    count: int,
    *,
    expected_type: TypeForm[T],
    timeout: timedelta | None = None,
) -> Flow[list[T]]: ...
def collect(
    context: DurableOrchestrationContext,
    name: str,
    count: int,
    *,
    expected_type: Any = None,
    timeout: timedelta | None = None,
) -> Flow[list[Any]]:
    """The payloads of so many events of one name, in the order in which they came.

    Args:
        context: The orchestrator's context.
        name: The events' name.
        count: How many to wait for.
        expected_type: The type to read their payloads as.
        timeout: How long all of them together may take; None for ever.

    Raises:
        NotEnoughEventsError: Fewer came in time; raised where the result is awaited.
    """

    def wait() -> Task:
        return context.wait_for_external_event(name, expected_type)

    async def in_coroutine() -> list[Any]:
        events: list[Any] = []
        try:
            async with asyncio.timeout(None if timeout is None else timeout.total_seconds()) as scope:
                while len(events) < count:
                    events.append(await wait())
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise NotEnoughEventsError(name, count, events) from error
        return events

    def in_generator() -> Generator[Any, Any, list[Any]]:
        events: list[Any] = []
        timer = None if timeout is None else context.create_timer(timeout)
        while len(events) < count:
            event = wait()
            if timer is None:
                events.append((yield event))
            elif (yield context.task_any([timer, event])) is timer:
                _give_up(event)
                raise NotEnoughEventsError(name, count, events)
            else:
                events.append(_outcome(event))
        if timer is not None and not timer.is_completed:
            timer.cancel()
        return events

    return Flow(in_coroutine, in_generator)


# ---------------------------------------------------------------- saga


class Saga:
    """Steps that are undone, the last one first, when a later one fails.

    async with Saga() as saga:
        flight = await context.call_activity("BookFlight", trip)
        saga.on_failure(lambda: context.call_activity("CancelFlight", flight))
        hotel = await context.call_activity("BookHotel", trip)
        saga.on_failure(lambda: context.call_activity("CancelHotel", hotel))

    Every compensation is run, also when one before it fails, and to its end, also when the block is cancelled
    meanwhile. Then the block's error is raised; where compensations failed, an ExceptionGroup of it and of theirs;
    where the block was cancelled, of theirs alone. In a generator:

        try:
            flight = yield context.call_activity("BookFlight", trip)
            saga.on_failure(lambda: context.call_activity("CancelFlight", flight))
            ...
        except Exception as error:
            yield from saga.undo(error)
    """

    def __init__(self) -> None:
        self._compensations: list[Callable[[], Awaitable[Any]]] = []

    def on_failure(self, compensation: Callable[[], Awaitable[Any]]) -> None:
        """Has something done when a later step fails.

        Args:
            compensation: Makes what is awaited then.
        """
        self._compensations.append(compensation)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(
            error, GeneratorExit
        ):  # which only lets the code go until it is replayed
            try:
                await self.undo(error)
            finally:
                del error

    def undo(self, error: BaseException) -> Flow[None]:
        """Runs the compensations, the last one first, and raises.

        Args:
            error: What the saga has failed with.

        Raises:
            BaseException: The error, or a group of it and of what compensations failed with.
        """
        return Flow(lambda: self._undo_async(error), lambda: self._undo_steps(error))

    async def _undo_async(self, error: BaseException) -> None:
        failures: list[BaseException] = []
        cancelled = None
        while self._compensations:
            cancelled = await _compensate(self._compensations.pop(), failures)
            if cancelled is not None and not isinstance(error, CancelledError):
                cancelled.__cause__, error = error, cancelled
        try:
            _raise_all(error, failures)
        finally:
            del error, failures, cancelled

    def _undo_steps(self, error: BaseException) -> Generator[Any, Any, None]:
        failures: list[BaseException] = []
        while self._compensations:
            try:
                yield from _flow_or_task(self._compensations.pop()())
            except Exception as failure:  # noqa: BLE001 - the others are to be run as well; raised below
                failures.append(failure)
        try:
            _raise_all(error, failures)
        finally:
            del error, failures


async def _compensate(
    compensation: Callable[[], Awaitable[Any]], failures: list[BaseException]
) -> CancelledError | None:
    """Runs a compensation to its end; gives what would have cancelled it."""
    cancelled = future = None
    try:
        future = asyncio.ensure_future(compensation())
        cancelled = await _end_of(future)
        future.result()
    except (Exception, CancelledError) as failure:  # noqa: BLE001 - the others are to be run as well
        failures.append(failure)
    try:
        return cancelled
    finally:
        del cancelled, future, failures


async def _end_of(future: asyncio.Future[Any]) -> CancelledError | None:
    """Waits for the end of something that must not be cancelled; gives what would have cancelled it."""
    cancelled = None
    try:
        while not future.done():
            try:
                await asyncio.wait([future])
            except CancelledError as error:
                cancelled = error
        return cancelled
    finally:
        del cancelled


def _raise_all(error: BaseException, failures: list[BaseException]) -> NoReturn:
    """Raises everything; whoever is in the traceback lets go of the errors, since those keep the traceback."""
    try:
        if not failures:
            raise error
        if isinstance(error, asyncio.CancelledError):  # which is no failure, and in a group nobody would know it
            text = f"the saga was cancelled, and {len(failures)} of its compensations failed"
            raise BaseExceptionGroup(text, failures) from error
        text = f"the saga failed, and so did {len(failures)} of its compensations"
        raise BaseExceptionGroup(text, [error, *failures])
    finally:
        del error, failures
