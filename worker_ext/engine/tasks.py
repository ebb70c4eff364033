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

from collections.abc import Generator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from worker_ext.errors import OrchestratorError
from worker_ext.protocol.actions import AnyAction, CreateTimer, WaitForExternalEvent

if TYPE_CHECKING:
    from worker_ext.engine.schedule import Schedule


class Task:
    """Something an orchestrator can yield.

    Attributes:
        schedule: The schedule of the orchestration it belongs to.
        settled: Whether it has ended, well or badly.
        failed: Whether it has ended badly.
        value: Its result or its error; None before it ends.
        at: The position in history where it ended.
        through: Whether the extension no longer waits for it: it has ended or was cancelled.
    """

    __slots__ = ("_watcher", "_watchers", "at", "failed", "schedule", "settled", "through", "value")

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.settled = self.through = self.failed = False
        self.value: Any = None
        self.at: int | None = None
        self._watcher: Task | None = None
        self._watchers: list[Task] | None = None

    @property
    def is_completed(self) -> bool:
        """Whether the task has ended, well or badly."""
        return self.settled

    @property
    def is_failed(self) -> bool:
        """Whether the task has ended with an error."""
        return self.failed

    @property
    def result(self) -> Any:
        """The value of a completed task; of a failed one the error; None before."""
        return self.value

    def __await__(self) -> Generator[Task, Any, Any]:
        return (yield self)

    def watch(self, watcher: Task) -> None:
        """Has `watcher` told when this task settles."""
        if self._watcher is None:  # nearly every task has one watcher at most, and needs no list for it
            self._watcher = watcher
        elif self._watchers is None:
            self._watchers = [watcher]
        else:
            self._watchers.append(watcher)

    def settle(self, value: Any, *, failed: bool = False) -> None:
        """Ends the task at the current position of the history."""
        self.settled = self.through = True
        self.failed = failed
        self.value = value
        self.at = self.schedule.position
        if self._watcher is not None:
            self._watcher.member_settled(self)
        if self._watchers is not None:
            for watcher in self._watchers:
                watcher.member_settled(self)

    def member_settled(self, member: Task) -> None:
        """Takes note that a member of this task has settled."""
        raise NotImplementedError

    @property
    def listed(self) -> bool:
        """Whether the action list already has everything this task consists of."""
        raise NotImplementedError


class Leaf(Task):
    """A task with one sequence id, which it gets when it is listed.

    Attributes:
        action: What the extension is asked to do.
        id: The sequence id, -1 before it is listed.
        name: The activity or orchestrator it calls; empty for others.
    """

    __slots__ = ("action", "id", "name")

    def __init__(self, schedule: Schedule, action: AnyAction, name: str = "") -> None:
        # The body of Task.__init__ once more: leaves are made by the thousand, and the extra call shows.
        self.schedule = schedule
        self.settled = self.through = self.failed = False
        self.value = self.at = self._watcher = self._watchers = None
        self.action = action
        self.id = -1
        self.name = name

    @property
    def listed(self) -> bool:
        return self.id >= 0


class TimerTask(Leaf):
    """A timer of one piece."""

    __slots__ = ("cancelled", "fire_at", "hidden")

    action: CreateTimer

    def __init__(self, schedule: Schedule, fire_at: datetime, *, hidden: bool = False) -> None:
        super().__init__(
            schedule, CreateTimer(fire_at=fire_at.isoformat(timespec="microseconds").replace("+00:00", "Z"))
        )
        self.fire_at = fire_at
        self.cancelled = False
        self.hidden = hidden

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self.cancelled

    def cancel(self) -> None:
        """Cancels the timer: it never completes, and the orchestration does not wait for it.

        Raises:
            ValueError: The timer has already fired.
        """
        if self.settled:
            raise ValueError("Cannot cancel a completed task.")
        if not self.cancelled:
            self.cancelled = self.through = True
            self.action = msgspec.structs.replace(self.action, is_canceled=True)


class WaitTask(Task):
    """A wait for an external event."""

    __slots__ = ("action", "dropped", "entered", "key", "name")

    def __init__(self, schedule: Schedule, name: str) -> None:
        self.schedule = schedule  # as in Leaf
        self.settled = self.through = self.failed = False
        self.value = self.at = self._watcher = self._watchers = None
        self.action = WaitForExternalEvent(external_event_name=name)
        self.name = name
        self.key = name.lower()
        self.entered = self.dropped = False

    @property
    def listed(self) -> bool:
        return self.entered


class CompoundTask(Task):
    """A task made of tasks.

    Attributes:
        members: The tasks it is made of.
        open: How many of them have not settled.
    """

    __slots__ = ("members", "open")

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


class WhenAllTask(CompoundTask):
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


class WhenAllSettledTask(CompoundTask):
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


class WhenAnyTask(CompoundTask):
    """Settles with the first member that settles: the task itself, not its result."""

    __slots__ = ()

    def __init__(self, schedule: Schedule, members: Sequence[Task]) -> None:
        super().__init__(schedule, members)
        if not self.members:
            raise OrchestratorError("task_any was given no tasks, so it could never complete; pass at least one")
        first = next((member for member in self.members if member.settled), None)
        if first is not None:
            self.settle(first)

    def member_settled(self, member: Task) -> None:
        if not self.settled:
            self.settle(member)


class EventOrTimeoutTask(WhenAnyTask):
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
            self._wait.dropped = True
            self.settle(TimeoutError(f"event {self._wait.name!r} did not come in time"), failed=True)


class LongTimerTask(Task):
    """A timer longer than the extension's store takes in one piece: a chain of shorter ones.

    Cut as 1.7.0 does it: intervals while more than the maximum is left, then the rest.
    """

    __slots__ = ("_chunk", "fire_at", "first")

    def __init__(self, schedule: Schedule, fire_at: datetime) -> None:
        super().__init__(schedule)
        self.fire_at = fire_at
        self.first = self._chunk = self._next_chunk()

    @property
    def listed(self) -> bool:
        return self.first.listed

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._chunk.cancelled

    def cancel(self) -> None:
        """Cancels the timer, whichever piece of it is running.

        Raises:
            ValueError: The timer has already fired.
        """
        if self.settled:
            raise ValueError("Cannot cancel a completed task.")
        self._chunk.cancel()

    def member_settled(self, member: Task) -> None:
        if self.fire_at > self.schedule.now:
            self._chunk = self._next_chunk()
            self.schedule.add_step(self._chunk)
        else:
            self.settle(None)

    def _next_chunk(self) -> TimerTask:
        schedule = self.schedule
        left = self.fire_at - schedule.now
        end = schedule.now + schedule.limits.interval if left > schedule.limits.maximum else self.fire_at
        chunk = TimerTask(schedule, end)
        chunk.watch(self)
        return chunk


def timer_until(schedule: Schedule, end: datetime) -> TimerTask | LongTimerTask:
    """A timer that fires at `end`, in one piece where the extension's store takes it."""
    return LongTimerTask(schedule, end) if schedule.is_long(end) else TimerTask(schedule, end)
