"""Values of the types that code names: by `expected_type=`, `input_type=` or an annotation.

What a type needs made of JSON (a dataclass, a date, a set, ...) is made, and what does not fit is a PayloadError that
tells the place: see `typed`. Two kinds of types are older than that, and apps of azure-functions-durable 1.7.0
have them on values that do not fit:

- Plain types, whose values are JSON values as they stand (`int`, `dict[str, str]`, a TypedDict of such): a value that
  does not fit is passed on as it is, and the log has a warning.
- Classes with a `from_json`, for custom objects: these are made by the class that code names if the payload names the
  same one; anything else is passed on, with a warning.

Where 1.7.0 has no say (`async def` orchestrators, class entities, what clients read) every type is *checked*. With
strict typing (see `codec`) a value of the older kinds that does not fit is an error everywhere.

None is a value of every type, unless it is checked.

Source: azure-functions 1.26, `df_loads`; azure-functions-durable 1.7.0, `type_discovery`.
"""

from __future__ import annotations

import collections.abc
import inspect
import logging
import sys
import types
import typing
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from worker_ext.errors import PayloadError
from worker_ext.protocol import codec
from worker_ext.protocol.codec import JSON

if TYPE_CHECKING:
    from worker_ext.typed import TypeReader

_log = logging.getLogger("worker_ext")

_STEPS = (collections.abc.Generator, collections.abc.Iterator, collections.abc.Iterable, collections.abc.Coroutine)
"""What generator functions are annotated with; the type of what they return stands inside."""

_NOTHING = (None, Any, object, type(None))
"""Types that say nothing of what is read."""

_BARE = frozenset({str, int, float, bool, list, dict})

Decoder = Callable[[str | None], Any]
"""Makes a value of JSON text."""


def decoder(expected_type: Any, *, is_checked: bool = False) -> Decoder | None:
    """What reads values of a type; None where no type is named.

    Raises:
        TypeError: They are to be checked, and values of the type cannot be made of JSON.
    """
    if expected_type is None:
        return None
    reader = _reader_for(expected_type, is_checked=is_checked)
    return partial(_decode_with, reader, expected_type, is_checked)


def decode_as(expected_type: Any, text: str | None, *, is_checked: bool = False) -> Any:
    """Reads a value of a type from JSON text; text that is not JSON is the value itself, None is JSON's null.

    Raises:
        PayloadError: No value of the type can be made of what the text says.
        TypeError: Typing is strict, and the value is of another type.
    """
    reader = None if text is None else _reader_for(expected_type, is_checked=is_checked)
    return _decode_with(reader, expected_type, is_checked, text)


def _decode_with(reader: TypeReader | None, expected_type: Any, is_checked: bool, text: str | None) -> Any:
    if text is None:
        text = "null"
    if reader is not None and (is_checked or text != "null"):
        return reader.read_text(text)
    return restore_as(expected_type, codec.decode_plain(text), is_checked=is_checked)


def restore_as(expected_type: Any, value: JSON, *, is_checked: bool = False) -> Any:
    """Turns a JSON value into a value of a type.

    Raises:
        PayloadError: No value of the type can be made of it.
        TypeError: Typing is strict, and the value is of another type.
    """
    if expected_type in _NOTHING or (value is None and not is_checked):
        return codec.restore(value)
    reader = _reader_for(expected_type, is_checked=is_checked)
    if reader is not None:
        return reader.read(value)
    if _is_custom(expected_type) or expected_type in _BARE:
        return _restore_as_class(expected_type, value)
    return _restore_as_plain(expected_type, value)


def _restore_as_class(expected_type: Any, value: JSON) -> Any:
    """As azure-functions does it."""
    strict = codec.strict_typing()
    if codec.is_custom_object(value):
        if _is_named(expected_type, value):
            data = value["__data__"] if strict else codec.restore(value["__data__"])
            return codec.from_envelope(expected_type, {"__data__": data})
        _mismatch(f"{value['__module__']}.{value['__class__']}", expected_type, strict)
    elif not _is_instance(value, expected_type):
        _mismatch(type(value).__name__, expected_type, strict)
    return value if strict else codec.restore(value)


def _restore_as_plain(expected_type: Any, value: JSON) -> Any:
    """A value as it stands, looked through where that is possible."""
    found = _any_reader(expected_type)
    if found is None:
        return _restore_as_class(expected_type, value)
    try:
        found.read(value)
    except PayloadError as error:
        if codec.strict_typing():
            return _restore_as_class(expected_type, value)
        _log.warning("expected a value of type %r, found at %s; it is passed on as it is", expected_type, error)
    return value if codec.strict_typing() else codec.restore(value)


def _is_named(expected_type: Any, envelope: dict[str, Any]) -> bool:
    """Whether the class that code names is the one that a custom object names."""
    return (
        envelope["__class__"] == getattr(expected_type, "__name__", None)
        and envelope["__module__"] == getattr(expected_type, "__module__", None)
        and _is_custom(expected_type)
    )


def _is_custom(expected_type: Any) -> bool:
    return callable(getattr(expected_type, "from_json", None))


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


