"""The records that go into the store and come out of it: plain data, times aware, events as their texts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from worker_ext.protocol.history import OrchestrationStatus

OVER = frozenset(
    {
        OrchestrationStatus.COMPLETED,
        OrchestrationStatus.FAILED,
        OrchestrationStatus.CANCELED,
        OrchestrationStatus.TERMINATED,
    }
)
"""States that an instance does not leave by itself."""


class Instance(Struct, frozen=True, kw_only=True):
    """One instance as the status shows it.

    Attributes:
        status: The name of its state, as the management API has it.
        input: Its input as JSON text.
        output: JSON text when completed, bare text when failed or terminated.
        custom_status: JSON text.
    """

    instance_id: str
    execution_id: str
    name: str
    version: str | None
    status: str
    input: str | None
    output: str | None
    custom_status: str | None
    parent_id: str | None
    created: datetime
    updated: datetime

    @property
    def is_over(self) -> bool:
        """Whether it is completed, failed or terminated."""
        return self.status in _OVER_NAMES


class NewInstance(Struct, frozen=True, kw_only=True):
    """An instance to make: `started` is the text of its ExecutionStarted."""

    instance_id: str
    execution_id: str
    name: str
    version: str | None
    input: str | None
    parent_id: str | None = None
    started: str


class NewMessage(Struct, frozen=True, gc=False):
    """The text of an event for an instance, and the execution that it is meant for.

    Attributes:
        makes: Whether the instance is made where there is none: an entity is.
        if_gone: What is sent instead where the instance does not run that execution any more.
    """

    instance_id: str
    event: str
    execution_id: str | None = None
    makes: bool = False
    if_gone: tuple[NewMessage, ...] = ()


class NewTimer(Struct, frozen=True, gc=False):
    """The text of an event for the instance itself, and when it is due."""

    due: datetime
    event: str


class NewActivity(Struct, frozen=True, gc=False):
    """An activity that a turn schedules; `trace_parent` names the span that it is part of."""

    task_id: int
    name: str
    input: str | None
    trace_parent: str | None = None


class Activity(Struct, frozen=True, gc=False):
    """An activity that is to be run."""

    activity_id: int
    instance_id: str
    task_id: int
    name: str
    input: str | None
    trace_parent: str | None = None


class StoredMessage(Struct, frozen=True, gc=False):
    """A message that waits."""

    message_id: int
    execution_id: str | None
    event: str


class Claim(Struct, frozen=True):
    """What waits for an instance, its history where it was asked for, and the record that an entity has instead."""

    instance_key: int
    execution_id: str
    is_over: bool
    messages: list[StoredMessage]
    batches: list[str] | None
    is_entity: bool = False
    entity: str | None = None


class TurnRecord(Struct, kw_only=True):
    """Everything one turn writes.

    Attributes:
        instance_key: The instance.
        execution_id: The execution that the turn was worked out for.
        consumed: The messages it delivered.
        turn: The number of its batch in the history.
        events: The batch's text; None where nothing was delivered.
        entity: The record of an entity, which has no history; None for an orchestration.
        new_execution_id: The execution that has replaced it (continue-as-new), or None; then `new_input` is its input.
        status: The status after it; None leaves the row as it is.
    """

    instance_key: int
    execution_id: str
    consumed: list[int]
    turn: int = 0
    events: str | None = None
    entity: str | None = None
    new_execution_id: str | None = None
    new_input: str | None = None
    status: OrchestrationStatus | None = None
    output: str | None = None
    custom_status: str | None = None
    at: datetime
    activities: Sequence[NewActivity] = ()
    timers: Sequence[NewTimer] = ()
    children: Sequence[tuple[NewInstance, str]] = ()
    messages: Sequence[NewMessage] = ()


class RewindRecord(Struct, frozen=True, kw_only=True):
    """A failed instance that goes on from an earlier point.

    Attributes:
        execution_id: The execution that has failed; `new_execution_id` goes on.
        events: The text of its history from now on.
        message: The text of the event that wakes it.
        timers: Its timers that go on.
    """

    instance_id: str
    execution_id: str
    new_execution_id: str
    events: str
    message: str
    at: datetime
    timers: Sequence[NewTimer] = ()


class TurnResult(Struct, frozen=True):
    """What a turn has set in motion: the activities as stored, and the instances that have something to do."""

    activities: list[Activity]
    woken: list[str]


_NAMES = {
    OrchestrationStatus.RUNNING: "Running",
    OrchestrationStatus.COMPLETED: "Completed",
    OrchestrationStatus.CONTINUED_AS_NEW: "ContinuedAsNew",
    OrchestrationStatus.FAILED: "Failed",
    OrchestrationStatus.CANCELED: "Canceled",
    OrchestrationStatus.TERMINATED: "Terminated",
    OrchestrationStatus.PENDING: "Pending",
    OrchestrationStatus.SUSPENDED: "Suspended",
}
_OVER_NAMES = frozenset(_NAMES[status] for status in OVER)


def status_name(status: int) -> str:
    """A state as the management API names it."""
    return _NAMES[OrchestrationStatus(status)]
