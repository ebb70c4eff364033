"""May this function be served? The rules of the stock worker, with messages that say what to change.

Rule: parameters and bindings match by name, annotations are classes that the binding's converter accepts, outputs are
`Out[T]`. HTTP functions may ask for the types of a web extension instead: see `web_extension`. Source: Functions
worker protocol, "Checks when a function is added". Left out: deferred (SDK type) bindings.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from worker_ext.errors import AppError
from worker_ext.worker import bindings, web_extension
from worker_ext.worker.bindings import GENERIC

RETURN = "$return"
HTTP_TRIGGER = "httpTrigger"
HTTP = "http"
CONTEXT = "context"
OUT = 1
_INOUT = 2


class Binding(Protocol):
    """A binding as azure-functions declares it, in any of its versions."""

    name: str
    type: Any

    @property
    def direction(self) -> int:
        """0 in, 1 out, 2 inout."""


@dataclass(frozen=True, slots=True)
class Port:
    """Where a value enters or leaves a function.

    Attributes:
        binding_type: The type whose converter is used; `generic` for text and bytes.
        annotation: The type the converter is told to make or expect, or None.
        label: How an error names the place.
    """

    binding_type: str
    annotation: Any
    label: str


@dataclass(frozen=True, slots=True)
class Signature:
    """The ports of a function that passed its checks."""

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    returns: Port | None
    wants_context: bool


@dataclass(frozen=True, slots=True)
class Source:
    """The place where bindings are declared: how an error names it, and what differs there.

    Attributes:
        takes_objects: Whether objects that can be called will do; where functions are found by decorators, the real
            workers ask for the file of the object, which has none. Before Python 3.14 they must wrap a function, as
            those of `functools.lru_cache` do: annotations cannot be read from others.
        streams_http: Whether HTTP functions may stream.
    """

    bind: str
    name_there: str
    bind_output: str
    takes_objects: bool
    streams_http: bool


DECORATORS = Source(
    bind="bind it with a decorator whose argument name is the same",
    name_there="the argument name in the decorator",
    bind_output="bind it with an output decorator",
    takes_objects=False,
    streams_http=True,
)
FUNCTION_JSON = Source(
    bind="add a binding of that name to function.json",
    name_there="the name in function.json",
    bind_output='give its binding in function.json the direction "out"',
    takes_objects=True,
    streams_http=False,
)


def check_function(
    name: str, function: Callable[..., Any], declared: Sequence[Binding], source: Source = DECORATORS
) -> Signature:
    """Match a function with its bindings.

    Raises:
        AppError: The function breaks a rule; the message names function, parameter and fix.
    """
    try:
        return _Check(function, declared, source).signature()
    except AppError as error:
        raise AppError(f"function {name!r}: {error}") from error.__cause__


class _Check:
    def __init__(self, function: Callable[..., Any], declared: Sequence[Binding], source: Source) -> None:
        is_taken = source.takes_objects and (sys.version_info >= (3, 14) or hasattr(function, "__wrapped__"))
        if not is_taken and not (inspect.isroutine(function) and hasattr(function, "__code__")):
            raise AppError(
                f"it is an object of type {type(function).__name__!r}; only functions written with 'def' or 'async "
                "def' can be served. Let such a function call it"
            )
        self._source = source
        self._bindings = _by_name(declared)
        self._parameters = dict(inspect.signature(function).parameters)
        self._annotations = _annotations(function)

    def signature(self) -> Signature:
        wants_context = self._takes_context()
        self._match_names()
        inputs: dict[str, Port] = {}
        outputs: dict[str, Port] = {}
        for name in self._parameters:
            binding = self._bindings[name]
            ports = outputs if binding.direction == OUT else inputs
            ports[name] = self._parameter(binding)
        return Signature(inputs, outputs, self._returns(), wants_context)

    def _takes_context(self) -> bool:
        if CONTEXT in self._bindings or CONTEXT not in self._parameters:
            return False
        del self._parameters[CONTEXT]
        annotation = self._annotations.get(CONTEXT)
        if annotation is not None and not (isinstance(annotation, type) and annotation.__name__ == "Context"):
            raise AppError(
                f"parameter 'context' is the Functions context, so its annotation must be azure.functions.Context or "
                f"absent, not {_show(annotation)}"
            )
        return True

    def _match_names(self) -> None:
        bound = [name for name in self._bindings if name != RETURN]
        unbound = [name for name in self._parameters if name not in self._bindings]
        if not (missing := [name for name in bound if name not in self._parameters]) and not unbound:
            return
        faults = []
        if unbound:
            faults.append(
                f"parameter {_names(unbound)} has no binding: {self._source.bind}, or take it out (a default value "
                "does not help, and *args and **kwargs are not served)"
            )
        if missing:
            faults.append(
                f"binding {_names(missing)} has no parameter: give the function a parameter of that name, or correct "
                f"{self._source.name_there}"
            )
        raise AppError("; ".join(faults))

    def _parameter(self, binding: Binding) -> Port:
        annotation = self._annotations.get(binding.name)
        inner, is_out = _unwrap_out(binding.name, annotation)
        self._check_direction(binding, annotation, is_out)
        if inner is None:
            return Port(binding.type, None, f"parameter {binding.name!r}")
        if not isinstance(inner, type) and not _is_generic(inner):
            advice = _older_spelling(binding.type, inner) or _plain_class_advice(inner)
            raise AppError(f"parameter {binding.name!r}: the annotation {_show(inner)} is not a class; {advice}")
        plain = inner in {str, bytes} and not bindings.has_implicit_output(binding.type)
        kind = GENERIC if plain else binding.type
        accepts = bindings.accepts_output if is_out else bindings.accepts_input
        if not accepts(kind, inner) and not self._is_streamed(binding, inner):
            raise AppError(
                f"parameter {binding.name!r}: the binding {binding.type!r} does not accept the annotation "
                f"{_show(annotation)}; use the type that azure-functions documents for it, or no annotation"
            )
        return Port(kind, inner, f"parameter {binding.name!r}")

    def _is_streamed(self, binding: Binding, annotation: Any) -> bool:
        if binding.type != HTTP_TRIGGER or not web_extension.is_request(annotation):
            return False
        if not self._source.streams_http:
            raise AppError(
                f"parameter {binding.name!r}: the annotation {_show(annotation)} streams HTTP, which functions with a "
                "function.json cannot: declare the function by decorators in function_app.py, or annotate "
                "azure.functions.HttpRequest"
            )
        return True

    def _check_direction(self, binding: Binding, annotation: Any, is_out: bool) -> None:
        if annotation is None:
            return
        if binding.direction == OUT and not is_out:
            raise AppError(
                f"parameter {binding.name!r} is an output, so its annotation must be func.Out[...], not "
                f"{_show(annotation)}"
            )
        if binding.direction != OUT and is_out:
            raise AppError(
                f"parameter {binding.name!r} is an input, so its annotation cannot be {_show(annotation)}; "
                f"{self._source.bind_output}, or annotate the type of the input"
            )

    def _returns(self) -> Port | None:
        annotation = self._annotations.get("return")
        explicit = self._bindings.get(RETURN)
        if explicit is not None:
            if not (explicit.type == HTTP and self._source.streams_http and web_extension.is_answer(annotation)):
                _check_return(explicit.type, annotation)
            return Port(explicit.type, annotation, "the return value")
        implicit = [binding for binding in self._bindings.values() if bindings.has_implicit_output(binding.type)]
        return Port(implicit[-1].type, annotation, "the return value") if implicit else None


def _by_name(declared: Sequence[Binding]) -> dict[str, Binding]:
    found: dict[str, Binding] = {}
    for binding in declared:
        if binding.name in found:
            raise AppError(f"two bindings are called {binding.name!r}; give each a name of its own")
        if binding.direction == _INOUT:
            raise AppError(f"binding {binding.name!r}: the direction 'inout' is not supported; use 'in' or 'out'")
        if binding.name == RETURN and binding.direction != OUT:
            raise AppError("binding '$return' must have the direction 'out': it takes the function's return value")
        found[binding.name] = binding
    return found


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, AttributeError) as error:
        raise AppError(
            f"an annotation cannot be resolved: {error}. Import the name in the module of the function (not only under "
            "TYPE_CHECKING), or drop the annotation"
        ) from error
    except (SyntaxError, TypeError) as error:
        raise AppError(f"an annotation is not a type: {error}. Correct or drop it") from error


def _unwrap_out(name: str, annotation: Any) -> tuple[Any, bool]:
    """Return the type inside `Out[T]`, or the annotation itself; Out is known by its name, as in the stock worker."""
    origin = typing.get_origin(annotation) or annotation
    if not (isinstance(origin, type) and origin.__name__ == "Out"):
        return annotation, False
    arguments = typing.get_args(annotation)
    if len(arguments) != 1:
        raise AppError(f"parameter {name!r}: Out needs the type of the value, as in func.Out[str]")
    return arguments[0], True


def _is_generic(annotation: Any) -> bool:
    """Subscripted generics of `typing` and of the user pass in the stock worker; unions, list[int], tuples do not."""
    origin = typing.get_origin(annotation)
    return (
        isinstance(origin, type)
        and origin not in _NOT_GENERIC
        and bool(typing.get_args(annotation))
        and not isinstance(annotation, types.GenericAlias)
    )


_NOT_GENERIC = frozenset({tuple, types.UnionType, typing.get_origin(Callable[..., Any])})


def _older_spelling(binding_type: str, annotation: Any) -> str | None:
    """What to write where the binding asks for the elements' type, as Event Hubs do, and no plain class will do."""
    if typing.get_origin(annotation) is not list or bindings.accepts_input(binding_type, list):
        return None
    older = _LIST[typing.get_args(annotation)]
    if not bindings.accepts_input(binding_type, older):
        return None
    return f"annotate {_show(older)} of typing, the spelling that the workers take, or nothing"


_LIST: Any = typing.List  # noqa: UP006 - the older spelling is what this is about


def _plain_class_advice(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    if origin is typing.Union or origin is types.UnionType:
        return "the worker takes no unions and no Optional. Annotate the class itself, or nothing"
    if isinstance(origin, type):
        return f"annotate plain {origin.__name__!r}, or nothing"
    return "annotate a class, or nothing"


def _check_return(binding_type: str, annotation: Any) -> None:
    if annotation is None:
        return
    if (typing.get_origin(annotation) or annotation) is not annotation and _unwrap_out("return", annotation)[1]:
        raise AppError("the return annotation cannot be func.Out[...]; annotate the type of the value itself")
    if not isinstance(annotation, type):
        raise AppError(f"the return annotation {_show(annotation)} is not a class; {_plain_class_advice(annotation)}")
    if not bindings.accepts_output(binding_type, annotation):
        raise AppError(
            f"the return annotation {_show(annotation)} does not fit the binding {binding_type!r}; use the type that "
            "azure-functions documents for it, or no annotation"
        )


def _show(annotation: Any) -> str:
    text = inspect.formatannotation(annotation)
    return repr(text) if "'" not in text else text


def _names(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
