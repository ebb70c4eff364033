"""DurableLoop: the asyncio event loop that `async def` orchestrators run on.

It is a real loop to asyncio: tasks, futures, timeouts, queues, locks and task groups are the standard library's own.
What differs is what drives it. Nothing here waits: after each event of the history the loop runs until nothing is
ready, and then control goes back to the executor. Time is the orchestrator's; `call_later`, and with it
`asyncio.sleep` and every timeout, is a durable timer. Callbacks run in the order in which they became ready, and
sets of tasks iterate in the order in which the tasks were made, so that a replay does the same again.

Threads, sockets, subprocesses and signals have no meaning in code that is run again and again from its history. Asking
for them is an error that says what to use.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from asyncio import futures as asyncio_futures
from asyncio import tasks as asyncio_tasks
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextvars import Context, copy_context
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import ReferenceType, ref

from worker_ext.engine.as_completed import GATHER, STARTS, WAITS, StartOrder, check_order
from worker_ext.engine.futures import CallFuture, LoopFuture, LoopTask, Relay, Waiter, take_outcome
from worker_ext.engine.tasks import Leaf, Task, timer_until
from worker_ext.errors import OrchestratorError

if TYPE_CHECKING:
    from worker_ext.engine.schedule import Schedule


_NOTHING = timedelta(0)


class ReadyHandle(list[Any]):
    """A callback that is due, with its arguments and its context; empty once it was cancelled.

    It is an asyncio.Handle in all but type: made in one call, since every step of every task needs one.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """Forgets the callback."""
        self.clear()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return not self


_SLEEP = getattr(asyncio.sleep, "__code__", None)
_ENDS_SLEEP = getattr(asyncio_futures, "_set_result_unless_cancelled", None)
"""What asyncio.sleep has called when its time has come."""


class DurableTimerHandle(asyncio.TimerHandle):
    """A callback at a time of the orchestrator's clock; its timer is a leaf of the schedule."""

    __slots__ = ("_due", "_timer")

    _loop: DurableLoop

    def __init__(
        self,
        delay: timedelta,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: DurableLoop,
        context: Context | None,
    ) -> None:
        schedule = loop.schedule
        self._cancelled = False
        self._loop = loop
        self._args = args
        self._due: ReadyHandle | None = None
        if callback is not _ENDS_SLEEP:
            self._due = ReadyHandle((callback, args, copy_context() if context is None else context))
        self._timer = timer = timer_until(schedule, schedule.clock.now + delay)
        timer.start()
        timer.watch(self)

    def when(self) -> float:
        """When it is due, as a time of the loop."""
        return (self._timer.fire_at - self._loop.schedule.clock.first).total_seconds()

    def member_settled(self, member: Task) -> None:
        """The timer has fired."""
        if self._due is not None:
            self._loop.enqueue(self._due)
        elif not self._cancelled:
            future, result = self._args
            if not future.done():  # nothing else is ready when an event comes, so this is its turn
                future.set_result(result)

    def member_cancelled(self, member: Task) -> None:
        """The timer was cancelled, with this handle or because the code has ended."""

    def unlink(self) -> None:
        """The loop runs nothing any more."""
        self._cancelled = True
        self._args = ()
        if self._due is not None:
            self._due.cancel()

    def cancel(self) -> None:
        """Cancels callback and timer."""
        self.unlink()
        if not self._timer.settled and not self._loop.is_closed():
            self._timer.cancel()


