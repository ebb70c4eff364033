"""EntityExecutor: a batch of operations on one entity, each committed or rolled back.

State is held as JSON text, to which a failed operation falls back, and as a value from the first operation on that
reads it. What user code changes in that value counts as changed, whether or not it calls `set_state` again, as in
azure-functions-durable 1.7.0. Beyond 1.7.0: a failed operation leaves the state as it was before and sends no signals,
and results do not leak from one operation into the next.

Source: durable-functions JSON protocol, section on entities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worker_ext.errors import OrchestratorError, text_of
from worker_ext.protocol.codec import decode_value, encode_value
from worker_ext.protocol.entity import EntityBatchRequest, EntityState, Operation, OperationResult, Signal

_NOT_READ: Any = object()
"""Stands for a state that user code has not asked for: its text is still what counts."""


class EntityExecutor:
    """Runs the operations of one batch.

    Args:
        request: The payload of the trigger.
        milliseconds: The wall clock in milliseconds since 1970, for the times in the reply.
        encode: Writes results and the state.

    Attributes:
        operation: The operation that is running, or None between operations.
    """

    def __init__(
        self,
        request: EntityBatchRequest,
        milliseconds: Callable[[], int],
        encode: Callable[[Any], str] = encode_value,
    ) -> None:
        self.request = request
        self._encode = encode
        self.operation: Operation | None = None
        self._milliseconds = milliseconds
        self._now = milliseconds()
        self._exists = request.exists
        self._deleted = False
        self._text = request.state
        self._value: Any = _NOT_READ
        self._result: Any = None
        self._results: list[OperationResult] = []
        self._signals: list[Signal] = []

    # -- fed by the caller -------------------------------------------------------------------------------------------

    def run(self, operation: Operation, entity: Callable[[Any], Any], context: object) -> BaseException | None:
        """Runs one operation; an error of user code is its result, and is returned as well."""
        started = self._now
        before, sent = (self._exists, self._deleted, self._text), len(self._signals)
        self.operation, self._result = operation, None
        failure: BaseException | None = None
        try:
            entity(context)
            result = self._encode(self._result)
            text = result if self._value is self._result else self._text_now()  # many answer with their state
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is the operation's failure
            self._exists, self._deleted, self._text = before
            self._value = _NOT_READ
            del self._signals[sent:]
            result, failure = encode_value(text_of(error)), error
        else:
            self._text = text
        self.operation = None
        self._now = now = self._milliseconds()
        self._results.append(
            OperationResult(is_error=failure is not None, duration=now - started, start_time=started, result=result)
        )
        return failure

    def state(self) -> EntityState:
        """The decision after the operations so far."""
        text = self._text if self._exists and self._text is not None else "null"
        return EntityState(entity_exists=self._exists, entity_state=text, results=self._results, signals=self._signals)

    # -- used by the context -----------------------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether the entity has a state."""
        return self._exists

    def check_open(self) -> Operation:
        """The running operation.

        Raises:
            OrchestratorError: No operation is running.
        """
        if self.operation is None:
            raise OrchestratorError(
                f"the context of entity {self.request.self.name!r} was used while no operation was running: after the "
                "function returned, or from a thread. Use it only from the entity function itself"
            )
        return self.operation

    def get_state(self, decode: Callable[[str | None], Any] = decode_value) -> Any:
        """The state as a value; None where there is none. `decode` reads it where this operation has not done so."""
        if self.operation is None:
            self.check_open()
        if self._value is _NOT_READ:
            self._value = decode(self._text)
        return self._value

    def set_state(self, state: Any) -> None:
        """Replaces the state."""
        if self.operation is None:
            self.check_open()
        self._exists, self._deleted = True, False
        self._value = state

    def set_result(self, result: Any) -> None:
        """Sets the answer of the running operation; an entity that answers exists, unless this batch deleted it."""
        if self.operation is None:
            self.check_open()
        self._exists = not self._deleted
        self._result = result

    def signal(self, signal: Signal) -> None:
        """Sends an operation to another entity if the running one does not fail."""
        self.check_open()
        self._signals.append(signal)

    def delete(self) -> None:
        """Deletes the entity."""
        self.check_open()
        self._exists, self._deleted = False, True
        self._text, self._value = None, _NOT_READ

    def _text_now(self) -> str | None:
        return self._text if self._value is _NOT_READ else self._encode(self._value)
