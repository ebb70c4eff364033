"""Proxies of entities: their operations as methods.

For type checkers the proxy of a class is the class: there an operation (see `entity_class.Operation`) is what makes a
task, with the operation's own parameters and the result it gives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from worker_ext.entity_definition import IMPLICIT_DELETE, EntityDefinition, definition_of, entity_name
from worker_ext.protocol.entity import EntityId

if TYPE_CHECKING:
    from worker_ext.status import EntityStateResponse

E = TypeVar("E")

Send = Callable[[EntityId, str, Any, Any], Any]
"""Sends an operation to an entity: which one, its name, its input, and the type of its result."""


class EntityOperations:
    """The operations of an entity, each a method that sends it.

    Args:
        entity_id: The entity.
        definition: What its class says; None where only its name is known, which has any operation.
        send: What a method does.
    """

    def __init__(self, entity_id: EntityId, definition: EntityDefinition | None, send: Send) -> None:
        self._entity_id = entity_id
        self._definition = definition
        self._send = send

    def _then(self, use: Callable[[Any], Any]) -> EntityOperations:
        """The same operations, with something done with what a method gives."""
        return EntityOperations(self._entity_id, self._definition, lambda *sent: use(self._send(*sent)))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._entity_id}>"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(f"{name!r} begins with `_`, and is no operation that others may call")
        definition = self._definition
        if definition is None or (name == IMPLICIT_DELETE and name not in definition.operations):
            return lambda *args, **kwargs: self._send(self._entity_id, name, _only_input(name, args, kwargs), None)
        operation = definition.operation(name)

        def send(*args: Any, **kwargs: Any) -> Any:
            return self._send(self._entity_id, operation.name, operation.input_of(args, kwargs), operation.result_type)

        return send


def _only_input(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The input that a call of an operation sends whose parameters nobody knows."""
    if kwargs or len(args) > 1:
        raise TypeError(
            f"operation {name!r} is known by its name alone, so it takes one input or none, without a name: found "
            f"{len(args) + len(kwargs)} arguments, {len(kwargs)} of them named. Pass a dict of them, or make the proxy "
            "of the entity's class"
        )
    return args[0] if args else None


class EntityProxy(EntityOperations):
    """An entity as an orchestrator sees it: each operation is a method that gives a task.

    Args:
        entity_id: The entity.
        definition: What its class says; None where only its name is known.
        send: Calls an operation.
        signal: Signals one.
    """

    def __init__(self, entity_id: EntityId, definition: EntityDefinition | None, send: Send, signal: Send) -> None:
        super().__init__(entity_id, definition, send)
        self.entity_id = entity_id
        self.signal: EntityOperations = EntityOperations(entity_id, definition, signal)


class EntityHandle(Generic[E]):
    """An entity as clients and other entities see it: its operations can be signalled.

    Attributes:
        entity_id: The entity.
        signal: Its operations, each a method that sends it and waits for nothing.
    """

    def __init__(self, entity_id: EntityId, definition: EntityDefinition | None, signal: Send) -> None:
        self.entity_id = entity_id
        self.signal: type[E] = EntityOperations(entity_id, definition, signal)  # type: ignore[assignment]


class ClientEntity(EntityHandle[E]):
    """An entity as a client sees it."""

    def __init__(
        self,
        entity_id: EntityId,
        definition: EntityDefinition | None,
        signal: Send,
        read: Callable[[EntityId], Awaitable[EntityStateResponse]],
        cls: type[E] | None,
    ) -> None:
        super().__init__(entity_id, definition, signal)
        self._read = read
        self._cls = cls

    def signals_through(self, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> type[E]:
        """Its operations, each a method that has the coroutine run which sends it."""
        operations: EntityOperations = self.signal  # type: ignore[assignment]
        return operations._then(run)  # type: ignore[return-value]

    async def state(self) -> E | None:
        """Its state; None when it does not exist.

        Raises:
            ClientError: The host could not answer.
            PayloadError: The state is of another type.
        """
        found = await self._read(self.entity_id)
        return found.get_state(self._cls) if self._cls is not None else found.entity_state


class SyncClientEntity(Generic[E]):
    """An entity as a synchronous client sees it.

    Attributes:
        entity_id: The entity.
        signal: Its operations, each a method that sends it.
    """

    def __init__(self, entity: ClientEntity[E], run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._entity = entity
        self._run = run
        self.entity_id: EntityId = entity.entity_id
        self.signal: type[E] = entity.signals_through(run)

    def state(self) -> E | None:
        """Its state; None when it does not exist."""
        state: E | None = self._run(self._entity.state())
        return state


def target(entity: type[Any] | str, key: str) -> tuple[EntityId, EntityDefinition | None]:
    """Which entity is meant, and what its class says.

    Raises:
        ValueError: The name or the key is empty.
        TypeError: It is neither a class nor a name.
    """
    if isinstance(entity, str):
        return EntityId(entity, key), None
    if not isinstance(entity, type):
        raise TypeError(f"expected an entity class or the name of an entity function, found {entity!r}")
    return EntityId(entity_name(entity), key), definition_of(entity)


def entity_id_of(entity: Any) -> Any:
    """The ID of the entity that a proxy stands for; anything else as it is."""
    return entity.entity_id if isinstance(entity, EntityProxy | EntityHandle) else entity
