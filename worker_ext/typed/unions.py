"""Which class of a union a JSON object is of."""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from worker_ext.protocol.codec import JSON
from worker_ext.typed.faults import FaultError
from worker_ext.typed.hints import DICTS, fields_of, is_pydantic, name_of, unwrapped
from worker_ext.typed.reads import Read


@dataclasses.dataclass(frozen=True)
class Shape:
    """What is known of the JSON objects of a type."""

    names: Mapping[str, Any]
    required: frozenset[str]
    is_open: bool = False
    """Whether they may have any names."""


def shape_of(hint: Any) -> Shape:
    """What is known of the JSON objects of a type."""
    cls = typing.get_origin(hint) or hint
    if cls in DICTS or not isinstance(cls, type):
        return Shape({}, frozenset(), is_open=True)
    if is_pydantic(cls):
        found: Any = getattr(cls, "model_fields", None) or getattr(cls, "__pydantic_fields__", {})
        named = {field.alias or name: field for name, field in found.items()}
        needed = frozenset(name for name, field in named.items() if field.is_required())
        return Shape({name: field.annotation for name, field in named.items()}, needed)
    if issubclass(cls, msgspec.Struct):
        return _struct_shape(hint, cls)
    fields = fields_of(hint, cls)
    if fields is None:
        return Shape({}, frozenset(), is_open=True)
    names = {field.name: field.hint for field in fields}
    return Shape(names, frozenset(field.name for field in fields if field.is_required))


def _struct_shape(hint: Any, cls: Any) -> Shape:
    fields = msgspec.structs.fields(hint)
    names = {field.encode_name: field.type for field in fields}
    required = {field.encode_name for field in fields if field.required}
    config = cls.__struct_config__
    if config.tag_field is not None:
        names[config.tag_field] = typing.Literal[config.tag]
        required.add(config.tag_field)
    return Shape(names, frozenset(required))


def tags_of(shapes: list[Shape]) -> tuple[str, list[tuple[Any, ...]]] | None:
    """A name under which each shape has a Literal of its own, and these."""
    for name in shapes[0].names:
        hints = [unwrapped(shape.names.get(name)) for shape in shapes]
        if all(typing.get_origin(hint) is typing.Literal for hint in hints):
            tags = [tuple(map(_json_of, typing.get_args(hint))) for hint in hints]
            if len({tag for some in tags for tag in some}) == sum(map(len, tags)):
                return name, tags
    return None


def _json_of(tag: Any) -> Any:
    return tag.value if isinstance(tag, enum.Enum) else tag


def tagged(name: str, tags: list[tuple[Any, ...]], reads: list[Read]) -> Read:
    """Takes the member that has the value of the name among its own."""
    members = {tag: read for some, read in zip(tags, reads, strict=True) for tag in some}

    def read(value: JSON) -> Any:
        tag = value.get(name)
        read = members.get(tag) if isinstance(tag, str | int) else None
        if read is None:
            expected = ", ".join(map(repr, members))
            raise FaultError(f"Expected one of {expected}, got {tag!r:.50}").at(name)
        return read(value)

    return read


def by_names(hint: Any, shapes: list[Shape], reads: list[Read]) -> Read:
    """Takes the member that has all the names which came, and the fewest others; it says itself what is missing."""

    def read(value: JSON) -> Any:
        came = value.keys()
        fitting = [index for index, shape in enumerate(shapes) if came <= shape.names.keys()]
        complete = [index for index in fitting or range(len(shapes)) if came >= shapes[index].required]
        if not complete:
            found = ", ".join(sorted(came)) or "none"
            raise FaultError(f"Expected `{name_of(hint)}`, got an object with the fields {found}")
        return reads[min(complete, key=lambda index: len(shapes[index].names.keys() ^ came))](value)

    return read
