"""JSON in and out, custom objects, and the .NET spellings of times and durations.

Values travel as JSON text inside strings. Reading is tolerant where the extension is (a value that should be JSON text
but is not is used as it stands); writing gives exactly what the standard library's `json` would, only faster: the fast
encoder is used first, and whatever it would treat differently (NaN, integers beyond 64 bits, keys that are no strings)
goes to `json`.

The envelope `{"__class__", "__module__", "__data__"}` of azure-functions-durable is read and written. A class is taken
only from the app's own modules that are already loaded; nothing is imported because a payload says so. With the
variable AZURE_FUNCTIONS_DURABLE_STRICT_TYPING set to 1, true or yes, none is taken that code does not name, and only a
whole value may be a custom object, not a part of one.

Limits: values nested deeper than `MAX_DEPTH` are not written, text of more than `MAX_CHARACTERS` is not sent; what is
read may be as deep and its numbers as long as Python takes.

Source: durable-functions JSON protocol (encoding levels of inputs and results); azure-functions 1.26, `df_dumps` and
`df_loads`.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Hashable, Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum, EnumMeta
from functools import lru_cache
from types import ModuleType
from typing import Any, TypeAlias

import msgspec
import orjson

from worker_ext.errors import PayloadError
from worker_ext.protocol.plain_values import TEXTS, as_json, with_text_keys, writer_of

JSON: TypeAlias = Any
"""A JSON value as Python objects: dict, list, str, int, float, bool or None."""

MAX_DEPTH = 1000
"""How deep lists and dicts may be nested in a value that is written: no Python with default settings reads more."""

MAX_CHARACTERS = 2**30
"""How long the text of a payload may be: as UTF-8 with its escapes it has to fit into one message of 2 GiB."""

ENVELOPE = frozenset({"__class__", "__module__", "__data__"})
"""The members of a custom object."""

_STRICT_VARIABLE = "AZURE_FUNCTIONS_DURABLE_STRICT_TYPING"
_JSON_TYPES = (dict, list, tuple, str, int, float)
_ARRAYS = (list, tuple, set, frozenset)
_TEXTS = frozenset({*TEXTS, datetime})
_ATOMS = frozenset({str, int, float, bool, type(None)})
_FAST_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
_TOO_DEEP = f"the value is nested too deeply: {MAX_DEPTH} levels at most, fewer where the stack is full. Flatten it"
JSON_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
"""The pattern of a string in JSON text: possessive, since what may be taken back costs a hundred times its size."""

_BRACKETS = re.compile(rf"[][{{}}]|{JSON_STRING}")
_TIMESPAN = re.compile(r"(-)?(?:([0-9]+)\.)?([0-9]+):([0-9]+):([0-9]+)(?:\.([0-9]+))?")
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
_decode = msgspec.json.Decoder().decode


def fault_of(error: Exception) -> tuple[str, str]:
    """What msgspec found wrong, and where below the value's root, such as `.history[3].Name`; empty for the root."""
    what, _, path = (str(error) or "nested too deeply").partition(" - at `$")
    return what, path.removesuffix("`")


