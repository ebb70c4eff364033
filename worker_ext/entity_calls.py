"""What an orchestrator asks of entities: calls, signals, proxies and locks. The context inherits these methods."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, overload

from worker_ext import payloads
from worker_ext.arguments import due, expect
from worker_ext.calls import Calls
from worker_ext.engine.locks import HeldLocks, LockScope, request_lock
from worker_ext.engine.tasks import Task, leaf_for
from worker_ext.entity_proxy import EntityProxy, entity_id_of, target
from worker_ext.protocol import actions
from worker_ext.protocol.codec import format_microseconds
from worker_ext.protocol.entity import EntityId

E = TypeVar("E")
T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import TypeForm


class EntityCalls(Calls):
    """Calls of entities."""

    @overload
    def call_entity(
        self,
        entityId: EntityId,  # noqa: N803
        operationName: str,  # noqa: N803
        operationInput: Any = None,  # noqa: N803
        expected_type: None = None,
    ) -> Task: ...
    @overload
    def call_entity(
        self,
        entityId: EntityId,  # noqa: N803
        operationName: str,  # noqa: N803
        operationInput: Any = None,  # noqa: N803
        *,
        expected_type: TypeForm[T],
    ) -> Task[T]: ...
    @overload
    def call_entity(
        self,
        entityId: EntityId,  # noqa: N803
        operationName: str,  # noqa: N803
        operationInput: Any,  # noqa: N803
        expected_type: TypeForm[T],
    ) -> Task[T]: ...
    def call_entity(
        self,
        entityId: EntityId,  # noqa: N803
        operationName: str,  # noqa: N803
        operationInput: Any = None,  # noqa: N803
        expected_type: Any = None,
    ) -> Task:
        """Runs an operation of an entity; the task gives its result.

        Args:
            entityId: The entity.
            operationName: The operation.
            operationInput: What its `get_input()` gives.
            expected_type: The type to read its result as.

        Raises:
            ValueError: There is no entity ID.
        """
        decode = self._payloads.decoder(expected_type, is_checked=self._is_checked)
        return self._call_entity(entityId, operationName, operationInput, decode)

    def _call_entity(
        self, entity_id: EntityId | None, operation: str, input_: Any, decode: payloads.Decoder | None
    ) -> Task:
        expect("call_entity", "operationName", operation, str)
        action = actions.CallEntity(instance_id=_entity(entity_id), operation=operation, input=self._encode(input_))
        return leaf_for(self._schedule, action, "", decode)

    def signal_entity(
        self,
        entityId: EntityId,  # noqa: N803
        operationName: str,  # noqa: N803
        operationInput: Any = None,  # noqa: N803
        *,
        deliver_at: datetime | timedelta | None = None,
    ) -> Task[None]:
        """Sends an operation to an entity without waiting for it; the task is complete at once.

        Args:
            entityId: The entity.
            operationName: The operation.
            operationInput: Its input, any JSON value.
            deliver_at: When it is to arrive, as an aware datetime or how long from now; None for at once.
        """
        self._executor.check_open()
        expect("signal_entity", "operationName", operationName, str)
        message = {
            "instance_id": _entity(entityId),
            "operation": operationName,
            "input": self._encode(operationInput),
        }
        action: actions.SignalEntity | actions.ScheduledSignalEntity
        if deliver_at is None:
            action = actions.SignalEntity(**message)
        else:
            arrival = due(self._schedule, deliver_at, "signal_entity")
            action = actions.ScheduledSignalEntity(**message, fire_at=format_microseconds(arrival))
        return self._executor.signal(action)

    @overload
    def entity(self, entity: type[E], key: str) -> type[E]: ...
    @overload
    def entity(self, entity: str, key: str) -> Any: ...
    def entity(self, entity: Any, key: str) -> Any:
        """An entity, with its operations as methods.

            total = await context.entity(Counter, "a").add(1)
            context.entity(Counter, "a").signal.add(1)

        Each gives a task, to be awaited or yielded; `signal` has the same without waiting for them.

        Args:
            entity: The entity's class, or the name of its function.
            key: Its key.

        Raises:
            ValueError: The name or the key is empty.
        """

        def call(entity_id: EntityId, name: str, input_: Any, result_type: Any) -> Task:
            return self._call_entity(entity_id, name, input_, self._payloads.decoder(result_type, is_checked=True))

        def signal(entity_id: EntityId, name: str, input_: Any, _result_type: Any) -> Task:
            return self.signal_entity(entity_id, name, input_)

        return EntityProxy(*target(entity, key), call, signal)

    def lock_entities(self, *entities: EntityId | type[Any] | Sequence[EntityId | type[Any]]) -> Task[HeldLocks]:
        """Locks entities, so that until their release only this orchestration reaches them.

            with (yield context.lock_entities(source, target)):
                yield context.call_entity(source, "withdraw", 5)
                yield context.call_entity(target, "deposit", 5)

        Args:
            entities: What to lock, as IDs or proxies, or one list of them. Their order does not matter.

        Returns:
            A task that gives the locks, to be used in a `with` block or released with `release()`.

        Raises:
            OrchestratorError: There are no entities, or the host knows no locks.
        """
        return request_lock(self._executor, _entity_ids(entities))

    def lock(self, *entities: EntityId | type[Any] | Sequence[EntityId | type[Any]]) -> LockScope:
        """Locks entities for a block of an `async def` orchestrator; see `lock_entities`.

            async with context.lock(source, target):
                await context.call_entity(source, "withdraw", 5)

        Meanwhile other branches may not reach the entities, call any other, or start sub-orchestrations: what they ask
        for waits until the block has ended.

        Raises:
            OrchestratorError: There are no entities, or the host knows no locks.
        """
        return LockScope(request_lock(self._executor, _entity_ids(entities)))


def _entity_ids(entities: Sequence[Any]) -> list[Any]:
    if len(entities) == 1 and isinstance(entities[0], list | tuple):
        entities = entities[0]
    return [entity_id_of(entity) for entity in entities]


def _entity(entity_id: EntityId | None) -> str:
    if entity_id is None:
        raise ValueError("entity_id cannot be empty")
    return str(entity_id)
