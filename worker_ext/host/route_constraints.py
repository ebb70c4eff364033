"""The inline constraints of route parameters, each a function from a value to whether it fits.

Source: ASP.NET Core's documentation of route constraints; they read numbers and times in the invariant culture.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

Constraint = Callable[[str], bool]

_CALL = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*")
_DECIMAL = re.compile(r"\s*[+-]?(?:[0-9][0-9,]*)?\.?[0-9]+\.?\s*")
_FLOAT = re.compile(r"\s*[+-]?(?:[0-9][0-9,]*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*|NaN|[+-]?(?:Infinity|∞)")
_GUID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE_FORMATS = (
    "%m/%d/%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%d %B %Y",
    "%B %d, %Y",
    "%a, %d %b %Y %H:%M:%S GMT",
)
_LARGEST_DECIMAL = Decimal(2**96 - 1)


def parse_constraint(text: str) -> Constraint:
    """Reads one constraint, such as `int` or `range(1,9)`.

    Raises:
        ValueError: There is no such constraint, or its arguments are wrong.
    """
    match = _CALL.fullmatch(text)
    name = match[1].lower() if match else text
    arguments = match[2] if match else None
    if arguments is None and name in _PLAIN:
        return _PLAIN[name]
    if arguments is not None and name == "regex":
        pattern = re.compile(arguments, re.IGNORECASE)
        return lambda value: pattern.search(value) is not None
    if arguments is not None and name in _NUMERIC:
        numbers = [int(argument) for argument in arguments.split(",")]
        make = _NUMERIC[name].get(len(numbers))
        if make is not None:
            return make(*numbers)
    raise ValueError(f"unknown constraint {text!r}")


def _is_integer(bits: int) -> Constraint:
    limit = 2 ** (bits - 1)
    return lambda value: _INTEGER.fullmatch(value) is not None and -limit <= int(value) < limit


def _is_decimal(value: str) -> bool:
    return _DECIMAL.fullmatch(value) is not None and abs(Decimal(value.replace(",", ""))) <= _LARGEST_DECIMAL


def _is_float(value: str) -> bool:
    return _FLOAT.fullmatch(value) is not None


def _is_guid(value: str) -> bool:
    inner = value.strip()
    if inner[:1] + inner[-1:] in ("{}", "()"):
        inner = inner[1:-1]
    return _GUID.fullmatch(inner) is not None


def _is_datetime(value: str) -> bool:
    try:
        datetime.fromisoformat(value.strip())
    except ValueError:
        return any(_parses(value.strip(), form) for form in _DATE_FORMATS)
    return True


def _parses(value: str, form: str) -> bool:
    try:
        datetime.strptime(value, form)  # noqa: DTZ007 - only whether it is a date
    except ValueError:
        return False
    return True


def _number(value: str) -> float:
    return int(value) if _is_integer(64)(value) else math.nan


_PLAIN: dict[str, Constraint] = {
    "int": _is_integer(32),
    "long": _is_integer(64),
    "bool": lambda value: value.strip().lower() in ("true", "false"),
    "datetime": _is_datetime,
    "decimal": _is_decimal,
    "double": _is_float,
    "float": _is_float,
    "guid": _is_guid,
    "alpha": lambda value: re.fullmatch(r"[A-Za-z]*", value) is not None,
    "required": lambda value: value != "",
}

_NUMERIC: dict[str, dict[int, Callable[..., Constraint]]] = {
    "length": {
        1: lambda n: lambda value: len(value) == n,
        2: lambda low, high: lambda value: low <= len(value) <= high,
    },
    "minlength": {1: lambda n: lambda value: len(value) >= n},
    "maxlength": {1: lambda n: lambda value: len(value) <= n},
    "min": {1: lambda n: lambda value: _number(value) >= n},
    "max": {1: lambda n: lambda value: _number(value) <= n},
    "range": {2: lambda low, high: lambda value: low <= _number(value) <= high},
}