def plain_value(value: Any) -> Any:
    """What is written for a value that has a class of its own and is text or a number all the same.

    Names, ids and headers are given as the app has them: a `Markup`, a `numpy.str_`.

    Raises:
        PayloadError: It is neither.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise PayloadError("reply", f"expected text or a number, found {value!r:.80} of type {type(value).__qualname__}")


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
        raise ValueError(_TOO_DEEP) from None


def decode_plain(text: str) -> JSON:
    """Reads the JSON value in a text, custom objects as the dicts they travel as; text that is no JSON is the value.

    Raises:
        PayloadError: The text is JSON, but more than Python reads: too deeply nested, or numbers too long.
    """
    try:
        return decode_json(text)
    except json.JSONDecodeError:
        return text
    except ValueError as error:
        raise PayloadError("value", str(error)) from None


def decode_value(text: str | None) -> Any:
    """Reads a value of user code from JSON text; text that is not JSON is the value itself, None is None.

    Raises:
        PayloadError: The text holds a custom object whose class the app does not have, or more than Python can read.
        TypeError: The text is a custom object, and typing is strict.
    """
    if text is None:
        return None
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        value = decode_plain(text)
    return restore(value) if "__class__" in text else value


def encode_value(value: Any) -> str:
    """Writes a value of user code as JSON text.

    Raises:
        TypeError: The value, or something in it, can be written neither as JSON nor by its `to_json`.
        ValueError: The value contains itself, or is nested deeper than `MAX_DEPTH`.
    """
    try:
        text = orjson.dumps(value, _envelope, _FAST_OPTIONS).decode()
    except TypeError:
        return _encode_slowly(value)
    kind = type(value)
    if kind is str or kind is int:
        return text
    if len(sys.modules) != _modules_without_enums and _may_hold_custom_enum(value):
        return _encode_slowly(value)
    if "null" in text and _has_non_finite(value):  # text is searched far quicker than bytes
        return _encode_slowly(value)
    return text


def encode_as_json(value: Any) -> str:
    """Writes a value of user code as JSON text with the spaces and escapes of the standard library.

    For text that apps of azure-functions-durable 1.7.0 see: the payloads of events, the inputs in statuses.

    Raises:
        TypeError: The value, or something in it, can be written neither as JSON nor by its `to_json`.
        ValueError: The value contains itself, or is nested deeper than `MAX_DEPTH`.
    """
    return _encode_slowly(value, (", ", ": "))


def _encode_slowly(value: Any, separators: tuple[str, str] = (",", ":")) -> str:
    try:
        if strict_typing():
            value, write = _custom_object(value) if hasattr(value, "to_json") else value, _plainly
        else:
            write = _custom_object
        try:
            text = json.dumps(value, default=write, separators=separators)
        except TypeError:
            text = json.dumps(with_text_keys(value, write), separators=separators)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if _is_deeper_than(MAX_DEPTH, text):
        raise ValueError(_TOO_DEEP)
    return text


def _is_deeper_than(limit: int, text: str) -> bool:
    """Whether brackets are nested deeper than that in JSON text; few texts have so many that they must be followed."""
    if text.count("[") + text.count("{") <= limit:
        return False
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket.group(), 0)
        if depth > limit:
            return True
    return False


def check_size(text: str) -> str:
    """Gives back text that fits into one message.

    Raises:
        ValueError: The text is longer than `MAX_CHARACTERS`.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(
            f"the payload has {len(text)} characters, and a message holds at most {MAX_CHARACTERS}. Keep large values "
            "in a store, and pass on where they lie"
        )
    return text


def strict_typing() -> bool:
    """Whether the app has turned strict typing on."""
    return os.environ.get(_STRICT_VARIABLE, "").strip().lower() in {"1", "true", "yes"}


def _has_custom_enum(value: Any) -> bool:
    """Whether an enum with a `to_json` is somewhere in the value: the fast encoder writes any enum's plain value.

    Enums that are text or numbers themselves do not count: the standard library writes those plainly too.
    """
    kind = type(value)
    if kind is dict:
        members = value.values()
    elif kind is list or kind is tuple:
        members = value
    else:
        return _is_custom_enum(kind)
    if _ATOMS.issuperset(map(type, members)):
        return False
    return any(_has_custom_enum(member) for member in members if type(member) not in _ATOMS)


_modules_without_enums = 0
"""How many modules were loaded when no such enum was found in the process; -1 once one was."""


def _may_hold_custom_enum(value: Any) -> bool:
    """Whether such an enum is in the value, asked only when one may be in the process at all.

    Modules bring classes, so these are searched anew whenever another module was imported. A class made later, while
    nothing is imported, goes unseen until then.
    """
    global _modules_without_enums  # noqa: PLW0603 - a cache of what the process holds
    modules = len(sys.modules)
    if modules == _modules_without_enums:
        return False
    if _modules_without_enums >= 0:
        _modules_without_enums = -1 if any(map(_is_custom_enum, _subclasses(Enum))) else modules
    return _modules_without_enums < 0 and _has_custom_enum(value)


def _subclasses(cls: type) -> Iterator[type]:
    subclass: type
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _is_custom_enum(cls: type) -> bool:
    return isinstance(cls, EnumMeta) and hasattr(cls, "to_json") and not issubclass(cls, str | int | float)


def _has_non_finite(value: Any) -> bool:
    """Whether a float that JSON has no spelling for (the fast encoder writes null) is somewhere in the value."""
    kind = type(value)
    if kind in _ATOMS:
        return kind is float and not math.isfinite(value)
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_non_finite, value.values()))
    if isinstance(value, _ARRAYS):
        return any(map(_has_non_finite, value))
    if isinstance(value, Enum):
        return _has_non_finite(value.value) or hasattr(kind, "to_json")
    if hasattr(kind, "__dataclass_fields__") and hasattr(value, "__dict__"):
        return any(map(_has_non_finite, value.__dict__.values()))
    return kind not in _TEXTS  # of anything else nothing is known


