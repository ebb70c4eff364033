"""What an orchestrator asks the extension to do: one frozen class an action, its `actionType` as the tag.

`input` is JSON text inside a JSON string, as azure-functions-durable sends it; other workers send the value itself,
so whoever reads an action takes any JSON value.

Source: durable-functions JSON protocol, actions; OutOfProcOrchestrationShim.cs, AsyncActionType.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypeAlias

from msgspec import UNSET, Struct, UnsetType, to_builtins

from worker_ext.protocol.codec import JSON


class ActionType(IntEnum):
    """The number of each kind of action."""

    CALL_ACTIVITY = 0
    CALL_ACTIVITY_WITH_RETRY = 1
    CALL_SUB_ORCHESTRATOR = 2
    CALL_SUB_ORCHESTRATOR_WITH_RETRY = 3
    CONTINUE_AS_NEW = 4
    CREATE_TIMER = 5
    WAIT_FOR_EXTERNAL_EVENT = 6
    CALL_ENTITY = 7
    CALL_HTTP = 8
    SIGNAL_ENTITY = 9
    SCHEDULED_SIGNAL_ENTITY = 10
    WHEN_ANY = 11
    WHEN_ALL = 12
    LOCK_ENTITIES = 13
    RELEASE_ENTITIES = 14


class Action(Struct, frozen=True, kw_only=True, gc=False, tag_field="actionType", rename="camel"):
    """What every action has: its number."""

    @property
    def action_type(self) -> ActionType:
        """The number of this kind of action."""
        return ActionType(self.__struct_config__.tag)  # type: ignore[arg-type]  # each kind has a number

    def to_json(self) -> dict[str, Any]:
        """The action as the reply carries it."""
        members: dict[str, Any] = to_builtins(self)
        return members


class RetryOptions(Struct, frozen=True, rename="camel", omit_defaults=True):
    """How the extension repeats a failed activity or sub-orchestration; what is left out has its default."""

    first_retry_interval_in_milliseconds: int
    max_number_of_attempts: int
    backoff_coefficient: float = 1
    max_retry_interval_in_milliseconds: int | None = None
    retry_timeout_in_milliseconds: int | None = None


class CallActivity(Action, frozen=True, kw_only=True, tag=0):
    """Runs an activity."""

    function_name: str
    input: JSON = None


class CallActivityWithRetry(Action, frozen=True, kw_only=True, tag=1):
    """Runs an activity; the extension repeats it."""

    function_name: str
    input: JSON = None
    retry_options: RetryOptions


class CallSubOrchestrator(Action, frozen=True, kw_only=True, tag=2):
    """Starts a child orchestration and awaits it; without `instance_id` the extension makes one."""

    function_name: str
    input: JSON = None
    instance_id: str | None = None
    version: str | None = None


class CallSubOrchestratorWithRetry(Action, frozen=True, kw_only=True, tag=3):
    """Starts a child orchestration; the extension repeats it."""

    function_name: str
    input: JSON = None
    instance_id: str | None = None
    version: str | None = None
    retry_options: RetryOptions


def with_retry(
    call: CallActivity | CallSubOrchestrator, options: RetryOptions
) -> CallActivityWithRetry | CallSubOrchestratorWithRetry:
    """The same call, which the extension repeats."""
    if isinstance(call, CallActivity):
        return CallActivityWithRetry(function_name=call.function_name, input=call.input, retry_options=options)
    return CallSubOrchestratorWithRetry(
        function_name=call.function_name,
        input=call.input,
        instance_id=call.instance_id,
        version=call.version,
        retry_options=options,
    )


class ContinueAsNew(Action, frozen=True, kw_only=True, tag=4):
    """Starts the next generation of this instance with an empty history."""

    input: JSON = None


class CreateTimer(Action, frozen=True, kw_only=True, tag=5):
    """Starts a timer; a cancelled one fires too, but blocks nothing."""

    fire_at: str
    is_canceled: bool = False


class WaitForExternalEvent(Action, frozen=True, kw_only=True, tag=6):
    """Waits for an event; takes no sequence id."""

    external_event_name: str
    reason: str = "ExternalEvent"


class CallEntity(Action, frozen=True, kw_only=True, tag=7):
    """Calls an entity (`instance_id` is `@name@key`) and awaits its answer."""

    instance_id: str
    operation: str
    input: JSON = None


class CallHttp(Action, frozen=True, kw_only=True, tag=8):
    """Sends an HTTP request from the host."""

    http_request: dict[str, Any]


class SignalEntity(Action, frozen=True, kw_only=True, tag=9):
    """Sends an operation to an entity without an answer."""

    instance_id: str
    operation: str
    input: JSON = None


class ScheduledSignalEntity(Action, frozen=True, kw_only=True, tag=10):
    """A signal that is delivered at a time of its own."""

    instance_id: str
    operation: str
    input: JSON = None
    fire_at: str


class WhenAny(Action, frozen=True, kw_only=True, tag=11):
    """Is complete with the first of its members."""

    compound_actions: tuple[AnyAction, ...]


class WhenAll(Action, frozen=True, kw_only=True, tag=12):
    """Is complete when all its members are; at once when it has none."""

    compound_actions: tuple[AnyAction, ...]


class EntityLock(Struct, frozen=True, gc=False):
    """One member of a lock set."""

    name: str
    key: str


class LockEntities(Action, frozen=True, kw_only=True, tag=13):
    """Locks a set of entities (schema V4)."""

    lock_set: tuple[EntityLock, ...]
    lock_request_id: str | UnsetType = UNSET


class ReleaseEntities(Action, frozen=True, kw_only=True, tag=14):
    """Releases everything this orchestration has locked (schema V4)."""


CompoundAction: TypeAlias = WhenAny | WhenAll
"""An action made of actions."""

AnyAction: TypeAlias = (
    CallActivity
    | CallActivityWithRetry
    | CallSubOrchestrator
    | CallSubOrchestratorWithRetry
    | ContinueAsNew
    | CreateTimer
    | WaitForExternalEvent
    | CallEntity
    | CallHttp
    | SignalEntity
    | ScheduledSignalEntity
    | WhenAny
    | WhenAll
    | LockEntities
    | ReleaseEntities
)
"""Every action."""
