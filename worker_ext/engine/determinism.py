"""What makes a replay repeatable: ids derived from history, and history compared with what the code schedules.

Every scheduled event in history must meet a leaf of the same id, kind and name. The extension makes the same check, but
only after it has handed one task's result to another; here the code is told what history has and what it asked for.

Source: durable-functions JSON protocol, determinism checks; time, replay flag, ids.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never
from uuid import NAMESPACE_OID, NAMESPACE_URL, UUID, uuid5

from worker_ext.engine.patches import is_mark
from worker_ext.engine.tasks import Leaf
from worker_ext.errors import NonDeterminismError
from worker_ext.protocol.actions import (
    AnyAction,
    CallActivity,
    CallActivityWithRetry,
    CallEntity,
    CallHttp,
    CallSubOrchestrator,
    CallSubOrchestratorWithRetry,
    ContinueAsNew,
    CreateTimer,
    LockEntities,
    ReleaseEntities,
    ScheduledSignalEntity,
    SignalEntity,
    WaitForExternalEvent,
    WhenAll,
    WhenAny,
)
from worker_ext.protocol.history import (
    EventSent,
    ScheduledEvent,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)

HTTP_ACTIVITY = "BuiltIn::HttpActivity"
"""The activity under which the extension records a durable HTTP call."""

_UUID_NAMESPACE = uuid5(NAMESPACE_OID, "9e952958-5e33-4daf-827f-2fa12937b875")


class ReplaySafeIds:
    """Ids that come out the same on every replay; both kinds share one counter."""

    def __init__(self, instance_id: str) -> None:
        self._instance_id = instance_id
        self._counter = 0

    def new_uuid(self, now: datetime) -> str:
        """The next id as `context.new_uuid()` of 1.7.0 makes it."""
        name = f"{self._instance_id}_{now:%Y-%m-%dT%H:%M:%S.%fZ}_{self._next()}"
        return str(uuid5(_UUID_NAMESPACE, name))

    def new_guid(self, now: datetime) -> UUID:
        """The next id as `context.new_guid()` of 1.7.0 makes it."""
        return uuid5(NAMESPACE_URL, f"{self._instance_id}_{now}_{self._next()}")

    def _next(self) -> int:
        self._counter += 1
        return self._counter - 1


def check_scheduled(event: ScheduledEvent, leaf: Leaf | None, location: str | None, ending: str | None) -> None:
    """Compares an event that history has with the leaf of its id.

    Args:
        event: The event.
        leaf: The leaf of its id, if the code has scheduled that many.
        location: Where in its source the code waits.
        ending: How the code has ended, or None while it has not.

    Raises:
        NonDeterminismError: There is no such leaf, or it is of another kind or name.
    """
    expected = _describe_event(event)
    if leaf is not None:
        actual = describe_action(leaf.action)
    else:
        actual = "nothing" if ending is None else f"nothing: it had ended ({ending})"
    if expected.lower() != actual.lower():
        if is_mark(event):
            expected = "the mark of a context.patched(...) that has to stay in the code while instances with it run"
        raise NonDeterminismError(event.event_id, expected, actual, location)


def _describe_event(event: ScheduledEvent) -> str:
    match event:
        case TaskScheduled():
            return "an HTTP call" if event.name == HTTP_ACTIVITY else f"activity {event.name!r}"
        case SubOrchestrationInstanceCreated():
            return f"sub-orchestration {event.name!r}"
        case TimerCreated():
            return "a timer"
        case EventSent():
            if event.name == "release":
                return "a release of locked entities"
            return f"a message to entity {event.instance_id!r}"
        case _:
            assert_never(event)


def describe_action(action: AnyAction) -> str:
    """An action as an event of history would name it."""
    match action:
        case CallActivity() | CallActivityWithRetry():
            return f"activity {action.function_name!r}"
        case CallSubOrchestrator() | CallSubOrchestratorWithRetry():
            return f"sub-orchestration {action.function_name!r}"
        case CreateTimer():
            return "a timer"
        case CallHttp():
            return "an HTTP call"
        case CallEntity() | SignalEntity() | ScheduledSignalEntity():
            return f"a message to entity {action.instance_id!r}"
        case LockEntities():
            first = action.lock_set[0]
            return f"a message to entity {f'@{first.name.lower()}@{first.key}'!r}"
        case ReleaseEntities():
            return "a release of locked entities"
        case WaitForExternalEvent() | ContinueAsNew() | WhenAny() | WhenAll():
            return f"an action without an id ({type(action).__name__})"
        case _:
            assert_never(action)
