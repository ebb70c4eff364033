"""Futures of the deterministic loop: what coroutines wait on, hashed by the order in which they were made.

asyncio keeps tasks in sets (`wait`, `as_completed`, `TaskGroup`), and by default objects hash by their address, so the
order of such a set would differ from replay to replay. Here every task and future has a number, and hashes by it.

A `Waiter` is what a coroutine that awaits a durable task really waits on. A `CallFuture` is a durable task that was
made an asyncio task (`create_task`, `gather`, `wait_for`, ...): it needs no coroutine of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from worker_ext.engine.tasks import Task

if TYPE_CHECKING:
    from worker_ext.engine.loop import DurableLoop


class LoopTask(asyncio.Task[Any]):
    """A coroutine that runs on the loop."""

    def __init__(self, coro: Coroutine[Any, Any, Any], loop: DurableLoop, **options: Any) -> None:
        self._number = loop.next_number()  # asyncio asks for the hash while it makes a task
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number

    def drop(self) -> None:
        """Ends the task without running it: its coroutine has been closed."""
        waits_for = self._fut_waiter  # type: ignore[attr-defined]  # asyncio's own, in its C and its Python form
        if waits_for is not None:
            asyncio.Future.cancel(waits_for)
        asyncio.Future.cancel(self)


class LoopFuture(asyncio.Future[Any]):
    """A future that code on the loop makes."""

    __slots__ = ("_number",)

    def __init__(self, loop: DurableLoop) -> None:
        self._number = loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class Relay:
    """Gives the outcome of a durable task to a plain future: of one that goes on whether or not somebody waits."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._future = future

    def member_settled(self, member: Task) -> None:
        """Takes over the outcome of the durable task."""
        future = self._future
        if not future.done():
            if member.failed:
                future.set_exception(member.value)
            else:
                future.set_result(member.value)

    def member_cancelled(self, member: Task) -> None:
        """The durable task was cancelled, so nothing will come."""
        self._future.cancel()


def settled_future(task: Task, loop: DurableLoop) -> asyncio.Future[Any]:
    """A future that is done, with the outcome of a durable task."""
    future: asyncio.Future[Any] = asyncio.Future(loop=loop)
    Relay(future).member_settled(task)
    return future


class Waiter(asyncio.Future[Any]):
    """What a coroutine waits on that awaits a durable task. Whoever cancels it lets go of the task."""

    __slots__ = ("_task",)

    def __init__(self, task: Task, loop: DurableLoop) -> None:
        super().__init__(loop=loop)
        self._task = task
        task.watch(self)

    def member_settled(self, member: Task) -> None:
        """Takes over the outcome of the durable task."""
        if not self.done():
            if member.failed:
                self.set_exception(member.value)
            else:
                self.set_result(member.value)

    def member_cancelled(self, member: Task) -> None:
        """The durable task was cancelled, so nothing will come."""
        asyncio.Future.cancel(self)

    def cancel(self, msg: Any | None = None) -> bool:
        """Stops waiting; a durable task that nobody waits for any more is abandoned."""
        if not asyncio.Future.cancel(self, msg):
            return False
        self._task.unwatch(self)
        return True


class CallFuture(LoopFuture):
    """A durable task as an asyncio task: it is started when the loop gets to it, as a coroutine would be."""

    __slots__ = ("_name", "_task")

    def __init__(self, task: Task, loop: DurableLoop, name: str | None) -> None:
        self._number = loop.next_number()
        asyncio.Future.__init__(self, loop=loop)  # not by way of LoopFuture: these are made by the thousand
        self._task = task
        self._name = name

    def begin(self) -> None:
        """Starts the durable task, unless this was cancelled first."""
        task = self._task
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

    member_settled = Waiter.member_settled
    member_cancelled = Waiter.member_cancelled
    cancel = Waiter.cancel

    # -- what tasks have beyond futures ------------------------------------------------------------------------------

    def get_name(self) -> str:
        """The name it was given, or one made of its number."""
        return self._name or f"Task-{self._number}"

    def set_name(self, value: object) -> None:
        """Names it."""
        self._name = str(value)

    def get_coro(self) -> Task:
        """The durable task."""
        return self._task

    def get_stack(self, *, limit: int | None = None) -> list[Any]:
        """No frames: no code runs for it."""
        return []

    def cancelling(self) -> int:
        """How many requests to cancel it are pending."""
        return int(self.cancelled())

    def uncancel(self) -> int:
        """Cancelling takes effect at once, so there is nothing to take back."""
        return self.cancelling()
