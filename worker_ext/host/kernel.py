"""The durable engine, pure: history, waiting messages and a worker's reply in; events and things to send out.

A turn has two halves. `open_batch` says which waiting messages a batch delivers, and in which events; the worker is
invoked with the history so far and that batch. `decide` works the worker's reply against both, and says what is
written and what is sent. A turn is a function of its arguments: times and ids come in, nothing is read or kept, so a
turn that was not committed may be repeated.

Differences from the extension, on purpose: a reply that cannot be read fails the instance with the reason, also where
the extension would report it as non-deterministic; timestamps never go backwards. `replay`, `sending` and
`entity_calls` have more. What entities do is in `entities`.

Source: durable-functions JSON protocol, how a batch is built (1.4), failures (3), reference engine (A.1 to A.5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from worker_ext.host.decisions import NonDeterministicError
from worker_ext.host.entity_calls import left_locked
from worker_ext.host.gateway import Reply
from worker_ext.host.progress import Progress
from worker_ext.host.replay import Replay
from worker_ext.host.replies import Decision, read_decision
from worker_ext.host.sending import Sender, json_text
from worker_ext.host.turns import Batch, EngineOptions, KnownFunctions, Message, Turn, Waiting
from worker_ext.protocol.codec import format_timestamp, parse_timestamp
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
    SubOrchestrationInstanceFailed,
)

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
    progress: Progress | None = None,
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
        progress: What was kept of the execution's earlier turns, which does not change the outcome; moved on by this
            one.
    """
    return _decide(history, batch, read_decision(reply), functions, options, now, new_id, progress)


def fail_unknown(
    history: Sequence[HistoryEvent], batch: Batch, *, functions: KnownFunctions, options: EngineOptions, now: datetime
) -> Turn:
    """The end of an instance whose orchestrator does not exist."""
    text = functions.no_orchestration(batch.started.name)
    return fail(history, batch, text, functions=functions, options=options, now=now)


def fail(
    history: Sequence[HistoryEvent],
    batch: Batch,
    text: str,
    *,
    error_type: str | None = None,
    functions: KnownFunctions,
    options: EngineOptions,
    now: datetime,
) -> Turn:
    """The end of an instance whose orchestrator cannot be run; `text` says why, `error_type` names it for a status."""
    details = None if error_type is None else FailureDetails(error_type=error_type, error_message=text)
    return _decide(history, batch, Decision(fault=text, failure_details=details), functions, options, now, _no_id)


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
    progress: Progress | None = None,
) -> Turn:
    progress = progress or Progress()
    replay, seen = progress.take(decision, batch.started.orchestration_instance.instance_id, functions, options)
    end: _End | None = None
    is_cut_off = True
    if decision.fault is not None:
        end = _failed(batch.started, decision.fault, decision.stack, decision.failure_details)
    else:
        try:
            replay.run(history[seen:])
            replay.run(batch.events)
        except NonDeterministicError as error:
            end = _End(OrchestrationStatus.FAILED, str(error), details=None)
        else:
            end = _end(replay, decision, batch.started)
            is_cut_off = replay.is_terminated
    stamp = _stamp(batch.events[0], now)
    sender = Sender(batch.started, functions, options, stamp, new_id)
    if end is not None:
        replay.release_held()
    for number in sorted(replay.produced):
        sender.carry_out(number, replay.produced[number])
    if end is not None and is_cut_off:
        for release in left_locked([*history, *batch.events, *sender.events]):
            sender.release(release)
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
    else:
        progress.keep(replay, len(history) + len(batch.events), functions, options)
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
        return _End(OrchestrationStatus.CONTINUED_AS_NEW, json_text(replay.new_input.input))
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
        parent_trace_context=started.parent_trace_context,
        generation=started.generation,
        timestamp=stamp,
    )
    events: list[HistoryEvent] = [OrchestratorStarted(timestamp=stamp), again]
    events += (msgspec.structs.replace(event, is_played=True) for event in carried)
    events.append(OrchestratorCompleted(timestamp=stamp))
    return Batch(again, events, carried_status=custom_status)
