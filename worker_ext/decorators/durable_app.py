"""Blueprint and DFApp: the durable triggers and the client binding beside all of azure-functions' own decorators."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from azure.functions import AuthLevel, FunctionRegister
from azure.functions.decorators.core import InputBinding, Trigger
from azure.functions.decorators.function_app import Function, FunctionBuilder

from worker_ext import converters
from worker_ext.decorators.declared import DECLARATIONS
from worker_ext.decorators.inherited import InheritedDecorators
from worker_ext.decorators.metadata import ActivityTrigger, DurableClient, EntityTrigger, OrchestrationTrigger
from worker_ext.decorators.wrappers import (
    activity_function,
    client_function,
    converted_activity,
    entity_function,
    orchestrator_function,
)
from worker_ext.errors import AppError
from worker_ext.payload_converter import ConverterSlot, PayloadConverter

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from worker_ext.context import DurableOrchestrationContext

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E")
In = TypeVar("In")
_AnyFunction: TypeAlias = Callable[..., Any]


class DurableFunction(FunctionBuilder, Generic[P, R]):
    """What a durable decorator leaves in the place of a function: azure-functions' builder, still callable as written.

    Calling it calls the user's function with the arguments given and nothing in between, as a unit test wants it; its
    name, its documentation and its signature are the user's. What a worker calls is `build().get_user_function()`.
    """

    __name__: str
    __qualname__: str

    def __init__(self, builder: FunctionBuilder, function: Callable[P, R], slot: ConverterSlot) -> None:
        functools.update_wrapper(self, function)
        self._function = builder._function
        self._user_function = function
        self._slot = slot
        self._is_converted = False

    def convert_payloads(self) -> None:
        """Has an activity's input and result go through the converter, where there is one."""
        trigger = self._function.get_trigger()
        if self._is_converted or self._slot.converter is None or not isinstance(trigger, ActivityTrigger):
            return
        installed = self._function.get_user_function()
        self._function._func = converted_activity(installed, self._user_function, trigger.name, self._slot)
        self._is_converted = True

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the user's function."""
        return self._user_function(*args, **kwargs)


class EntityDecorator(Protocol):
    """What declares an entity."""

    @overload
    def __call__(self, target: type[E]) -> type[E]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, target: Callable[P, R]) -> DurableFunction[P, R]: ...


