"""The history events of an orchestration: one frozen class an event kind, as the extension writes them.

Field names are the wire's PascalCase names in snake case; the wire number of a kind is its tag (`EventType`). Times
stay the text they arrived as (.NET writes 7 fractional digits, Python keeps 6); `codec.parse_timestamp` reads them
where they are needed. Unknown members are ignored; unknown kinds are left out by the request's decoder.

`EventId` is -1 for events that arrived as messages and for the markers of a batch. For events written for decisions
it is the sequence id of the action.

Source: durable-functions JSON protocol, history event catalogue (recorded from extension 3.19.0).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

SequenceId: TypeAlias = Annotated[int, Meta(ge=0)]
"""The id of an action that takes one, from 0."""


class OrchestrationStatus(IntEnum):
    """DurableTask.Core's numbers of the states of an orchestration."""

    RUNNING = 0
    COMPLETED = 1
    CONTINUED_AS_NEW = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    PENDING = 6
    SUSPENDED = 7


class Event(Struct, frozen=True, kw_only=True, gc=False, tag_field="EventType", rename="pascal"):
    """What every event has."""

    event_id: int = -1
    is_played: bool = False
    timestamp: str


class OrchestrationInstance(Struct, frozen=True, gc=False, rename="pascal"):
    """One execution (generation) of an instance."""

    instance_id: str
    execution_id: str | None = None


class ParentInstance(Struct, frozen=True, gc=False, rename="pascal"):
    """The orchestration that started this one, and the sequence id it waits under."""

    name: str | None
    orchestration_instance: OrchestrationInstance
    task_schedule_id: int
    version: str | None = None


class FailureDetails(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A structured failure (extension 3.x)."""

    error_type: str
    error_message: str
    stack_trace: str | None = None
    inner_failure: FailureDetails | None = None
    is_non_retriable: bool = False
    properties: dict[str, Any] | None = None


class ExecutionStarted(Event, frozen=True, kw_only=True, tag=0):
    """The start of an execution; `input` is JSON text."""

    orchestration_instance: OrchestrationInstance
    parent_instance: ParentInstance | None = None
    name: str
    version: str | None = None
    input: str | None = None
    tags: dict[str, str] | None = None
    correlation: str | None = None
    parent_trace_context: dict[str, Any] | None = None
    scheduled_start_time: str | None = None
    generation: int | None = None
    generate_new_trace: bool = False


class ExecutionCompleted(Event, frozen=True, kw_only=True, tag=1):
    """The end of an execution; `result` is JSON text when completed, bare text when failed or terminated."""

    orchestration_status: int
    result: str | None = None
    failure_details: FailureDetails | None = None


class ExecutionFailed(Event, frozen=True, kw_only=True, tag=2):
    """Reserved by the engine, never produced."""


class ExecutionTerminated(Event, frozen=True, kw_only=True, tag=3):
    """A terminate request; `input` is the bare reason."""

    input: str | None = None


class TaskScheduled(Event, frozen=True, kw_only=True, tag=4):
    """An activity was scheduled."""

    name: str
    version: str | None = None
    input: str | None = None
    parent_trace_context: dict[str, Any] | None = None
    tags: dict[str, str] | None = None


class TaskCompleted(Event, frozen=True, kw_only=True, tag=5):
    """An activity returned; `result` is JSON text."""

    task_scheduled_id: SequenceId
    result: str | None = None


class TaskFailed(Event, frozen=True, kw_only=True, tag=6):
    """An activity failed."""

    task_scheduled_id: SequenceId
    reason: str | None = None
    details: str | None = None
    failure_details: FailureDetails | None = None


class SubOrchestrationInstanceCreated(Event, frozen=True, kw_only=True, tag=7):
    """A sub-orchestration was started."""

    name: str
    version: str | None = None
    instance_id: str | None = None
    input: str | None = None
    client_span_id: str | None = None
    tags: dict[str, str] | None = None


class SubOrchestrationInstanceCompleted(Event, frozen=True, kw_only=True, tag=8):
    """A sub-orchestration returned; `result` is JSON text."""

    task_scheduled_id: SequenceId
    result: str | None = None


class SubOrchestrationInstanceFailed(Event, frozen=True, kw_only=True, tag=9):
    """A sub-orchestration failed or was terminated."""

    task_scheduled_id: SequenceId
    reason: str | None = None
    details: str | None = None
    failure_details: FailureDetails | None = None


class TimerCreated(Event, frozen=True, kw_only=True, tag=10):
    """A timer was started."""

    fire_at: str


class TimerFired(Event, frozen=True, kw_only=True, tag=11):
    """A timer fired. Its timestamp is about the timer's creation: never use it as "now"."""

    timer_id: SequenceId
    fire_at: str | None = None


class OrchestratorStarted(Event, frozen=True, kw_only=True, tag=12):
    """Opens a batch; the only source of orchestrator time."""


class OrchestratorCompleted(Event, frozen=True, kw_only=True, tag=13):
    """Closes a batch."""


class EventSent(Event, frozen=True, kw_only=True, tag=14):
    """A message to another instance was sent: a signal, an entity call, a lock or its release."""

    instance_id: str | None = None
    name: str | None = None
    input: str | None = None


class EventRaised(Event, frozen=True, kw_only=True, tag=15):
    """An external event, or the answer of an entity (then `name` is the request id); `input` is JSON text."""

    name: str
    input: str | None = None
    parent_trace_context: dict[str, Any] | None = None


class ContinueAsNew(Event, frozen=True, kw_only=True, tag=16):
    """The end of a generation; practically never visible to a worker."""

    orchestration_status: int = OrchestrationStatus.CONTINUED_AS_NEW
    result: str | None = None
    failure_details: FailureDetails | None = None


class GenericEvent(Event, frozen=True, kw_only=True, tag=17):
    """What a rewind leaves behind."""

    data: str | None = None


class HistoryState(Event, frozen=True, kw_only=True, tag=18):
    """Never in a worker's payload."""

    state: Any = None


class ExecutionSuspended(Event, frozen=True, kw_only=True, tag=19):
    """A suspend request."""

    reason: str | None = None


class ExecutionResumed(Event, frozen=True, kw_only=True, tag=20):
    """A resume request."""

    reason: str | None = None


class ExecutionRewound(Event, frozen=True, kw_only=True, tag=21):
    """A rewind request (DurableTask.Core from November 2025 on)."""

    reason: str | None = None
    parent_execution_id: str | None = None
    instance_id: str | None = None
    parent_trace_context: dict[str, Any] | None = None


ScheduledEvent: TypeAlias = TaskScheduled | SubOrchestrationInstanceCreated | TimerCreated | EventSent
"""What an action becomes when the extension starts it, under the action's id."""

HistoryEvent: TypeAlias = (
    ExecutionStarted
    | ExecutionCompleted
    | ExecutionFailed
    | ExecutionTerminated
    | TaskScheduled
    | TaskCompleted
    | TaskFailed
    | SubOrchestrationInstanceCreated
    | SubOrchestrationInstanceCompleted
    | SubOrchestrationInstanceFailed
    | TimerCreated
    | TimerFired
    | OrchestratorStarted
    | OrchestratorCompleted
    | EventSent
    | EventRaised
    | ContinueAsNew
    | GenericEvent
    | HistoryState
    | ExecutionSuspended
    | ExecutionResumed
    | ExecutionRewound
)
"""Every kind of event; a `match` over it is complete when the type checker says so."""

EVENTS: dict[int, type[Event]] = {cls.__struct_config__.tag: cls for cls in HistoryEvent.__args__}
"""The class of each wire number."""
