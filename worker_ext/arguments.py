"""Arguments of the wrong kind: what was given, and what to give."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

_EXPECTED: dict[type, str] = {
    str: "text",
    dict: "a dict",
    int: "a whole number",
    timedelta: "a timedelta, such as timedelta(minutes=5)",
}


def expect(call: str, argument: str, value: Any, kind: type) -> None:
    """Checks an argument.

    Args:
        call: The method that was given it.
        argument: Its name.
        value: What was given.
        kind: What it must be.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(value, kind):
        expected = _EXPECTED.get(kind, f"worker_ext.{kind.__name__}(...)")
        raise TypeError(f"{call} was given {argument}={value!r}; expected {expected}")
