"""The task tree: what orchestrators yield, and how a completed member completes what contains it.

A task settles once, with a value or an error, and tells the tasks that watch it. A *leaf* is a task with one sequence
id: the extension starts it and answers. Retries and long timers are made of several leaves that user code does not
see. A wait for an external event has no id.

What azure-functions-durable 1.7.0 does is kept: `task_all` fails with the first failure, `task_any` gives the first
settled member itself, a cancelled timer never completes. Beyond it: `task_all([])` is `[]`, and a task may be a member
of several compounds.

Source: durable-functions JSON protocol, composite tasks, timers, retry algorithm.
"""

from __future__ import annotations

from asyncio import CancelledError
from asyncio import _get_running_loop as get_running_loop
from collections.abc import Callable, Generator, Sequence
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol

import msgspec

from worker_ext.errors import OrchestratorError, PayloadError
from worker_ext.protocol.actions import AnyAction, CreateTimer, WaitForExternalEvent
from worker_ext.protocol.codec import decode_value, format_microseconds

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from typing_extensions import TypeVar

    from worker_ext.engine.schedule import Schedule

    T_co = TypeVar("T_co", covariant=True, default=Any)

    class _Awaited(Coroutine[Any, Any, T_co], Generic[T_co]):
        """What asyncio takes for a coroutine; at run time that goes by the methods alone."""
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)
    _Awaited = Generic


Decoder = Callable[[str | None], Any]
"""Makes the value of a task of the JSON text that it ended with."""


class TaskState(Enum):
    """Whether a task has ended, and how."""

    RUNNING = 0
    SUCCEEDED = 1
    FAILED = 2


class Watcher(Protocol):
    """Who is told of the end of a task."""

    def member_settled(self, member: Task) -> None:
        """The task has settled."""

    def member_cancelled(self, member: Task) -> None:
        """The task was cancelled and will never settle."""

    def unlink(self) -> None:
        """Nothing will be told any more."""