class Payloads:
    """How values become JSON text and back: as this module says, unless the app has a converter."""

    encode: Callable[[Any], str] = staticmethod(codec.encode_value)
    encode_for_apps: Callable[[Any], str] = staticmethod(codec.encode_as_json)
    """The same for text that apps of 1.7.0 see."""

    def decoder(self, expected_type: Any, *, is_checked: bool = False) -> Decoder | None:
        """What reads values of a type; None where results need no reader of their own."""
        return decoder(expected_type, is_checked=is_checked)

    def decode_as(self, expected_type: Any, text: str | None, *, is_checked: bool = False) -> Any:
        """Reads a value from JSON text."""
        if expected_type is None:
            return codec.decode_value(text)
        return decode_as(expected_type, text, is_checked=is_checked)

    def restore_as(self, expected_type: Any, value: JSON, *, is_checked: bool = False) -> Any:
        """Turns a JSON value into a value of a type."""
        return restore_as(expected_type, value, is_checked=is_checked)

    def read(self, expected_type: Any, value: JSON, *, is_checked: bool = False) -> Any:
        """Reads what was sent as JSON text, or as the JSON value itself where it comes from elsewhere."""
        read = self.decode_as if isinstance(value, str) else self.restore_as
        return read(expected_type, value, is_checked=is_checked)


PLAIN = Payloads()
"""Those of apps without a converter."""


# ---------------------------------------------------------------- which types are made


def _reader_for(expected_type: Any, *, is_checked: bool) -> TypeReader | None:
    """What makes values of a type; None where they are passed on as 1.7.0 does.

    Raises:
        TypeError: They are to be checked, and cannot be.
    """
    if expected_type in _NOTHING:
        return None
    if is_checked:
        from worker_ext.typed import reader

        return reader(expected_type)
    if expected_type in _BARE or _is_custom(expected_type):
        return None
    found = _any_reader(expected_type)
    return None if found is None or found.is_plain else found


def _any_reader(expected_type: Any) -> TypeReader | None:
    """What makes values of a type; None where nothing can."""
    try:
        return _known_reader(expected_type)
    except TypeError:  # an annotation that cannot be hashed
        return _new_reader(expected_type)


@cache
def _known_reader(expected_type: Any) -> TypeReader | None:
    return _new_reader(expected_type)


def _new_reader(expected_type: Any) -> TypeReader | None:
    from worker_ext.typed import UnreadableTypeError, reader

    try:
        return reader(expected_type)
    except UnreadableTypeError as error:
        _log.info("%s; values are passed on as they are", error)
        return None


# ---------------------------------------------------------------- what functions say


def returned_type(function: object) -> Any:
    """The type that a decorated function says it returns; None where it says nothing."""
    user = getattr(function, "_user_function", None)
    return None if user is None else result_type(user)


@cache
def result_type(user: Callable[..., Any]) -> Any:
    """The type that a function says its caller gets: of a generator what it returns in the end."""
    hint = annotation(user, "return")
    if inspect.isgeneratorfunction(user):
        arguments = typing.get_args(hint)
        hint = arguments[2] if len(arguments) == 3 else None
    return None if hint in _NOTHING or (typing.get_origin(hint) or hint) in _STEPS else hint


def parameter_type(user: Callable[..., Any], name: str) -> Any:
    """The type that a function says a parameter has; None where it says nothing."""
    hint = annotation(user, name)
    return None if hint in _NOTHING else hint


def is_made(user: Callable[..., Any], name: str) -> bool:
    """Whether values of a parameter's type have to be made of JSON; so far as its annotation can be looked up yet."""
    from worker_ext.typed import UnreadableTypeError, is_plain

    if _annotations(inspect.unwrap(user)).get(name) is None:
        return False
    try:
        hint = annotation(user, name)
        return hint is None or not is_plain(hint)
    except UnreadableTypeError:
        return True


def says_nothing(hint: Any) -> bool:
    """Whether a type says nothing of what is read."""
    return hint in _NOTHING or isinstance(hint, typing.TypeVar)


def restorer(expected_type: Any) -> Callable[[JSON], Any]:
    """What turns JSON values into values of a type; they are passed on as they are where no type is named."""
    if expected_type is None:
        return _as_it_is
    return partial(restore_as, expected_type)


def _as_it_is(value: JSON) -> Any:
    return value


def annotation(user: Callable[..., Any], name: str) -> Any:
    """An annotation of a function; None where there is none, or names are used that exist for type checkers only."""
    function = inspect.unwrap(user)
    found = _annotations(function).get(name)
    if found is None:
        return None
    holder = types.SimpleNamespace(__annotations__={name: found})
    try:
        return typing.get_type_hints(holder, getattr(function, "__globals__", {}), include_extras=True)[name]
    except Exception as error:  # noqa: BLE001 - the text of an annotation may be anything
        _log.info("the annotation of %r of %s says nothing: %s", name, getattr(user, "__name__", user), error)
        return None


def signature_of(user: Callable[..., Any]) -> inspect.Signature:
    """The signature with annotations as they stand: names that cannot be resolved yet, or ever, are left alone."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(user, annotation_format=Format.FORWARDREF)
    return inspect.signature(user)


def _annotations(function: Any) -> dict[str, Any]:
    """As they stand: one that cannot be resolved does not hide the others."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format, get_annotations

        found = get_annotations(function, format=Format.FORWARDREF)
    else:
        found = getattr(function, "__annotations__", {})
    return dict(found)
