"""OrchestrationExecutor: one orchestration turn. It is fed the events of a history and asked for its decision.

The executor owns all state of the turn. User code is resumed in one place, `_resume`, when the task it waits for has
settled; it is told of events in the order of history. External events go to the newest waiter of their name, names
ignore case, and events that come before anyone waits are kept in order and delivered once each.

Source: durable-functions JSON protocol, sections 4.1 to 4.8 and 4.11.
"""

from __future__ import annotations

import inspect
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from typing import Any

from msgspec import UNSET, Raw, UnsetType

from worker_ext.engine.clock import START
from worker_ext.engine.determinism import ReplaySafeIds, ScheduledEvent, check_scheduled
from worker_ext.engine.generations import opened, with_continue_as_new
from worker_ext.engine.in_flight import InFlight
from worker_ext.engine.schedule import Schedule, TimerLimits
from worker_ext.engine.tasks import Leaf, Task, TimerTask, WaitTask
from worker_ext.errors import NonDeterminismError, OrchestratorError, PayloadError, TaskFailedError
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

Steps = Generator[Any, Any, Any] | Coroutine[Any, Any, Any]
"""User code that has been started and can be resumed."""


_CLOSINGS = 100
"""How often code that waits is asked to end before it is left to the garbage collector."""


class OrchestrationExecutor:
    """Replays one execution of an orchestrator.

    Args:
        request: The payload of the trigger.

    Attributes:
        schedule: What the code has scheduled so far, and the orchestrator's clock.
        ids: The replay-safe ids of this execution.
        input: The input as the payload has it: JSON text where a client or an orchestrator of this package gave it.
        custom_status: The custom status as JSON text; None where none is set.
    """

    def __init__(self, request: OrchestratorRequest) -> None:
        self.request = request
        begin, self._last_batch = _batch_bounds(request.history)
        self.schedule = Schedule(request.instance_id, begin.timestamp, request.schema, _timer_limits(request))
        self.schedule.on_wait = self._deliver_buffered
        self.input, carried = opened(request.input)
        self._carried: dict[str, deque[EventRaised]] = defaultdict(deque)
        if carried:
            self.schedule.on_new_wait = self._deliver_carried
        for event in carried:
            self._carried[event.name.lower()].append(event)
        if _has_any(request.history, EventSent):
            self.schedule.in_flight = InFlight(request.history)
        self.ids = ReplaySafeIds(request.instance_id)
        self.custom_status: str | None = None
        self._begin: Callable[[], Any] = _not_started
        self._steps: Steps | None = None
        self._awaited: Task | None = None
        self._again: actions.ContinueAsNew | None = None
        self._preserve = False
        self._live = False
        self._played = False
        self._running = False
        self._ended = False
        self._output: Any = None
        self._error: BaseException | None = None
        self._waiters: dict[str, list[WaitTask]] = defaultdict(list)
        self._buffered: dict[str, deque[tuple[int, EventRaised]]] = defaultdict(deque)
        self._calls: dict[str, Leaf] = {}
        self._next_position = iter(_positions(request.history)).__next__

    # -- fed by the caller -------------------------------------------------------------------------------------------

    def start(self, orchestrator: Callable[[Any], Any], context: object) -> None:
        """Sets the user code; it begins at the ExecutionStarted event."""
        self._begin = lambda: orchestrator(context)

    def receive(self, events: Iterable[HistoryEvent]) -> None:
        """Takes the next events of the history."""
        schedule, next_position = self.schedule, self._next_position
        for event in events:
            schedule.position = next_position()
            receiver = _RECEIVERS[type(event)]
            if receiver is not None:
                receiver(self, event)

    def state(self) -> OrchestratorState:
        """The decision after the events so far."""
        self._let_go()
        output = self._encoded_output()
        error = self.error
        return OrchestratorState(
            is_done=self._ended and error is None and self.schedule.section is None,
            actions=self._actions(failed=error is not None),
            output=UNSET if output is None else Raw(output.encode()),
            error=UNSET if error is None else _text_of(error),
            custom_status=UNSET if self.custom_status is None else Raw(self.custom_status.encode()),
            schema_version=self._schema_version(),
        )

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

    # -- used by the context -----------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Refuses calls of the context outside the orchestrator's own turn.

        Raises:
            OrchestratorError: The orchestrator is not running.
        """
        if not self._running:
            raise OrchestratorError(
                f"the context of instance {self.request.instance_id!r} was used while its orchestrator was not "
                "running: after it ended, in a `finally` that runs when it is let go, or from a thread. Use it only "
                "from the orchestrator itself"
            )

    def signal(self, action: actions.SignalEntity) -> Task:
        """Sends a message that nothing answers; the task it returns is complete."""
        leaf = Leaf(self.schedule, action)
        if self._again is None:
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
        except Exception as error:  # noqa: BLE001 - whatever user code raises is the orchestrator's failure
            self._end(error=error)
            return
        finally:
            self._running = False
        if inspect.isgenerator(outcome) or inspect.iscoroutine(outcome):
            self._steps = outcome
            self._resume(None, False)
        else:
            self._end(output=outcome)

    def _resume(self, value: Any, failed: bool) -> None:
        """Runs user code until it waits for something that has not settled."""
        steps, schedule = self._steps, self.schedule
        assert steps is not None
        self._running = True
        try:
            while True:
                task = steps.throw(value) if failed else steps.send(value)
                if self._again is not None:
                    self._end()
                    return
                if not isinstance(task, Task) or task.schedule is not schedule:
                    value, failed = self._misuse(task), True
                    continue
                try:
                    schedule.list_task(task)
                except OrchestratorError as misuse:
                    value, failed = misuse, True
                    continue
                if not task.settled:
                    self._awaited = task
                    return
                value, failed = task.value, task.failed
        except StopIteration as stop:
            self._end(output=stop.value)
        except Exception as error:  # noqa: BLE001 - whatever user code raises is the orchestrator's failure
            self._end(error=error)
        finally:
            self._running = False

    def _misuse(self, task: object) -> OrchestratorError:
        """What is wrong with a yielded value that is no task of this orchestration."""
        if isinstance(task, Task):
            return OrchestratorError("the orchestrator yielded a task of another orchestration instance")
        return OrchestratorError(
            f"the orchestrator yielded {task!r}, which is not a task, so it would never go on. Yield what the "
            "context's methods return, for instance `yield context.call_activity(...)`; for several tasks yield "
            "context.task_all([...]) or context.task_any([...])"
        )

    def _wake(self) -> None:
        """Resumes user code if what it waits for has settled."""
        awaited = self._awaited
        if awaited is not None and awaited.settled:
            self._awaited = None
            self._resume(awaited.value, awaited.failed)

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
        if self._ended and section is not None and not section.busy:
            self.schedule.release(section.ids)

    def _let_go(self) -> None:
        """Closes code that waits; the next turn replays it. A `finally` that yields is closed yield by yield."""
        steps, self._steps = self._steps, None
        for _ in range(_CLOSINGS):
            if steps is None:
                return
            try:
                steps.close()
            except RuntimeError:  # it yielded instead of ending
                continue
            except Exception:  # noqa: BLE001 - the turn is over: what a `finally` raises has no effect on it
                return
            else:
                return

    # -- events ------------------------------------------------------------------------------------------------------

    def _new_batch(self, event: OrchestratorStarted) -> None:
        self.schedule.clock.begin_batch((self.schedule.position, event.timestamp))
        if event is self._last_batch:
            self._live = True

    def _task_scheduled(self, event: TaskScheduled) -> None:
        leaf = self._leaf(event.event_id)
        if leaf is None or leaf.name != event.name or not isinstance(leaf.action, actions.CallActivity):
            self._check(event)

    def _child_created(self, event: SubOrchestrationInstanceCreated) -> None:
        leaf = self._leaf(event.event_id)
        if leaf is None or leaf.name != event.name or not isinstance(leaf.action, actions.CallSubOrchestrator):
            self._check(event)

    def _timer_created(self, event: TimerCreated) -> None:
        if not isinstance(self._leaf(event.event_id), TimerTask):
            self._check(event)

    def _task_completed(self, event: TaskCompleted | SubOrchestrationInstanceCompleted) -> None:
        leaf = self._leaf(event.task_scheduled_id)
        if leaf is None or leaf.through:
            return
        self._played = event.is_played
        try:
            value = decode_value(event.result)
        except PayloadError as error:
            leaf.settle(error, failed=True)
        else:
            leaf.settle(value)
        self._wake()

    def _task_failed(self, event: TaskFailed | SubOrchestrationInstanceFailed) -> None:
        leaf = self._leaf(event.task_scheduled_id)
        if leaf is None or leaf.through:
            return
        self._played = event.is_played
        leaf.settle(_failure(leaf.name, event), failed=True)
        self._wake()

    def _timer_fired(self, event: TimerFired) -> None:
        leaf = self._leaf(event.timer_id)
        if leaf is None or leaf.through:
            return
        self._played = event.is_played
        leaf.settle(None)
        self._wake()

    def _raise_event(self, event: EventRaised) -> None:
        if event.name in self._calls:
            self._answer(self._calls[event.name], event)
            return
        name = event.name.lower()
        waiters = None if self._ended else self._waiters.get(name)
        while waiters:
            wait = waiters.pop()
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

    def _hand_over(self, wait: WaitTask, position: int, event: EventRaised) -> None:
        try:
            wait.settle(decode_value(event.input))
        except PayloadError as error:
            wait.settle(error, failed=True)
        wait.at = position
        if wait.listed:
            self.schedule.consume(wait)

    def _event_sent(self, event: EventSent) -> None:
        self._check(event)
        leaf = self._leaf(event.event_id)
        if leaf is not None and isinstance(leaf.action, actions.CallEntity | actions.LockEntities):
            request = codec.decode_json(event.input or "{}")
            self._calls[str(request.get("id"))] = leaf

    def _answer(self, leaf: Leaf, event: EventRaised) -> None:
        """Settles a call of an entity with its answer."""
        if leaf.settled:
            return
        self._played = event.is_played
        answer = codec.decode_json(event.input or "{}")
        is_call = isinstance(leaf.action, actions.CallEntity)
        value = decode_value(answer.get("result")) if is_call else None
        if "exceptionType" in answer:
            operation = getattr(leaf.action, "operation", "")
            leaf.settle(TaskFailedError(operation, str(value), text=str(value)), failed=True)
        else:
            leaf.settle(value)
        self._wake()
        self._leave_section()

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
            return f"with {type(self._error).__name__}: {self._error}"
        if self._again is not None:
            return "by continue_as_new"
        return "by returning" if self._ended else None

    def _leaf(self, leaf_id: int) -> Leaf | None:
        leaves = self.schedule.leaves
        return leaves[leaf_id] if leaf_id < len(leaves) else None

    def _location(self) -> str | None:
        """The source line at which user code waits."""
        steps: Any = self._steps
        line = None
        while steps is not None:
            frame = getattr(steps, "gi_frame", None) or getattr(steps, "cr_frame", None)
            if frame is None:
                break
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
        raised = [entry for entries in self._buffered.values() for entry in entries]
        unconsumed = sorted([*carried, *raised], key=lambda entry: entry[0])
        elements = self.schedule.last_elements()
        return [with_continue_as_new(elements, self._again, unconsumed, preserve=self._preserve)]

    def _encoded_output(self) -> str | None:
        if self._error is not None or self._output is None:
            return None
        try:
            return codec.encode_value(self._output)
        except (TypeError, ValueError) as error:
            self._error = error
            return None


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
    **dict.fromkeys(
        (
            OrchestratorCompleted,
            ExecutionSuspended,
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


def _text_of(error: BaseException) -> str:
    return str(error) or type(error).__name__


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


def _timer_limits(request: OrchestratorRequest) -> TimerLimits:
    return TimerLimits(
        maximum=parse_timespan(request.maximum_short_timer_duration or "00:00:00"),
        interval=parse_timespan(request.long_running_timer_interval_duration or "00:00:00"),
    )


def _batch_bounds(events: list[HistoryEvent]) -> tuple[OrchestratorStarted, OrchestratorStarted]:
    """The events that open the first and the last batch."""
    first = _first_batch(events)
    last = _first_batch(reversed(events))
    if first is None or last is None:
        raise PayloadError("$.history", "expected an OrchestratorStarted event (EventType 12), found none")
    return first, last


def _first_batch(events: Iterable[HistoryEvent]) -> OrchestratorStarted | None:
    return next((event for event in events if isinstance(event, OrchestratorStarted)), None)


def _has_any(events: list[HistoryEvent], kind: type[Event]) -> bool:
    return kind in map(type, events)


def _positions(events: list[HistoryEvent]) -> Sequence[int]:
    """The position of each event: its index, but that of the resumption for events that came while suspended.

    The extension sets such events aside and takes them in order when the orchestration is resumed.
    """
    if not _has_any(events, ExecutionSuspended):
        return range(len(events))
    positions = list(range(len(events)))
    suspended: int | None = None
    for index, event in enumerate(events):
        if isinstance(event, ExecutionSuspended):
            suspended = index if suspended is None else suspended
        elif isinstance(event, ExecutionResumed) and suspended is not None:
            positions[suspended:index] = [index] * (index - suspended)
            suspended = None
    if suspended is not None:
        positions[suspended:] = [len(events)] * (len(events) - suspended)
    return positions
