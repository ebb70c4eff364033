"""The entity trigger: who an entity is, a batch of operations, and the reply.

An entity's instance ID is `@name@key`, the name in lower case.

Source: durable-functions JSON protocol, section on entities.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import Struct

from worker_ext.errors import PayloadError
from worker_ext.protocol.codec import JSON, fault_of, plain_value


@dataclass(frozen=True, eq=True)
class EntityId:
    """The name of an entity function and the key of one of its entities.

    Raises:
        ValueError: The name or the key is empty.
    """

    name: str
    key: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("Entity name cannot be empty")
        if not self.key:
            raise ValueError("Entity key cannot be empty")

    @staticmethod
    def get_scheduler_id(entity_id: EntityId) -> str:
        """The instance ID of an entity."""
        return f"@{entity_id.name.lower()}@{entity_id.key}"

    @staticmethod
    def get_entity_id(scheduler_id: str) -> EntityId:
        """Reads the instance ID of an entity; the key may contain `@`.

        Raises:
            ValueError: The text is not `@name@key`.
        """
        start, _, rest = scheduler_id.partition("@")
        name, separator, key = rest.partition("@")
        if start or not separator:
            raise ValueError(f"Unexpected format in SchedulerId: expected @name@key, found {scheduler_id!r}")
        return EntityId(name, key)

    @staticmethod
    def get_entity_id_url_path(entity_id: EntityId) -> str:
        """The path of an entity in the management API."""
        return f"entities/{entity_id.name}/{entity_id.key}"

    def __str__(self) -> str:
        return EntityId.get_scheduler_id(self)


class EntityName(Struct, frozen=True, gc=False):
    """An entity as payloads name it."""

    name: str
    key: str


class Operation(Struct, frozen=True, kw_only=True, rename="camel"):
    """One operation of a batch; `input` is JSON text, twice encoded where azure-functions-durable sent it."""

    name: str | None
    input: str | None = None
    is_signal: bool = False
    id: str | None = None


class EntityBatchRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the entity trigger delivers: one entity, its state as JSON text, and operations in order."""

    self: EntityName
    exists: bool = False
    state: str | None = None
    batch: list[Operation]

    @classmethod
    def decode(cls, payload: str | bytes) -> EntityBatchRequest:
        """Reads a payload.

        Raises:
            PayloadError: The payload breaks the contract; it says where.
        """
        try:
            return msgspec.json.decode(payload, type=EntityBatchRequest)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            what, path = fault_of(error)
            raise PayloadError("$" + path, what) from None


def read_operations(batch: list[dict[str, JSON]]) -> list[Operation]:
    """Makes operations of JSON objects.

    Raises:
        PayloadError: One of them is no operation.
    """
    try:
        return msgspec.convert(batch, list[Operation])
    except msgspec.ValidationError as error:
        what, path = fault_of(error)
        raise PayloadError("$.batch" + path, what) from None


class OperationResult(Struct, frozen=True, kw_only=True, rename="camel"):
    """How an operation ended. `result` is JSON text; times are milliseconds, the start since 1970."""

    is_error: bool
    duration: int
    start_time: int
    result: str


class Signal(Struct, frozen=True, kw_only=True, rename="camel"):
    """An operation that an entity sends to another.

    The extension takes all of it as it stands: the target's name must be in lower case, and `input` is what the target
    finds in `Operation.input`, JSON text twice encoded where the target runs on azure-functions-durable.
    """

    target: EntityName
    name: str
    input: str | None = None


class EntityState(Struct, frozen=True, kw_only=True, rename="camel"):
    """The reply: the state after the batch, and one result for each operation."""

    entity_exists: bool
    entity_state: str | None
    results: list[OperationResult]
    signals: list[Signal]

    def encode(self) -> str:
        """Writes the reply as JSON."""
        return msgspec.json.encode(self, enc_hook=plain_value).decode()