def _envelope(value: Any) -> Any:
    """What the fast encoder writes for a type it does not know."""
    writer = _plain_writer(type(value))  # type: ignore[arg-type]
    if writer is not None:
        written = writer(value, _custom_object)
    elif isinstance(value, _JSON_TYPES):
        raise TypeError("a subclass of a JSON type is written by the standard library")
    elif strict_typing():
        raise TypeError("whether a custom object is the whole value, the standard library's way shows")
    else:
        written = _custom_object(value)
    if len(sys.modules) != _modules_without_enums and _may_hold_custom_enum(written):
        raise TypeError("an enum with a `to_json` is written by the standard library")
    return written


@lru_cache(maxsize=4096)
def _plain_writer(cls: Hashable) -> Callable[[Any, Any], Any] | None:
    """What writes values of a class that is no custom object."""
    if not isinstance(cls, type) or issubclass(cls, _JSON_TYPES) or hasattr(cls, "to_json"):
        return None
    return writer_of(cls)


def _plainly(value: Any) -> Any:
    """Strict typing: what is inside a value must be no custom object."""
    if hasattr(value, "to_json"):
        raise TypeError(
            f"a custom object of type {type(value).__name__} inside a value is not JSON serializable where "
            f"{_STRICT_VARIABLE} is set: only a whole value may be one"
        )
    return as_json(value, _plainly)


def _custom_object(value: Any) -> Any:
    cls = type(value)
    to_json = getattr(cls, "to_json", None)
    if to_json is None:
        return as_json(value, _custom_object)
    return {"__class__": cls.__name__, "__module__": cls.__module__, "__data__": to_json(value)}


def restore(value: Any) -> Any:
    """Turns the envelopes of custom objects in a JSON value back into objects, innermost first.

    Raises:
        PayloadError: A class is not one of the app's own loaded classes, it has no `from_json`, or that fails.
        TypeError: The value is a custom object, and typing is strict.
    """
    if strict_typing():
        return _refuse_custom_object(value)
    try:
        return _restore(value)
    except RecursionError:
        raise PayloadError("custom object", "the value that holds it is nested too deeply") from None


def _refuse_custom_object(value: Any) -> Any:
    """Strict typing: the value as it is, unless it is a custom object, for which code would have to name the class."""
    if is_custom_object(value):
        raise TypeError(
            f"the value is a custom object, {value['__module__']}.{value['__class__']}, and {_STRICT_VARIABLE} is set: "
            "say which class it is with expected_type"
        )
    return value


def is_custom_object(value: Any) -> bool:
    """Whether a JSON value is a custom object as it travels."""
    return isinstance(value, dict) and value.keys() >= ENVELOPE


def _restore(value: Any) -> Any:
    if isinstance(value, list):
        return [_restore(item) for item in value]
    if not isinstance(value, dict):
        return value
    restored = {key: _restore(item) for key, item in value.items()}
    if not restored.keys() >= ENVELOPE:
        return restored
    return from_envelope(_app_class(restored["__module__"], restored["__class__"]), restored)


def from_envelope(cls: Any, envelope: dict[str, Any]) -> Any:
    """Makes an object of a custom object's data.

    Raises:
        PayloadError: The class's `from_json` refuses them.
    """
    try:
        return cls.from_json(envelope["__data__"])
    except Exception as error:
        named = f"custom object {cls.__module__}.{cls.__qualname__}"
        raise PayloadError(named, f"its from_json raised {type(error).__name__}: {error}") from error


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
        if parsed.tzinfo is UTC:  # as nearly every one is
            return parsed
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PayloadError("timestamp", f"expected an ISO 8601 time, found {text!r}") from None


def format_timestamp(time: datetime) -> str:
    """Writes an aware time as .NET does: UTC with `Z`, no fraction when it is zero, no trailing zeros."""
    text = time.astimezone(UTC).isoformat().removesuffix("+00:00")
    return (text.rstrip("0") if time.microsecond else text) + "Z"


_encode_time = msgspec.json.Encoder().encode
_WHOLE_SECONDS = len("2026-01-02T03:04:05Z")


def format_microseconds(time: datetime) -> str:
    """Writes a UTC time with `Z` and six fractional digits, as the timers of Python workers are written."""
    text = _encode_time(time)[1:-1].decode()  # several times as fast as isoformat, which timers by the thousand feel
    return text if len(text) > _WHOLE_SECONDS else f"{text[:-1]}.000000Z"


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