class DurableLoop(asyncio.AbstractEventLoop):
    """A loop for one turn of one orchestration.

    Args:
        schedule: Where durable tasks and timers are listed.

    Attributes:
        tasks: Every task that may still be running, in the order in which they were made.
        ready: Callbacks that are due, in the order in which they became so.
        leaving: Whether the code has asked for the end of this execution and only has to be stopped.
        next_number: Gives the number of the next task or future.
        waiting: What tells the futures of waiting coroutines of the end of durable tasks.
        cancels_ahead: Whether a task may have been cancelled before it waited: asyncio will cancel what it waits for
            next without a word to the task.
        on_unhandled: Told of errors that nobody awaited: what happened, and the error.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.tasks: list[LoopTask] = []
        self.leaving = False
        self.on_unhandled: Callable[[str, BaseException], None] = _told_nothing
        self.ready: deque[ReadyHandle] = deque()
        self._starting: list[CallFuture] = []
        self._start_handle: ReadyHandle | None = None
        self._start_order = StartOrder()
        self.next_number: Callable[[], int] = itertools.count().__next__
        self.waiting: dict[asyncio.Future[Any], Relay] = {}
        self.cancels_ahead = False
        self._futures: list[LoopFuture] = []
        self._failed: list[ReferenceType[LoopTask]] = []
        self._tasks_before_sweep = self._futures_before_sweep = 64
        self._closed = False
        self._endings = 0
        self._outer: asyncio.AbstractEventLoop | None = None
        self._outer_task: asyncio.Task[Any] | None = None
        self._outer_hooks = sys.get_asyncgen_hooks()

    # -- run by the executor -----------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Makes this the running loop of the thread, until `exit`."""
        self._outer = outer = asyncio._get_running_loop()
        self._outer_task = _swap_current_task(outer, None) if outer is not None else None
        self._outer_hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._finalize)

    def exit(self) -> None:
        """Restores what was running before."""
        outer = self._outer
        sys.set_asyncgen_hooks(*self._outer_hooks)
        asyncio._set_running_loop(outer)
        if outer is not None:
            _swap_current_task(outer, self._outer_task)
        self._outer = self._outer_task = None

    def shut(self) -> None:
        """Takes nothing more: what is called after this has no effect."""
        self._closed = True
        self.waiting.clear()
        self.ready.clear()
        self._starting.clear()
        self._start_handle = None
        self._start_order.forget()
        for task in self._take_failed():
            task.exception()  # the next turn replays it, and may await it
        for future in self._futures:
            future.cancel()
        self._futures.clear()

    def end_code(self) -> None:
        """Ends code that is let go but still awaits, in a `finally` for instance.

        Code that catches even this is no longer told after a while: then it waits, and whoever closes it finds out.
        """
        self._endings += 1
        if self._endings <= ENDINGS:
            raise GeneratorExit

    def pending(self) -> list[LoopTask]:
        """The tasks that have not ended; those that have are let go of."""
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            if not task.done():
                self.tasks.append(task)
            elif task._log_traceback:  # asyncio's own: nobody has asked for its error yet
                self._failed.append(ref(task))
        return self.tasks

    def let_go_of_ended(self) -> None:
        """Lets go of what has ended: `on_unhandled` is told of the errors that nobody can await any more."""
        self.pending()
        self._futures = [future for future in self._futures if not future.done()]

    def tell_unhandled(self) -> None:
        """Tells `on_unhandled` of every error that nobody has awaited: all code has ended."""
        for task in self._take_failed():
            error = task.exception()
            if not isinstance(error, SystemExit | KeyboardInterrupt):  # asyncio raises these where the loop is run
                self.call_exception_handler({"message": "a task failed", "exception": error, "future": task})

    def _take_failed(self) -> list[LoopTask]:
        """The tasks whose errors nobody has asked for, and somebody still could."""
        self.let_go_of_ended()
        failed, self._failed = self._failed, []
        tasks = [task for reference in failed if (task := reference()) is not None]
        return [task for task in tasks if task._log_traceback]

    def run_next(self, callback: Callable[[], object]) -> None:
        """Runs a callback as soon as the one that runs now is done, before all others that are ready."""
        self.ready.appendleft(ReadyHandle((callback, (), copy_context())))

    def enqueue(self, handle: ReadyHandle) -> None:
        """Takes a callback that is due."""
        if not self._closed:
            self.ready.append(handle)

    def wait_for(self, task: Task) -> asyncio.Future[Any]:
        """Starts a durable task; the future has its outcome."""
        if self._closed or self.leaving:
            if self._closed:
                self.end_code()
            return LoopFuture(loop=self)
        if not task.settled:
            task.start()
        future: asyncio.Future[Any]
        if task.settled:
            future = asyncio.Future(loop=self)
            take_outcome(future, task)
        elif self.cancels_ahead and not (isinstance(task, Leaf) and task.is_out_of_hand):
            future = waiter = Waiter(loop=self)
            waiter.task = task
            task.watch(waiter)
        else:
            future = asyncio.Future(loop=self)
            task.watch(Relay(future, task, self.waiting))
        return future

    # -- asyncio's face ----------------------------------------------------------------------------------------------

    def time(self) -> float:
        """The orchestrator's time, in seconds since this execution began."""
        clock = self.schedule.clock
        return (clock.now - clock.first).total_seconds()

    def call_soon(  # type: ignore[override]  # the stubs want type variables that only they need
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        """Runs a callback when those before it have run."""
        handle = ReadyHandle((callback, args, copy_context() if context is None else context))
        if not self._closed:
            self.ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float | None, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        """Runs a callback after a durable timer of so many seconds."""
        if delay is None:
            raise TypeError("delay must not be None")
        try:
            span = timedelta(seconds=delay)
            if span > _NOTHING and not self._closed and not self.leaving:
                return DurableTimerHandle(span, callback, args, self, context)
        except OverflowError:
            return ReadyHandle()  # infinite, or beyond the last day there is: it never comes
        if span <= _NOTHING:
            return self.call_soon(callback, *args, context=context)
        return ReadyHandle()  # the code is about to be stopped

    def call_at(  # type: ignore[override]
        self, when: float | None, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        """Runs a callback after a durable timer until a time of this loop."""
        if when is None:
            raise TypeError("when cannot be None")
        return self.call_later(when - self.time(), callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """Makes a future."""
        if self._closed:
            self.end_code()
        frame = sys._getframe(1)
        if frame.f_code is _SLEEP:  # which waits for it at once, so that no set ever holds it
            return asyncio.Future(loop=self)
        if frame.f_code is WAITS:
            check_order(frame)
        future = LoopFuture(loop=self)
        if len(self._futures) >= self._futures_before_sweep:
            self._futures = [kept for kept in self._futures if not kept.done()]
            self._futures_before_sweep = 2 * len(self._futures) + 64
        self._futures.append(future)
        return future

    def create_task(self, coro: Any, *, name: str | None = None, **options: Any) -> Any:
        """Runs a coroutine or a durable task side by side with what runs already."""
        frame = sys._getframe(1)
        if frame.f_code is STARTS and (caller := frame.f_back) is not None and caller.f_code is not GATHER:
            started = self._start_order.task_for(coro, caller, self)
            if started is not None:
                return started
        if self._closed:
            coro.close()
            self.end_code()
            return LoopFuture(loop=self)
        if isinstance(coro, Task):
            return self._create_call(coro, name)
        task = LoopTask(coro, self, name=name, **options)
        if len(self.tasks) >= self._tasks_before_sweep:
            self._tasks_before_sweep = 2 * len(self.pending()) + 64
        self.tasks.append(task)
        return task

    def _create_call(self, task: Task, name: str | None) -> CallFuture:
        if task.schedule is not self.schedule:
            raise OrchestratorError("a task of another orchestration instance was given to asyncio")
        call = CallFuture(loop=self)
        call.task = task
        if name is not None:
            call.set_name(name)
        ready = self.ready
        if not ready or ready[-1] is not self._start_handle:  # calls that are made in a row share one callback
            self._starting = []
            self._start_handle = self.call_soon(_begin_all, self._starting)
        self._starting.append(call)
        return call

    get_debug: Callable[[], bool] = staticmethod(bool)
    """Debug mode is always off: it would read the clock. (`bool()` is False, and asyncio asks for every future.)"""

    def set_debug(self, enabled: bool) -> None:
        """Has no effect."""

    def is_running(self) -> bool:
        """Whether code runs on this loop now."""
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        """Whether the turn is over."""
        return self._closed

    def get_task_factory(self) -> None:
        """There is none."""

    def get_exception_handler(self) -> None:
        """There is none."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Takes note of an error that nobody awaited, unless the code was only let go until the next turn."""
        error = context.get("exception")
        if error is not None and not self._closed:
            self.on_unhandled(
                "a task failed, and nobody awaited it" if "future" in context else context["message"], error
            )

    default_exception_handler = call_exception_handler

    async def shutdown_asyncgens(self) -> None:
        """Has nothing to do: generators end with the code that uses them."""

    async def shutdown_default_executor(self) -> None:
        """Has nothing to do: there is no executor."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Has nothing to do: asyncio's own loops count their cancelled timers."""

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Closes an asynchronous generator that was left before its end."""
        if self._closed:
            close_coroutine(generator.aclose())
        else:
            self.create_task(generator.aclose()).closes_generator = True


def _told_nothing(message: str, error: BaseException) -> None:
    """Stands where nobody listens."""


def _begin_all(calls: list[CallFuture]) -> None:
    for call in calls:
        call.begin()
    calls.clear()


ENDINGS = 10_000
"""How often code of one turn is told to end where it awaits."""

CLOSINGS = 100
"""How often code that waits is asked to end: a `finally` may hold that many awaits."""


def close_coroutine(coroutine: Any) -> bool:
    """Closes code that waits; a `finally` that awaits is closed await by await. Whether it has ended."""
    for _ in range(CLOSINGS):
        try:
            coroutine.close()
        except RuntimeError:  # it awaited instead of ending
            continue
        except Exception:  # noqa: BLE001 - the turn is over: what a `finally` raises has no effect on it
            return True
        else:
            return True
    return False


def _no_current_task(loop: asyncio.AbstractEventLoop, task: Any) -> Any:
    """Python 3.11 keeps the current task by loop, so that of another loop is in nobody's way."""
    return None


_swap_current_task: Callable[[asyncio.AbstractEventLoop, Any], Any] = getattr(
    asyncio_tasks, "_swap_current_task", _no_current_task
)


_ACTIVITY = "Do it in an activity: `await context.call_activity(...)`"
_EVENT = "Have a client raise an event, and await it in the orchestrator"
_TASK = "Use `asyncio.create_task(...)` and await what you need"
_ELSEWHERE = {
    "run_in_executor": ("threads and executors", _ACTIVITY),
    "set_default_executor": ("threads and executors", _ACTIVITY),
    "call_soon_threadsafe": (
        "callbacks from threads",
        _EVENT,
    ),
    "getaddrinfo": ("network access", _ACTIVITY),
    "getnameinfo": ("network access", _ACTIVITY),
    "create_connection": ("network access", "Use `await context.call_http(...)`, or do it in an activity"),
    "create_server": ("network access", _ACTIVITY),
    "create_datagram_endpoint": ("network access", _ACTIVITY),
    "create_unix_connection": ("network access", _ACTIVITY),
    "create_unix_server": ("network access", _ACTIVITY),
    "connect_accepted_socket": ("network access", _ACTIVITY),
    "start_tls": ("network access", _ACTIVITY),
    "sendfile": ("network access", _ACTIVITY),
    "sock_recv": ("sockets", _ACTIVITY),
    "sock_recv_into": ("sockets", _ACTIVITY),
    "sock_recvfrom": ("sockets", _ACTIVITY),
    "sock_recvfrom_into": ("sockets", _ACTIVITY),
    "sock_sendto": ("sockets", _ACTIVITY),
    "sock_sendall": ("sockets", _ACTIVITY),
    "sock_connect": ("sockets", _ACTIVITY),
    "sock_accept": ("sockets", _ACTIVITY),
    "sock_sendfile": ("sockets", _ACTIVITY),
    "add_reader": ("sockets", _ACTIVITY),
    "remove_reader": ("sockets", _ACTIVITY),
    "add_writer": ("sockets", _ACTIVITY),
    "remove_writer": ("sockets", _ACTIVITY),
    "connect_read_pipe": ("pipes", _ACTIVITY),
    "connect_write_pipe": ("pipes", _ACTIVITY),
    "subprocess_shell": ("subprocesses", _ACTIVITY),
    "subprocess_exec": ("subprocesses", _ACTIVITY),
    "add_signal_handler": ("signals", _EVENT),
    "remove_signal_handler": ("signals", _EVENT),
    "run_forever": ("a second run of the loop", _TASK),
    "run_until_complete": ("a second run of the loop", _TASK),
    "stop": ("stopping the loop", "Return from the orchestrator"),
    "close": ("closing the loop", "Return from the orchestrator"),
    "set_task_factory": ("a task factory", _TASK),
    "set_exception_handler": ("an exception handler", "Await tasks, or look at their exception()"),
}
"""What the loop refuses: what it is, and what to do instead."""


def _refusal(name: str, what: str, instead: str) -> Callable[..., NoReturn]:
    def refuse(self: DurableLoop, *args: Any, **kwargs: Any) -> NoReturn:
        raise OrchestratorError(
            f"the orchestrator asked asyncio for {what} (loop.{name}), which would not be the same on replay. {instead}"
        )

    refuse.__name__ = name
    return refuse


for _name, (_what, _instead) in _ELSEWHERE.items():
    setattr(DurableLoop, _name, _refusal(_name, _what, _instead))
