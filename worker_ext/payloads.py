"""Values that code names the type of, by `expected_type=`, `input_type=` or a return annotation.

The rules are those of azure-functions-durable 1.7.0 with azure-functions 1.26. A custom object is made by the class
that code names if the payload names the same one. Where they differ, or a plain value is no instance of the type, the
log has a warning and the value is what the payload says; with strict typing (see `codec`) it is a TypeError instead.
Beyond that, the class that code names need not be one that the payload could have chosen, and None is a value of every
type.

Source: azure-functions 1.26, `df_loads`; azure-functions-durable 1.7.0, `type_discovery`.
"""

from __future__ import annotations

import collections.abc
import inspect
import logging
import typing
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from worker_ext.protocol import codec
from worker_ext.protocol.codec import JSON

_log = logging.getLogger("worker_ext")

_STEPS = (collections.abc.Generator, collections.abc.Iterator, collections.abc.Iterable, collections.abc.Coroutine)
"""What generator functions are annotated with; the type of what they return stands inside."""

Decoder = Callable[[str | None], Any]
"""Makes a value of JSON text."""


def decoder(expected_type: Any) -> Decoder | None:
    """What reads values of a type; None where no type is named."""
    return None if expected_type is None else partial(decode_as, expected_type)


def decode_as(expected_type: Any, text: str | None) -> Any:
    """Reads a value of a type from JSON text; text that is not JSON is the value itself, None is None.

    Raises:
        PayloadError: A custom object cannot be made of what the text says.
        TypeError: Typing is strict, and the value is of another type.
    """
    return None if text is None else restore_as(expected_type, codec.decode_plain(text))


def restore_as(expected_type: Any, value: JSON) -> Any:
    """Turns a JSON value into a value of a type.

    Raises:
        PayloadError: A custom object cannot be made of the value.
        TypeError: Typing is strict, and the value is of another type.
    """
    if value is None or expected_type is None or expected_type is Any:
        return codec.restore(value)
    strict = codec.strict_typing()
    if codec.is_custom_object(value):
        if _is_named(expected_type, value):
            data = value["__data__"] if strict else codec.restore(value["__data__"])
            return codec.from_envelope(expected_type, {"__data__": data})
        _mismatch(f"{value['__module__']}.{value['__class__']}", expected_type, strict)
    elif not _is_instance(value, expected_type):
        _mismatch(type(value).__name__, expected_type, strict)
    return value if strict else codec.restore(value)


def _is_named(expected_type: Any, envelope: dict[str, Any]) -> bool:
    """Whether the class that code names is the one that a custom object names."""
    return (
        envelope["__class__"] == getattr(expected_type, "__name__", None)
        and envelope["__module__"] == getattr(expected_type, "__module__", None)
        and callable(getattr(expected_type, "from_json", None))
    )


def _is_instance(value: JSON, expected_type: Any) -> bool:
    try:
        return isinstance(value, expected_type)
    except TypeError:  # list[int] and its like can be no more than a hint here
        return True


def _mismatch(found: str, expected_type: Any, strict: bool) -> None:
    text = f"expected a value of type {expected_type!r}, found {found}"
    if strict:
        raise TypeError(f"{text}. Name the type it has, or send one of this type")
    _log.warning("%s; it is passed on as it is", text)


def returned_type(function: object) -> Any:
    """The type that a decorated function says it returns; None where it says none that a value can be tested for."""
    user = getattr(function, "_user_function", None)
    return None if user is None else _returned_type(user)


@cache
def _returned_type(user: Callable[..., Any]) -> Any:
    try:
        annotation = typing.get_type_hints(user).get("return")
    except Exception:  # noqa: BLE001 - names that exist for the type checker only: then nothing is known
        return None
    if inspect.isgeneratorfunction(user):
        arguments = typing.get_args(annotation)
        annotation = arguments[2] if len(arguments) == 3 else None
    return annotation if _can_be_tested(annotation) else None


def _can_be_tested(annotation: Any) -> bool:
    return isinstance(annotation, type) and annotation not in {Any, object, type(None), *_STEPS}
