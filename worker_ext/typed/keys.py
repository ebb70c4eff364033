"""Readers of the keys of JSON objects: keys are text, whatever they were before `protocol.plain_values` wrote them.

A type that may be text has its keys as they are, so of `int | str` all come back as text.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from worker_ext.protocol import codec
from worker_ext.protocol.plain_values import key_text
from worker_ext.typed.faults import FaultError, UnreadableTypeError
from worker_ext.typed.hints import is_anything, kind_of, members_of, name_of, unwrapped


def key_of(hint: Any) -> Callable[[Any], Any] | None:
    """What reads keys of a type; None where they are taken as they are.

    Raises:
        UnreadableTypeError: Keys of the type cannot be told from their text.
    """
    hint = unwrapped(hint)
    members = [unwrapped(member) for member in members_of(hint)]
    if any(kind_of(member) != "scalar" and not is_anything(member) for member in members):
        raise UnreadableTypeError(f"keys of type {name_of(hint)} cannot be made of JSON, where keys are text")
    if any(member is str or is_anything(member) for member in members):
        return None
    spelled = _spelled(hint, [value for member in members for value in _values_of(member)])
    others = [member for member in members if not _values_of(member)]
    return _reader(spelled, typing.Union[tuple(others)] if others else None)  # noqa: UP007 - they may be any number


def _values_of(hint: Any) -> tuple[Any, ...]:
    """The values of a type that has few, and that msgspec does not read from the text of a key."""
    if typing.get_origin(hint) is typing.Annotated:
        hint = unwrapped(typing.get_args(hint)[0])
    if hint is bool:
        return (True, False)
    if hint in (None, type(None)):
        return (None,)
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum) and not _is_known(hint):
        return tuple(hint)
    return ()


def _is_known(hint: Any) -> bool:
    """Whether msgspec reads keys of a type."""
    try:
        msgspec.json.Decoder(dict[hint, None])
    except TypeError:
        return False
    return True


def _spelled(hint: Any, values: list[Any]) -> dict[str, Any]:
    """Values by their text."""
    spelled: dict[str, Any] = {}
    for value in values:
        try:
            text = key_text(value)
        except TypeError as error:
            raise UnreadableTypeError(f"keys of type {name_of(hint)} cannot be made of JSON: {error}") from None
        if text in spelled:
            raise UnreadableTypeError(
                f"keys of type {name_of(hint)} cannot be told apart in JSON, where keys are text: {spelled[text]!r} "
                f"and {value!r} are both {text!r}"
            )
        spelled[text] = value
    return spelled


def _reader(spelled: dict[str, Any], others: Any) -> Callable[[Any], Any]:
    if others is not None:
        try:
            msgspec.json.Decoder(dict[others, None])
        except TypeError as error:
            raise UnreadableTypeError(f"keys of type {name_of(others)} cannot be made of JSON: {error}") from None

    def read(key: Any) -> Any:
        if spelled:
            text = key if isinstance(key, str) else key_text(key)
            if text in spelled:
                return spelled[text]
            if others is None:
                raise FaultError(f"the key: Expected one of {', '.join(map(repr, spelled))}, got {text!r:.50}")
        try:
            [made] = msgspec.convert({key: None}, dict[others, None], str_keys=True)
        except msgspec.ValidationError as error:
            raise FaultError(f"the key: {codec.fault_of(error)[0].partition(' - at')[0]}") from None
        return made

    return read
