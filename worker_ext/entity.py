"""DurableEntityContext: what an entity function may ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worker_ext.engine.entity import EntityExecutor
from worker_ext.protocol.codec import decode_json, decode_value, restore


class DurableEntityContext:
    """An entity's view of itself and of the operation that runs.

    Args:
        executor: The executor of this batch; it owns the state.
    """

    def __init__(self, executor: EntityExecutor) -> None:
        self._executor = executor
        self._new = not executor.exists

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

    def get_input(self) -> Any:
        """The input of the operation, or None where it has none."""
        text = self._executor.check_open().input
        if text is None:
            return None
        try:
            value = decode_json(text)
        except ValueError:
            return text
        return decode_value(value) if isinstance(value, str) else restore(value)

    def get_state(self, initializer: Callable[[], Any] | None = None) -> Any:
        """The state of the entity.

        Args:
            initializer: Makes the state of an entity that has none.

        Raises:
            TypeError: The initializer cannot be called.
        """
        state = self._executor.get_state()
        if state is not None or initializer is None:
            return state
        if not callable(initializer):
            raise TypeError(
                f"get_state was given the initializer {initializer!r}; expected a function without arguments"
            )
        return initializer()

    def set_state(self, state: Any) -> None:
        """Replaces the state; it is kept if the operation does not fail."""
        self._executor.set_state(state)

    def set_result(self, result: Any) -> None:
        """Sets what the caller of the operation is answered."""
        self._executor.set_result(result)

    def destruct_on_exit(self) -> None:
        """Deletes the entity when the operation ends."""
        self._executor.delete()
