"""Annotations of every modern form on everything that this package decorates: none may keep the app from loading."""

# mypy: ignore-errors
# ruff: noqa: F401 - the names are used in text

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NewType, Optional, TypeVar, Union

import azure.functions as func

import worker_ext as df

if TYPE_CHECKING:
    from nowhere import Missing

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
T = TypeVar("T")
Name = NewType("Name", str)


@dataclasses.dataclass
class Order:
    """An input of the app's own."""

    id: int = 0


class Box(Generic[T]):
    """A generic class of the app's own."""


class Shape(typing.TypedDict):
    """A dict with names."""

    id: int


FORMS = {
    "a_list": "list[int]",
    "a_dict": "dict[str, list[int]]",
    "old_list": "typing.List[int]",
    "union": "int | None",
    "optional": "Optional[Order]",
    "old_union": "Union[int, str]",
    "annotated": "Annotated[int, 'a note']",
    "anything": "Any",
    "literal": "Literal['a', 'b']",
    "own_class": "Order",
    "own_generic": "Box[Order]",
    "new_type": "Name",
    "typed_dict": "Shape",
    "mapping": "Mapping[str, Sequence[int]]",
    "a_tuple": "tuple[int, ...]",
    "nothing": "None",
    "type_checking_only": "Missing",
    "no_such_name": "NoSuchName[int]",
    "alias": "Orders",
}
Orders: typing.TypeAlias = list[Order]
if sys.version_info >= (3, 12):
    exec("type Orders = list[Order]")


def declare(name: str, annotation: str) -> None:
    """An activity, an orchestrator, an entity and a starter whose durable parameter is annotated so."""
    source = f"""
def {name}_activity(value: {annotation} = None) -> {annotation}:
    return value

def {name}_orchestrator(context: {annotation}) -> Generator[Any, {annotation}, {annotation}]:
    return (yield context.call_activity("{name}_activity", context.get_input()))

def {name}_entity(context: {annotation}) -> {annotation}:
    context.set_result(1)

async def {name}_starter(req: func.HttpRequest, client: {annotation}) -> str:
    return client.create_http_management_payload("i")["id"]
"""
    exec(compile("from __future__ import annotations\n" + source, __file__, "exec"), globals())
    found = globals()
    app.activity_trigger(input_name="value")(found[f"{name}_activity"])
    app.orchestration_trigger(context_name="context")(found[f"{name}_orchestrator"])
    app.entity_trigger(context_name="context")(found[f"{name}_entity"])
    app.route(f"{name}/start")(app.durable_client_input(client_name="client")(found[f"{name}_starter"]))


for form, text in FORMS.items():
    declare(form, text)
