"""What a rewind makes of the history of a failed instance: it goes on from before what it failed with.

Undone are the failures that the instance ended with, and everything that was decided from the first of them on, since
it may follow from it: retries, and what a handler did before it gave up. Failed activities are run again, failed
children are rewound themselves, or started anew where that cannot be. What was completed before stays, and so does
every answer to what was asked before. A handled failure stays handled, as long as something that came after it has
succeeded. An instance that failed by itself has its last batch undone. Where an undone part has let go of a lock, the
whole critical section is undone.

What was still under way when the instance ended went with it: activities and children of which nothing was heard are
run again, entities that had not answered are asked again, and timers go on with the time that they had left.

Differences from the engine's own rewind, on purpose: that one undoes every failure in the history and keeps whatever
followed from it, so an instance that had retried, or had done anything else about a failure, ends as
non-deterministic.

Source: durable-functions JSON protocol, rewind (1.4); DurableTask.Core from November 2025 on (the execution gets a new
id, and the request stays in the history).
"""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from datetime import timedelta

import msgspec
from msgspec import Struct

from worker_ext.host.entity_calls import left_locked
from worker_ext.host.entity_messages import RELEASE, read_request
from worker_ext.protocol.codec import parse_timestamp
from worker_ext.protocol.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorStarted,
    ParentInstance,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)

_DECISIONS = (TaskScheduled, TimerCreated, SubOrchestrationInstanceCreated, EventSent)
_FAILURES = (TaskFailed, SubOrchestrationInstanceFailed)
_SUCCESSES = (TaskCompleted, SubOrchestrationInstanceCompleted)


class RewindPlan(Struct, frozen=True):
    """What is undone.

    Attributes:
        cut: Where in the history it begins: every decision from there on is undone.
        failed: The ids of the tasks before it that are run again: those whose failure is undone, and those that were
            still running.
        children: The ids of the instances among them, by that of the task.
    """

    cut: int
    failed: frozenset[int]
    children: dict[int, str]


def plan_rewind(history: Sequence[HistoryEvent]) -> RewindPlan:
    """What is to be undone of an instance that has failed."""
    failures = _failures(history)
    cut = min(failures.values(), default=_last_batch(history))
    cut = _before_locks(history, cut)
    before = history[:cut]
    decided = {event.event_id for event in before if isinstance(event, _DECISIONS)}
    failed = frozenset((failures.keys() & decided) | _still_running(history, cut) | _unanswered(history, cut))
    children = {
        event.event_id: event.instance_id
        for event in before
        if isinstance(event, SubOrchestrationInstanceCreated) and event.event_id in failed and event.instance_id
    }
    return RewindPlan(cut, failed, children)


def rewound_history(
    history: Sequence[HistoryEvent],
    plan: RewindPlan,
    *,
    execution_id: str,
    rewound: Collection[int] = (),
    parent: ParentInstance | None = None,
) -> list[HistoryEvent]:
    """The history that an instance goes on with.

    Args:
        history: Its events.
        plan: What is undone.
        execution_id: The id of its new execution.
        rewound: The ids of those tasks of the plan whose children are rewound; others are started anew.
        parent: Who waits for it now; None leaves it as it is.
    """
    decisions = [(index, event) for index, event in enumerate(history) if isinstance(event, _DECISIONS)]
    undone = {
        index: event
        for index, event in decisions
        if index >= plan.cut or (event.event_id in plan.failed and event.event_id not in rewound)
    }
    # By their ids: a batch that did not fit the history may have used an earlier one once more.
    kept_tasks = {None, *(event.event_id for index, event in decisions if index not in undone)} - plan.failed
    dropped_answers = {_request_id(event) for event in undone.values()}
    events: list[HistoryEvent] = []
    for index, event in enumerate(history):
        if isinstance(event, ExecutionStarted):
            events.append(_restarted(event, execution_id, parent))
        elif not (
            isinstance(event, ExecutionCompleted)
            or index in undone
            or (isinstance(event, EventRaised) and event.name in dropped_answers)
            or _task_of(event) not in kept_tasks
        ):
            events.append(event)
    return events


class OpenTimer(Struct, frozen=True):
    """A timer that had not fired when the instance ended: the event that it is to bring, and how long it has left."""

    event: TimerFired
    left: timedelta


