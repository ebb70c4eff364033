"""What the client hands out: the status of an instance, the result of a purge, the state of an entity.

Constructors take the members of the wire under their own names, as azure-functions-durable 1.7.0 does, and members they
do not know become attributes.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from worker_ext import payloads
from worker_ext.protocol import codec
from worker_ext.protocol.client import OrchestrationRuntimeStatus
from worker_ext.protocol.codec import JSON

__all__ = [
    "DurableOrchestrationStatus",
    "EntityStateResponse",
    "EntityStatus",
    "OrchestrationRuntimeStatus",
    "PurgeHistoryResult",
]

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class DurableOrchestrationStatus:
    """The status of an orchestration instance; false when there is no such instance."""

    def __init__(
        self,
        name: str | None = None,
        instanceId: str | None = None,  # noqa: N803
        createdTime: str | None = None,  # noqa: N803
        lastUpdatedTime: str | None = None,  # noqa: N803
        input: Any = None,  # noqa: A002
        output: Any = None,
        runtimeStatus: OrchestrationRuntimeStatus | str | None = None,  # noqa: N803
        customStatus: Any = None,  # noqa: N803
        history: list[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._name = name
        self._instance_id = instanceId
        self._created_time = None if createdTime is None else codec.parse_timestamp(createdTime)
        self._last_updated_time = None if lastUpdatedTime is None else codec.parse_timestamp(lastUpdatedTime)
        self._input = input
        self._output = output
        self._runtime_status = None if runtimeStatus is None else OrchestrationRuntimeStatus(runtimeStatus)
        self._custom_status = customStatus
        # The host's member is `historyEvents`; `history` is what callers that build a status write.
        self._history = kwargs.get("historyEvents") if history is None else history
        for key, value in kwargs.items():
            setattr(self, key, value)
        self._payloads = payloads.PLAIN

    def written_by(self, app: payloads.Payloads) -> None:
        """Has values read as the app writes them."""
        self._payloads = app

    def __bool__(self) -> bool:
        return self._created_time is not None

    def __repr__(self) -> str:
        status = None if self._runtime_status is None else self._runtime_status.value
        return f"<DurableOrchestrationStatus {self._instance_id!r} of {self._name!r}: {status}>"

    @classmethod
    def from_json(cls, json_obj: JSON) -> DurableOrchestrationStatus:
        """Reads a status body; text in its place is kept as `message` of a status that is false."""
        return cls(message=json_obj) if isinstance(json_obj, str) else cls(**json_obj)

    def to_json(self) -> dict[str, Any]:
        """The status as a JSON object."""
        body: dict[str, Any] = {"name": self._name, "instanceId": self._instance_id}
        for key, time in (("createdTime", self._created_time), ("lastUpdatedTime", self._last_updated_time)):
            body[key] = None if time is None else time.strftime(_TIME_FORMAT)
        body |= {"output": self._output, "input": self._input}
        if self._runtime_status is not None:
            body["runtimeStatus"] = self._runtime_status.name
        return body | {"customStatus": self._custom_status, "history": self._history}

    @property
    def name(self) -> str | None:
        """The orchestrator's name."""
        return self._name

    @property
    def instance_id(self) -> str | None:
        """The instance's ID."""
        return self._instance_id

    @property
    def created_time(self) -> datetime | None:
        """When the instance was created, in UTC; None when there is no such instance."""
        return self._created_time

    @property
    def last_updated_time(self) -> datetime | None:
        """When its history last grew, in UTC."""
        return self._last_updated_time

    @property
    def input_(self) -> Any:
        """The input as the host stores it: for an instance that a client of this kind started, JSON text."""
        return self._input

    @property
    def output(self) -> Any:
        """What the orchestrator returned, or the text of its failure or termination."""
        if self._payloads is payloads.PLAIN or self._runtime_status is not OrchestrationRuntimeStatus.Completed:
            return self._output
        return self._payloads.restore_as(None, self._output)

    def get_output(self, expected_type: TypeForm[T]) -> T:
        """What the orchestrator returned, as a value of a type.

        Raises:
            PayloadError: It is of another type.
            ValueError: The instance has no output: it has not ended, or not well.
        """
        if self._runtime_status is not OrchestrationRuntimeStatus.Completed:
            state = "unknown" if self._runtime_status is None else self._runtime_status.name
            text = f": {self._output}" if isinstance(self._output, str) else ""
            raise ValueError(f"instance {self._instance_id!r} has no output, its status is {state}{text}")
        return self._payloads.restore_as(expected_type, self._output, is_checked=True)  # type: ignore[no-any-return]

    def get_input(self, expected_type: TypeForm[T]) -> T:
        """The input of the instance, as a value of a type.

        Raises:
            PayloadError: It is of another type.
        """
        return self._payloads.read(expected_type, self._input, is_checked=True)  # type: ignore[no-any-return]

    def get_custom_status(self, expected_type: TypeForm[T]) -> T:
        """What the orchestrator last set as its custom status, as a value of a type.

        Raises:
            PayloadError: It is of another type.
        """
        return payloads.restore_as(expected_type, self._custom_status, is_checked=True)  # type: ignore[no-any-return]

    @property
    def runtime_status(self) -> OrchestrationRuntimeStatus | None:
        """The state of the instance."""
        return self._runtime_status

    @property
    def custom_status(self) -> Any:
        """What the orchestrator last set as its custom status."""
        return self._custom_status

    @property
    def history(self) -> list[Any] | None:
        """The history, where it was asked for."""
        return self._history