class Blueprint(InheritedDecorators):
    """A group of functions that an app takes in with `register_functions`.

    Args:
        http_auth_level: What key callers of its HTTP functions need where a function does not say.
        payload_converter: How values are written as JSON text and read; by default that of the app that takes it in.
    """

    def __init__(
        self,
        http_auth_level: AuthLevel | str = AuthLevel.FUNCTION,
        *,
        payload_converter: PayloadConverter | None = None,
    ) -> None:
        super().__init__(auth_level=http_auth_level)  # type: ignore[no-untyped-call]
        self._slot = ConverterSlot(payload_converter)
        converters.register()
        DECLARATIONS.add(self)

    @overload
    def orchestration_trigger(
        self, context_name: str, orchestration: str | None = None, input_type: None = None
    ) -> Callable[[Callable[P, R]], DurableFunction[P, R]]: ...
    @overload
    def orchestration_trigger(
        self, context_name: str, orchestration: str | None = None, *, input_type: TypeForm[In]
    ) -> Callable[
        [Callable[[DurableOrchestrationContext[In]], R]], DurableFunction[[DurableOrchestrationContext[In]], R]
    ]: ...
    @overload
    def orchestration_trigger(
        self, context_name: str, orchestration: str | None, input_type: TypeForm[In]
    ) -> Callable[
        [Callable[[DurableOrchestrationContext[In]], R]], DurableFunction[[DurableOrchestrationContext[In]], R]
    ]: ...
    def orchestration_trigger(self, context_name: str, orchestration: str | None = None, input_type: Any = None) -> Any:
        """Declares an orchestrator: a generator function, or a plain one, that takes the context.

        Args:
            context_name: The name of the binding; the function's own parameter may be called otherwise.
            orchestration: The name that starts it; by default the function's.
            input_type: The type that `context.get_input()` reads the input as; by default what the function's parameter
                says, if it is annotated with `DurableOrchestrationContext[Order]`.

        Raises:
            AppError: What is decorated is no function of one parameter.
        """

        def install(user: _AnyFunction) -> FunctionType:
            return orchestrator_function(user, context_name, input_type, DECLARATIONS.check, self._slot)

        return self._durable(install, OrchestrationTrigger(context_name, orchestration))

    def activity_trigger(
        self, input_name: str, activity: str | None = None
    ) -> Callable[[Callable[P, R]], DurableFunction[P, R]]:
        """Declares an activity, sync or async.

        Args:
            input_name: The parameter that takes the input.
            activity: The name that orchestrators call it by; by default the function's.

        Raises:
            AppError: What is decorated is no function, or has no such parameter.
        """

        def install(user: _AnyFunction) -> FunctionType:
            return activity_function(user, input_name, activity)

        return self._durable(install, ActivityTrigger(input_name, activity))

    def entity_trigger(self, context_name: str = "context", entity_name: str | None = None) -> EntityDecorator:
        """Declares an entity: a class, whose operations are methods (see `worker_ext.operation`), or a function.

        A class stays as it is. A function takes the entity's context, and is called once for each operation.

        Args:
            context_name: The name of the binding; the function's own parameter may be called otherwise.
            entity_name: The name that it is addressed by; by default that of the class or the function.

        Raises:
            AppError: What is decorated is no function of one parameter, and no class that can be an entity.
        """

        def install(user: _AnyFunction) -> FunctionType:
            return entity_function(user, context_name, self._slot)

        declare = self._durable(install, EntityTrigger(context_name, entity_name))

        def decorator(target: Any) -> Any:
            if not isinstance(target, type):
                return declare(target)
            from worker_ext.entity_definition import entity_function_of

            declare(entity_function_of(target, entity_name))
            return target

        return decorator

    def durable_client_input(
        self, client_name: str, task_hub: str | None = None, connection_name: str | None = None
    ) -> Callable[[Callable[P, R]], DurableFunction[P, R]]:
        """Gives a function, sync or async, a `DurableOrchestrationClient`.

        Args:
            client_name: The parameter that takes the client.
            task_hub: The task hub it works on; by default the one of host.json.
            connection_name: The app setting with the connection string of that hub's storage; by default the app's.

        Raises:
            AppError: What is decorated is no function, or has no such parameter.
        """

        def install(user: _AnyFunction) -> FunctionType:
            return client_function(user, client_name, self._slot)

        return self._durable(install, DurableClient(client_name, task_hub, connection_name))

    def _durable(
        self, install: Callable[[_AnyFunction], FunctionType], binding: Trigger | InputBinding
    ) -> Callable[[Callable[P, R]], DurableFunction[P, R]]:
        """The decorator of a binding; `install` makes the function that workers get."""
        _check_is_called(binding)
        converters.register()

        def decorator(target: Callable[P, R]) -> DurableFunction[P, R]:
            user = _user_function(target)
            installed = install(_installed_function(target))  # before the app is touched: it may refuse

            def attach(builder: FunctionBuilder) -> DurableFunction[P, R]:
                if isinstance(binding, Trigger):
                    builder.add_trigger(trigger=binding)
                else:
                    builder.add_binding(binding=binding)
                builder._function._func = installed
                durable = DurableFunction(builder, user, self._slot)
                self._function_builders[-1] = durable
                return durable

            durable: DurableFunction[P, R] = self._configure_function_builder(attach)(target)
            return durable

        return decorator


class DFApp(Blueprint, FunctionRegister):
    """A Durable Functions app: workers look for one of these at the top level of `function_app.py`."""

    def get_functions(self) -> list[Function]:
        """The functions that were declared; workers ask for them when all of the app has been imported."""
        converters.register()
        for builder in self._function_builders:
            if isinstance(builder, DurableFunction):
                builder.convert_payloads()
        functions: list[Function] = super().get_functions()
        return functions

    def register_functions(self, function_container: Any) -> None:
        """Takes in the functions of a blueprint, which are given the app's payload converter unless it has its own."""
        slot = getattr(function_container, "_slot", None)
        if slot is not None:
            slot.take_over(self._slot)
        super().register_functions(function_container)

    register_blueprint = register_functions


def _check_is_called(binding: Trigger | InputBinding) -> None:
    """Refuses `@app.activity_trigger`, which would take the function for the name and be lost without a word."""
    given: object = binding.name
    if callable(given):
        kind = binding.get_binding_name()
        raise AppError(
            f"the decorator of {getattr(given, '__name__', repr(given))!r} has no brackets, so it decorates nothing. "
            f"Write {_USES[kind]}"
        )


_USES = {
    "orchestrationTrigger": '@app.orchestration_trigger(context_name="context")',
    "activityTrigger": '@app.activity_trigger(input_name="..."), with the name of the parameter',
    "entityTrigger": '@app.entity_trigger(context_name="context")',
    "durableClient": '@app.durable_client_input(client_name="..."), with the name of the parameter',
}


def _user_function(target: Callable[P, R]) -> Callable[P, R]:
    """The function as the user wrote it, under whatever decorators have been applied."""
    if isinstance(target, DurableFunction):
        return target._user_function
    return _installed_function(target)


def _installed_function(target: Any) -> _AnyFunction:
    """The function that a worker would be given now."""
    function: _AnyFunction
    if isinstance(target, FunctionBuilder):
        function = target._function.get_user_function()
        return function
    if callable(target) and hasattr(target, "__name__"):
        function = target
        return function
    raise AppError(
        f"a durable decorator was applied to {target!r}, which is no function with a name. Put it on a `def` or "
        "`async def`, and call the other object from there"
    )
