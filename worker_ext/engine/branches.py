"""Branches: drives an `async def` orchestrator on a DurableLoop, from its start to its end.

It ends as under `asyncio.run`: when the orchestrator's own coroutine has ended, the tasks it left running are
cancelled, and the outcome counts when they have ended too. What they leave open in the schedule (an activity cannot be
called back) the extension waits for.

Code that waits for something that nothing durable can bring about (an asyncio.Event that no other task sets, a future
of another thread) would wait for ever. It is told so at that line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from worker_ext.engine.loop import DurableLoop, ReadyHandle, close_coroutine
from worker_ext.errors import OrchestratorError

if TYPE_CHECKING:
    from worker_ext.engine.schedule import Schedule


STEPS = 1_000_000
"""How many callbacks may run between two events of the history: beyond it, code goes round without waiting."""


class Branches:
    """One run of an orchestrator's coroutine and of the tasks it makes.

    Args:
        schedule: What the code schedules goes there.
        coroutine: The orchestrator's.

    Attributes:
        loop: The loop it runs on.
        coroutine: The orchestrator's.
    """

    def __init__(self, schedule: Schedule, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.schedule = schedule
        self.coroutine = coroutine
        self.loop: DurableLoop
        self.loop = schedule.loop = DurableLoop(schedule)  # type: ignore[abstract]  # what it refuses is set by name
        self._main: Any = self.loop.create_task(coroutine, name="orchestrator")
        self._main.add_done_callback(lambda _: self._stop_all())
        self._is_stubborn = False
        self._is_stopping = self._is_left = False
        self._ready = self.loop.ready
        self._main_done: Any = self._main.done

    def run(self) -> bool:
        """Runs until nothing is ready; whether everything has ended. The loop has to be entered.

        Raises:
            OrchestratorError: The code goes on and on without waiting for anything durable.
        """
        schedule, ready = self.schedule, self._ready
        handle: ReadyHandle | None
        if schedule.held:
            schedule.retry_held()
        steps = 0
        while ready:
            if (steps := steps + 1) > STEPS:
                raise _goes_round()
            handle = ready.popleft()
            if handle:
                callback, args, context = handle
                try:
                    context.run(callback, *args)
                except Exception as error:  # noqa: BLE001 - as asyncio: what a callback raises is reported
                    message = f"Exception in callback {callback!r}"
                    self.loop.call_exception_handler({"message": message, "exception": error})
        schedule.joins = False
        handle = callback = args = context = None  # a traceback may keep this frame, and so the task
        return self._main_done() and not self.loop.pending()

    def leave(self) -> None:
        """Stops all code at its next await."""
        self._is_left = True
        if not self._is_stopping:
            self.loop.leaving = True
            self.loop.run_next(self._stop_all)

    def _stop_all(self) -> None:
        """Cancels whatever still runs."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self.loop.leaving = False
        for task in self.loop.pending():
            if not task.closes_generator:
                task.cancel()

    @property
    def error(self) -> BaseException | None:
        """What the orchestrator failed with."""
        if self._main.cancelled():
            return None if self._is_left else asyncio.CancelledError("the orchestrator cancelled itself")
        error = self._main.exception()
        return error if error is None else _explained(error)

    @property
    def output(self) -> Any:
        """What the orchestrator returned; None where it failed."""
        return None if self._main.cancelled() or self._main.exception() else self._main.result()

    def fail_stuck(self) -> OrchestratorError:
        """Raises an error at the line that waits for what cannot come, and returns it.

        Where tasks wait for each other there is no such line, and the error is only returned.
        """
        future: Any = self._main
        seen = []
        while (inner := _waits_for(future)) is not None:
            seen.append(future)
            future = inner
            if inner in seen:
                return _circle_of(seen[seen.index(inner) :])
        error = OrchestratorError(
            "this await would never end: nothing is under way (no activity, timer, event or other durable call) that "
            "could wake the orchestrator. Futures of other threads or libraries, and an asyncio Event, Queue or Lock "
            "that no running branch will serve, cannot be awaited here"
        )
        if not isinstance(future, asyncio.Task):
            future.set_exception(error)
        return error

    def report(self, *, is_over: bool) -> None:
        """Tells of errors that nobody awaited and nobody can any more.

        Args:
            is_over: Whether all code has ended. Else it may still await what it can reach.
        """
        if is_over:
            self.loop.tell_unhandled()
        else:
            self.loop.let_go_of_ended()

    def let_go(self) -> bool:
        """Closes code that still waits, without running any of it on; the next turn replays it.

        Returns:
            Whether all of it let itself be closed.
        """
        loop, are_closed = self.loop, True
        waiting = loop.pending()
        loop.shut()
        if waiting:
            loop.enter()
            try:
                for task in waiting:
                    are_closed &= close_coroutine(task.get_coro())
                    task.drop()
            finally:
                loop.exit()
        loop.tasks = []
        self._is_stubborn |= not are_closed
        if not self._is_stubborn:  # else its code still has to find the loop: without one it would spin, not wait
            self.schedule.loop = None
        self._main = self._main_done = None
        return are_closed


def _goes_round() -> OrchestratorError:
    """What code fails with that never comes to wait for anything durable."""
    return OrchestratorError(
        f"the orchestrator ran {STEPS:,} steps without waiting for anything durable. A loop that waits for "
        "something to change should await an asyncio.Event or Condition, or asyncio.sleep with a time greater "
        "than 0"
    )


def _waits_for(future: Any) -> Any:
    """What has to end before this future can."""
    inner = getattr(future, "_fut_waiter", None)
    if inner is None:
        inner = next((child for child in getattr(future, "_children", ()) if not child.done()), None)
    return inner


def _circle_of(tasks: list[Any]) -> OrchestratorError:
    """What is wrong with tasks that wait for each other."""
    lines = ", ".join(filter(None, map(_line_of, tasks)))
    return OrchestratorError(
        f"these awaits would never end, as their tasks wait for each other: {lines}. Let one of them go on without the "
        "other"
    )


def _line_of(task: Any) -> str | None:
    """Where a task waits."""
    frame = getattr(task.get_coro(), "cr_frame", None) if isinstance(task, asyncio.Task) else None
    return None if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _explained(error: BaseException) -> BaseException:
    """An error of asyncio about what was awaited, with what to do instead."""
    if not isinstance(error, RuntimeError):
        return error
    text = str(error)
    if "attached to a different loop" in text:
        what = "the orchestrator awaited a future of another event loop"
    elif "from a running event loop" in text or "while another loop is running" in text:
        what = f"the orchestrator began to run a second event loop ({text})"
    elif text.startswith("Task got bad yield"):
        what = f"the orchestrator awaited something that is neither durable nor asyncio's ({text})"
    else:
        return error
    explained = OrchestratorError(
        f"{what}, which cannot wake it on replay. Await coroutines and what the context's methods return; do I/O in an "
        "activity"
    )
    explained.__cause__ = error
    return explained
