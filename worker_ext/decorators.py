"""Blueprint and DFApp: the durable triggers and the client binding beside all of azure-functions' own decorators.

What a worker is given for a function is never the user's function but a plain one that calls it. Workers check the
parameters and annotations of what they are given, and refuse much that is good Python: `list[int]`, `Order | None`,
names that exist for the type checker only. The installed function therefore has exactly the parameters that are bound,
keeps the annotations of other bindings, which choose how those are converted, and hides the one of the durable binding.
It lies in the user's file, so that the function's directory is the user's, and it is `async def` exactly when the
user's is; an orchestrator's is always `def`, because a replay is work for a thread and not for the event loop.

Source: Functions worker protocol, sections on indexing, on the checks of a function, and on wrapping user functions.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

from azure.functions import AuthLevel, BindingApi, FunctionRegister, SettingsApi, TriggerApi
from azure.functions.decorators.core import InputBinding, Trigger
from azure.functions.decorators.function_app import FunctionBuilder

from worker_ext import converters
from worker_ext.errors import AppError

P = ParamSpec("P")
R = TypeVar("R")
_AnyFunction: TypeAlias = Callable[..., Any]


class OrchestrationTrigger(Trigger):
    """The declaration of an orchestrator."""

    def __init__(self, name: str, orchestration: str | None = None) -> None:
        self.orchestration = orchestration
        super().__init__(name=name)

    @staticmethod
    def get_binding_name() -> str:
        """The binding's type."""
        return "orchestrationTrigger"


class ActivityTrigger(Trigger):
    """The declaration of an activity."""

    def __init__(self, name: str, activity: str | None = None) -> None:
        self.activity = activity
        super().__init__(name=name)

    @staticmethod
    def get_binding_name() -> str:
        """The binding's type."""
        return "activityTrigger"


class EntityTrigger(Trigger):
    """The declaration of an entity."""

    def __init__(self, name: str, entity_name: str | None = None) -> None:
        self.entity_name = entity_name
        super().__init__(name=name)

    @staticmethod
    def get_binding_name() -> str:
        """The binding's type."""
        return "entityTrigger"


class DurableClient(InputBinding):
    """The declaration of a durable client."""

    def __init__(self, name: str, task_hub: str | None = None, connection_name: str | None = None) -> None:
        self.task_hub = task_hub
        self.connection_name = connection_name
        super().__init__(name=name)

    @staticmethod
    def get_binding_name() -> str:
        """The binding's type."""
        return "durableClient"


class DurableFunction(FunctionBuilder, Generic[P, R]):
    """What a durable decorator leaves in the place of a function: azure-functions' builder, still callable as written.

    Calling it calls the user's function with the arguments given and nothing in between, as a unit test wants it. What
    a worker calls is `build().get_user_function()`.
    """

    def __init__(self, builder: FunctionBuilder, function: Callable[P, R]) -> None:
        self._function = builder._function
        self._user_function = function
        self.__name__: str = getattr(function, "__name__", type(function).__name__)
        self.__doc__ = function.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the user's function."""
        return self._user_function(*args, **kwargs)


class Blueprint(TriggerApi, BindingApi, SettingsApi):
    """A group of functions that an app takes in with `register_functions`.

    Args:
        http_auth_level: What key callers of its HTTP functions need where a function does not say.
    """

    def __init__(self, http_auth_level: AuthLevel | str = AuthLevel.FUNCTION) -> None:
        super().__init__(auth_level=http_auth_level)  # type: ignore[no-untyped-call]
        converters.register()

    def orchestration_trigger(
        self, context_name: str, orchestration: str | None = None
    ) -> Callable[[Callable[P, R]], DurableFunction[P, R]]:
        """Declares an orchestrator: a generator function, or a plain one, that takes the context.

        Args:
            context_name: The name of the binding; the function's own parameter may be called otherwise.
            orchestration: The name that starts it; by default the function's.

        Raises:
            AppError: What is decorated is no function of one parameter.
        """

        def install(user: _AnyFunction) -> FunctionType:
            return _orchestrator(user, context_name)

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
            return _activity(user, input_name)

        return self._durable(install, ActivityTrigger(input_name, activity))

    def entity_trigger(
        self, context_name: str, entity_name: str | None = None
    ) -> Callable[[Callable[P, R]], DurableFunction[P, R]]:
        """Declares an entity: a function that takes the entity's context, and is called once for each operation.

        Args:
            context_name: The name of the binding; the function's own parameter may be called otherwise.
            entity_name: The name that it is addressed by; by default the function's.

        Raises:
            AppError: What is decorated is no function of one parameter.
        """

        def install(user: _AnyFunction) -> FunctionType:
            return _entity(user, context_name)

        return self._durable(install, EntityTrigger(context_name, entity_name))

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
            return _client_function(user, client_name)

        return self._durable(install, DurableClient(client_name, task_hub, connection_name))

    def _durable(
        self, install: Callable[[_AnyFunction], FunctionType], binding: Trigger | InputBinding
    ) -> Callable[[Callable[P, R]], DurableFunction[P, R]]:
        """The decorator of a binding; `install` makes the function that workers get."""
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
                durable = DurableFunction(builder, user)
                self._function_builders[-1] = durable
                return durable

            durable: DurableFunction[P, R] = self._configure_function_builder(attach)(target)
            return durable

        return decorator


class DFApp(Blueprint, FunctionRegister):
    """A Durable Functions app: workers look for one of these at the top level of `function_app.py`."""


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


