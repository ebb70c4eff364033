"""The durable engine, pure: history, waiting messages and a worker's reply in; events and things to send out.

A turn has two halves. `open_batch` says which waiting messages a batch delivers, and in which events; the worker is
invoked with the history so far and that batch. `decide` works the worker's reply against both, and says what is
written and what is sent. A turn is a function of its arguments: times and ids come in, nothing is read or kept, so a
turn that was not committed may be repeated.

Differences from the extension, on purpose: a call of a function that does not exist fails its task instead of hanging
the instance; so does a child whose id is taken; a reply that cannot be read fails the instance with the reason, also
where the extension would report it as non-deterministic; timestamps never go backwards. Left out: entities and their locks,
which fail the instance with a message.

Source: durable-functions JSON protocol, how a batch is built (1.4), failures (3), reference engine (A.1 to A.5).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from worker_ext.host.durable_http import HTTP_ACTIVITY
from worker_ext.host.gateway import Reply
from worker_ext.host.replay import (
    NonDeterministicError,
    Produced,
    Replay,
    ScheduleActivity,
    StartChild,
    StartTimer,
    TimerLimits,
)
from worker_ext.host.replies import Decision, read_decision
from worker_ext.protocol.codec import JSON, encode_value, format_timestamp, parse_timestamp
from worker_ext.protocol.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    FailureDetails,
    HistoryEvent,
    OrchestrationInstance,
    OrchestrationStatus,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)

# ---------------------------------------------------------------- what comes in


class EngineOptions(Struct, frozen=True, kw_only=True):
    """What the engine is told once.

    Args:
        timers: How long a timer may be in one piece.
        max_actions: How many actions one execution may schedule.
        store_inputs: Whether history keeps the inputs of activities and children.
        default_version: The version of children that are started without one.
        http_delay: How long durable HTTP waits between polls where the server names no time.
    """

    timers: TimerLimits = TimerLimits()
    max_actions: int = 100_000
    store_inputs: bool = False
    default_version: str | None = None
    http_delay: timedelta = timedelta(seconds=30)


class KnownFunctions:
    """The functions that can be called, by name without regard to case."""

    def __init__(self, orchestrations: Collection[str], activities: Collection[str]) -> None:
        self._names = {"orchestrator": sorted(orchestrations), "activity": sorted(activities)}
        self._lower = {kind: {name.lower() for name in names} for kind, names in self._names.items()}

    def has_activity(self, name: str) -> bool:
        """Whether there is an activity of that name."""
        return name == HTTP_ACTIVITY or name.lower() in self._lower["activity"]

    def has_orchestration(self, name: str) -> bool:
        """Whether there is an orchestrator of that name."""
        return name.lower() in self._lower["orchestrator"]

    def no_activity(self, name: str) -> str:
        """The extension's text for an activity that does not exist."""
        return self._missing("activity", name)

    def no_orchestration(self, name: str) -> str:
        """The extension's text for an orchestrator that does not exist."""
        return self._missing("orchestrator", name)

    def _missing(self, kind: str, name: str) -> str:
        known = ", ".join(f"'{known}'" for known in self._names[kind])
        return (
            f"The function '{name}' doesn't exist, is disabled, or is not an {kind} function. "
            f"Additional info: The following are the known {kind} functions: {known}."
        )


class Waiting(Struct, frozen=True, gc=False):
    """A message for an instance; `execution_id` is the execution it is meant for, None for whichever runs."""

    event: HistoryEvent
    execution_id: str | None = None


# ---------------------------------------------------------------- what goes out


class ActivityWork(Struct, frozen=True, gc=False):
    """An activity to run; `input` is what its datum holds."""

    task_id: int
    name: str
    input: str | None


class Message(Struct, frozen=True, gc=False):
    """An event for an instance; dropped if that instance is gone or over."""

    instance_id: str
    event: HistoryEvent
    execution_id: str | None = None


class Timer(Struct, frozen=True, gc=False):
    """An event for the instance itself, to be delivered at a time of its own."""

    due: datetime
    event: HistoryEvent


class ChildStart(Struct, frozen=True, gc=False):
    """An orchestration to start; `if_taken` goes to its parent where an instance of that id is still running."""

    instance_id: str
    started: ExecutionStarted
    if_taken: HistoryEvent


