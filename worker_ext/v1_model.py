"""The v1 programming model: functions that a `function.json` names, made by `create`.

    def orchestrator(context: df.DurableOrchestrationContext):
        return (yield context.call_activity("say_hello", "Tokyo"))

    main = df.Orchestrator.create(orchestrator)

What `create` returns is what the decorators of the v2 model install: a plain function whose one parameter is called
`context`, as the binding in `function.json` must be. An activity may be the user's own function, which gets its input
as JSON has it, or be made by `Activity.create`: then its input is read as its annotation says, and its runs are traced.
A client function takes the binding's text (`starter: str`) and makes a `DurableOrchestrationClient(starter)` of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from worker_ext import converters, decorators, payloads
from worker_ext.errors import AppError

if TYPE_CHECKING:
    from worker_ext.context import DurableOrchestrationContext
    from worker_ext.entity import DurableEntityContext
    from worker_ext.handlers import EntityFunction, OrchestratorFunction

P = ParamSpec("P")
R = TypeVar("R")

BINDING = "context"
"""The name that the trigger has in function.json."""


class Orchestrator:
    """An orchestrator of the v1 programming model: `main = Orchestrator.create(function)`.

    Args:
        activity_func: The user's orchestrator.
    """

    def __init__(self, activity_func: OrchestratorFunction) -> None:
        self.fn = activity_func

    def handle(self, context: DurableOrchestrationContext) -> str:
        """Runs one turn; gives the reply to the extension.

        Raises:
            OrchestrationFailedError: The orchestrator failed; the message carries the reply, the cause is its error.
        """
        from worker_ext import handlers

        return handlers.run_turn(context, self.fn)

    @classmethod
    def create(cls, fn: OrchestratorFunction) -> Callable[[Any], str]:
        """Makes the function that the host calls.

        Args:
            fn: The user's orchestrator: a function of one parameter, or an object that can be called with one.

        Raises:
            AppError: It cannot be called, or takes another number of parameters.
        """
        converters.register()
        return decorators.orchestrator_function(_function(fn, "Orchestrator"), BINDING)


class Entity:
    """An entity of the v1 programming model: `main = Entity.create(function)`.

    Args:
        entity_func: The user's entity function.
    """

    def __init__(self, entity_func: EntityFunction) -> None:
        self.fn = entity_func

    def handle(self, context: DurableEntityContext, batch: list[dict[str, Any]]) -> str:
        """Runs a batch of operations, as `DurableEntityContext.from_json` gives them; gives the reply.

        Raises:
            PayloadError: An operation is none.
        """
        from worker_ext import handlers
        from worker_ext.protocol.entity import read_operations

        return handlers.run_batch(context, read_operations(batch), self.fn)

    @classmethod
    def create(cls, fn: EntityFunction | type[Any]) -> Callable[[Any], str]:
        """Makes the function that the host calls.

        Args:
            fn: The user's entity function, a function of one parameter; or the entity's class. The folder that
                `function.json` stands in gives the entity its name, so that the class has to be called like it.

        Raises:
            AppError: It cannot be called, or takes another number of parameters; it is a class that can be no entity.
        """
        if isinstance(fn, type):
            from worker_ext.entity_definition import entity_function_of

            fn = entity_function_of(fn)
        converters.register()
        return decorators.entity_function(_function(fn, "Entity"), BINDING)


class Activity:
    """An activity of the v1 programming model, with typed input and a span: `main = Activity.create(function)`."""

    @staticmethod
    def create(fn: Callable[P, R], *, input_name: str | None = None, name: str | None = None) -> Callable[P, R]:
        """Makes the function that the host calls.

        Args:
            fn: The user's function, `def` or `async def`.
            input_name: The parameter that takes the input, which the trigger in function.json is named after; by
                default the first one.
            name: What traces call the activity: the folder of its function.json. By default the function's name, or
                that of the folder it stands in where it is called `main`.

        Raises:
            AppError: It is no function, or has no such parameter.
        """
        _check_is_function(fn, "Activity")
        parameters = list(payloads.signature_of(fn).parameters)
        if not parameters:
            raise AppError(
                f"Activity.create was given {fn.__name__!r}, which takes no argument. Give it a parameter for the "
                "input, and its name to the activityTrigger in function.json"
            )
        chosen = input_name or parameters[0]
        if chosen not in parameters:
            raise AppError(
                f"Activity.create was given input_name={input_name!r}, and the parameters of {fn.__name__!r} are "
                f"({', '.join(parameters)}). Name the one that the activityTrigger in function.json is named after"
            )
        converters.register()
        main: Callable[P, R] = decorators.activity_function(fn, chosen, name or _activity_name(fn))
        return main


def _activity_name(fn: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return Path(code.co_filename).parent.name if code is not None and fn.__name__ == "main" else fn.__name__


def _check_is_function(fn: object, maker: str) -> None:
    if not callable(fn) or not hasattr(fn, "__name__"):
        raise AppError(
            f"{maker}.create was given {fn!r}, which is no function with a name. Give it a `def`, and call the other "
            "object from there"
        )


def _function(fn: Callable[..., Any], maker: str) -> Callable[..., Any]:
    """A function with a name, which a `partial` or an object with `__call__` is not."""
    if not callable(fn):
        raise AppError(
            f"{maker}.create was given {fn!r}, which is no function. Give it a `def`, or an object that can be called"
        )
    if hasattr(fn, "__name__"):
        return fn

    @functools.wraps(_code_of(fn))
    def function(context: Any) -> Any:
        return fn(context)

    function.__dict__["__signature__"] = inspect.signature(fn)
    return function


def _code_of(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Where the code is that runs when an object is called."""
    while not hasattr(fn, "__name__"):
        fn = fn.func if isinstance(fn, functools.partial) else type(fn).__call__
    return fn
