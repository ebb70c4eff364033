"""Futures of the deterministic loop: what coroutines wait on, hashed by the order in which they were made.

asyncio keeps tasks in sets (`wait`, `as_completed`, `TaskGroup`), and by default objects hash by their address, so the
order of such a set would differ from replay to replay. Here every task and future has a number, and hashes by it.

A coroutine that awaits a durable task really waits on a plain future, which asyncio takes the short way with.
Cancelling its task lets go of the durable task as well. Where asyncio would cancel that future without asking the
task, it is a `Waiter`, which lets go by itself. A `CallFuture` is a durable task that was made an asyncio task
(`create_task`, `gather`, `wait_for`, ...): it needs no coroutine of its own. What `gather` gives is of a class of
asyncio's own, which is given such a hash as well; on other loops it hashes as ever.
"""

from __future__ import annotations

import asyncio
from asyncio import tasks as asyncio_tasks
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TextIO

from worker_ext.engine.tasks import Task
from worker_ext.errors import PayloadError

if TYPE_CHECKING:
    from worker_ext.engine.loop import DurableLoop


class LoopTask(asyncio.Task[Any]):
    """A coroutine that runs on the loop.

    Attributes:
        closes_generator: Whether it ends an asynchronous generator, so that it must not be cancelled.
    """

    closes_generator = False
    _loop: DurableLoop

    def __init__(self, coro: Coroutine[Any, Any, Any], loop: DurableLoop, **options: Any) -> None:
        self._number = loop.next_number()  # asyncio asks for the hash while it makes a task
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number

    def __await__(self) -> Generator[Any, None, Any]:
        if self._loop.is_closed():
            self._loop.end_code()
        return super().__await__()

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancels what it waits for: a durable task that nobody waits for any more is abandoned."""
        waits_for = self._fut_waiter  # type: ignore[attr-defined]  # asyncio's own, in its C and its Python form
        if waits_for is None:
            self._loop.cancels_ahead = True
            return super().cancel(msg)
        relay = self._loop.waiting.pop(waits_for, None)
        is_cancelled = super().cancel(msg)
        if relay is not None:
            relay.task.unwatch(relay)
        return is_cancelled

    def drop(self) -> None:
        """Ends the task without running it: its coroutine has been closed."""
        waits_for = self._fut_waiter  # type: ignore[attr-defined]  # asyncio's own, in its C and its Python form
        if waits_for is not None:
            _end(waits_for)
        asyncio.Future.cancel(self)
        _forget_waiters(self)


def _end(future: asyncio.Future[Any]) -> None:
    """Ends what a task waits for; a gather keeps a circle of references until it has ended, and so do those in it."""
    asyncio.Future.cancel(future)
    _forget_waiters(future)
    for child in getattr(future, "_children", ()):
        if hasattr(child, "_children"):
            _end(child)
        else:
            _forget_waiters(child)


def _forget_waiters(future: asyncio.Future[Any]) -> None:
    """Undoes what Python 3.14 keeps of who awaits a future: a circle of references until one of them runs on."""
    for waiter in getattr(future, "_asyncio_awaited_by", None) or ():
        asyncio.future_discard_from_awaited_by(future, waiter)  # type: ignore[attr-defined,unused-ignore]


class LoopFuture(asyncio.Future[Any]):
    """A future that code on the loop makes. It gets its number when it is first asked for it."""

    _loop: DurableLoop
    _number: int | None = None

    def __hash__(self) -> int:
        number = self._number
        if number is None:
            number = self._number = self._loop.next_number()
        return number

    def __await__(self) -> Generator[Any, None, Any]:
        if self._loop.is_closed():
            self._loop.end_code()
        return super().__await__()


def _number_of_gathering(future: Any) -> int:
    """The hash of what asyncio.gather gives."""
    number: int | None = getattr(future, "_number", None)
    if number is None:
        next_number = getattr(future.get_loop(), "next_number", None)
        number = future._number = object.__hash__(future) if next_number is None else next_number()
    return number


asyncio_tasks._GatheringFuture.__hash__ = _number_of_gathering  # type: ignore[attr-defined]  # asyncio's own


def take_outcome(future: asyncio.Future[Any], task: Task) -> None:
    """Ends a future as a settled task has ended."""
    if future.done():
        return
    try:
        value = task.value
    except (PayloadError, TypeError) as error:  # the result is no value of the expected type
        future.set_exception(error)
    else:
        if task.failed:
            future.set_exception(value)
        else:
            future.set_result(value)


class Relay:
    """Gives the outcome of a durable task to the plain future of a coroutine that waits for it.

    Args:
        future: The future.
        task: The durable task.
        waiting: Where the loop finds this by its future, for as long as the coroutine waits.
    """

    __slots__ = ("_future", "_waiting", "task")

    def __init__(self, future: asyncio.Future[Any], task: Task, waiting: dict[asyncio.Future[Any], Relay]) -> None:
        self._future = future
        self._waiting = waiting
        self.task: Task = task
        waiting[future] = self

    def member_settled(self, member: Task) -> None:
        """Takes over the outcome of the durable task."""
        self._waiting.pop(self._future, None)
        take_outcome(self._future, member)

    def member_cancelled(self, member: Task) -> None:
        """The durable task was cancelled, so nothing will come."""
        self._waiting.pop(self._future, None)
        self._future.cancel()

    def unlink(self) -> None:
        """Has nothing to do: whoever awaits the plain future has been closed."""


class Follower(asyncio.Future[Any]):
    """A future that takes over the outcome of a durable task. Whoever cancels it lets go of the task.

    Attributes:
        task: The durable task.
    """

    __slots__ = ("task",)

    task: Task

    member_settled = take_outcome
    """Takes over the outcome of the durable task."""

    def member_cancelled(self, member: Task) -> None:
        """The durable task was cancelled, so nothing will come."""
        asyncio.Future.cancel(self)

    def unlink(self) -> None:
        """Forgets who waits for this; the loop runs nothing any more."""
        asyncio.Future.cancel(self)

    def cancel(self, msg: Any | None = None) -> bool:
        """Stops waiting; a durable task that nobody waits for any more is abandoned."""
        if not asyncio.Future.cancel(self, msg):
            return False
        self.task.unwatch(self)
        return True


class Waiter(Follower):
    """What a coroutine waits on that awaits a durable task, and may be cancelled by asyncio itself."""

    __slots__ = ()


class CallFuture(Follower):
    """A durable task as an asyncio task: it is started when the loop gets to it, as a coroutine would be.

    They are made by the thousand: what most of them do not need is filled in when it is asked for, and
    `asyncio.all_tasks()`, which would have to be told of each, has the tasks of coroutines alone.
    """

    _number: int | None = None
    _name: str | None = None

    def __hash__(self) -> int:
        number = self._number
        if number is None:
            number = self._number = self._loop.next_number()  # type: ignore[attr-defined]  # the loop is a DurableLoop
        return number

    def begin(self) -> None:
        """Starts the durable task, unless this was cancelled first."""
        task = self.task
        if self.done() or self._loop.leaving:  # type: ignore[attr-defined]  # asyncio's own attribute
            return
        if not task.settled:
            try:
                task.start()
            except BaseException as error:  # noqa: BLE001 - what a coroutine would raise is what the future fails with
                self._fail(error)
                return
        if task.settled:
            self.member_settled(task)
        else:
            task.watch(self)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            asyncio.Future.cancel(self)
        else:
            self.set_exception(error)

    # -- what tasks have beyond futures ------------------------------------------------------------------------------

    def get_name(self) -> str:
        """The name it was given, or one made of its number."""
        return self._name or f"Task-{hash(self)}"

    def set_name(self, value: object) -> None:
        """Names it."""
        self._name = str(value)

    def get_coro(self) -> Task:
        """The durable task."""
        return self.task

    def get_stack(self, *, limit: int | None = None) -> list[Any]:
        """No frames: no code runs for it."""
        return []

    def print_stack(self, *, limit: int | None = None, file: TextIO | None = None) -> None:
        """Prints nothing: no code runs for it."""

    def get_context(self) -> Context:
        """The context of whoever asks: no code runs for it in any other."""
        return copy_context()

    def cancelling(self) -> int:
        """How many requests to cancel it are pending."""
        return int(self.cancelled())

    def uncancel(self) -> int:
        """Cancelling takes effect at once, so there is nothing to take back."""
        return self.cancelling()