class Batch(Struct, frozen=True):
    """What one invocation of the worker delivers beyond the history.

    Attributes:
        started: The start of the execution, from the history or this batch.
        events: The batch's events.
        is_replaying: An earlier batch delivered the start.
        carried_status: The custom status of the generation before; it lasts for one batch.
    """

    started: ExecutionStarted
    events: list[HistoryEvent]
    is_replaying: bool = False
    carried_status: str | None = None


class Turn(Struct, kw_only=True):
    """What a worker's reply leads to.

    Attributes:
        events: What is appended to the history behind the batch.
        status: The instance's status after it.
        output: Its output as the status shows it: JSON text, or the bare text of a failure or termination.
        custom_status: Its custom status as JSON text.
        activities: Activities to run.
        timers: Events for the instance itself, at their time.
        children: Orchestrations to start.
        messages: Events for instances that exist, this one included.
        next: The first batch of the next generation, which replaces the whole history; the worker is invoked with it
            at once.
    """

    events: list[HistoryEvent]
    status: OrchestrationStatus
    output: str | None = None
    custom_status: str | None = None
    activities: list[ActivityWork]
    timers: list[Timer]
    children: list[ChildStart]
    messages: list[Message]
    next: Batch | None = None


# ---------------------------------------------------------------- the first half


def open_batch(history: Sequence[HistoryEvent], messages: Sequence[Waiting], now: datetime) -> Batch | None:
    """The batch that delivers waiting messages, in the order they arrived.

    A start comes first, a second one is dropped; so is what was meant for another execution. Returns None if nothing
    is left to deliver.
    """
    past = next((event for event in history if isinstance(event, ExecutionStarted)), None)
    started = past or next((item.event for item in messages if isinstance(item.event, ExecutionStarted)), None)
    if started is None:
        return None
    execution_id = started.orchestration_instance.execution_id
    events: list[HistoryEvent] = [
        item.event
        for item in messages
        if not isinstance(item.event, ExecutionStarted) and item.execution_id in {None, execution_id}
    ]
    if past is None:
        events.insert(0, started)
    elif not events:
        return None
    # Every batch in a history ends with the latest time in it.
    opened = OrchestratorStarted(timestamp=_stamp(history[-1] if history else None, now))
    return Batch(started, [opened, *events], is_replaying=past is not None)


def _stamp(earlier: HistoryEvent | None, now: datetime) -> str:
    """The text of a time, or of an earlier event's where the clock has gone backwards since."""
    if earlier is not None and (past := parse_timestamp(earlier.timestamp)) > now:
        now = past
    return format_timestamp(now)


# ---------------------------------------------------------------- the second half


def decide(
    history: Sequence[HistoryEvent],
    batch: Batch,
    reply: Reply,
    *,
    functions: KnownFunctions,
    options: EngineOptions,
    now: datetime,
    new_id: Callable[[], str],
) -> Turn:
    """What the worker's reply to a batch leads to.

    Args:
        history: The execution's events before the batch.
        batch: What was delivered.
        reply: What the worker answered.
        functions: What can be called.
        options: The engine's options.
        now: The time; events that this turn makes are stamped with it.
        new_id: Makes the execution ids of children and of the next generation.
    """
    return _decide(history, batch, read_decision(reply), functions, options, now, new_id)


def fail_unknown(
    history: Sequence[HistoryEvent], batch: Batch, *, functions: KnownFunctions, options: EngineOptions, now: datetime
) -> Turn:
    """The end of an instance whose orchestrator does not exist."""
    decision = Decision(fault=functions.no_orchestration(batch.started.name))
    return _decide(history, batch, decision, functions, options, now, _no_id)


def _no_id() -> str:
    raise AssertionError("a failed instance starts nothing")


def _decide(
    history: Sequence[HistoryEvent],
    batch: Batch,
    decision: Decision,
    functions: KnownFunctions,
    options: EngineOptions,
    now: datetime,
    new_id: Callable[[], str],
) -> Turn:
    replay = Replay(decision, options.timers, options.max_actions, options.http_delay)
    end: _End | None = None
    if decision.fault is not None:
        end = _failed(batch.started, decision.fault, decision.stack)
    else:
        try:
            replay.run(history)
            replay.run(batch.events)
        except NonDeterministicError as error:
            end = _End(OrchestrationStatus.FAILED, str(error), details=None)
        else:
            end = _end(replay, decision, batch.started)
    stamp = _stamp(batch.events[0], now)
    sender = _Sender(batch.started, functions, options, stamp, new_id)
    if end is not None:
        replay.release_held()
    for number in sorted(replay.produced):
        sender.carry_out(number, replay.produced[number])
    turn = Turn(
        events=sender.events,
        status=OrchestrationStatus.SUSPENDED if replay.is_suspended else OrchestrationStatus.RUNNING,
        custom_status=decision.custom_status or batch.carried_status,
        activities=sender.activities,
        timers=sender.timers,
        children=sender.children,
        messages=sender.messages,
    )
    if end is not None:
        _finish(turn, end, replay, batch.started, stamp, new_id)
    if turn.next is None and (turn.events or not isinstance(batch.events[-1], OrchestratorCompleted)):
        turn.events.append(OrchestratorCompleted(timestamp=stamp))
    return turn


