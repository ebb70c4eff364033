"""Values that JSON has no kind for, as JSON that any language reads.

dataclass, attrs, TypedDict   object of the fields
pydantic                      what `model_dump(mode="json", by_alias=True, round_trip=True)` gives
msgspec.Struct                as msgspec writes it, with its renames and tags
NamedTuple, tuple, set        array, of a set in the order of the items' JSON
enum                          the member's value
datetime, date, time          ISO 8601 text, `Z` for UTC
timedelta                     ISO 8601 duration such as `PT90S`
UUID, Decimal                 text
bytes, bytearray              base64 text
keys of dicts                 the text of any of these

What such a value is read as is said by code: see `worker_ext.typed`.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Callable, Set
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

Write = Callable[[Any], Any]
"""Turns a value that JSON has no kind for into one that it has, or into a container of such values."""

TEXTS = (date, time, timedelta, UUID, Decimal, bytes, bytearray)
"""Types whose values are text in JSON."""
_JSON_KEYS = (str, int, float, type(None))


def as_json(value: Any, write: Write) -> Any:
    """What is written for a value; what it holds may have to be written in its turn.

    Args:
        value: A value that JSON has no kind for.
        write: Writes values of other types inside of msgspec's.

    Raises:
        TypeError: It is of no type that can be written.
    """
    cls = type(value)
    writer = writer_of(cls)
    if writer is None:
        instead = (
            "It gives its value later: write `await` before it, in a generator `yield`, and pass what that gives"
            if hasattr(cls, "__await__")
            else "Pass plain JSON values, make the class a dataclass, or give it `to_json(obj)` and `from_json(data)`"
        )
        raise TypeError(f"a value of type {cls.__module__}.{cls.__qualname__} cannot be written as JSON. {instead}")
    return writer(value, write)


def writer_of(cls: type[Any]) -> Callable[[Any, Write], Any] | None:
    """What writes values of a class; None where nothing does."""
    if issubclass(cls, Enum):
        return lambda value, write: value.value
    if issubclass(cls, TEXTS):
        return lambda value, write: msgspec.to_builtins(value)
    if issubclass(cls, deque):
        return lambda value, write: list(value)
    if issubclass(cls, Set):
        return _sorted
    if hasattr(cls, "__pydantic_serializer__"):
        return _write_model
    if issubclass(cls, msgspec.Struct):
        return lambda value, write: msgspec.to_builtins(value, str_keys=True, enc_hook=write)
    if dataclasses.is_dataclass(cls):
        return _fields_writer([field.name for field in dataclasses.fields(cls)])
    if hasattr(cls, "__attrs_attrs__"):
        return _fields_writer([field.name for field in cls.__attrs_attrs__])
    return None


def _write_model(value: Any, write: Write) -> Any:
    return value.__pydantic_serializer__.to_python(value, mode="json", by_alias=True, round_trip=True)


def _fields_writer(names: list[str]) -> Callable[[Any, Write], Any]:
    def writer(value: Any, write: Write) -> dict[str, Any]:
        return {name: getattr(value, name) for name in names}

    return writer


def _sorted(value: Set[Any], write: Write) -> list[Any]:
    """The items of a set, in an order that does not change from process to process."""
    written = [with_text_keys(item, write) for item in value]
    return sorted(written, key=lambda item: json.dumps(item, sort_keys=True))


def with_text_keys(value: Any, write: Write) -> Any:
    """A value as JSON values through and through, keys of dicts too.

    Raises:
        TypeError: Something in it is of no type that can be written.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        return {_key(key): with_text_keys(item, write) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_text_keys(item, write) for item in value]
    return with_text_keys(write(value), write)


def key_text(key: Any) -> str:
    """The text of a key in JSON.

    Raises:
        TypeError: It is of no type that can be written as a key.
    """
    [text] = json.loads(json.dumps({_key(key): None}))
    return str(text)


def _key(key: Any) -> Any:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, _JSON_KEYS):
        return key
    if isinstance(key, TEXTS):
        return msgspec.to_builtins(key)
    raise TypeError(
        f"a key of type {type(key).__module__}.{type(key).__qualname__} cannot be written as JSON. Use text"
    )
