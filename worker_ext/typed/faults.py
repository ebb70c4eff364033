"""What does not fit, and where."""

from __future__ import annotations

import json
from collections.abc import Iterable

from worker_ext.errors import PayloadError
from worker_ext.protocol.codec import JSON


class UnreadableTypeError(TypeError):
    """Values of a type that code names cannot be made of JSON; the message says which and why."""


class FaultError(Exception):
    """A value is not of the type that code names.

    Attributes:
        path: Where, as the keys and indexes from the innermost outwards.
        what: What was expected there and what was found.
    """

    def __init__(self, what: str, path: Iterable[str | int] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[str | int] = list(path)

    def at(self, key: str | int) -> FaultError:
        """The same fault, one level further out."""
        self.path.append(key)
        return self

    def error(self) -> PayloadError:
        """The fault as it is told to users."""
        return PayloadError("$" + "".join(map(step, reversed(self.path))), self.what)


class Path(str):
    """Steps of a path as they are written."""

    __slots__ = ()


def step(key: str | int) -> str:
    """A step of a path as it is written."""
    if isinstance(key, Path):
        return key
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]"


def mismatch(expected: str, value: JSON) -> FaultError:
    """The fault of a value of another kind."""
    return FaultError(f"Expected `{expected}`, got `{found_in(value)}`")


_KINDS = {type(None): "null", dict: "object", list: "array", tuple: "array"}


def found_in(value: object) -> str:
    """The kind of a value, as faults tell it."""
    return _KINDS.get(type(value), type(value).__name__)
