"""Entities as classes: the fields of an object are the state, its methods marked `@operation` are the operations.

    @app.entity_trigger(context_name="context")
    @dataclass
    class Counter(DurableEntity):
        value: int = 0

        @operation
        def add(self, amount: int = 1) -> int:
            self.value += amount
            return self.value

The class is an ordinary one: `Counter(3).add(1)` is 4 in a unit test. An operation that raises leaves state and signals
as they were. The state travels as the JSON object of the fields, an input as the value of the one parameter, or as the
object of several by their names.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from worker_ext import payloads
from worker_ext.engine.tasks import Task
from worker_ext.entity import DurableEntityContext
from worker_ext.errors import AppError
from worker_ext.protocol.entity import EntityId

P = ParamSpec("P")
R = TypeVar("R")
Direct = TypeVar("Direct")
E = TypeVar("E")

RESERVED = ("signal", "entity_id")
"""What proxies have themselves."""

MARK = "__durable_operation__"
"""The attribute of methods that are operations."""


class Operation(Generic[P, R, Direct]):
    """An operation, as type checkers see it: a method of an object, and on a proxy what makes a task.

    At run time it is the method as it was written.
    """

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Callable[P, Task[R]]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Callable[P, Direct]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        """Not called."""
        raise NotImplementedError


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Those of a method but for the object itself."""
    return list(payloads.signature_of(function).parameters.values())[1:]


@overload
def operation(
    function: Callable[Concatenate[E, P], Coroutine[Any, Any, R]],
) -> Operation[P, R, Coroutine[Any, Any, R]]: ...
@overload
def operation(function: Callable[Concatenate[E, P], R]) -> Operation[P, R, R]: ...
def operation(function: Callable[..., Any]) -> Any:
    """Makes a method, sync or async, an operation of its class; the others stay private.

    Raises:
        AppError: It is no method of an object, or its parameters cannot be sent: `*args`, `**kwargs`, or some without
            names.
    """
    if isinstance(function, staticmethod | classmethod):
        raise AppError(
            f"operation {function.__qualname__!r} is a {type(function).__name__}, and an operation works on the state "
            "of one entity. Write it as a method with `self`"
        )
    for parameter in parameters_of(function):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise AppError(
                f"operation {function.__qualname__!r} has the parameter {str(parameter)!r}. What it is called with "
                "travels as one value, or as an object by names: give each a parameter with a name"
            )
    if function.__name__.startswith("_"):
        raise AppError(f"operation {function.__qualname__!r} begins with `_`, which means that nobody else may call it")
    if function.__name__ in RESERVED:
        raise AppError(f"operation {function.__qualname__!r} has a name that proxies need; call it otherwise")
    setattr(function, MARK, True)
    return function


class DurableEntity:
    """A base for class entities, which gives them `delete`, and type checkers what proxies have.

    Attributes:
        signal: Of a proxy: its operations, sent without waiting for them.
        entity_id: Of a proxy: which entity it stands for.
    """

    if TYPE_CHECKING:

        class _Signals:
            def __get__(self, instance: object, owner: type[E]) -> type[E]: ...

        class _Id:
            def __get__(self, instance: object, owner: type[Any]) -> EntityId: ...

        signal: _Signals = _Signals()
        entity_id: _Id = _Id()

    @operation
    def delete(self) -> None:
        """Deletes the entity; the next operation finds a new one."""
        DurableEntityContext.current().destruct_on_exit()