class Task(_Awaited[T_co]):
    """Something an orchestrator can yield or await; `T_co` is the type of what comes of it.

    Type checkers see a coroutine, since asyncio takes one for it: `asyncio.create_task`, `TaskGroup.create_task`,
    `gather`, `wait_for` and `shield` carry the type on. A plain `Task` is a `Task[Any]`.

    Attributes:
        schedule: The schedule of the orchestration it belongs to.
        settled: Whether it has ended, well or badly.
        failed: Whether it has ended badly.
        at: The position in history where it ended.
        through: Whether the extension no longer waits for it: it has ended or was cancelled.
    """

    __slots__ = ("_number", "_value", "_watcher", "_watchers", "at", "failed", "schedule", "settled", "through")

    schedule: Schedule
    settled: bool
    failed: bool
    at: int | None
    through: bool

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.settled = self.through = self.failed = False
        self._value: Any = None
        self.at = None
        self._watcher: Watcher | None = None
        self._watchers: list[Watcher] | None = None
        self._number: int | None = None

    @property
    def is_completed(self) -> bool:
        """Whether the task has ended, well or badly."""
        return self.settled

    @property
    def is_failed(self) -> bool:
        """Whether the task has ended with an error."""
        return self.failed

    @property
    def state(self) -> TaskState:
        """Whether the task has ended, and how."""
        if not self.settled:
            return TaskState.RUNNING
        return TaskState.FAILED if self.failed else TaskState.SUCCEEDED

    @property
    def result(self) -> T_co:
        """The value of a completed task, which is what its type tells; of a failed one the error; None before."""
        return self._value  # type: ignore[no-any-return]

    @property
    def value(self) -> Any:
        """The same for the engine, which keeps nothing of it that the code does not keep."""
        return self._value

    # -- in generators -----------------------------------------------------------------------------------------------

    def __iter__(self) -> Generator[Task[T_co], Any, T_co]:
        """`yield from task` is `yield task` with a result that type checkers know."""
        result: T_co = yield self
        return result

    # -- in `async def` orchestrators --------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, T_co]:
        loop = self.schedule.loop
        if loop is None:
            raise _awaited_elsewhere()
        return loop.wait_for(self).__await__()

    def __hash__(self) -> int:
        """A number of its own, so that a set of tasks iterates the same on every replay."""
        number = self._number
        if number is None:
            number = self._number = self.schedule.next_number()
        return number

    # asyncio takes what has these three for a coroutine, and hands it to the loop's create_task, which knows better.

    def send(self, value: None) -> NoReturn:
        """Not to be called: a task is started by `await` or by the loop."""
        raise OrchestratorError("a task cannot be driven by hand. Await it, or give it to asyncio.create_task")

    def throw(self, *error: Any) -> NoReturn:
        """Not to be called, as `send`."""
        self.send(None)

    def close(self) -> None:
        """Does nothing: a task that was not awaited has not begun."""

    def start(self) -> None:
        """Starts whatever of this task was not started before."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Nothing waits for this task any more: the code that did was cancelled."""

    # -- watching ----------------------------------------------------------------------------------------------------

    def watch(self, watcher: Watcher) -> None:
        """Has `watcher` told when this task settles."""
        if self._watcher is None:  # nearly every task has one watcher at most, and needs no list for it
            self._watcher = watcher
        elif self._watchers is None:
            self._watchers = [watcher]
        else:
            self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Takes a watcher back; a task that the last one leaves is abandoned."""
        if self._watcher is watcher:
            self._watcher = self._watchers.pop(0) if self._watchers else None
        elif self._watchers is not None and watcher in self._watchers:
            self._watchers.remove(watcher)
        if self._watcher is None and not self.settled:
            self.abandon()

    def unlink(self) -> None:
        """Forgets who watches this task, and an error, whose traceback leads back here: the turn is over."""
        if self.failed:
            self._value = None
        watchers = (self._watcher, *(self._watchers or ()))
        self._watcher = self._watchers = None
        for watcher in watchers:
            if watcher is not None:
                watcher.unlink()

    def settle(self, value: Any, *, failed: bool = False) -> None:
        """Ends the task at the current position of the history."""
        self.settled = self.through = True
        self.failed = failed
        self._value = value
        self.at = self.schedule.position
        if self._watcher is not None:
            watcher, self._watcher = self._watcher, None
            watcher.member_settled(self)
        if self._watchers is not None:
            watchers, self._watchers = self._watchers, None
            for watcher in watchers:
                watcher.member_settled(self)

    @property
    def never_settles(self) -> bool:
        """Whether what it waits for was cancelled, so that code that yields it would never go on."""
        return False

    def member_settled(self, member: Task) -> None:
        """Takes note that a member of this task has settled."""
        raise NotImplementedError

    def member_cancelled(self, member: Task) -> None:
        """Takes note that a member of this task was cancelled and will never settle."""

    def tell_cancelled(self) -> None:
        """Tells whoever watches this task that it will never settle."""
        for watcher in (self._watcher, *(self._watchers or ())):
            if watcher is not None:
                watcher.member_cancelled(self)

    @property
    def listed(self) -> bool:
        """Whether the action list already has everything this task consists of."""
        raise NotImplementedError


def _awaited_elsewhere() -> OrchestratorError:
    if not hasattr(get_running_loop(), "schedule"):  # which the loop of orchestrators has
        return OrchestratorError(
            "a task was awaited outside an `async def` orchestrator. In a generator yield it: "
            "`result = yield context.call_activity(...)`"
        )
    return OrchestratorError(
        "a task was awaited that belongs to another orchestration instance, or to an earlier turn of this one: a "
        "context and its tasks last for one turn. Keep neither in a global or on a class, and use the context that the "
        "orchestrator is given"
    )


class Leaf(Task[T_co]):
    """A task with one sequence id, which it gets when it is listed.

    Attributes:
        action: What the extension is asked to do.
        id: The sequence id, -1 before it is listed.
        name: The activity or orchestrator it calls; empty for others.
    """

    __slots__ = ("_text", "action", "id", "name")

    action: AnyAction
    id: int
    name: str
    at: int | None
    settled: bool
    through: bool
    decode: Decoder = staticmethod(decode_value)

    def __init__(self, schedule: Schedule, action: AnyAction, name: str = "") -> None:
        # The body of Task.__init__ once more: leaves are made by the thousand, and the extra call shows.
        self.schedule = schedule
        self.settled = self.through = self.failed = False
        self._value = self.at = self._watcher = self._watchers = self._number = None
        self._text: str | None = None
        self.action = action
        self.id = -1
        self.name = name

    @property
    def listed(self) -> bool:
        return self.id >= 0

    @property
    def value(self) -> Any:
        return self._value if self._text is None else self.decode(self._text)

    @property
    def result(self) -> T_co:
        if self._text is not None:
            self._value, self._text = self.decode(self._text), None
        return self._value  # type: ignore[no-any-return]

    @property
    def is_out_of_hand(self) -> bool:
        """Whether it goes on even if nobody waits for it."""
        return self.id >= 0

    def settle_with(self, text: str | None) -> None:
        """Ends the task with a result: where nobody watches it, it is read when it is asked for."""
        if self._watcher is None:
            self._text = text
            self.settled = self.through = True
            self.at = self.schedule.position
            return
        try:
            value = self.decode(text)
        except (PayloadError, TypeError) as error:
            self.settle(error, failed=True)
        else:
            self.settle(value)

    def start(self) -> None:
        if self.id < 0:
            self.schedule.start(self)

    def abandon(self) -> None:
        self.schedule.withdraw(self)


class TypedLeaf(Leaf[T_co]):
    """A leaf whose result is read as a type that code names."""

    __slots__ = ("decode",)

    decode: Decoder

    def __init__(self, schedule: Schedule, action: AnyAction, name: str, decode: Decoder) -> None:
        super().__init__(schedule, action, name)
        self.decode = decode


def leaf_for(schedule: Schedule, action: AnyAction, name: str, decode: Decoder | None) -> Leaf:
    """A leaf whose result is read by `decode`, or as any value where that is None."""
    return Leaf(schedule, action, name) if decode is None else TypedLeaf(schedule, action, name, decode)


class TimerTask(Leaf[None]):
    """A timer of one piece."""

    __slots__ = ("cancelled", "fire_at", "hidden")

    action: CreateTimer
    fire_at: datetime
    cancelled: bool
    hidden: bool

    def __init__(self, schedule: Schedule, fire_at: datetime, *, hidden: bool = False) -> None:
        super().__init__(schedule, CreateTimer(fire_at=format_microseconds(fire_at)))
        self.fire_at = fire_at
        self.cancelled = False
        self.hidden = hidden

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self.cancelled

    @property
    def never_settles(self) -> bool:
        return self.cancelled and not self.settled

    def cancel(self) -> None:
        """Cancels the timer: it never completes, and the orchestration does not wait for it.

        Raises:
            ValueError: The timer has already fired.
        """
        if self.settled:
            raise ValueError("Cannot cancel a completed task.")
        if not self.cancelled:
            self.cancelled = self.through = self.schedule.has_cancelled = True
            self.action = msgspec.structs.replace(self.action, is_canceled=True)
            if self._watcher is not None:
                self.tell_cancelled()

    def start(self) -> None:
        if self.cancelled:
            raise CancelledError("this timer was cancelled")
        if self.id < 0:
            self.schedule.start(self)

    def abandon(self) -> None:
        self.cancel()

    @property
    def is_out_of_hand(self) -> bool:
        return False


class WaitTask(Task[T_co]):
    """A wait for an external event."""

    __slots__ = ("action", "dropped", "entered", "key", "name")

    action: WaitForExternalEvent
    name: str
    at: int | None
    key: str
    entered: bool
    dropped: bool
    decode: Decoder = staticmethod(decode_value)

    def __init__(self, schedule: Schedule, name: str) -> None:
        self.schedule = schedule  # as in Leaf
        self.settled = self.through = self.failed = False
        self._value = self.at = self._watcher = self._watchers = self._number = None
        self.action = WaitForExternalEvent(external_event_name=name)
        self.name = name
        self.key = name.lower()
        self.entered = self.dropped = False

    @property
    def listed(self) -> bool:
        return self.entered

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self.dropped

    @property
    def never_settles(self) -> bool:
        return self.dropped and not self.settled

    def cancel(self) -> None:
        """Gives the wait up: it never completes, and an event that comes later is kept for the next wait.

        Raises:
            ValueError: The event has already come.
        """
        if self.settled:
            raise ValueError("Cannot cancel a completed task.")
        self.dropped = self.schedule.has_cancelled = True

    def start(self) -> None:
        if not self.entered:
            self.dropped = False
            self.schedule.enter(self)

    def abandon(self) -> None:
        self.schedule.leave(self)


class TypedWait(WaitTask[T_co]):
    """A wait whose event is read as a type that code names."""

    __slots__ = ("decode",)

    decode: Decoder

    def __init__(self, schedule: Schedule, name: str, decode: Decoder) -> None:
        super().__init__(schedule, name)
        self.decode = decode


class CompoundTask(Task[T_co]):
    """A task made of tasks.

    Attributes:
        members: The tasks it is made of.
        open: How many of them have not settled.
    """

    __slots__ = ("members", "open")

    members: list[Task]
    open: int

    def __init__(self, schedule: Schedule, members: Sequence[Task]) -> None:
        super().__init__(schedule)
        len(members)  # a generator would be used up by the first look at it
        self.members = list(members)
        self.open = 0
        for member in self.members:
            if getattr(member, "schedule", None) is not schedule:
                raise self._misuse(member)
            member.watch(self)
            self.open += not member.settled

    def _misuse(self, member: object) -> OrchestratorError:
        place = (
            f"member {next(index for index, other in enumerate(self.members) if other is member)} of a compound task"
        )
        if isinstance(member, Task):
            return OrchestratorError(f"{place} belongs to another orchestration instance")
        return OrchestratorError(
            f"{place} is {member!r}, not a task. Pass what the context's methods return, for instance "
            "context.call_activity(...), without yielding it first"
        )

    @property
    def listed(self) -> bool:
        return all(member.listed for member in self.members)

    def start(self) -> None:
        for member in self.members:
            if not member.settled:
                member.start()

    def abandon(self) -> None:
        for member in self.members:
            member.unwatch(self)

    @property
    def never_settles(self) -> bool:
        return not self.settled and any(member.never_settles for member in self.members)


class WhenAllTask(CompoundTask[T_co]):
    """Settles with all results in order, or with the first failure."""

    __slots__ = ()

    def __init__(self, schedule: Schedule, members: Sequence[Task]) -> None:
        super().__init__(schedule, members)
        if self.open < len(self.members):
            failure = next((member for member in self.members if member.failed), None)
            if failure is not None:
                self.settle(failure.value, failed=True)
                return
        if self.open == 0:
            self._settle_with_results()

    def member_settled(self, member: Task) -> None:
        if self.settled:
            return
        self.open -= 1
        if member.failed:
            self.settle(member.value, failed=True)
        elif self.open == 0:
            self._settle_with_results()

    def _settle_with_results(self) -> None:
        self.settle([member.value for member in self.members])


class WhenAllSettledTask(CompoundTask[T_co]):
    """Settles when every member has, with all results in order or with all failures in one group."""

    __slots__ = ()

    def __init__(self, schedule: Schedule, members: Sequence[Task]) -> None:
        super().__init__(schedule, members)
        self._settle_if_all_have()

    def member_settled(self, member: Task) -> None:
        self.open -= 1
        self._settle_if_all_have()

    def _settle_if_all_have(self) -> None:
        if self.open:
            return
        failures = [member.value for member in self.members if member.failed]
        if failures:
            text = f"{len(failures)} of {len(self.members)} tasks failed"
            self.settle(ExceptionGroup(text, failures), failed=True)
        else:
            self.settle([member.value for member in self.members])


class WhenAnyTask(CompoundTask[T_co]):
    """Settles with the first member that settles: the task itself, not its result."""

    __slots__ = ()

    def __init__(self, schedule: Schedule, members: Sequence[Task]) -> None:
        super().__init__(schedule, members)
        if not self.members:
            raise OrchestratorError("task_any was given no tasks, so it could never complete; pass at least one")
        first = next((member for member in self.members if member.settled), None)
        if first is not None:
            self.settle(first)

    @property
    def never_settles(self) -> bool:
        return not self.settled and all(member.never_settles for member in self.members)

    def member_settled(self, member: Task) -> None:
        if not self.settled:
            self.settle(member)


class EventOrTimeoutTask(WhenAnyTask[T_co]):
    """A wait that gives up: the event's payload, or TimeoutError. An event that comes later waits for the next wait."""

    __slots__ = ("_timer", "_wait")

    def __init__(self, schedule: Schedule, wait: WaitTask, timer: TimerTask | LongTimerTask) -> None:
        self._wait = wait
        self._timer = timer
        super().__init__(schedule, [timer, wait])

    def member_settled(self, member: Task) -> None:
        if self.settled:
            return
        if member is self._wait:
            self._timer.cancel()
            self.settle(member.value, failed=member.failed)
        else:
            self._wait.cancel()
            self.settle(TimeoutError(f"event {self._wait.name!r} did not come in time"), failed=True)

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._wait.dropped and not self.settled

    def cancel(self) -> None:
        """Gives the wait up, and its timer: it never completes.

        Raises:
            ValueError: It has ended already.
        """
        if self.settled:
            raise ValueError("Cannot cancel a completed task.")
        self._wait.cancel()
        self._timer.cancel()


