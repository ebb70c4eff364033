"""The types that code names: their kinds, and the fields of classes."""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from worker_ext.typed.faults import UnreadableTypeError

PLAIN = frozenset({str, int, float, bool, type(None), Any, object})
SCALARS = frozenset(
    {str, int, float, bool, type(None), bytes, bytearray, datetime, date, time, timedelta, UUID, Decimal}
)
LISTS = frozenset(
    {
        list,
        collections.abc.Sequence,
        collections.abc.MutableSequence,
        collections.abc.Collection,
        collections.abc.Iterable,
    }
)
SETS = frozenset({set, collections.abc.Set, collections.abc.MutableSet})
DICTS = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})
DICT_CLASSES = frozenset({collections.OrderedDict, collections.defaultdict, collections.Counter})
UNIONS = (typing.Union, types.UnionType)
_QUALIFIERS = (typing.Required, typing.NotRequired, typing.Final, getattr(typing, "ReadOnly", typing.Final))


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a class whose values travel as JSON objects."""

    name: str
    hint: Any
    is_required: bool
    argument: str | None
    """The argument of the constructor; None for a field that is set afterwards."""


def kind_of(hint: Any) -> str:
    """What the JSON of a type is, as far as it matters for unions."""
    if typing.get_origin(hint) is typing.Annotated:
        hint = unwrapped(typing.get_args(hint)[0])
    cls = typing.get_origin(hint) or hint
    if cls in LISTS or cls in SETS or cls in (frozenset, tuple, collections.deque):
        return "array"
    if cls in SCALARS or cls is typing.Literal or not isinstance(cls, type) or issubclass(cls, enum.Enum):
        return "object" if cls in DICTS else "scalar"
    return "array" if issubclass(cls, tuple) else "object"


def unwrapped(hint: Any) -> Any:
    """What stands behind a NewType, a type alias, Required and the like."""
    while True:
        if isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif typing.get_origin(hint) in _QUALIFIERS:
            hint = typing.get_args(hint)[0]
        elif is_alias(hint):
            hint = hint.__value__
        elif isinstance(hint, typing.TypeVar) and hint.__bound__ is not None:
            hint = hint.__bound__
        else:
            return hint


def members_of(hint: Any) -> tuple[Any, ...]:
    """The members of a union; any other type is the only one."""
    return typing.get_args(hint) if typing.get_origin(hint) in UNIONS else (hint,)


def is_pydantic(cls: Any) -> bool:
    """Whether pydantic reads and writes values of a class."""
    return isinstance(cls, type) and hasattr(cls, "__pydantic_validator__")


def is_plain(hint: Any) -> bool:
    """Whether values of a type are JSON values as they stand."""
    return _is_plain(hint, ())


def _is_plain(hint: Any, inside: tuple[Any, ...]) -> bool:
    if hint in inside:  # a type that contains itself
        return True
    inside = (*inside, hint)
    hint = unwrapped(hint)
    if hint is None or hint in PLAIN or isinstance(hint, typing.TypeVar):
        return True
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is typing.Literal:
        return all(type(argument) in PLAIN for argument in arguments)
    if origin is typing.Annotated:
        return _is_plain(arguments[0], inside)
    if origin in DICTS and arguments and not _is_text(unwrapped(arguments[0])):  # as all keys are in JSON
        return False
    if origin in UNIONS or origin in LISTS or origin in DICTS:
        return all(_is_plain(argument, inside) for argument in arguments)
    if typing.is_typeddict(origin):
        return all(_is_plain(field, inside) for field in hints_of(hint, origin).values())
    return False


def _is_text(hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Literal:
        return all(type(argument) is str for argument in typing.get_args(hint))
    return hint is str or is_anything(hint)


def is_anything(hint: Any) -> bool:
    """Whether any value is one of a type."""
    return hint in (Any, object) or isinstance(hint, typing.TypeVar)


def hints_of(hint: Any, cls: type[Any]) -> dict[str, Any]:
    """The types of a class's attributes, those that a generic class leaves open filled in."""
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise UnreadableTypeError(
            f"the fields of {name_of(cls)} cannot be read: {error}. Import it at run time, not for type checkers only, "
            "and define it where the module can see it"
        ) from None
    given = dict(zip(getattr(cls, "__parameters__", ()), typing.get_args(hint), strict=False))
    return {name: filled(annotation, given) for name, annotation in hints.items()} if given else hints


def filled(hint: Any, given: Mapping[Any, Any]) -> Any:
    """A type with its type variables replaced by what is given for them."""
    if hint in given:
        return given[hint]
    parameters = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(parameter, parameter) for parameter in parameters)] if parameters else hint


def has_fields(cls: type[Any]) -> bool:
    """Whether objects of a class travel as the JSON objects of their fields, or as custom objects."""
    return (
        dataclasses.is_dataclass(cls)
        or is_pydantic(cls)
        or hasattr(cls, "__attrs_attrs__")
        or hasattr(cls, "__struct_fields__")
        or callable(getattr(cls, "from_json", None))
    )


def _or_default(hint: Any, default: object) -> Any:
    """The type of a field; None is one of its values where it is the default, whatever the annotation says."""
    return typing.Optional[hint] if default is None else hint  # noqa: UP045 - the type may be text


def has_converters(cls: type[Any]) -> bool:
    """Whether attrs changes what the fields of a class are given, which msgspec passes by."""
    return any(field.converter is not None for field in getattr(cls, "__attrs_attrs__", ()))


def is_alias(hint: Any) -> bool:
    """Whether it is a type that a `type` statement names."""
    return type(hint).__name__ == "TypeAliasType"


def fields_of(hint: Any, cls: type[Any]) -> list[Field] | None:
    """The fields of a dataclass, an attrs class or a TypedDict; None of anything else."""
    if typing.is_typeddict(cls):
        required = cls.__required_keys__
        return [Field(name, kind, name in required, name) for name, kind in hints_of(hint, cls).items()]
    if dataclasses.is_dataclass(cls):
        hints, missing = hints_of(hint, cls), dataclasses.MISSING
        return [
            Field(
                field.name,
                _or_default(hints[field.name], field.default),
                field.init and field.default is missing and field.default_factory is missing,
                field.name if field.init else None,
            )
            for field in dataclasses.fields(cls)
        ]
    if hasattr(cls, "__attrs_attrs__"):
        hints, attributes = hints_of(hint, cls), cls.__attrs_attrs__
        return [
            Field(
                field.name,
                _or_default(hints.get(field.name, Any if field.type is None else field.type), field.default),
                field.init and repr(field.default) == "NOTHING",
                (getattr(field, "alias", None) or field.name.lstrip("_")) if field.init else None,
            )
            for field in attributes
        ]
    return None


def name_of(hint: Any) -> str:
    """A type as messages tell it."""
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")
