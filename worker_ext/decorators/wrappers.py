"""What workers are given in the place of a user's function: a plain function that calls it.

Workers check the parameters and annotations of what they are given, and refuse much that is good Python: `list[int]`,
`Order | None`, names that exist for the type checker only. The installed function therefore has exactly the parameters
that are bound, keeps the annotations of other bindings, which choose how those are converted, and hides the one of the
durable binding. It lies in the user's file, so that the function's directory is the user's, and it is `async def`
exactly when the user's is; an orchestrator's is always `def`, because a replay is work for a thread and not for the
event loop.

Source: Functions worker protocol, sections on indexing, on the checks of a function, and on wrapping user functions.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

from worker_ext import converters, payloads, tracing
from worker_ext.errors import AppError
from worker_ext.payload_converter import ConverterSlot
from worker_ext.protocol import codec

if TYPE_CHECKING:
    from worker_ext.engine.tasks import Leaf

_AnyFunction: TypeAlias = Callable[..., Any]

NO_CONVERTER = ConverterSlot(None)
"""Of functions that belong to no app."""


def orchestrator_function(
    user: _AnyFunction,
    context_name: str,
    input_type: type | None = None,
    check: Callable[[str, list[Leaf]], None] | None = None,
    slot: ConverterSlot = NO_CONVERTER,
) -> FunctionType:
    """The function that a worker is given for an orchestrator.

    Args:
        user: The user's function.
        context_name: The name of the binding.
        input_type: The type that the context reads the input as.
        slot: Where the app's converter of payloads is found.
        check: Told of the user's function by name and of everything it has scheduled, after each turn.

    Raises:
        AppError: The user's function takes another number of parameters than one.
    """
    _check_takes_one_argument(user, "orchestrator", "the context")

    def turn(*args: Any, **kwargs: Any) -> str:
        from worker_ext import handlers
        from worker_ext.context import DurableOrchestrationContext

        context = DurableOrchestrationContext.from_json(
            _body(*args, **kwargs), input_type=input_type, written_by=slot.payloads
        )
        leaves = context.executor.schedule.leaves
        try:
            return handlers.run_turn(context, user)
        finally:
            if check is not None:
                check(user.__name__, leaves)

    return _plain(turn, user, _single_parameter(context_name), is_async=False, orchestrator_function=user)


def entity_function(user: _AnyFunction, context_name: str, slot: ConverterSlot = NO_CONVERTER) -> FunctionType:
    """The function that a worker is given for an entity; `context_name` is the name of the binding.

    An entity may have other bindings, such as a durable client to start orchestrations with. Then its parameters are
    told apart by name; with none but the context, that parameter may have any name.

    Raises:
        AppError: The user's function has several parameters, and none is called `context_name`.
    """
    if len(payloads.signature_of(user).parameters) > 1:
        return _entity_with_bindings(user, context_name, slot)
    _check_takes_one_argument(user, "entity", "the context")

    def batch(*args: Any, **kwargs: Any) -> str:
        from worker_ext import handlers

        return handlers.run_entity(_body(*args, **kwargs), user, written_by=slot.payloads)

    return _plain(batch, user, _single_parameter(context_name), is_async=False, entity_function=user)


def _entity_with_bindings(user: _AnyFunction, context_name: str, slot: ConverterSlot) -> FunctionType:
    signature = _signature_without(user, context_name, "entity_trigger", "context_name")

    def batch(*args: Any, **kwargs: Any) -> str:
        from worker_ext import handlers

        values = signature.bind(*args, **kwargs).arguments
        body = _body(values.pop(context_name))
        entity = partial(_called_with, user, context_name, values)
        return handlers.run_entity(body, entity, written_by=slot.payloads)

    return _plain(batch, user, signature, is_async=False, entity_function=user)


def _called_with(user: _AnyFunction, name: str, others: dict[str, Any], context: Any) -> Any:
    return user(**{name: context, **others})


def activity_function(user: _AnyFunction, input_name: str, name: str | None = None) -> FunctionType:
    """The function that a worker is given for an activity.

    Args:
        user: The user's function.
        input_name: The parameter that takes the input.
        name: What orchestrators call it by; by default the function's name.

    Raises:
        AppError: There is no such parameter.
    """
    signature = _signature_without(user, input_name, "activity_trigger", "input_name")
    # The activity's own return value answers the trigger, and no worker needs to know its type to convert it.
    signature = signature.replace(return_annotation=inspect.Signature.empty)
    call = _with_typed_input(user, input_name, signature) if payloads.is_made(user, input_name) else user
    return _plain(call, user, signature, is_async=_is_async(user), span=name or user.__name__, activity_function=user)


def _with_typed_input(user: _AnyFunction, input_name: str, signature: inspect.Signature) -> _AnyFunction:
    """Reads the input as the type that the function says it has; looked up when all of the app's names are there."""
    readers: list[Callable[[Any], Any]] = []

    def call(*args: Any, **kwargs: Any) -> Any:
        if not readers:
            readers.append(payloads.restorer(payloads.parameter_type(user, input_name)))
        if input_name in kwargs:
            kwargs[input_name] = readers[0](kwargs[input_name])
            return user(*args, **kwargs)
        given = signature.bind(*args, **kwargs)
        if input_name in given.arguments:
            given.arguments[input_name] = readers[0](given.arguments[input_name])
        return user(*given.args, **given.kwargs)

    return call