class _End(Struct, frozen=True):
    """How an execution ends; a status of CONTINUED_AS_NEW starts the next generation with `result` as its input."""

    status: OrchestrationStatus
    result: str | None
    details: str | None = None
    failure_details: FailureDetails | None = None


def _end(replay: Replay, decision: Decision, started: ExecutionStarted) -> _End | None:
    """Whether and how the instance ends after its last event."""
    if replay.is_terminated:
        return _End(OrchestrationStatus.TERMINATED, replay.termination_reason)
    if replay.open:
        return None
    if replay.fault is not None:
        return _failed(started, replay.fault, None)
    if not replay.finished:
        return None
    if decision.error is not None:
        return _failed(started, decision.error, decision.stack, decision.failure_details)
    if not decision.is_done:
        return None
    if replay.new_input is not None:
        return _End(OrchestrationStatus.CONTINUED_AS_NEW, _json_text(replay.new_input.input))
    return _End(OrchestrationStatus.COMPLETED, decision.output)


def _failed(
    started: ExecutionStarted, text: str, stack: str | None, failure_details: FailureDetails | None = None
) -> _End:
    return _End(
        OrchestrationStatus.FAILED,
        f"Orchestrator function '{started.name}' failed: {text}",
        f"Message: {text}, StackTrace: {stack or ''}",
        failure_details,
    )


def _finish(
    turn: Turn, end: _End, replay: Replay, started: ExecutionStarted, stamp: str, new_id: Callable[[], str]
) -> None:
    if end.status is OrchestrationStatus.CONTINUED_AS_NEW:
        turn.next = _next_generation(started, end.result, replay.carried, turn.custom_status, stamp, new_id())
        turn.timers = []
        return
    turn.status = end.status
    turn.output = end.result
    if end.failure_details is not None:
        turn.output = f"{end.failure_details.error_type}: {end.failure_details.error_message}"
    turn.events.append(
        ExecutionCompleted(
            orchestration_status=end.status,
            result=end.result,
            failure_details=end.failure_details,
            event_id=replay.next_id,
            timestamp=stamp,
        )
    )
    if started.parent_instance is not None:
        turn.messages.append(_to_parent(started.parent_instance, end, stamp))


def _to_parent(parent: ParentInstance, end: _End, stamp: str) -> Message:
    event: HistoryEvent
    if end.status is OrchestrationStatus.COMPLETED:
        event = SubOrchestrationInstanceCompleted(
            task_scheduled_id=parent.task_schedule_id, result=end.result, timestamp=stamp
        )
    else:
        event = SubOrchestrationInstanceFailed(
            task_scheduled_id=parent.task_schedule_id,
            reason=end.result,
            details=end.details,
            failure_details=end.failure_details,
            timestamp=stamp,
        )
    instance = parent.orchestration_instance
    return Message(instance.instance_id, event, instance.execution_id)


def _next_generation(
    started: ExecutionStarted,
    input_text: str | None,
    carried: list[EventRaised],
    custom_status: str | None,
    stamp: str,
    execution_id: str,
) -> Batch:
    instance_id = started.orchestration_instance.instance_id
    again = ExecutionStarted(
        orchestration_instance=OrchestrationInstance(instance_id, execution_id),
        parent_instance=started.parent_instance,
        name=started.name,
        version=started.version,
        input=input_text,
        tags=started.tags,
        generation=started.generation,
        timestamp=stamp,
    )
    events: list[HistoryEvent] = [OrchestratorStarted(timestamp=stamp), again]
    events += (msgspec.structs.replace(event, is_played=True) for event in carried)
    events.append(OrchestratorCompleted(timestamp=stamp))
    return Batch(again, events, carried_status=custom_status)


