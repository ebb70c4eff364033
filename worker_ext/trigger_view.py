"""What the host's payloads say, as apps of azure-functions-durable 1.7.0 read it.

The engine reads a payload into typed events (`protocol.history`). Apps that look at `context.histories` or
`context.function_context` know the wire's own names, and members that no release had yet when they were written. They
get them from the payload itself, read once more when they are first asked for.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from typing import Any

from worker_ext.protocol.codec import decode_json, parse_timestamp


class HistoryEventType(IntEnum):
    """The kinds of history events, by their number on the wire."""

    EXECUTION_STARTED = 0
    EXECUTION_COMPLETED = 1
    EXECUTION_FAILED = 2
    EXECUTION_TERMINATED = 3
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    SUB_ORCHESTRATION_INSTANCE_CREATED = 7
    SUB_ORCHESTRATION_INSTANCE_COMPLETED = 8
    SUB_ORCHESTRATION_INSTANCE_FAILED = 9
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    ORCHESTRATOR_COMPLETED = 13
    EVENT_SENT = 14
    EVENT_RAISED = 15
    CONTINUE_AS_NEW = 16
    GENERIC_EVENT = 17
    HISTORY_STATE = 18
    EXECUTION_SUSPENDED = 19
    EXECUTION_RESUMED = 20
    EXECUTION_REWOUND = 21


_KINDS = {kind.value: kind for kind in HistoryEventType}


class HistoryEvent:
    """One event; members of its kind are attributes under the wire's names, such as `Name` or `TaskScheduledId`."""

    Name: str | None = None
    InstanceId: str | None = None
    TaskScheduledId: int | None = None
    Reason: str | None = None
    Details: str | None = None
    Input: str | None = None

    def __init__(
        self,
        EventType: HistoryEventType | int,  # noqa: N803
        EventId: int,  # noqa: N803
        IsPlayed: bool,  # noqa: N803
        Timestamp: str,  # noqa: N803
        **kwargs: Any,
    ) -> None:
        self._event_type = _KINDS.get(EventType, EventType)
        self._event_id = EventId
        self._is_played = IsPlayed
        self._timestamp = Timestamp
        self._is_processed = False
        self.__dict__.update(kwargs)

    def __getattr__(self, name: str) -> Any:  # for type checkers: members differ by kind and by release of the host
        raise AttributeError(f"this event ({self._event_type!r}) has no member {name!r}")

    def __repr__(self) -> str:
        return f"<HistoryEvent {self._event_type!r} {self._event_id}>"

    @property
    def event_type(self) -> HistoryEventType | int:
        """The kind of the event; the bare number where this release does not know it."""
        return self._event_type

    @property
    def event_id(self) -> int:
        """The sequence id of events that were written for an action, else -1."""
        return self._event_id

    @property
    def is_played(self) -> bool:
        """Whether the event was delivered in an earlier turn."""
        return self._is_played

    @property
    def is_processed(self) -> bool:
        """A mark for the app's own use."""
        return self._is_processed

    @is_processed.setter
    def is_processed(self, value: bool) -> None:
        self._is_processed = value

    @property
    def timestamp(self) -> datetime:
        """When the event occurred, UTC."""
        return parse_timestamp(self._timestamp)


class FunctionContext:
    """Members of a payload that nothing else gives, as attributes."""

    def __init__(self, **kwargs: Any) -> None:
        self.__dict__.update(kwargs)

    def __getattr__(self, name: str) -> Any:  # for type checkers: members differ by release of the host
        raise AttributeError(f"the payload has no member {name!r}")


class DurableOrchestrationBindings:
    """What the durable client binding says; members that are not named here are attributes of `client_data`."""

    def __init__(
        self,
        taskHubName: str,  # noqa: N803
        creationUrls: dict[str, str],  # noqa: N803
        managementUrls: dict[str, str],  # noqa: N803
        rpcBaseUrl: str | None = None,  # noqa: N803
        **kwargs: Any,
    ) -> None:
        self._task_hub_name = taskHubName
        self._creation_urls = creationUrls
        self._management_urls = managementUrls
        self._rpc_base_url = rpcBaseUrl
        self._client_data = FunctionContext(**kwargs)

    @classmethod
    def from_json(cls, json_string: str) -> DurableOrchestrationBindings:
        """Reads the binding's text.

        Raises:
            ValueError: The text is no JSON.
        """
        return cls(**decode_json(json_string))

    @property
    def task_hub_name(self) -> str:
        """The task hub."""
        return self._task_hub_name

    @property
    def creation_urls(self) -> dict[str, str]:
        """Templates of the URLs that start instances."""
        return self._creation_urls

    @property
    def management_urls(self) -> dict[str, str]:
        """Templates of the URLs that manage an instance; the value of `id` is the placeholder in the others."""
        return self._management_urls

    @property
    def rpc_base_url(self) -> str | None:
        """The address that only the worker can reach, with a slash at its end."""
        return self._rpc_base_url

    @property
    def client_data(self) -> FunctionContext:
        """What else the binding says."""
        return self._client_data


_KNOWN = frozenset(
    {
        "history",
        "input",
        "instanceId",
        "isReplaying",
        "parentInstanceId",
        "upperSchemaVersion",
        "upperSchemaVersionNew",
        "maximumShortTimerDuration",
        "longRunningTimerIntervalDuration",
    }
)
"""Members that contexts of 1.7.0 take themselves."""


class TriggerView:
    """A payload in the two views; nothing is read before it is asked for.

    Args:
        payload: What the orchestration trigger delivered.
    """

    def __init__(self, payload: str | bytes) -> None:
        self._payload = payload
        self._members: dict[str, Any] | None = None
        self._histories: list[HistoryEvent] | None = None

    @property
    def histories(self) -> list[HistoryEvent]:
        """Every event of the execution so far, oldest first."""
        if self._histories is None:
            self._histories = [HistoryEvent(**event) for event in self._read()["history"]]
        return self._histories

    @property
    def function_context(self) -> FunctionContext:
        """The members that 1.7.0 does not know."""
        return FunctionContext(**{name: value for name, value in self._read().items() if name not in _KNOWN})

    def _read(self) -> dict[str, Any]:
        if self._members is None:
            self._members = decode_json(self._payload)
        return self._members
