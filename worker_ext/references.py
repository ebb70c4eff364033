"""Functions of the app by reference: `call_activity(charge, order)` instead of `call_activity("charge", order)`.

The types of such calls come from the function. An activity's input is its first parameter; an orchestrator's is that of
its context, `DurableOrchestrationContext[Order]`. A function that takes None may be called without an input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FunctionRef = str | Callable[..., Any]
"""A function by its registered name, or the decorated function itself."""


def name_of(function: FunctionRef, kind: str) -> str:
    """The registered name of a function.

    Args:
        function: The name, or what a decorator has made of the function.
        kind: What it must be: `activity` or `orchestration`.

    Raises:
        ValueError: The name is empty, or a function was passed that is not decorated as what is called here.
    """
    if isinstance(function, str):
        if not function:
            raise ValueError("function_name cannot be empty")
        return function
    registered = getattr(function, "_function", None)
    if registered is None:
        raise ValueError(
            f"{function!r} is not registered as a function of the app. Decorate it with `{kind}_trigger`, or pass the "
            "name it is registered under"
        )
    trigger = registered.get_trigger()
    if trigger is None or trigger.type != f"{kind}Trigger":
        found = "no trigger" if trigger is None else f"a {trigger.type}"
        raise ValueError(f"{registered.get_function_name()} has {found}, expected a {kind}Trigger")
    name = getattr(trigger, kind, None) or registered.get_function_name()
    return str(name)