# ---------------------------------------------------------------- sending


class _Sender:
    """Turns new decisions into their events and into what is sent."""

    def __init__(
        self,
        started: ExecutionStarted,
        functions: KnownFunctions,
        options: EngineOptions,
        stamp: str,
        new_id: Callable[[], str],
    ) -> None:
        self.events: list[HistoryEvent] = []
        self.activities: list[ActivityWork] = []
        self.timers: list[Timer] = []
        self.children: list[ChildStart] = []
        self.messages: list[Message] = []
        self._started = started
        self._functions = functions
        self._options = options
        self._stamp = stamp
        self._new_id = new_id

    def carry_out(self, number: int, produced: Produced) -> None:
        """Writes and sends one decision."""
        match produced:
            case ScheduleActivity():
                self._activity(number, produced)
            case StartTimer():
                self._timer(number, produced)
            case StartChild():
                self._child(number, produced)

    def _activity(self, number: int, wanted: ScheduleActivity) -> None:
        stored = f"[{encode_value(wanted.input)}]" if self._options.store_inputs else None
        self.events.append(
            TaskScheduled(name=wanted.name, version="", input=stored, event_id=number, timestamp=self._stamp)
        )
        if self._functions.has_activity(wanted.name):
            self.activities.append(ActivityWork(number, wanted.name, activity_input(wanted.input)))
        else:
            reason = self._functions.no_activity(wanted.name)
            self._answer(TaskFailed(task_scheduled_id=number, reason=reason, timestamp=self._stamp))

    def _timer(self, number: int, wanted: StartTimer) -> None:
        self.events.append(TimerCreated(fire_at=wanted.fire_at, event_id=number, timestamp=self._stamp))
        fired = TimerFired(timer_id=number, fire_at=wanted.fire_at, timestamp=self._stamp)
        self.timers.append(Timer(parse_timestamp(wanted.fire_at), fired))

    def _child(self, number: int, wanted: StartChild) -> None:
        instance = self._started.orchestration_instance
        instance_id = wanted.instance_id or f"{instance.execution_id}:{number}"
        version = wanted.version if wanted.version is not None else self._options.default_version
        input_text = _json_text(wanted.input)
        self.events.append(
            SubOrchestrationInstanceCreated(
                name=wanted.name,
                version=version,
                instance_id=instance_id,
                input=input_text if self._options.store_inputs else None,
                event_id=number,
                timestamp=self._stamp,
            )
        )
        fault = self._child_fault(wanted.name, instance_id)
        if fault is not None:
            self._answer(SubOrchestrationInstanceFailed(task_scheduled_id=number, reason=fault, timestamp=self._stamp))
            return
        started = ExecutionStarted(
            orchestration_instance=OrchestrationInstance(instance_id, self._new_id()),
            parent_instance=ParentInstance(self._started.name, instance, number, self._started.version),
            name=wanted.name,
            version=version,
            input=input_text,
            timestamp=self._stamp,
        )
        taken = SubOrchestrationInstanceFailed(
            task_scheduled_id=number,
            reason=f"An orchestration with the instance ID '{instance_id}' is running already.",
            timestamp=self._stamp,
        )
        self.children.append(ChildStart(instance_id, started, taken))

    def _child_fault(self, name: str, instance_id: str) -> str | None:
        """Why a child cannot be started, if it cannot."""
        if not self._functions.has_orchestration(name):
            return self._functions.no_orchestration(name)
        if instance_id.startswith("@"):
            return f"The instance ID '{instance_id}' of a sub-orchestration must not start with '@'."
        parent = self._started.parent_instance
        taken = [self._started.orchestration_instance.instance_id]
        if parent is not None:
            taken.append(parent.orchestration_instance.instance_id)
        if instance_id.lower() in (other.lower() for other in taken):
            return f"The instance ID '{instance_id}' of a sub-orchestration must not be its parent's own."
        return None

    def _answer(self, event: HistoryEvent) -> None:
        """Sends an event to the instance itself, for a task that cannot be carried out."""
        instance = self._started.orchestration_instance
        self.messages.append(Message(instance.instance_id, event, instance.execution_id))


def activity_input(value: JSON) -> str | None:
    """What an activity's datum holds: a text as it is, nothing for null, JSON text for the rest."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "True" if value else "False"
    return encode_value(value)


def _json_text(value: JSON) -> str | None:
    return None if value is None else encode_value(value)