def _orchestrator(user: _AnyFunction, context_name: str) -> FunctionType:
    _check_takes_one_argument(user, "orchestrator", "the context")

    def turn(*args: Any, **kwargs: Any) -> str:
        from worker_ext import handlers

        return handlers.run_orchestrator(_body(*args, **kwargs), user)

    return _plain(turn, user, _single_parameter(context_name), is_async=False, orchestrator_function=user)


def _entity(user: _AnyFunction, context_name: str) -> FunctionType:
    _check_takes_one_argument(user, "entity", "the context")

    def batch(*args: Any, **kwargs: Any) -> str:
        from worker_ext import handlers

        return handlers.run_entity(_body(*args, **kwargs), user)

    return _plain(batch, user, _single_parameter(context_name), is_async=False, entity_function=user)


def _activity(user: _AnyFunction, input_name: str) -> FunctionType:
    signature = _signature_without(user, input_name, "activity_trigger", "input_name")
    # The activity's own return value answers the trigger, and no worker needs to know its type to convert it.
    signature = signature.replace(return_annotation=inspect.Signature.empty)
    return _plain(user, user, signature, is_async=_is_async(user), activity_function=user)


def _client_function(user: _AnyFunction, client_name: str) -> FunctionType:
    signature = _signature_without(user, client_name, "durable_client_input", "client_name")
    is_async = _is_async(user)

    def call(*args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get(client_name), str | bytes):
            from worker_ext.client import DurableOrchestrationClient

            invocation_id = getattr(kwargs.get("context"), "invocation_id", None)
            kwargs[client_name] = DurableOrchestrationClient(kwargs[client_name], invocation_id)
        return user(*args, **kwargs)

    return _plain(call, user, signature, is_async=is_async, client_function=user)


def _body(*args: Any, **kwargs: Any) -> str:
    """The payload in the one argument of a trigger: workers send a carrier, tests may send the text."""
    (carrier,) = (*args, *kwargs.values())
    body: str = getattr(carrier, "body", carrier)
    return body


def _plain(
    call: _AnyFunction, user: _AnyFunction, signature: inspect.Signature, *, is_async: bool, **attributes: _AnyFunction
) -> FunctionType:
    """A plain function that calls `call` and shows itself to workers as the user's, with the given signature.

    It has the user's globals, where annotations that are still text are looked up, and no `__wrapped__`, which would
    lead to the hidden annotations.
    """
    source = inspect.unwrap(user)
    function = _forward_async(call) if is_async else _forward(call)
    code = function.__code__
    if isinstance(source, FunctionType):
        file, line = source.__code__.co_filename, source.__code__.co_firstlineno
        code = code.replace(co_filename=file, co_firstlineno=line, co_name=user.__name__)
    plain = FunctionType(code, getattr(source, "__globals__", {}), user.__name__, None, function.__closure__)
    plain.__module__ = user.__module__
    plain.__qualname__ = getattr(user, "__qualname__", user.__name__)
    plain.__doc__ = user.__doc__
    plain.__dict__.update({key: value for key, value in vars(user).items() if key != "__wrapped__"})
    plain.__dict__.update(attributes)
    plain.__annotations__ = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if parameter.annotation is not inspect.Parameter.empty
    }
    if signature.return_annotation is not inspect.Signature.empty:
        plain.__annotations__["return"] = signature.return_annotation
    plain.__dict__["__signature__"] = signature
    return plain


def _forward(call: _AnyFunction) -> FunctionType:
    def function(*args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)

    assert isinstance(function, FunctionType)
    return function


def _forward_async(call: _AnyFunction) -> FunctionType:
    async def function(*args: Any, **kwargs: Any) -> Any:
        return await call(*args, **kwargs)

    assert isinstance(function, FunctionType)
    return function


def _is_async(user: _AnyFunction) -> bool:
    return inspect.iscoroutinefunction(user) or inspect.iscoroutinefunction(getattr(user, "__call__", None))  # noqa: B004


def _single_parameter(name: str) -> inspect.Signature:
    if not name.isidentifier():
        raise AppError(f"context_name={name!r} names the binding; expected a Python name such as 'context'")
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)])


def _signature(user: _AnyFunction) -> inspect.Signature:
    """The signature with annotations as they stand: names that cannot be resolved yet, or ever, are left alone."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(user, annotation_format=Format.FORWARDREF)
    return inspect.signature(user)


def _signature_without(user: _AnyFunction, parameter: str, decorator: str, argument: str) -> inspect.Signature:
    """The signature with the annotation of one parameter hidden."""
    signature = _signature(user)
    if parameter not in signature.parameters:
        raise AppError(
            f"function {user.__name__!r} has no parameter {parameter!r}, which {decorator}({argument}={parameter!r}) "
            f"names; its parameters are ({', '.join(signature.parameters)})"
        )
    empty = inspect.Parameter.empty
    return signature.replace(
        parameters=[
            value.replace(annotation=empty) if name == parameter else value
            for name, value in signature.parameters.items()
        ]
    )


def _check_takes_one_argument(user: _AnyFunction, kind: str, what: str) -> None:
    signature = _signature(user)
    try:
        signature.bind(None)
    except TypeError:
        raise AppError(
            f"{kind} {user.__name__!r} is called with one argument, {what}, but is written as {user.__name__}"
            f"({', '.join(signature.parameters)}). Other values reach it as its input"
        ) from None