class LongTimerTask(Task[None]):
    """A timer longer than the extension's store takes in one piece: a chain of shorter ones.

    For generators it is cut as 1.7.0 does it: intervals while more than the maximum is left, then the rest. Branches
    have nothing of 1.7.0's to match: for them no piece is longer than the interval, so that they rarely need a sync.
    """

    __slots__ = ("_chunk", "fire_at", "first")

    fire_at: datetime
    first: TimerTask

    def __init__(self, schedule: Schedule, fire_at: datetime) -> None:
        super().__init__(schedule)
        self.fire_at = fire_at
        piece = self.piece_after()
        assert piece is not None, "a long timer ends later than now"
        self.first = self._chunk = piece
        piece.watch(self)

    @property
    def listed(self) -> bool:
        return self.first.listed

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._chunk.cancelled

    @property
    def never_settles(self) -> bool:
        return self._chunk.never_settles

    def is_canceled(self) -> bool:
        """Whether `cancel` was called, as 1.7.0 spells it."""
        return self.is_cancelled

    def cancel(self) -> None:
        """Cancels the timer, whichever piece of it is running.

        Raises:
            ValueError: The timer has already fired.
        """
        if self.settled:
            raise ValueError("Cannot cancel a completed task.")
        self._chunk.cancel()
        if self.schedule.loop is None:  # 1.7.0, which goes on with such timers, has no branches
            self.schedule.cut_off[self._chunk] = self

    def piece_after(self) -> TimerTask | None:
        """The piece that follows one that has fired now; None where that was the last."""
        if self.fire_at <= self.schedule.now:
            return None
        limits, now = self.schedule.limits, self.schedule.now
        longest = limits.maximum if self.schedule.loop is None else limits.interval
        return TimerTask(self.schedule, now + limits.interval if self.fire_at - now > longest else self.fire_at)

    def start(self) -> None:
        self.first.start()

    def abandon(self) -> None:
        self._chunk.cancel()

    def member_cancelled(self, member: Task) -> None:
        self.tell_cancelled()

    def member_settled(self, member: Task) -> None:
        piece = self.piece_after()
        if piece is None:
            self.settle(None)
        else:
            self._chunk = piece
            piece.watch(self)
            self.schedule.add_step(piece)


def timer_until(schedule: Schedule, end: datetime) -> TimerTask | LongTimerTask:
    """A timer that fires at `end`, in one piece where the extension's store takes it."""
    return LongTimerTask(schedule, end) if schedule.is_long(end) else TimerTask(schedule, end)