class PurgeHistoryResult:
    """How much a purge deleted."""

    def __init__(self, instancesDeleted: int, **kwargs: Any) -> None:  # noqa: N803
        self._instances_deleted = instancesDeleted
        for key, value in kwargs.items():
            setattr(self, key, value)

    @classmethod
    def from_json(cls, json_obj: dict[Any, Any]) -> PurgeHistoryResult:
        """Reads the answer to a purge."""
        return cls(**json_obj)

    @property
    def instances_deleted(self) -> int:
        """The number of instances deleted."""
        return self._instances_deleted


class EntityStatus(Struct, frozen=True):
    """An entity in a list of them.

    Attributes:
        name: The function's name, in lower case.
        key: The entity's key.
        last_operation_time: When its last operation ran, in UTC.
        state: Its state, where it was asked for.
    """

    name: str
    key: str
    last_operation_time: datetime
    state: Any = None

    @classmethod
    def from_json(cls, item: dict[str, Any], written_by: payloads.Payloads = payloads.PLAIN) -> EntityStatus:
        """Reads an item of the list."""
        entity = item["entityId"]
        time = codec.parse_timestamp(item["lastOperationTime"])
        state = item.get("state")
        if written_by is not payloads.PLAIN:
            state = written_by.restore_as(None, state)
        return cls(str(entity["name"]), str(entity["key"]), time, state)


class EntityStateResponse:
    """The state of an entity, if there is such an entity."""

    def __init__(
        self, entity_exists: bool, entity_state: Any = None, *, written_by: payloads.Payloads = payloads.PLAIN
    ) -> None:
        self._entity_exists = entity_exists
        self._payloads = written_by
        self._entity_state = entity_state

    @property
    def entity_exists(self) -> bool:
        """Whether the entity exists."""
        return self._entity_exists

    @property
    def entity_state(self) -> Any:
        """Its state; None when it does not exist."""
        if self._payloads is payloads.PLAIN:
            return self._entity_state
        return self._payloads.restore_as(None, self._entity_state)

    def get_state(self, expected_type: TypeForm[T]) -> T | None:
        """Its state, as a value of a type; None when it does not exist.

        Raises:
            PayloadError: It is of another type.
        """
        if not self._entity_exists:
            return None
        return self._payloads.restore_as(expected_type, self._entity_state, is_checked=True)  # type: ignore[no-any-return]