def converted_activity(
    installed: _AnyFunction, user: _AnyFunction, input_name: str, slot: ConverterSlot
) -> FunctionType:
    """An installed activity, whose input and result go through the app's converter.

    The worker has parsed the input and writes the result as JSON, and knows no converter.
    """
    signature = inspect.signature(installed)
    is_async = _is_async(installed)

    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        if input_name in given.arguments:
            kind = payloads.parameter_type(user, input_name)
            given.arguments[input_name] = slot.payloads.restore_as(kind, given.arguments[input_name])
        outcome = installed(*given.args, **given.kwargs)
        return _encoded_later(outcome, slot) if is_async else _encoded(outcome, slot)

    return _plain(call, installed, signature, is_async=is_async)


def _encoded(value: Any, slot: ConverterSlot) -> Any:
    return codec.decode_json(slot.payloads.encode(value))


async def _encoded_later(outcome: Any, slot: ConverterSlot) -> Any:
    return _encoded(await outcome, slot)


def client_function(user: _AnyFunction, client_name: str, slot: ConverterSlot = NO_CONVERTER) -> FunctionType:
    """The function that a worker is given for a durable client; `client_name` is the parameter that takes it.

    Raises:
        AppError: There is no such parameter.
    """
    signature = _signature_without(user, client_name, "durable_client_input", "client_name")
    is_async = _is_async(user)

    def call(*args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get(client_name), str | bytes):
            from worker_ext.client import DurableOrchestrationClient

            invocation_id = getattr(kwargs.get("context"), "invocation_id", None)
            kwargs[client_name] = DurableOrchestrationClient(
                kwargs[client_name], invocation_id, payload_converter=slot.converter
            )
        return user(*args, **kwargs)

    return _plain(call, user, signature, is_async=is_async, client_function=user)


def _body(*args: Any, **kwargs: Any) -> str:
    """The payload in the one argument of a trigger: workers send a carrier, tests may send the text.

    What is answered to it has to pass our converter, and a package that was imported after the function was declared
    may have put its own there.
    """
    converters.register()
    (carrier,) = (*args, *kwargs.values())
    body: str = getattr(carrier, "body", carrier)
    return body


def _plain(
    call: _AnyFunction,
    user: _AnyFunction,
    signature: inspect.Signature,
    *,
    is_async: bool,
    span: str | None = None,
    **attributes: _AnyFunction,
) -> FunctionType:
    """A plain function that calls `call` and shows itself to workers as the user's, with the given signature.

    It has the user's globals, where annotations that are still text are looked up, and no `__wrapped__`, which would
    lead to the hidden annotations. Where it has a name for a span, its calls are traced.
    """
    source = inspect.unwrap(user)
    if span is not None:
        function = _trace_async(call, span) if is_async else _trace(call, span)
    else:
        function = _forward_async(call) if is_async else _forward(call)
    code = function.__code__
    if isinstance(source, FunctionType):
        file, line = source.__code__.co_filename, source.__code__.co_firstlineno
        code = code.replace(co_filename=file, co_firstlineno=line, co_name=user.__name__)
    plain = FunctionType(code, getattr(source, "__globals__", {}), user.__name__, None, function.__closure__)
    plain.__module__ = user.__module__
    plain.__qualname__ = getattr(user, "__qualname__", user.__name__)
    plain.__doc__ = user.__doc__
    plain.__dict__.update({key: value for key, value in getattr(user, "__dict__", {}).items() if key != "__wrapped__"})
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


def _trace(call: _AnyFunction, name: str) -> FunctionType:
    # Not by their names: the function has the user's globals. The first look is all that it costs most apps.
    modules, api, is_on, span = sys.modules, tracing.API, tracing.is_on, tracing.activity

    def function(*args: Any, **kwargs: Any) -> Any:
        if api not in modules or not is_on():
            return call(*args, **kwargs)
        with span(name):
            return call(*args, **kwargs)

    assert isinstance(function, FunctionType)
    return function


def _trace_async(call: _AnyFunction, name: str) -> FunctionType:
    is_on, span = tracing.is_on, tracing.activity

    async def function(*args: Any, **kwargs: Any) -> Any:
        if not is_on():
            return await call(*args, **kwargs)
        with span(name):
            return await call(*args, **kwargs)

    assert isinstance(function, FunctionType)
    return function


def _is_async(user: _AnyFunction) -> bool:
    return inspect.iscoroutinefunction(user) or inspect.iscoroutinefunction(getattr(user, "__call__", None))  # noqa: B004


def _single_parameter(name: str) -> inspect.Signature:
    if not name.isidentifier():
        raise AppError(f"context_name={name!r} names the binding; expected a Python name such as 'context'")
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)])


def _signature_without(user: _AnyFunction, parameter: str, decorator: str, argument: str) -> inspect.Signature:
    """The signature with the annotation of one parameter hidden."""
    signature = payloads.signature_of(user)
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
    signature = payloads.signature_of(user)
    try:
        signature.bind(None)
    except TypeError:
        raise AppError(
            f"{kind} {user.__name__!r} is called with one argument, {what}, but is written as {user.__name__}"
            f"({', '.join(signature.parameters)}). Other values reach it as its input"
        ) from None
