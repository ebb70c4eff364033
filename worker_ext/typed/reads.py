"""Readers of one kind of type each, made of the readers of what is inside."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from worker_ext.protocol import codec
from worker_ext.protocol.codec import JSON
from worker_ext.typed.faults import FaultError, found_in, mismatch
from worker_ext.typed.hints import Field, members_of, unwrapped

Read = Callable[[JSON], Any]
"""Makes a value of a JSON value; raises `FaultError`."""


def scalar(hint: Any) -> Read:
    """Reads what msgspec knows and has no parts."""

    def read(value: JSON) -> Any:
        try:
            return msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            raise FaultError(_told(str(error), hint, value)) from None

    return read


def _told(what: str, hint: Any, value: JSON) -> str:
    """What msgspec finds wrong, with the part that it leaves out: what was found, or what may stand there."""
    if what.startswith("Invalid enum value"):
        return f"Expected one of {', '.join(map(repr, _options(hint)))}, got {value!r:.50}"
    return what if ", got " in what else f"{what}, got {value!r:.50}"


def _options(hint: Any) -> list[Any]:
    """The values of the enums and literals in a type."""
    options: list[Any] = []
    for member in map(unwrapped, members_of(hint)):
        if typing.get_origin(member) is typing.Literal:
            options += typing.get_args(member)
        elif isinstance(member, type) and issubclass(member, enum.Enum):
            options += [choice.value for choice in member]
    return options


def list_of(read_item: Read, make: Callable[[list[Any]], Any]) -> Read:
    """Reads a list of items of one type."""

    def read(value: JSON) -> Any:
        if not isinstance(value, list | tuple | set | frozenset):
            raise mismatch("array", value)
        items = []
        try:
            for item in value:
                items.append(read_item(item))  # noqa: PERF401 - its length is the place of a fault
        except FaultError as fault:
            raise fault.at(len(items)) from None
        return items if make is list else made(make, items)

    return read


def items_of(reads: list[Read], make: Callable[[Iterable[Any]], Any], least: int | None = None) -> Read:
    """A list of items of their own types; of a NamedTuple those with defaults may be missing at the end."""
    needed = len(reads) if least is None else least

    def read(value: JSON) -> Any:
        if not isinstance(value, list | tuple):
            raise mismatch("array", value)
        if not needed <= len(value) <= len(reads):
            raise FaultError(f"Expected `array` of length {len(reads)}, got {len(value)}")
        items = []
        for index, item in enumerate(value):
            try:
                items.append(reads[index](item))
            except FaultError as fault:
                raise fault.at(index) from None
        return make(items)

    return read


def dict_of(read_key: Read | None, read_value: Read, make: Callable[[dict[Any, Any]], Any] | None = None) -> Read:
    """Reads an object of any names."""

    def read(value: JSON) -> Any:
        if not isinstance(value, dict):
            raise mismatch("object", value)
        items = {}
        for key, item in value.items():
            try:
                items[key if read_key is None else read_key(key)] = read_value(item)
            except FaultError as fault:
                raise fault.at(key) from None
        return items if make is None else make(items)

    return read


def object_of(cls: type[Any], fields: list[tuple[Field, Read]]) -> Read:
    """Reads an object of the fields of a class; others are left out."""

    def read(value: JSON) -> Any:
        if not isinstance(value, dict):
            if not typing.is_typeddict(cls) and isinstance(value, cls):
                return value
            raise mismatch("object", value)
        arguments, later = {}, {}
        for field, read_field in fields:
            if field.name not in value:
                if field.is_required:
                    raise FaultError(f"Object missing required field `{field.name}`")
                continue
            try:
                made = read_field(value[field.name])
            except FaultError as fault:
                raise fault.at(field.name) from None
            if field.argument is None:
                later[field.name] = made
            else:
                arguments[field.argument] = made
        return constructed(cls, arguments, later)

    return read


def constructed(cls: type[Any], arguments: dict[str, Any], later: dict[str, Any]) -> Any:
    """An object of its fields: arguments of the constructor, and those that are set afterwards."""
    if typing.is_typeddict(cls):
        return arguments
    try:
        made = cls(**arguments)
    except (ValueError, TypeError) as error:  # what the class itself checks
        raise FaultError(str(error) or type(error).__name__) from error
    for name, value in later.items():
        object.__setattr__(made, name, value)
    return made


def custom_object(cls: type[Any], read_fields: Read | None) -> Read:
    """A custom object, as the envelope that names the class; one with fields may come as they are."""

    def read(value: JSON) -> Any:
        if isinstance(value, cls):
            return value
        if codec.is_custom_object(value):
            if (value["__module__"], value["__class__"]) != (cls.__module__, cls.__name__):
                raise FaultError(f"Expected `{cls.__name__}`, got `{value['__module__']}.{value['__class__']}`")
            return codec.from_envelope(cls, {"__data__": codec.restore(value["__data__"])})
        if read_fields is None:
            raise mismatch(cls.__name__, value)
        return read_fields(value)

    return read


def pydantic_model(cls: Any) -> Read:
    """Reads a model as pydantic reads JSON."""

    def read(value: JSON) -> Any:
        if isinstance(value, cls):
            return value
        try:
            return cls.__pydantic_validator__.validate_json(codec.encode_value(value))
        except ValueError as error:
            raise pydantic_fault(error) from None

    return read


def pydantic_fault(error: Any) -> FaultError:
    """The first of what pydantic found wrong; it finds everything."""
    faults = error.errors(include_url=False, include_context=False)
    what = f"{faults[0]['msg']}, got `{found_in(faults[0].get('input'))}`"
    if len(faults) > 1:
        what += f" (and {len(faults) - 1} more)"
    return FaultError(what, reversed(faults[0]["loc"]))


def one_of(values: tuple[Any, ...]) -> Read:
    """Reads one of these values, members of enums by their values, of whatever type these are."""
    spelled = {codec.encode_value(value.value if isinstance(value, enum.Enum) else value): value for value in values}

    def read(value: JSON) -> Any:
        if isinstance(value, enum.Enum) and value in values:  # made already
            return value
        try:
            return spelled[codec.encode_value(value)]
        except KeyError:
            raise FaultError(f"Expected one of {', '.join(spelled)}, got `{found_in(value)}`") from None

    return read


def made(make: Callable[[list[Any]], Any], items: list[Any]) -> Any:
    """A container of items that were read."""
    try:
        return make(items)
    except TypeError as error:  # members of sets must be hashable
        raise FaultError(str(error)) from None
