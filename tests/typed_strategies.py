"""Hypothesis strategies for types that code may name, each with values of it."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import typing
from collections import Counter, deque
from datetime import UTC, date, timedelta, timezone
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
from hypothesis import strategies as st

Values = st.SearchStrategy[Any]


class Typed(NamedTuple):
    """A type, values of it, and what they are in JSON: values of two kinds can be told apart."""

    hint: Any
    values: Values
    kind: str
    is_hashable: bool = True
    is_key: bool = False


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Odd(enum.Enum):
    """Members that are neither text nor integers."""

    PAIR = (1, 2)
    HALF = 0.5
    NOTHING = None


class Mixed(enum.Enum):
    """Members that differ as keys, which are text."""

    YES = True
    ONE = 1
    HALF = 0.5
    NOTHING = None
    WORD = "word"
    DAY = date(2026, 1, 2)


Number = typing.NewType("Number", int)
Flag = typing.NewType("Flag", bool)

texts = st.text(max_size=8)
zones = st.none() | st.just(UTC) | st.integers(-23 * 60, 23 * 60).map(lambda count: timezone(timedelta(minutes=count)))
numbers = itertools.count()

SCALARS = [
    Typed(bool, st.booleans(), "bool", is_key=True),
    Typed(Flag, st.booleans(), "bool", is_key=True),
    Typed(Number, st.integers(), "number", is_key=True),
    Typed(int, st.integers(), "number", is_key=True),
    Typed(float, st.floats(allow_nan=False, allow_infinity=False), "number", is_key=True),
    Typed(str, texts, "text", is_key=True),
    Typed(bytes, st.binary(max_size=8), "text", is_key=True),
    Typed("date", st.dates(), "text", is_key=True),
    Typed("datetime", st.datetimes(timezones=zones), "text", is_key=True),
    Typed("time", st.times(), "text", is_key=True),
    Typed("timedelta", st.timedeltas(), "text", is_key=True),
    Typed("UUID", st.uuids(), "text", is_key=True),
    Typed("Decimal", st.decimals(allow_nan=False, allow_infinity=False), "text", is_key=True),
    Typed(Colour, st.sampled_from(Colour), "text", is_key=True),
    Typed(Level, st.sampled_from(Level), "number", is_key=True),
    Typed(Mixed, st.sampled_from(Mixed), "odd", is_key=True),
    Typed(Odd, st.sampled_from(Odd), "odd"),
    Typed(typing.Literal["a", "b"], st.sampled_from(["a", "b"]), "text", is_key=True),
    Typed(typing.Literal[1, True, None, "a"], st.sampled_from([1, True, None, "a"]), "odd", is_key=True),
    Typed(None, st.none(), "null", is_key=True),
]


def _resolved(typed: Typed) -> Typed:
    import datetime
    import decimal
    import uuid

    if not isinstance(typed.hint, str):
        return typed
    found = next(getattr(module, typed.hint) for module in (datetime, uuid, decimal) if hasattr(module, typed.hint))
    return typed._replace(hint=found)


scalars = st.sampled_from([_resolved(typed) for typed in SCALARS])
keys = scalars.filter(lambda typed: typed.is_key)


def _of(generic: Any, *arguments: Any) -> Any:
    return generic[arguments if len(arguments) > 1 else arguments[0]]


def _list(item: Typed) -> Typed:
    return Typed(_of(list, item.hint), st.lists(item.values, max_size=3), "array", False)


def _deque(item: Typed) -> Typed:
    return Typed(_of(deque, item.hint), st.lists(item.values, max_size=3).map(deque), "array", False)


def _tuple(item: Typed) -> Typed:
    values = st.lists(item.values, max_size=3).map(tuple)
    return Typed(_of(tuple, item.hint, ...), values, "array", item.is_hashable)


def _fixed(items: list[Typed]) -> Typed:
    hint = _of(tuple, *[item.hint for item in items])
    return Typed(hint, st.tuples(*[item.values for item in items]), "array", all(item.is_hashable for item in items))


def _set(item: Typed) -> Typed:
    return Typed(_of(frozenset, item.hint), st.frozensets(item.values, max_size=3), "array")


def _dict(key: Typed, value: Typed) -> Typed:
    return Typed(
        _of(dict, key.hint, value.hint), st.dictionaries(key.values, value.values, max_size=3), "object", False
    )


def _union(members: list[Typed]) -> Typed:
    """Of the members that differ in JSON by their kind; classes differ by the names of their fields as well."""
    kinds = {member.kind: member for member in members if member.kind != "odd"}
    chosen = [member for kind, member in kinds.items() if not (kind == "object" and "fields" in "".join(kinds))]
    if not chosen:
        return members[0]
    hint = _of(typing.Union, *[member.hint for member in chosen])
    values = st.one_of(*[member.values for member in chosen])
    kind = chosen[0].kind if len(chosen) == 1 else "odd"
    return Typed(hint, values, kind, all(member.is_hashable for member in chosen))


# ---------------------------------------------------------------- classes


def _fields(members: list[Typed]) -> dict[str, Typed]:
    """Names that no other class has."""
    return {f"field_{next(numbers)}": member for member in members}


def _class(make: Any, members: list[Typed], kind: str, build: Any = None) -> Typed:
    fields = _fields(members)
    cls = make(f"Class{next(numbers)}", {name: member.hint for name, member in fields.items()})
    values = st.fixed_dictionaries({name: member.values for name, member in fields.items()})
    return Typed(cls, values.map(build or (lambda given: cls(**given))), kind, False)


def _dataclass(members: list[Typed]) -> Typed:
    return _class(
        lambda name, hints: dataclasses.make_dataclass(name, hints.items()), members, f"fields{next(numbers)}"
    )


def _attrs(members: list[Typed]) -> Typed:
    def make(name: str, hints: dict[str, Any]) -> Any:
        return attrs.make_class(name, {key: attrs.field(type=hint) for key, hint in hints.items()})

    return _class(make, members, f"fields{next(numbers)}")


def _struct(members: list[Typed]) -> Typed:
    """Of what msgspec reads alone: it does so for whatever is inside."""
    known = [member for member in members if _is_known_to_msgspec(member.hint)] or [_resolved(SCALARS[0])]
    return _class(lambda name, hints: msgspec.defstruct(name, list(hints.items()), rename="camel"), known, "object")


def _is_known_to_msgspec(hint: Any) -> bool:
    try:
        msgspec.json.Decoder(hint)
    except (TypeError, KeyError):
        return False
    return not any(
        name in str(hint)
        for name in ("Odd", "Mixed", "Class", "deque", "Counter", "dict[bool", "Flag", "dict[None", "Literal")
    )


def _typed_dict(members: list[Typed]) -> Typed:
    return _class(typing.TypedDict, members, "object")


def _named_tuple(members: list[Typed]) -> Typed:
    return _class(lambda name, hints: typing.NamedTuple(name, hints.items()), members, "array")


def _pydantic(members: list[Typed]) -> Typed:
    """Of plain members: what pydantic makes of others is its own."""
    plain = [member for member in members if member.hint in (int, str, bool, Colour, None)] or [_resolved(SCALARS[1])]

    def make(name: str, hints: dict[str, Any]) -> Any:
        fields: Any = {key: (hint, ...) for key, hint in hints.items()}
        return pydantic.create_model(name, **fields)

    return _class(make, plain, f"fields{next(numbers)}")


def _counts(key: Typed, _value: Typed) -> Typed:
    return Typed(_of(Counter, key.hint), st.dictionaries(key.values, st.integers()).map(Counter), "object", False)


OF_ONE = [_list, _deque, _tuple]
OF_KEYS = [_dict, _counts]
OF_SEVERAL = [_fixed, _union, _union, _dataclass, _dataclass, _attrs, _struct, _typed_dict, _named_tuple, _pydantic]


@st.composite
def types(draw: st.DrawFn, depth: int = 3) -> Typed:
    """Any type of these, nested so deep."""
    make: Any = draw(st.sampled_from([None, _set, *OF_KEYS, *OF_ONE, *OF_SEVERAL] if depth else [None]))
    inner = types(depth - 1)
    found: Typed
    if make is None:
        found = draw(scalars)
    elif make is _set:
        found = _set(draw(inner.filter(lambda item: item.is_hashable)))
    elif make in OF_KEYS:
        found = make(draw(keys), draw(inner))
    elif make in OF_ONE:
        found = make(draw(inner))
    else:
        found = make([draw(inner) for _ in range(draw(st.integers(1, 3)))])
    return found


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[Any, Any]:
    """A type and a value of it."""
    found = draw(types())
    return found.hint, draw(found.values)
