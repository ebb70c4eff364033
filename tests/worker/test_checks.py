"""Which functions are served: the rules of the stock worker, and what the messages say."""

from __future__ import annotations

import functools
import sys
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Optional

import azure.functions as func
import pytest

from worker_ext.errors import AppError
from worker_ext.worker.checks import Port, Signature, check_function

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypeCheckers

Decorate = Callable[[func.FunctionApp], Callable[[Any], Any]]
RETURNED = "the return value"
OLDER_LIST = typing.List[func.EventHubEvent]  # noqa: UP006
EVENT = "azure.functions._eventhub.EventHubEvent"


def check(function: Callable[..., Any], *decorators: Decorate) -> Signature:
    """Decorate a function as an app would, the first decorator uppermost, and check it."""
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    decorated = function
    for decorate in reversed(decorators):
        decorated = decorate(app)(decorated)
    (built,) = app.get_functions()
    return check_function("work", built.get_user_function(), built.get_bindings())


def http(app: func.FunctionApp) -> Callable[[Any], Any]:
    return app.route("work")


def queue(app: func.FunctionApp) -> Callable[[Any], Any]:
    return app.queue_trigger(arg_name="msg", queue_name="q", connection="c")


def events(app: func.FunctionApp) -> Callable[[Any], Any]:
    return app.event_hub_message_trigger(arg_name="x", event_hub_name="h", connection="c", cardinality="many")


def generic(app: func.FunctionApp) -> Callable[[Any], Any]:
    return app.generic_trigger(arg_name="x", type="anything")


def client(app: func.FunctionApp) -> Callable[[Any], Any]:
    return app.generic_input_binding(arg_name="starter", type="durableClient")


def queue_output(app: func.FunctionApp) -> Callable[[Any], Any]:
    return app.queue_output(arg_name="out", queue_name="q", connection="c")


def binding(name: str, direction: int, kind: str = "anything") -> Decorate:
    """A binding the decorators would not make: `direction` 0 in, 1 out, 2 inout."""

    def decorate(app: func.FunctionApp) -> Callable[[Any], Any]:
        def add(builder: Any) -> Any:
            made = func.decorators.generic.GenericInputBinding(name=name, type=kind)
            made._direction = func.decorators.core.BindingDirection(direction)
            return builder.add_binding(made)

        return add

    return decorate


def plain_request(req): ...  # type: ignore[no-untyped-def]
def typed_request(req: func.HttpRequest) -> func.HttpResponse: ...  # type: ignore[empty-body]
def stripped(req: Annotated[func.HttpRequest, "checked"]) -> str: ...  # type: ignore[empty-body]
def with_context(req: func.HttpRequest, context: func.Context) -> str: ...  # type: ignore[empty-body]
def bare_context(req: func.HttpRequest, context) -> str: ...  # type: ignore[no-untyped-def, empty-body]
def with_client(req: func.HttpRequest, starter: str) -> str: ...  # type: ignore[empty-body]
def older_list_of_events(x: typing.List[func.EventHubEvent]) -> None: ...  # noqa: UP006
def text_output(msg: func.QueueMessage, out: func.Out[str]) -> None: ...
def untyped_output(msg: func.QueueMessage, out) -> None: ...  # type: ignore[no-untyped-def]
def list_output(msg: func.QueueMessage, out: func.Out[typing.List[str]]) -> None: ...  # noqa: UP006
def generic_text(x: str) -> list[int] | None: ...
def context_is_bound(context: str) -> None: ...


REQUEST = Port("httpTrigger", func.HttpRequest, "parameter 'req'")
MESSAGE = Port("queueTrigger", func.QueueMessage, "parameter 'msg'")
TEXT = Port("http", str, RETURNED)