def open_timers(history: Sequence[HistoryEvent], plan: RewindPlan) -> list[OpenTimer]:
    """The timers that an instance goes on with."""
    fired = {event.timer_id for event in history if isinstance(event, TimerFired)}
    ended = parse_timestamp(history[-1].timestamp)
    return [
        OpenTimer(
            TimerFired(timer_id=event.event_id, fire_at=event.fire_at, timestamp=event.timestamp),
            max(parse_timestamp(event.fire_at) - ended, timedelta()),
        )
        for event in history[: plan.cut]
        if isinstance(event, TimerCreated) and event.event_id not in fired
    ]


def _still_running(history: Sequence[HistoryEvent], cut: int) -> frozenset[int]:
    """The ids of activities and children before the cut that neither succeeded nor failed."""
    ended = {event.task_scheduled_id for event in history if isinstance(event, (*_SUCCESSES, *_FAILURES))}
    begun = (_decided(event) for event in history[:cut])
    return frozenset(number for number in begun if number is not None and number not in ended)


def _unanswered(history: Sequence[HistoryEvent], cut: int) -> frozenset[int]:
    """The ids of calls of entities and lock requests before the cut that had no answer."""
    answers = {event.name for event in history if isinstance(event, EventRaised)}
    return frozenset(
        event.event_id
        for event in history[:cut]
        if isinstance(event, EventSent) and event.name != RELEASE and _waits_for_answer(event, answers)
    )


def _waits_for_answer(event: EventSent, answers: Container[str]) -> bool:
    request = read_request(event.input)
    return not request.is_signal and request.id not in answers


def _request_id(event: HistoryEvent) -> str | None:
    """The name under which a message to an entity is answered; None for what is not one."""
    if not isinstance(event, EventSent) or event.name == RELEASE:
        return None
    return read_request(event.input).id


def _task_of(event: HistoryEvent) -> int | None:
    if isinstance(event, (*_SUCCESSES, *_FAILURES)):
        return event.task_scheduled_id
    return event.timer_id if isinstance(event, TimerFired) else None


def _restarted(event: ExecutionStarted, execution_id: str, parent: ParentInstance | None) -> ExecutionStarted:
    instance = OrchestrationInstance(event.orchestration_instance.instance_id, execution_id)
    return msgspec.structs.replace(
        event, orchestration_instance=instance, parent_instance=parent or event.parent_instance
    )


# ---------------------------------------------------------------- what it failed with


def _failures(history: Sequence[HistoryEvent]) -> dict[int, int]:
    """The failures that the instance ended with: where each is in the history, by the id of the task."""
    found: dict[int, int] = {}
    lasting = _succeeded(history)
    for index in range(len(history) - 1, -1, -1):
        event = history[index]
        if isinstance(event, _FAILURES):
            if not found and not _is_end(history, index):
                return {}
            found[event.task_scheduled_id] = index
        elif found and (isinstance(event, EventSent) or _decided(event) in lasting):
            break
    return found


def _succeeded(history: Sequence[HistoryEvent]) -> frozenset[int]:
    return frozenset(event.task_scheduled_id for event in history if isinstance(event, _SUCCESSES))


def _decided(event: HistoryEvent) -> int | None:
    return event.event_id if isinstance(event, TaskScheduled | SubOrchestrationInstanceCreated) else None


def _is_end(history: Sequence[HistoryEvent], index: int) -> bool:
    """Whether the instance ended with its last failure: no work was decided behind it, or its error quotes it."""
    after = (event for event in history[index:] if isinstance(event, _DECISIONS))
    if all(
        isinstance(event, TimerCreated) or (isinstance(event, EventSent) and event.name == RELEASE) for event in after
    ):
        return True
    reason = getattr(history[index], "reason", None)
    end = next((event for event in reversed(history) if isinstance(event, ExecutionCompleted)), None)
    return bool(reason) and end is not None and str(reason) in (end.result or "")


# ---------------------------------------------------------------- where it goes back to


def _last_batch(history: Sequence[HistoryEvent]) -> int:
    starts = [index for index, event in enumerate(history) if isinstance(event, OrchestratorStarted)]
    return starts[-1] if starts else 0


def _before_locks(history: Sequence[HistoryEvent], cut: int) -> int:
    """The cut, or where the first lock was asked for that would be taken for held though it was let go."""
    while True:
        kept = [event for index, event in enumerate(history) if index < cut or isinstance(event, EventRaised)]
        held = {release.lock_id for release in left_locked(kept)}
        if not held:
            return cut
        cut = next(index for index, event in enumerate(history[:cut]) if _request_id(event) in held)
