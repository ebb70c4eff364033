"""What entity classes say, and how their operations are run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from worker_ext import payloads
from worker_ext.entity import DurableEntityContext
from worker_ext.entity_class import MARK, DurableEntity, parameters_of
from worker_ext.errors import AppError, PayloadError

IMPLICIT_DELETE = "delete"
"""An operation that every class has."""


class OperationDefinition:
    """An operation: what it takes and gives.

    Attributes:
        name: Its name.
        function: The method.
        parameters: Its parameters by name, without the object itself.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        self.parameters: dict[str, inspect.Parameter] = {
            parameter.name: parameter for parameter in parameters_of(function)
        }
        self._signature = inspect.Signature(list(self.parameters.values()))

    @cached_property
    def result_type(self) -> Any:
        """The type of what it returns; None where it says nothing."""
        return payloads.result_type(self.function)

    @cached_property
    def _types(self) -> Mapping[str, Any]:
        return {name: payloads.parameter_type(self.function, name) for name in self.parameters}

    def input_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The input that a call with these arguments sends.

        Raises:
            TypeError: The operation takes others.
        """
        try:
            given = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"operation {self.name!r}: {error}") from None
        if len(self.parameters) > 1:
            return given.arguments
        given.apply_defaults()
        return next(iter(given.arguments.values()), None)

    def arguments_of(self, context: DurableEntityContext) -> dict[str, Any]:
        """The arguments that the input of the running operation stands for.

        Raises:
            PayloadError: It does not fit; the error tells where.
        """
        if not self.parameters:
            return {}
        if len(self.parameters) == 1:
            [parameter] = self.parameters.values()
            return self._only_argument(context, parameter)
        given = context.get_input()
        if not isinstance(given, dict):
            raise PayloadError("$", f"Expected an object of {', '.join(self.parameters)}, got `{type(given).__name__}`")
        return dict(self._named_arguments(given))

    def _only_argument(self, context: DurableEntityContext, parameter: inspect.Parameter) -> dict[str, Any]:
        kind = self._types[parameter.name]
        try:
            return {parameter.name: context.read_input(kind)}
        except PayloadError:
            if parameter.default is parameter.empty or context.get_input() is not None:
                raise
            return {}

    def _named_arguments(self, given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        unknown = given.keys() - self.parameters.keys()
        if unknown:
            raise PayloadError(f"$.{min(unknown)}", f"Expected one of {', '.join(self.parameters)}")
        for name, parameter in self.parameters.items():
            if name in given:
                yield name, self._argument(name, given[name])
            elif parameter.default is parameter.empty:
                raise PayloadError("$", f"Object missing required field `{name}`")

    def _argument(self, name: str, value: Any) -> Any:
        kind = self._types[name]
        if kind is None:
            return value
        try:
            return payloads.restore_as(kind, value, is_checked=True)
        except PayloadError as error:
            raise PayloadError(f"$.{name}{error.where[1:]}", error.what) from error


class EntityDefinition:
    """What an entity class says.

    Attributes:
        cls: The class.
        operations: Its operations by name.
    """

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        self.operations: dict[str, OperationDefinition] = {
            name: OperationDefinition(name, member)
            for name, member in inspect.getmembers(cls)
            if callable(member) and getattr(member, MARK, False)
        }

    def operation(self, name: str) -> OperationDefinition:
        """An operation by its name; case does not matter where no other differs by it alone.

        Raises:
            AttributeError: There is none of that name.
        """
        found = self.operations.get(name)
        if found is None:
            alike = [known for known in self.operations if known.lower() == name.lower()]
            if len(alike) != 1:
                names = ", ".join(sorted({*self.operations, IMPLICIT_DELETE}))
                raise AttributeError(f"entity {self.cls.__name__!r} has no operation {name!r}; it has {names}")
            found = self.operations[alike[0]]
        return found

    # -- running it --------------------------------------------------------------------------------------------------

    def run(self, context: DurableEntityContext) -> Coroutine[Any, Any, None] | None:
        """Runs the operation that a context was made for; what is left of an async one is returned."""
        name = context.operation_name or ""
        try:
            operation = self.operation(name)
        except AttributeError as error:
            if name.lower() == IMPLICIT_DELETE:
                context.destruct_on_exit()
                return None
            raise PayloadError("the operation's name", str(error)) from None
        arguments = operation.arguments_of(context)
        state = context.read_state(self.cls)
        context.set_state(state)  # before the operation, which may delete it
        with context.as_current():
            result = operation.function(state, **arguments)
            if inspect.iscoroutine(result):  # which a decorator may have made of it, in a plain function
                return _finish(context, result)
            context.set_result(result)
        return None


async def _finish(context: DurableEntityContext, result: Coroutine[Any, Any, Any]) -> None:
    with context.as_current():
        context.set_result(await result)


_DEFINITIONS: WeakKeyDictionary[type[Any], EntityDefinition] = WeakKeyDictionary()
_NAMES: WeakKeyDictionary[type[Any], str] = WeakKeyDictionary()


def definition_of(cls: type[Any]) -> EntityDefinition:
    """What an entity class says."""
    found = _DEFINITIONS.get(cls)
    if found is None:
        found = _DEFINITIONS[cls] = EntityDefinition(cls)
    return found


def entity_name(cls: type[Any]) -> str:
    """The name that the entities of a class are addressed by: the one it was registered under, else its own."""
    return _NAMES.get(cls, cls.__name__)


# ---------------------------------------------------------------- registering a class


def entity_function_of(cls: type[Any], name: str | None = None) -> Callable[[DurableEntityContext], Any]:
    """The entity function that a class stands for.

    Args:
        cls: The class.
        name: The name that its entities are addressed by; by default the class's.

    Raises:
        AppError: The class has no operations or no fields, cannot be made without arguments, or is registered already
            under another name.
    """
    definition = EntityDefinition(cls)
    _check(definition)
    if _NAMES.setdefault(cls, name or cls.__name__) != (name or cls.__name__):
        raise AppError(
            f"class {cls.__name__!r} is registered as entity {_NAMES[cls]!r} already, by which proxies know it. Make "
            f"a subclass to register as {name or cls.__name__!r}"
        )

    def entity(context: DurableEntityContext) -> Any:
        return definition.run(context)

    some = next(iter(definition.operations.values())).function
    own = [found.function for found in definition.operations.values() if found.function.__module__ == cls.__module__]
    entity.__module__, entity.__doc__ = cls.__module__, cls.__doc__
    entity.__name__ = entity.__qualname__ = cls.__name__
    entity.__dict__["__wrapped__"] = own[0] if own else some  # its file is the one that the entity is written in
    entity.__dict__["__signature__"] = inspect.signature(definition.run)
    return entity


def _check(definition: EntityDefinition) -> None:
    from worker_ext.typed.hints import has_fields

    cls = definition.cls
    if not definition.operations.keys() - vars(DurableEntity).keys():
        raise AppError(
            f"class {cls.__name__!r} is declared as an entity, and has no operations. Mark the methods that others may "
            "call with `@operation`"
        )
    unmarked = [
        name
        for base in cls.__mro__
        for name, member in vars(base).items()
        if getattr(member, MARK, False) and name not in definition.operations and callable(getattr(cls, name))
    ]
    if unmarked:
        raise AppError(
            f"class {cls.__name__!r} is declared as an entity, and overrides the operation {unmarked[0]!r} of a base "
            "class with something that is none. Mark it with `@operation` as well"
        )
    if not has_fields(cls):
        raise AppError(
            f"class {cls.__name__!r} is declared as an entity, and says nothing of its state. Make it a dataclass "
            "(`@dataclass` stands below the trigger), or a pydantic, attrs or msgspec class"
        )
    missing = [
        parameter.name
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if missing:
        raise AppError(
            f"class {cls.__name__!r} is declared as an entity, and cannot be made without {', '.join(missing)}. A new "
            "entity has no state yet: give each field a default"
        )
