"""What a replay decides, and whether history has decided the same.

A decision of an earlier batch must come up again under its id, of the same kind and with the same name (without regard
to case); inputs may change. The texts of what does not fit are the engine's own, as far as they were recorded.

Source: durable-functions JSON protocol, determinism checks (4.3); TaskOrchestrationContext.cs.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Struct

from worker_ext.protocol.codec import JSON
from worker_ext.protocol.history import EventSent, SubOrchestrationInstanceCreated, TaskScheduled, TimerCreated


class ScheduleActivity(Struct, gc=False):
    """An activity is to be run."""

    name: str
    input: JSON


class StartTimer(Struct, gc=False):
    """A timer is to be started; `fire_at` is a timestamp's text."""

    fire_at: str


class StartChild(Struct, gc=False):
    """A sub-orchestration is to be started; without an id of its own it gets one."""

    name: str
    input: JSON
    instance_id: str | None
    version: str | None


class SendRequest(Struct, kw_only=True, gc=False):
    """An operation or a lock request is to be sent to an entity.

    Attributes:
        target: The entity's instance ID.
        name: The name of the event that carries it.
        operation: The operation; None for a lock request.
        input: JSON text.
        id: What the answer is addressed with.
        is_signal: There is no answer.
        is_locked: It is a call to an entity that the orchestration has locked.
        due: When it is to be delivered, as a timestamp; None for at once.
        lock_set: The instance IDs of what is to be locked, in their order.
        timestamp: The sender's clock; `predecessor` is that of its last message to this entity.
    """

    target: str
    name: str
    operation: str | None
    input: str | None
    id: str
    is_signal: bool = False
    is_locked: bool = False
    due: str | None = None
    lock_set: tuple[str, ...] = ()
    timestamp: str = "0001-01-01T00:00:00"
    predecessor: str = "0001-01-01T00:00:00"


class SendRelease(Struct, frozen=True, gc=False):
    """A locked entity is to be released; `lock_id` is the id of the request that had locked it."""

    target: str
    lock_id: str
    name: str = "release"


Produced: TypeAlias = ScheduleActivity | StartTimer | StartChild | SendRequest | SendRelease

_KINDS: dict[type[Any], str] = {
    ScheduleActivity: "ScheduleTaskOrchestratorAction",
    StartTimer: "CreateTimerOrchestratorAction",
    StartChild: "CreateSubOrchestrationAction",
    SendRequest: "SendEventOrchestratorAction",
    SendRelease: "SendEventOrchestratorAction",
}
"""The engine's names of decisions, as they stand in its messages."""


class NonDeterministicError(Exception):
    """History has a decision that the replay has not made; the text is what the instance fails with."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"Non-Deterministic workflow detected: {text} Was a change made to the orchestrator code after this "
            "instance had already started running?"
        )


_PAST = "A previous execution of this orchestration"
_GONE = "but the current replay execution hasn't (yet?) scheduled this task."
_INSTEAD = "but the current orchestration replay instead"


def check_task(event: TaskScheduled, made: Produced | None) -> None:
    """Compares a scheduled activity with what the replay has made under its id.

    Raises:
        NonDeterministicError: It is something else, or nothing; the other checks raise it likewise.
    """
    if isinstance(made, ScheduleActivity) and _same(made.name, event.name):
        return
    if made is None:
        raise NonDeterministicError(
            f"{_PAST} scheduled an activity task with sequence ID {event.event_id} and name '{event.name}' "
            f"(version '{event.version or ''}'), {_GONE}"
        )
    past = f"{_PAST} scheduled an activity task with sequence number {event.event_id} named '{event.name}', {_INSTEAD}"
    if isinstance(made, ScheduleActivity):
        raise NonDeterministicError(
            f"{past} scheduled an activity task named '{made.name}' with this sequence number. "
        )
    raise NonDeterministicError(f"{past} {_other(made)}")


def check_timer(event: TimerCreated, made: Produced | None) -> None:
    """Compares a timer; when it is due may change."""
    if isinstance(made, StartTimer):
        return
    past = f"{_PAST} scheduled a timer task with sequence number {event.event_id}"
    if made is None:
        raise NonDeterministicError(f"{past} {_GONE}")
    raise NonDeterministicError(f"{past} named {_INSTEAD} {_other(made)}")


def check_child(event: SubOrchestrationInstanceCreated, made: Produced | None) -> None:
    """Compares a sub-orchestration; its instance id may change."""
    if isinstance(made, StartChild) and _same(made.name, event.name):
        return
    past = (
        f"{_PAST} scheduled a sub-orchestration task with sequence ID {event.event_id} and name '{event.name}' "
        f"(version '{event.version or ''}', instance ID '{event.instance_id}'),"
    )
    if made is None:
        raise NonDeterministicError(f"{past} {_GONE}")
    if isinstance(made, StartChild):
        raise NonDeterministicError(
            f"{past} {_INSTEAD} scheduled a sub-orchestration task named '{made.name}' with this sequence number. "
        )
    raise NonDeterministicError(f"{past} {_INSTEAD} {_other(made)}")


def check_sent(event: EventSent, made: Produced | None) -> None:
    """Compares a message to an entity; what it carries and where it goes may change."""
    if isinstance(made, SendRequest | SendRelease) and _same(made.name, event.name or ""):
        return
    past = (
        f"{_PAST} sent an event with sequence ID {event.event_id} and name '{event.name}' to instance "
        f"'{event.instance_id}',"
    )
    if made is None:
        raise NonDeterministicError(f"{past} {_GONE}")
    if isinstance(made, SendRequest | SendRelease):
        raise NonDeterministicError(f"{past} {_INSTEAD} sent an event named '{made.name}' with this sequence number. ")
    raise NonDeterministicError(f"{past} {_INSTEAD} {_other(made)}")


def _same(name: str, other: str) -> bool:
    return name == other or name.lower() == other.lower()


def _other(made: Produced) -> str:
    return f"produced a {_KINDS[type(made)]} action with this sequence number."