@pytest.mark.parametrize(
    "function, decorators, expected",
    [
        (
            plain_request,
            [http],
            Signature({"req": Port("httpTrigger", None, "parameter 'req'")}, {}, Port("http", None, RETURNED), False),
        ),
        (typed_request, [http], Signature({"req": REQUEST}, {}, Port("http", func.HttpResponse, RETURNED), False)),
        (stripped, [http], Signature({"req": REQUEST}, {}, TEXT, False)),
        (with_context, [http], Signature({"req": REQUEST}, {}, TEXT, True)),
        (
            older_list_of_events,
            [events],
            Signature({"x": Port("eventHubTrigger", OLDER_LIST, "parameter 'x'")}, {}, None, False),
        ),
        (bare_context, [http], Signature({"req": REQUEST}, {}, TEXT, True)),
        (
            with_client,
            [http, client],
            Signature({"req": REQUEST, "starter": Port("generic", str, "parameter 'starter'")}, {}, TEXT, False),
        ),
        (
            text_output,
            [queue, queue_output],
            Signature({"msg": MESSAGE}, {"out": Port("generic", str, "parameter 'out'")}, None, False),
        ),
        (
            untyped_output,
            [queue, queue_output],
            Signature({"msg": MESSAGE}, {"out": Port("queue", None, "parameter 'out'")}, None, False),
        ),
        (
            list_output,
            [queue, queue_output],
            Signature({"msg": MESSAGE}, {"out": Port("queue", typing.List[str], "parameter 'out'")}, None, False),  # noqa: UP006
        ),
        (
            generic_text,
            [generic],
            Signature(
                {"x": Port("anything", str, "parameter 'x'")}, {}, Port("anything", list[int] | None, RETURNED), False
            ),
        ),
        (
            context_is_bound,
            [lambda app: app.generic_trigger(arg_name="context", type="anything")],
            Signature(
                {"context": Port("anything", str, "parameter 'context'")},
                {},
                Port("anything", type(None), RETURNED),
                False,
            ),
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_function_that_fits_its_bindings_is_served(
    function: Callable[..., Any], decorators: list[Decorate], expected: Signature
) -> None:
    assert check(function, *decorators) == expected


def no_binding(req, other=1): ...  # type: ignore[no-untyped-def]
def star(req, *args): ...  # type: ignore[no-untyped-def]
def no_parameter() -> None: ...
def wrong_name(request: func.HttpRequest) -> str: ...  # type: ignore[empty-body]
def wrong_context(req: func.HttpRequest, context: dict) -> str: ...  # type: ignore[type-arg, empty-body]
def wrong_class(req: int) -> str: ...  # type: ignore[empty-body]
def builtin_list(x: list[int]) -> None: ...
def list_of_events(x: list[func.EventHubEvent]) -> None: ...
def optional(x: Optional[str]) -> None: ...  # noqa: UP045
def union(x: str | None) -> None: ...
def typing_any(x: Any) -> None: ...
def typing_list(x: typing.List[int]) -> None: ...  # noqa: UP006
def unresolved(x: OnlyForTypeCheckers) -> None: ...
def input_as_out(x: func.Out[str]) -> None: ...
def output_as_input(msg: func.QueueMessage, out: str) -> None: ...
def bare_out(msg: func.QueueMessage, out: func.Out) -> None: ...  # type: ignore[type-arg]
def returns_none(req: func.HttpRequest) -> None: ...
def returns_out(req: func.HttpRequest) -> func.Out[str]: ...  # type: ignore[empty-body]
def returns_union(req: func.HttpRequest) -> str | None: ...
def two_ways(req, x): ...  # type: ignore[no-untyped-def]
def twice(x): ...  # type: ignore[no-untyped-def]


OPTIONAL = "'str | None'" if sys.version_info >= (3, 14) else "'Optional[str]'"
UNBOUND = (
    "has no binding: bind it with a decorator whose argument name is the same, or take it out (a default value does "
    "not help, and *args and **kwargs are not served)"
)
UNUSED = "has no parameter: give the function a parameter of that name, or correct the argument name in the decorator"


@pytest.mark.parametrize(
    "function, decorators, message",
    [
        (no_binding, [http], f"parameter 'other' {UNBOUND}"),
        (star, [http], f"parameter 'args' {UNBOUND}"),
        (no_parameter, [http], f"binding 'req' {UNUSED}"),
        (wrong_name, [http], f"parameter 'request' {UNBOUND}; binding 'req' {UNUSED}"),
        (
            wrong_context,
            [http],
            "parameter 'context' is the Functions context, so its annotation must be azure.functions.Context or "
            "absent, not 'dict'",
        ),
        (
            wrong_class,
            [http],
            "parameter 'req': the binding 'httpTrigger' does not accept the annotation 'int'; use the type that "
            "azure-functions documents for it, or no annotation",
        ),
        (
            builtin_list,
            [generic],
            "parameter 'x': the annotation 'list[int]' is not a class; annotate plain 'list', or nothing",
        ),
        (
            list_of_events,
            [events],
            f"parameter 'x': the annotation 'list[{EVENT}]' is not a class; annotate 'List[{EVENT}]' of typing, "
            "the spelling that the workers take, or nothing",
        ),
        (
            optional,
            [generic],
            f"parameter 'x': the annotation {OPTIONAL} is not a class; the worker takes no unions and no Optional. "
            "Annotate the class itself, or nothing",
        ),
        (
            union,
            [generic],
            "parameter 'x': the annotation 'str | None' is not a class; the worker takes no unions and no Optional. "
            "Annotate the class itself, or nothing",
        ),
        (
            typing_any,
            [generic],
            "parameter 'x': the binding 'anything' does not accept the annotation 'Any'; use the type that "
            "azure-functions documents for it, or no annotation",
        ),
        (
            typing_list,
            [generic],
            "parameter 'x': the binding 'anything' does not accept the annotation 'List[int]'; use the type that "
            "azure-functions documents for it, or no annotation",
        ),
        (
            unresolved,
            [generic],
            "an annotation cannot be resolved: name 'OnlyForTypeCheckers' is not defined. Import the name in the "
            "module of the function (not only under TYPE_CHECKING), or drop the annotation",
        ),
        (
            input_as_out,
            [generic],
            "parameter 'x' is an input, so its annotation cannot be 'azure.functions.Out[str]'; bind it with an output "
            "decorator, or annotate the type of the input",
        ),
        (
            output_as_input,
            [queue, queue_output],
            "parameter 'out' is an output, so its annotation must be func.Out[...], not 'str'",
        ),
        (
            bare_out,
            [queue, queue_output],
            "parameter 'out': Out needs the type of the value, as in func.Out[str]",
        ),
        (
            returns_none,
            [http],
            "the return annotation 'NoneType' does not fit the binding 'http'; use the type that azure-functions "
            "documents for it, or no annotation",
        ),
        (
            returns_out,
            [http],
            "the return annotation cannot be func.Out[...]; annotate the type of the value itself",
        ),
        (
            returns_union,
            [http],
            "the return annotation 'str | None' is not a class; the worker takes no unions and no Optional. Annotate "
            "the class itself, or nothing",
        ),
        (
            two_ways,
            [binding("x", direction=2), http],
            "binding 'x': the direction 'inout' is not supported; use 'in' or 'out'",
        ),
        (
            twice,
            [binding("x", direction=0), generic],
            "two bindings are called 'x'; give each a name of its own",
        ),
        (
            twice,
            [binding("$return", direction=0), generic],
            "binding '$return' must have the direction 'out': it takes the function's return value",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_function_that_does_not_fit_is_refused_with_the_fix(
    function: Callable[..., Any], decorators: list[Decorate], message: str
) -> None:
    with pytest.raises(AppError) as caught:
        check(function, *decorators)
    assert str(caught.value).replace("azure.functions._abc.", "azure.functions.") == f"function 'work': {message}"


class Callable_:  # noqa: N801
    def __call__(self, x: str) -> None: ...


@pytest.mark.parametrize("target", [Callable_(), functools.partial(twice)], ids=["object", "partial"])
def test_object_that_is_no_function_is_refused(target: Any) -> None:
    declared = [func.decorators.generic.GenericTrigger(name="x", type="anything")]
    with pytest.raises(AppError, match="only functions written with 'def' or 'async def' can be served"):
        check_function("work", target, declared)


def test_annotations_are_those_of_the_installed_function_not_of_what_it_wraps() -> None:
    """As a plugin hides `list[int]` from the worker."""

    @functools.wraps(builtin_list)
    def wrapper(x):  # type: ignore[no-untyped-def]
        return builtin_list(x)

    wrapper.__annotations__ = {}
    expected = Signature({"x": Port("anything", None, "parameter 'x'")}, {}, Port("anything", None, RETURNED), False)
    assert check(wrapper, generic) == expected
