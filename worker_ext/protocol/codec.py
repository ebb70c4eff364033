"""JSON in and out, custom objects, and the .NET spellings of times and durations.

Values travel as JSON text inside strings. Reading is tolerant where the extension is (a value that should be JSON text
but is not is used as it stands); writing gives exactly what the standard library's `json` would, only faster: the fast
encoder is used first, and whatever it would treat differently (NaN, integers beyond 64 bits, keys that are no strings)
goes to `json`.

The envelope `{"__class__", "__module__", "__data__"}` of azure-functions-durable is read and written. A class is taken
only from the app's own modules that are already loaded; nothing is imported because a payload says so.

Source: durable-functions JSON protocol (encoding levels of inputs and results); azure-functions 1.26 `df_dumps`.
"""

from __future__ import annotations

import json
import math
import re
import sys
import sysconfig
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, TypeAlias

import msgspec
import orjson

from worker_ext.errors import PayloadError

JSON: TypeAlias = Any
"""A JSON value as Python objects: dict, list, str, int, float, bool or None."""

_FAST_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
_TIMESPAN = re.compile(r"(-)?(?:([0-9]+)\.)?([0-9]+):([0-9]+):([0-9]+)(?:\.([0-9]+))?")
_ENVELOPE = frozenset({"__class__", "__module__", "__data__"})
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
_decode = msgspec.json.Decoder().decode


def decode_json(text: str | bytes) -> JSON:
    """Parses JSON text, taking NaN, infinities and lone surrogates as the standard library does.

    Raises:
        ValueError: The text is not JSON.
    """
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return json.loads(text)
    except RecursionError:
        raise ValueError("the JSON text is nested too deeply") from None


def decode_value(text: str | None) -> Any:
    """Reads a value of user code from JSON text; text that is not JSON is the value itself, None is None.

    Raises:
        PayloadError: The text holds a custom object whose class the app does not have.
    """
    if text is None:
        return None
    try:
        value = decode_json(text)
    except ValueError:
        return text
    return restore(value) if "__class__" in text else value


def encode_value(value: Any) -> str:
    """Writes a value of user code as JSON text.

    Raises:
        TypeError: The value, or something in it, can be written neither as JSON nor by its `to_json`.
        ValueError: The value contains itself.
    """
    try:
        data = orjson.dumps(value, _envelope, _FAST_OPTIONS)
    except TypeError:
        return _encode_slowly(value)
    if b"null" in data and _has_non_finite(value):
        return _encode_slowly(value)
    return data.decode()


def _encode_slowly(value: Any) -> str:
    try:
        return json.dumps(value, default=_custom_object, separators=(",", ":"))
    except RecursionError:
        raise ValueError("the value is nested too deeply to be written as JSON") from None


def _has_non_finite(value: Any) -> bool:
    """Whether a float that JSON has no spelling for (the fast encoder writes null) is somewhere in the value."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_non_finite, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_non_finite, value))
    return hasattr(value, "to_json")


def _envelope(value: Any) -> Any:
    """What the fast encoder writes for a type it does not know."""
    if isinstance(value, dict | list | tuple | str | int | float):
        raise TypeError("a subclass of a JSON type is written by the standard library")
    return _custom_object(value)


def _custom_object(value: Any) -> dict[str, Any]:
    cls = type(value)
    to_json = getattr(cls, "to_json", None)
    if to_json is None:
        raise TypeError(
            f"a value of type {cls.__module__}.{cls.__qualname__} cannot be written as JSON. Pass plain JSON values, "
            "or give the class `to_json(obj)` and `from_json(data)`"
        )
    return {"__class__": cls.__name__, "__module__": cls.__module__, "__data__": to_json(value)}


def restore(value: Any) -> Any:
    """Turns the envelopes of custom objects in a JSON value back into objects, innermost first.

    Raises:
        PayloadError: A class is not one of the app's own loaded classes, or it has no `from_json`.
    """
    try:
        return _restore(value)
    except RecursionError:
        raise PayloadError("custom object", "the value that holds it is nested too deeply") from None


def _restore(value: Any) -> Any:
    if isinstance(value, list):
        return [_restore(item) for item in value]
    if not isinstance(value, dict):
        return value
    restored = {key: _restore(item) for key, item in value.items()}
    if not restored.keys() >= _ENVELOPE:
        return restored
    return _app_class(restored["__module__"], restored["__class__"]).from_json(restored["__data__"])


def _app_class(module_name: object, class_name: object) -> Any:
    """The class a payload names, if it is the app's own."""
    named = f"custom object {module_name}.{class_name}"
    module = sys.modules.get(module_name) if isinstance(module_name, str) else None
    if module is None:
        raise PayloadError(named, f"module {module_name!r} is not loaded; import it in the app before it is used")
    cls = vars(module).get(class_name) if isinstance(class_name, str) else None
    if not isinstance(cls, type) or not callable(getattr(cls, "from_json", None)) or _is_foreign(module):
        raise PayloadError(named, "expected a class of the app's own with a `from_json`, found none of that name")
    return cls


def _is_foreign(module: ModuleType) -> bool:
    """Whether a module belongs to Python itself: its classes are never the app's own."""
    file = module.__file__ if hasattr(module, "__file__") else None
    if file is None:
        return module.__name__ != "__main__"
    return file.startswith(_INSTALLED) and "site-packages" not in file


def parse_timestamp(text: str) -> datetime:
    """Reads a .NET timestamp: 0 to 7 fractional digits, `Z`, an offset or nothing (which means UTC).

    Digits beyond microseconds are cut, never rounded up.

    Raises:
        PayloadError: The text is not such a timestamp.
    """
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PayloadError("timestamp", f"expected an ISO 8601 time, found {text!r}") from None


def format_timestamp(time: datetime) -> str:
    """Writes an aware time as .NET does: UTC with `Z`, no fraction when it is zero, no trailing zeros."""
    text = time.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()
    fraction = f".{time.microsecond:06d}".rstrip("0") if time.microsecond else ""
    return f"{text}{fraction}Z"


def parse_timespan(text: str) -> timedelta:
    """Reads a .NET duration `[-][d.]hh:mm:ss[.fffffff]`; one too long for Python becomes the longest there is.

    Raises:
        PayloadError: The text is not such a duration.
    """
    match = _TIMESPAN.fullmatch(text)
    if match is None:
        raise PayloadError("duration", f"expected [-][d.]hh:mm:ss[.fffffff], found {text!r}")
    sign, days, hours, minutes, seconds, fraction = match.groups(default="")
    microseconds = int(fraction[:6].ljust(6, "0"))
    try:
        span = timedelta(int(days or 0), int(seconds), microseconds, minutes=int(minutes), hours=int(hours))
    except OverflowError:
        span = timedelta.max
    return -span if sign else span


def format_timespan(span: timedelta) -> str:
    """Writes a duration as .NET's constant format does: `[-][d.]hh:mm:ss[.fffffff]`."""
    sign, span = ("-", -span) if span < timedelta(0) else ("", span)
    minutes, seconds = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{span.days}." if span.days else ""
    fraction = f".{span.microseconds:06d}0" if span.microseconds else ""
    return f"{sign}{days}{hours:02d}:{minutes:02d}:{seconds:02d}{fraction}"
