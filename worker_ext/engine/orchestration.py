"""OrchestrationExecutor: one orchestration turn. It is fed the events of a history and asked for its decision.

The executor owns all state of the turn. User code is resumed in one place, `_resume`, when the task it waits for has
settled; it is told of events in the order of history. External events go to the newest waiter of their name, names
ignore case, and events that come before anyone waits are kept in order and delivered once each.

Source: durable-functions JSON protocol, sections 4.1 to 4.8 and 4.11.
"""

from __future__ import annotations

import inspect
import os.path
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Raw, UnsetType

from worker_ext.engine.clock import START
from worker_ext.engine.determinism import ReplaySafeIds, check_scheduled
from worker_ext.engine.generations import is_late_answer, opened, with_continue_as_new
from worker_ext.engine.in_flight import InFlight
from worker_ext.engine.patches import Patches
from worker_ext.engine.schedule import Schedule, TimerLimits
from worker_ext.engine.tasks import Leaf, Task, TimerTask, WaitTask
from worker_ext.errors import NonDeterminismError, OrchestratorError, PayloadError, TaskFailedError, text_of
from worker_ext.protocol import actions, codec
from worker_ext.protocol.codec import decode_value, parse_timespan
from worker_ext.protocol.history import (
    ContinueAsNew,
    Event,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    HistoryEvent,
    HistoryState,
    OrchestratorCompleted,
    OrchestratorStarted,
    ScheduledEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from worker_ext.protocol.orchestrator import OrchestratorRequest, OrchestratorState, ReplaySchema

if TYPE_CHECKING:
    from worker_ext.engine.branches import Branches

Steps = Generator[Any, Any, Any]
"""User code that has been started and can be resumed."""


_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")
"""The folder of this package's own code."""

_NONE = "00:00:00"
"""The limit of a store that has none."""

_CLOSINGS = 100
"""How often code that waits is asked to end: a `finally` may hold that many yields."""


class OrchestrationExecutor:
    """Replays one execution of an orchestrator.

    Args:
        request: The payload of the trigger.

    Attributes:
        schedule: What the code has scheduled so far, and the orchestrator's clock.
        ids: The replay-safe ids of this execution.
        patches: The changes of code that this execution has asked for.
        input: The input as the payload has it: JSON text where a client or an orchestrator of this package gave it.
        custom_status: The custom status as JSON text; None where none is set.
        on_unhandled: Told of the errors of tasks that nobody awaited, the first time that they come up: what happened,
            and the error.
        is_leaving: Whether a generator is being closed for good, since it continues as new.
        has_told_end: Whether an earlier turn has told that this execution is over, which only waits for open work now.
    """

    def __init__(self, request: OrchestratorRequest) -> None:
        self.request = request
        begin, self._last_batch = _batch_bounds(request.history)
        limits = _timer_limits(request.maximum_short_timer_duration, request.long_running_timer_interval_duration)
        self.schedule: Schedule = Schedule(request.instance_id, begin.timestamp, request.schema, limits)
        self.schedule.history = request.history
        self.schedule.on_wait = self._deliver_buffered
        self.input: Any
        self.input, carried = opened(request.input)
        self._carried: dict[str, deque[EventRaised]] = defaultdict(deque)
        if carried:
            self.schedule.on_new_wait = self._deliver_carried
        for event in carried:
            self._carried[event.name.lower()].append(event)
        kinds = set(map(type, request.history))
        if EventSent in kinds:
            self.schedule.in_flight = InFlight(request.history)
        self.ids: ReplaySafeIds = ReplaySafeIds(request.instance_id)
        self.patches: Patches = Patches(self.schedule)
        self.custom_status: str | None = None
        self.encode: Callable[[Any], str] = codec.encode_value
        self.on_unhandled: Callable[[str, BaseException], None] | None = None
        self._begin: Callable[[], Any] = _not_started
        self._steps: Steps | None = None
        self._branches: Branches | None = None
        self._aside: list[tuple[HistoryEvent, int]] | None = None
        self._next_waiter = -1
        self._incoming: Iterator[tuple[HistoryEvent, int]] = iter(())
        self._awaited: Task | None = None
        self._again: actions.ContinueAsNew | None = None
        self._preserve = False
        self._live = False
        self._played = False
        self._running = self._is_closing = False
        self._ended = False
        self.has_told_end: bool = False
        self.is_leaving: bool = False
        self._output: Any = None
        self._error: BaseException | None = None
        self._waiters: dict[str, list[WaitTask]] = defaultdict(list)
        self._buffered: dict[str, deque[tuple[int, EventRaised]]] = defaultdict(deque)
        self._calls: dict[str, Leaf] = {}
        self._positions: Iterator[int] = iter(_positions(request.history)) if ExecutionSuspended in kinds else count()

    # -- fed by the caller -------------------------------------------------------------------------------------------

    def start(self, orchestrator: Callable[[Any], Any], context: object) -> None:
        """Sets the user code; it begins at the ExecutionStarted event."""
        self._begin = lambda: orchestrator(context)

    def receive(self, events: Iterable[HistoryEvent]) -> None:
        """Takes the next events of the history."""
        schedule = self.schedule
        self._incoming = incoming = zip(events, self._positions, strict=False)  # events first: they end first
        if self._branches is not None:
            self._branches.loop.enter()
        try:
            if self._aside is not None:
                self._set_aside()
            for event, schedule.position in incoming:
                receiver = _RECEIVERS[type(event)]
                if receiver is not None:
                    receiver(self, event)
        finally:
            if self._branches is not None:
                self._branches.loop.exit()

    def state(self) -> OrchestratorState:
        """The decision after the events so far."""
        self._end_stuck()
        if self._branches is not None:
            self._branches.report(is_over=self._ended)
        self._is_closing = True
        self._let_go()
        self._is_closing = False
        output = self._encoded_output()
        error = self.error
        return OrchestratorState(
            is_done=self._ended and error is None and self.schedule.section is None,
            actions=self._actions(failed=error is not None),
            output=UNSET if output is None or self.schedule.section is not None else Raw(output.encode()),
            error=UNSET if error is None else text_of(error),
            custom_status=UNSET if self.custom_status is None else Raw(self.custom_status.encode()),
            schema_version=self._schema_version(),
        )

    def close(self) -> None:
        """Cuts what holds this executor in a circle, so that it is freed when the caller lets go of it."""
        self._let_go()
        self._begin = _not_started
        self._branches = self._awaited = self._error = None
        self._incoming = iter(())
        for waiters in self._waiters.values():
            for wait in waiters:
                wait.unlink()
        self._waiters.clear()
        self._calls.clear()
        self.schedule.close()

    def _schema_version(self) -> int | UnsetType:
        """The schema of the reply: V4 adds only locks to V3, so without them V3 says the same to more extensions."""
        if self.schedule.schema is ReplaySchema.V1:
            return UNSET
        return self.schedule.schema if self.schedule.has_locked else min(self.schedule.schema, ReplaySchema.V3)

    @property
    def is_running(self) -> bool:
        """Whether user code is being run."""
        return self._running

    @property
    def error(self) -> BaseException | None:
        """What the orchestrator has failed with; None while it still has to leave a critical section."""
        return None if self.schedule.section is not None else self._error

    @property
    def is_replaying(self) -> bool:
        """Whether the code that runs now has run in an earlier turn."""
        return self._played or not self._live

    @property
    def is_news(self) -> bool:
        """Whether what happens now is no replay, and no code that is only closed until the next turn."""
        return self._live and not self._played and not self._is_closing

    # -- used by the context -----------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Refuses calls of the context outside the orchestrator's own turn.

        Raises:
            OrchestratorError: The orchestrator is not running.
        """
        if not self._running:
            raise OrchestratorError(
                f"the context of instance {self.request.instance_id!r} was used while its orchestrator was not "
                "running: after it ended, in a `finally` that runs when it is let go, in a retry handler, or from a "
                "thread. Use it only from the orchestrator itself"
            )

    def signal(
        self, action: actions.SignalEntity | actions.ScheduledSignalEntity, *, closes_generation: bool = False
    ) -> Task:
        """Sends a message that nothing answers; the task it returns is complete.

        Args:
            action: The message.
            closes_generation: Send it also after `continue_as_new`. Generators send nothing then, as under 1.7.0;
                `async def` code is run on to its end, and so is what it sends in a `finally`.
        """
        leaf = Leaf(self.schedule, action)
        if self._again is None or closes_generation or self._branches is not None:
            self.schedule.list_signal(leaf)
        leaf.settled = leaf.through = True
        return leaf

    def continue_as_new(self, input_text: str, *, preserve: bool) -> None:
        """Ends this generation at the next yield; the first call counts.

        Args:
            input_text: The input of the next generation, as JSON text.
            preserve: Whether events go into the input that the extension would lose.
        """
        if self._again is None:
            self._again = actions.ContinueAsNew(input=input_text)
            self._preserve = preserve
            if self._branches is not None:
                self._branches.leave()

    @property
    def continues_as_new(self) -> bool:
        """Whether `continue_as_new` was called."""
        return self._again is not None

    # -- user code ---------------------------------------------------------------------------------------------------

    def _started(self, event: ExecutionStarted) -> None:
        if self._steps is not None or self._ended:
            return
        self._played = event.is_played
        self._running = True
        try:
            outcome = self._begin()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is the orchestrator's failure
            self._end(error=_failure_of(error))
            return
        finally:
            self._running = False
        if inspect.iscoroutine(outcome):
            self._branch(outcome)
        elif inspect.isasyncgen(outcome):
            self._end(
                error=OrchestratorError(
                    "the orchestrator is an asynchronous generator: it is written with `async def` and yields. Replace "
                    "`yield` by `await`, or `async def` by `def`"
                )
            )
        elif inspect.isgenerator(outcome):
            self._steps = outcome
            begin = Task(self.schedule)
            begin.settle(None)
            self._resume(begin)
        else:
            self._end(output=outcome)

    def _resume(self, task: Task) -> None:
        """Runs user code from a settled task on, until it waits for something that has not settled."""
        steps, schedule = self._steps, self.schedule
        assert steps is not None
        self._running = True
        try:
            while True:
                try:
                    value, failed = task.value, task.failed
                except (PayloadError, TypeError) as error:  # the result is no value of the expected type
                    value, failed = error, True
                task = steps.throw(value) if failed else steps.send(value)
                if self._again is not None:
                    self._leave()
                    return
                if getattr(task, "schedule", None) is not schedule:
                    task = self._failed_with(self._misuse(task))
                    continue
                try:
                    if schedule.has_cancelled and task.never_settles:
                        raise _cancelled_before()
                    schedule.list_task(task)
                except OrchestratorError as misuse:
                    task = self._failed_with(misuse)
                if not task.settled:
                    self._awaited = task
                    return
        except StopIteration as stop:
            self._end(output=stop.value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is the orchestrator's failure
            self._end(error=_failure_of(error))
        finally:
            self._running = False

    def _leave(self) -> None:
        """Ends a generator that continues as new: its `with` blocks may give back what they hold, and no more."""
        self._running, self._is_closing, self.is_leaving = False, True, True
        self._let_go()
        self._is_closing = self.is_leaving = False
        if not self._ended:
            self._end()

    def _failed_with(self, error: OrchestratorError) -> Task:
        """A task that raises an error where the code has yielded."""
        task = Task(self.schedule)
        task.settle(error, failed=True)
        return task

    def _misuse(self, task: object) -> OrchestratorError:
        """What is wrong with a yielded value that is no task of this orchestration."""
        if isinstance(task, Task):
            return OrchestratorError("the orchestrator yielded a task of another orchestration instance")
        return OrchestratorError(
            f"the orchestrator yielded {task!r}, which is not a task, so it would never go on. {_instead_of(task)}"
        )

    def _wake(self) -> None:
        """Resumes user code if what it waits for has settled."""
        awaited = self._awaited
        if awaited is not None and awaited.settled:
            self._awaited = None
            self._resume(awaited)
        elif (branches := self._branches) is not None and not self._ended:
            self._run_branches(branches)

    def _branch(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Starts an `async def` orchestrator."""
        from worker_ext.engine.branches import Branches

        if self.schedule.schema < ReplaySchema.V2:
            coroutine.close()
            self._end(
                error=OrchestratorError(
                    "`async def` orchestrators need version 2.7 of the Durable extension or newer: it must offer "
                    "schema V2. Raise the extension bundle's version in host.json, or write a generator"
                )
            )
            return
        self.schedule.on_leave = self._forget
        self._next_waiter = 0
        self._branches = Branches(self.schedule, coroutine)
        self._branches.loop.on_unhandled = self._unhandled
        self._branches.loop.enter()
        self._run_branches(self._branches)

    def _run_branches(self, branches: Branches) -> None:
        """Runs `async def` code until all of it waits."""
        self._running = True
        try:
            if branches.run():
                self._end(output=branches.output, error=branches.error)
        except OrchestratorError as error:  # the loop itself gave up
            self._end(error=error)
        except SystemExit as error:
            self._end(error=_failure_of(error))
        finally:
            self._running = False

    def _unhandled(self, message: str, error: BaseException) -> None:
        if self.on_unhandled is not None and not self.is_replaying:
            self.on_unhandled(message, error)

    def _end_stuck(self) -> None:
        """Fails `async def` code that waits although nothing is under way that could ever wake it."""
        for _ in range(_CLOSINGS):
            if self._branches is None or self._ended or self._aside is not None or self._expects():
                return
            self._branches.loop.enter()
            try:
                error = self._branches.fail_stuck()
                self._run_branches(self._branches)
            finally:
                self._branches.loop.exit()
        self._end(error=error)

    def _expects(self) -> bool:
        """Whether anything is under way that will wake the code."""
        return self.schedule.expects or any(not wait.dropped for waiters in self._waiters.values() for wait in waiters)

    def _end(self, *, output: Any = None, error: BaseException | None = None) -> None:
        self._ended = True
        self._awaited = None
        self._output = output
        self._error = error
        self.schedule.end()
        self._leave_section()

    def _leave_section(self) -> None:
        """Releases what code that has ended left locked, as soon as no answer is outstanding."""
        section = self.schedule.section
        if section is not None and (self._ended or section.is_left) and not section.busy:
            self.schedule.release(section.ids)

    def _let_go(self) -> None:
        """Closes code that waits; the next turn replays it. A `finally` that yields is closed yield by yield."""
        if self._branches is None and self._steps is None:
            return
        location = self._location()
        if self._branches is not None and not self._branches.let_go():
            self._refuse_to_wait(location)
        steps, self._steps = self._steps, None
        if steps is None:
            return
        for _ in range(_CLOSINGS):
            try:
                steps.close()
            except RuntimeError:  # it yielded instead of ending
                continue
            except Exception:  # noqa: BLE001 - the turn is over: what a `finally` raises has no effect on it
                return
            else:
                return
        self._refuse_to_wait(location)

    def _refuse_to_wait(self, location: str | None) -> None:
        """Fails code that cannot be let go. What it began to wait for is not started: it would only do so again."""
        self.schedule.take_back({event.event_id for event in self.request.history if isinstance(event, ScheduledEvent)})
        self._end(error=_never_let_go(location))

    # -- events ------------------------------------------------------------------------------------------------------

    def _new_batch(self, event: OrchestratorStarted) -> None:
        schedule = self.schedule
        schedule.clock.begin_batch((schedule.position, event.timestamp))
        if event is self._last_batch:
            if self._branches is not None:
                self._branches.loop.let_go_of_ended()
            self._live = True
            self.has_told_end = self._ended and schedule.section is None

    def _task_scheduled(self, event: TaskScheduled) -> None:
        leaves, leaf_id = self.schedule.leaves, event.event_id
        if 0 <= leaf_id < len(leaves):
            leaf = leaves[leaf_id]
            if leaf.name == event.name and isinstance(leaf.action, actions.CallActivity):
                return
        self._check(event)

    def _child_created(self, event: SubOrchestrationInstanceCreated) -> None:
        leaf = self._leaf(event.event_id)
        if leaf is None or leaf.name != event.name or not isinstance(leaf.action, actions.CallSubOrchestrator):
            self._check(event)

    def _timer_created(self, event: TimerCreated) -> None:
        leaves, leaf_id = self.schedule.leaves, event.event_id
        if leaf_id == len(leaves) and self.schedule.cut_off:
            self.schedule.list_expected(None)
        if not (0 <= leaf_id < len(leaves) and isinstance(leaves[leaf_id], TimerTask)):
            self._check(event)

    def _task_completed(self, event: TaskCompleted | SubOrchestrationInstanceCompleted) -> None:
        leaves, leaf_id = self.schedule.leaves, event.task_scheduled_id
        if leaf_id >= len(leaves) or (leaf := leaves[leaf_id]).through:
            return
        self._played = event.is_played
        leaf.settle_with(event.result)
        self._wake()

    def _task_failed(self, event: TaskFailed | SubOrchestrationInstanceFailed) -> None:
        leaf = self._leaf(event.task_scheduled_id)
        if leaf is None or leaf.through:
            return
        self._played = event.is_played
        leaf.settle(_failure(leaf.name, event), failed=True)
        self._wake()

    def _timer_fired(self, event: TimerFired) -> None:
        leaves, leaf_id = self.schedule.leaves, event.timer_id
        if leaf_id >= len(leaves) or (leaf := leaves[leaf_id]).through:
            if self.schedule.cut_off:
                self.schedule.follow_cut_off(leaf_id)
            return
        if self.schedule.cut_by_host and self.schedule.is_piece(leaf, event.fire_at):
            return
        self._played = event.is_played
        leaf.settle(None)
        self._wake()

    def _suspended(self, event: ExecutionSuspended) -> None:
        """Branches are told of messages as the extension takes them: when the orchestration is resumed."""
        if self._branches is not None:
            self._aside = []
            self._set_aside()

    def _set_aside(self) -> None:
        """Sets messages aside until the orchestration is resumed, and then takes them in order."""
        aside, schedule = self._aside, self.schedule
        assert aside is not None
        for event, position in self._incoming:
            if isinstance(event, _SET_ASIDE):
                aside.append((event, position))
                continue
            schedule.position = position
            if isinstance(event, ExecutionResumed):
                self._aside = None
                for message, schedule.position in aside:
                    self._take(message)
                return
            self._take(event)

    def _take(self, event: HistoryEvent) -> None:
        receiver = _RECEIVERS[type(event)]
        if receiver is not None and not isinstance(event, ExecutionSuspended):
            receiver(self, event)

    def _raise_event(self, event: EventRaised) -> None:
        if self._calls and event.name in self._calls:
            self._answer(self._calls[event.name], event)
            return
        name = event.name.lower()
        waiters = None if self._ended else self._waiters.get(name)
        while waiters:
            wait = waiters.pop(self._next_waiter)
            if not wait.dropped:
                self._played = event.is_played
                self._hand_over(wait, self.schedule.position, event)
                self._wake()
                return
        self._buffered[name].append((self.schedule.position, event))

    def _deliver_carried(self, wait: WaitTask) -> bool:
        """Gives a wait the oldest event that came in the input. The extension knows nothing of it: it is not listed."""
        carried = self._carried.get(wait.key)
        if not carried:
            return False
        self._hand_over(wait, START, carried.popleft())
        wait.entered = True
        return True

    def _deliver_buffered(self, wait: WaitTask) -> None:
        """Gives a wait that was just listed the oldest event that came before it, or puts it in the queue."""
        if self._buffered.get(wait.key):
            position, event = self._buffered[wait.key].popleft()
            self._hand_over(wait, position, event)
        else:
            self._waiters[wait.key].append(wait)

    def _forget(self, wait: WaitTask) -> None:
        """Takes a wait that the code gave up out of the queue."""
        waiters = self._waiters[wait.key]
        if wait in waiters:
            waiters.remove(wait)

    def _hand_over(self, wait: WaitTask, position: int, event: EventRaised) -> None:
        try:
            value = wait.decode(event.input)
        except (PayloadError, TypeError) as error:
            wait.settle(error, failed=True)
        else:
            wait.settle(value)
        wait.at = position
        if wait.entered:
            self.schedule.consume(wait)

    def _event_sent(self, event: EventSent) -> None:
        self._check(event)
        leaf = self._leaf(event.event_id)
        if leaf is not None and isinstance(leaf.action, actions.CallEntity | actions.LockEntities):
            self._calls[str(self._message(event).get("id"))] = leaf

    def _answer(self, leaf: Leaf, event: EventRaised) -> None:
        """Settles a call of an entity with its answer."""
        if leaf.settled:
            return
        self._played = event.is_played
        answer = self._message(event)
        is_call = isinstance(leaf.action, actions.CallEntity)
        failed = "exceptionType" in answer
        try:
            value = (decode_value if failed else leaf.decode)(answer.get("result")) if is_call else None
        except (PayloadError, TypeError) as error:
            leaf.settle(error, failed=True)
        else:
            if failed:
                operation = getattr(leaf.action, "operation", "")
                value = TaskFailedError(operation, str(value), text=str(value), error_message=str(value))
            leaf.settle(value, failed=failed)
        self._wake()
        self._leave_section()

    def _message(self, event: EventSent | EventRaised) -> dict[str, Any]:
        """What an event to or from an entity carries.

        Raises:
            PayloadError: It is not a JSON object.
        """
        try:
            message = codec.decode_json(event.input or "{}")
        except ValueError:
            message = None
        if not isinstance(message, dict):
            where = f"$.history[{self.schedule.position}].Input"
            raise PayloadError(where, f"expected the message of an entity as a JSON object, found {event.input!r}")
        return message

    # -- determinism -------------------------------------------------------------------------------------------------

    def _check(self, event: ScheduledEvent) -> None:
        """Compares an event with the leaf of its id; where they differ the orchestration fails."""
        try:
            check_scheduled(event, self._leaf(event.event_id), self._location(), self._ending())
        except NonDeterminismError as error:
            if not isinstance(self._error, NonDeterminismError):
                error.__cause__ = self._error
                self._end(error=error)

    def _ending(self) -> str | None:
        """How user code has ended; None while it has not."""
        if self._error is not None:
            return f"with {type(self._error).__name__}: {text_of(self._error)}"
        if self._again is not None:
            return "by continue_as_new"
        return "by returning" if self._ended else None

    def _leaf(self, leaf_id: int) -> Leaf | None:
        leaves = self.schedule.leaves
        return leaves[leaf_id] if 0 <= leaf_id < len(leaves) else None

    def _location(self) -> str | None:
        """The source line at which user code waits; lines of this package, as in a flow helper, are not it."""
        steps: Any = self._steps if self._branches is None else self._branches.coroutine
        line = None
        while steps is not None:
            frame = getattr(steps, "gi_frame", None) or getattr(steps, "cr_frame", None)
            if frame is None:
                break
            if not frame.f_code.co_filename.startswith(_PACKAGE):
                line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            steps = getattr(steps, "gi_yieldfrom", None) or getattr(steps, "cr_await", None)
        return line

    # -- the reply ---------------------------------------------------------------------------------------------------

    def _actions(self, *, failed: bool) -> list[list[actions.AnyAction]]:
        if self._again is None or failed or not self._ended:
            return self.schedule.actions(ending=self._ended)
        if self.schedule.schema is ReplaySchema.V1:
            return [*self.schedule.actions(ending=True), [self._again]]
        carried = [(START, event) for events in self._carried.values() for event in events]
        raised = [entry for entries in self._buffered.values() for entry in entries if not is_late_answer(entry[1])]
        unconsumed = sorted([*carried, *raised], key=lambda entry: entry[0])
        elements = self.schedule.last_elements()
        return [with_continue_as_new(elements, self._again, unconsumed, preserve=self._preserve)]

    def _encoded_output(self) -> str | None:
        if self._error is not None or self._output is None:
            return None
        try:
            return self.encode(self._output)
        except (TypeError, ValueError) as error:
            self._error = error
            return None


_SET_ASIDE = (
    TaskCompleted,
    TaskFailed,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
    TimerFired,
    EventRaised,
)
"""The events that the extension sets aside while an orchestration is suspended."""

_RECEIVERS: dict[type[Event], Callable[[OrchestrationExecutor, Any], None] | None] = {
    TaskCompleted: OrchestrationExecutor._task_completed,
    TaskScheduled: OrchestrationExecutor._task_scheduled,
    TaskFailed: OrchestrationExecutor._task_failed,
    OrchestratorStarted: OrchestrationExecutor._new_batch,
    TimerCreated: OrchestrationExecutor._timer_created,
    TimerFired: OrchestrationExecutor._timer_fired,
    SubOrchestrationInstanceCreated: OrchestrationExecutor._child_created,
    SubOrchestrationInstanceCompleted: OrchestrationExecutor._task_completed,
    SubOrchestrationInstanceFailed: OrchestrationExecutor._task_failed,
    EventRaised: OrchestrationExecutor._raise_event,
    EventSent: OrchestrationExecutor._event_sent,
    ExecutionStarted: OrchestrationExecutor._started,
    ExecutionSuspended: OrchestrationExecutor._suspended,
    **dict.fromkeys(
        (
            OrchestratorCompleted,
            ExecutionResumed,
            ExecutionTerminated,
            ExecutionCompleted,
            ExecutionFailed,
            ExecutionRewound,
            ContinueAsNew,
            GenericEvent,
            HistoryState,
        ),
    ),
}
"""What to do with each kind of event, None for nothing: every kind is here, which a test makes sure of."""


def _not_started() -> None:
    raise OrchestratorError("the executor was fed events before it was started")


def _cancelled_before() -> OrchestratorError:
    """What code fails with where it would wait for something it has cancelled."""
    return OrchestratorError(
        "the orchestrator yielded a task that was cancelled, or one that cannot complete without a cancelled one, so "
        "it would never go on. Yield it before `cancel()`, or make a new task"
    )


def _instead_of(value: object) -> str:
    """What to write instead of yielding a value that is no task."""
    if inspect.iscoroutine(value) or hasattr(value, "get_loop"):  # or a future
        return "A generator cannot run asyncio: write the orchestrator as `async def`, and await it there"
    if hasattr(value, "__await__") and hasattr(value, "__iter__"):
        return "Use it with `yield from`"
    if hasattr(value, "__aenter__"):
        return "Only `async def` orchestrators can enter it: `yield context.lock_entities(...)` gives a generator locks"
    return (
        "Yield what the context's methods return, for instance `yield context.call_activity(...)`; for several tasks "
        "yield context.task_all([...]) or context.task_any([...])"
    )


def _never_let_go(location: str | None) -> OrchestratorError:
    """What code fails with that cannot be closed between two turns."""
    return OrchestratorError(
        f"the orchestrator at {location} goes on when it is told to end: it catches GeneratorExit, perhaps by a bare "
        "`except:` in a loop, so it can never be let go between two turns. Catch Exception instead"
    )


def _failure_of(error: BaseException) -> BaseException:
    """What an orchestrator has failed with that raised `error`; one that tries to end the process only ends itself."""
    if not isinstance(error, SystemExit):
        return error
    failure = OrchestratorError(
        f"the orchestrator raised SystemExit({error.code!r}), as sys.exit() does. Return, or raise an error of your own"
    )
    failure.__cause__ = error
    return failure


def _failure(name: str, event: TaskFailed | SubOrchestrationInstanceFailed) -> TaskFailedError:
    """What a failed activity or sub-orchestration raises; a structured account of it is preferred."""
    reason, details = event.reason or "", event.failure_details
    if details is None:
        return TaskFailedError(name, reason, event.details)
    return TaskFailedError(
        name,
        reason,
        event.details if event.details is not None else details.stack_trace,
        text=f"{reason} \n {event.details}",
        error_type=details.error_type,
        error_message=details.error_message,
        properties=details.properties,
    )


@lru_cache(maxsize=8)  # one store has the same for every turn
def _timer_limits(maximum: str | None, interval: str | None) -> TimerLimits:
    return TimerLimits(parse_timespan(maximum or _NONE), parse_timespan(interval or _NONE))


def _batch_bounds(events: list[HistoryEvent]) -> tuple[OrchestratorStarted, OrchestratorStarted]:
    """The events that open the first and the last batch."""
    first = _first_batch(events)
    last = _first_batch(reversed(events))
    if first is None or last is None:
        raise PayloadError("$.history", "expected an OrchestratorStarted event (EventType 12), found none")
    return first, last


def _first_batch(events: Iterable[HistoryEvent]) -> OrchestratorStarted | None:
    return next((event for event in events if isinstance(event, OrchestratorStarted)), None)


def _positions(events: list[HistoryEvent]) -> Sequence[int]:
    """The position of each event: its place in the order in which the extension takes them.

    While suspended the extension sets messages aside, and takes them in order when the orchestration is resumed.
    Without a suspension it is the place in the history.
    """
    taken: list[int] = []
    aside: list[int] | None = None
    for index, event in enumerate(events):
        if aside is not None and isinstance(event, _SET_ASIDE):
            aside.append(index)
            continue
        taken.append(index)
        if isinstance(event, ExecutionSuspended):
            aside = [] if aside is None else aside
        elif isinstance(event, ExecutionResumed) and aside is not None:
            taken += aside
            aside = None
    taken += aside or ()
    positions = [0] * len(events)
    for position, index in enumerate(taken):
        positions[index] = position
    return positions
