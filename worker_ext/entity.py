"""DurableEntityContext: what an entity function may ask for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec

from worker_ext import payloads
from worker_ext.engine.entity import EntityExecutor
from worker_ext.errors import OrchestratorError
from worker_ext.protocol.codec import decode_plain, decode_value, encode_value, restore
from worker_ext.protocol.entity import EntityBatchRequest, EntityId, EntityName, Signal

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from worker_ext.entity_proxy import EntityHandle

T = TypeVar("T")
E = TypeVar("E")

_CURRENT: ContextVar[DurableEntityContext | None] = ContextVar("worker_ext_entity", default=None)
"""The context of the operation of a class entity that runs."""


class DurableEntityContext:
    """An entity's view of itself and of the operation that runs.

    Args:
        executor: The executor of this batch; it owns the state.
        written_by: How values are written and read.
    """

    def __init__(self, executor: EntityExecutor, written_by: payloads.Payloads = payloads.PLAIN) -> None:
        self._executor = executor
        self._payloads = written_by
        self._new = not executor.exists

    @classmethod
    def from_json(cls, json_str: str | bytes) -> tuple[DurableEntityContext, list[dict[str, Any]]]:
        """The context of the batch that a payload asks for, and its operations as the payload has them.

        Raises:
            PayloadError: The payload breaks the contract.
        """
        context = cls.of(EntityBatchRequest.decode(json_str))
        batch: list[dict[str, Any]] = msgspec.to_builtins(context.executor.request.batch)
        return context, batch

    @classmethod
    def of(cls, request: EntityBatchRequest, written_by: payloads.Payloads = payloads.PLAIN) -> DurableEntityContext:
        """The context of a batch."""
        return cls(EntityExecutor(request, lambda: time.time_ns() // 1_000_000, written_by.encode), written_by)

    @staticmethod
    def current() -> DurableEntityContext:
        """The context of the operation that runs, for the methods of class entities.

        Raises:
            OrchestratorError: No operation of a class entity is running here.
        """
        context = _CURRENT.get()
        if context is None:
            raise OrchestratorError(
                "no operation of a class entity is running here. The context exists while one does, in its own code"
            )
        return context

    @contextmanager
    def as_current(self) -> Iterator[None]:
        """Makes it what `current()` gives."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    @property
    def executor(self) -> EntityExecutor:
        """The executor of this batch."""
        return self._executor

    @property
    def entity_name(self) -> str:
        """The name of the entity function, in lower case."""
        return self._executor.request.self.name

    @property
    def entity_key(self) -> str:
        """The key of this entity."""
        return self._executor.request.self.key

    @property
    def operation_name(self) -> str | None:
        """The operation that runs."""
        return self._executor.check_open().name

    @property
    def is_newly_constructed(self) -> bool:
        """Whether the entity had no state before this batch."""
        return self._new

    @overload
    def get_input(self, expected_type: None = None) -> Any: ...
    @overload
    def get_input(self, expected_type: TypeForm[T]) -> T: ...
    def get_input(self, expected_type: Any = None) -> Any:
        """The input of the operation, or None where it has none.

        Args:
            expected_type: The type to read it as.

        Raises:
            PayloadError: The input holds a custom object that cannot be made.
            TypeError: Typing is strict, and the input is of another type.
        """
        text = self._executor.check_open().input
        if text is None:
            return None
        value = decode_plain(text)
        if expected_type is None and self._payloads is payloads.PLAIN:  # the same, for the most frequent case
            return decode_value(value) if isinstance(value, str) else restore(value)
        return self._payloads.read(expected_type, value)

    @overload
    def get_state(self, initializer: Callable[[], Any] | None = None, expected_type: None = None) -> Any: ...
    @overload
    def get_state(self, initializer: None = None, *, expected_type: TypeForm[T]) -> T | None: ...
    @overload
    def get_state(self, initializer: Callable[[], T], expected_type: TypeForm[T]) -> T: ...
    def get_state(self, initializer: Callable[[], Any] | None = None, expected_type: Any = None) -> Any:
        """The state of the entity.

        Args:
            initializer: Makes the state of an entity that has none.
            expected_type: The type to read the state as, the first time that an operation asks for it.

        Raises:
            PayloadError: The state holds a custom object that cannot be made.
            TypeError: The initializer cannot be called; or typing is strict, and the state is of another type.
        """
        is_usual = expected_type is None and self._payloads is payloads.PLAIN
        decode = decode_value if is_usual else self._payloads.decoder(expected_type)
        state = self._executor.get_state(decode or decode_value)
        if state is not None or initializer is None:
            return state
        if not callable(initializer):
            raise TypeError(
                f"get_state was given the initializer {initializer!r}; expected a function without arguments"
            )
        return initializer()

    def read_input(self, expected_type: Any) -> Any:
        """The input of the operation as a value of a type, checked; None names no type.

        Raises:
            PayloadError: It is of another type.
        """
        if expected_type is None:
            return self.get_input()
        text = self._executor.check_open().input
        value = None if text is None else decode_plain(text)
        return self._payloads.read(expected_type, value, is_checked=True)

    def read_state(self, expected_type: type[T]) -> T:
        """The state as an object of a class, checked; a new one where there is none.

        Raises:
            PayloadError: It is of another type.
        """

        def decode(text: str | None) -> Any:
            return None if text in (None, "null") else self._payloads.decode_as(expected_type, text, is_checked=True)

        state: T | None = self._executor.get_state(decode)
        return expected_type() if state is None else state

    def set_state(self, state: Any) -> None:
        """Replaces the state; it is kept if the operation does not fail."""
        self._executor.set_state(state)

    def set_result(self, result: Any) -> None:
        """Sets what the caller of the operation is answered."""
        self._executor.set_result(result)

    def signal_entity(
        self,
        entityId: EntityId,  # noqa: N803
        operationName: str,  # noqa: N803
        operationInput: Any = None,  # noqa: N803
    ) -> None:
        """Sends an operation to another entity; it is sent when this operation does not fail.

        Args:
            entityId: The entity.
            operationName: The operation.
            operationInput: What its `get_input()` gives.
        """
        target = EntityName(entityId.name.lower(), str(entityId.key))
        text = encode_value(self._payloads.encode(operationInput))  # twice, as what orchestrators send arrives
        self._executor.signal(Signal(target=target, name=operationName, input=text))

    @overload
    def entity(self, entity: type[E], key: str) -> EntityHandle[E]: ...
    @overload
    def entity(self, entity: str, key: str) -> EntityHandle[Any]: ...
    def entity(self, entity: Any, key: str) -> EntityHandle[Any]:
        """Another entity, to signal: `context.entity(Log, "main").signal.note("...")`.

        Args:
            entity: The entity's class, or the name of its function.
            key: Its key.
        """
        from worker_ext.entity_proxy import EntityHandle, target

        def signal(entity_id: EntityId, name: str, input_: Any, _result_type: Any) -> None:
            self.signal_entity(entity_id, name, input_)

        return EntityHandle(*target(entity, key), signal)

    def destruct_on_exit(self) -> None:
        """Deletes the entity when the operation ends."""
        self._executor.delete()


def __getattr__(name: str) -> Any:
    """Finds `Entity` here, where azure-functions-durable 1.7.0 has it; its own module imports this one."""
    if name == "Entity":
        from worker_ext.v1_model import Entity

        return Entity
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
