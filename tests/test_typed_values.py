"""Values by annotation: what is written is what is read, and what does not fit is told with its place."""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from typed_strategies import typed_values

from worker_ext.errors import PayloadError
from worker_ext.protocol.codec import encode_value
from worker_ext.typed import UnreadableTypeError, reader

T = TypeVar("T")
OrderId = NewType("OrderId", int)


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Pair(Enum):
    """Members that are no text and no integers, which msgspec does not read."""

    SAME = (1, 1)
    OTHER = (1, 2)


@dataclasses.dataclass
class Item:
    price: float
    colour: Colour = Colour.RED
    parts: list[Item] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Order:
    items: list[Item]
    prices: dict[str, Decimal] = dataclasses.field(default_factory=dict)


class Parcel(pydantic.BaseModel):
    to: str = pydantic.Field(alias="sendTo")
    weights: list[int] = []


class Address(TypedDict):
    street: str
    zip: typing.NotRequired[int]


class Point(NamedTuple):
    x: int
    y: int = 0


@attrs.define
class Stamp:
    at: datetime
    _by: str = "nobody"


class Label(msgspec.Struct, rename="camel"):
    long_text: str
    parcel: Parcel | None = None


@dataclasses.dataclass
class Circle:
    radius: float


@dataclasses.dataclass
class Square:
    side: float


@dataclasses.dataclass
class Paid:
    amount: Decimal
    kind: Literal["paid"] = "paid"


@dataclasses.dataclass
class Refused:
    amount: Decimal
    kind: Literal["refused"] = "refused"


@dataclasses.dataclass
class Box(Generic[T]):
    content: T
    more: list[Box[T]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Shipment:
    """What msgspec alone does not read: a model, a union of classes, an odd enum."""

    parcel: Parcel
    outcome: Paid | Refused
    shape: Circle | Square | None = None
    pair: Pair = Pair.SAME
    weight: dataclasses.InitVar[int] = 0
    total: int = dataclasses.field(init=False, default=0)


@dataclasses.dataclass
class Positive:
    """A class that checks itself."""

    number: int

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"expected a positive number, got {self.number}")


class Money:
    """A custom object."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    __hash__ = None  # type: ignore[assignment]

    @staticmethod
    def to_json(money: Money) -> int:
        return money.cents

    @staticmethod
    def from_json(cents: int) -> Money:
        return Money(cents)


class Way(Enum):
    SEA = "sea"
    AIR = "air"


@dataclasses.dataclass
class Ship:
    hours: int
    by: Literal[Way.SEA] = Way.SEA


@dataclasses.dataclass
class Fly:
    hours: int
    by: Literal[Way.AIR] = Way.AIR


WHEN = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
ID = UUID("12345678-1234-5678-1234-567812345678")

ON_THE_WIRE: list[Any] = [
    (Order, Order([], {"tea": Decimal("1.10")}), '{"items":[],"prices":{"tea":"1.10"}}'),
    (Item, Item(1.5, Colour.GREEN), '{"price":1.5,"colour":"green","parts":[]}'),
    (Parcel, Parcel(sendTo="x", weights=[1]), '{"sendTo":"x","weights":[1]}'),
    (Address, {"street": "s", "zip": 5}, '{"street":"s","zip":5}'),
    (Point, Point(1, 2), "[1,2]"),
    (Stamp, Stamp(WHEN, "me"), '{"at":"2026-01-02T03:04:05.000006Z","_by":"me"}'),
    (Label, Label("x", Parcel(sendTo="y")), '{"longText":"x","parcel":{"sendTo":"y","weights":[]}}'),
    (Colour, Colour.RED, '"red"'),
    (Pair, Pair.OTHER, "[1,2]"),
    (datetime, datetime(2026, 1, 2), '"2026-01-02T00:00:00"'),
    (date, date(2026, 1, 2), '"2026-01-02"'),
    (time, time(3, 4), '"03:04:00"'),
    (timedelta, timedelta(days=1, seconds=90), '"P1DT90S"'),
    (UUID, ID, f'"{ID}"'),
    (Decimal, Decimal("1.10"), '"1.10"'),
    (bytes, b"\xff\x00", '"/wA="'),
    (set[str], {"b", "a", "c"}, '["a","b","c"]'),
    (frozenset[date], frozenset({date(2026, 2, 1), date(2026, 1, 1)}), '["2026-01-01","2026-02-01"]'),
    (tuple[int, str], (1, "a"), '[1,"a"]'),
    (dict[UUID, int], {ID: 1}, f'{{"{ID}":1}}'),
    (dict[Colour, timedelta], {Colour.RED: timedelta(0)}, '{"red":"P0D"}'),
    (dict[date, dict[int, Point]], {date(2026, 1, 2): {3: Point(1)}}, '{"2026-01-02":{"3":[1,0]}}'),
    (Box[Box[date]], Box(Box(date(2026, 1, 2))), '{"content":{"content":"2026-01-02","more":[]},"more":[]}'),
    (Box[Circle | Square], Box(Square(2.0)), '{"content":{"side":2.0},"more":[]}'),
    (Paid | Refused, Refused(Decimal(1)), '{"amount":"1","kind":"refused"}'),
    (list[Money], [Money(5)], f'[{{"__class__":"Money","__module__":"{__name__}","__data__":5}}]'),
    (OrderId | None, OrderId(3), "3"),
    (deque[date], deque([date(2026, 1, 2)]), '["2026-01-02"]'),
    (OrderedDict[str, Point], OrderedDict(b=Point(1), a=Point(2)), '{"b":[1,0],"a":[2,0]}'),
    (defaultdict[str, list[date]], defaultdict(list, a=[date(2026, 1, 2)]), '{"a":["2026-01-02"]}'),
    (Counter[str], Counter("aab"), '{"a":2,"b":1}'),
    (Counter, Counter("a"), '{"a":1}'),
    (Literal[Pair.OTHER, "x"], Pair.OTHER, "[1,2]"),
    (list[Ship | Fly], [Fly(2), Ship(1)], '[{"hours":2,"by":"air"},{"hours":1,"by":"sea"}]'),
    (dict[str, Any], {"a": [Money(5)]}, f'{{"a":[{{"__class__":"Money","__module__":"{__name__}","__data__":5}}]}}'),
]  # fmt: skip


def name_of(value: object) -> str:
    """The start of its text, which is the same in every process."""
    return str(sorted(value) if isinstance(value, set) else value)[:30]


@pytest.mark.parametrize("hint,value,text", ON_THE_WIRE, ids=name_of)
def test_a_value_is_written_as_plain_json_and_read_by_its_type(hint: Any, value: Any, text: str) -> None:
    assert encode_value(value) == text
    read = reader(hint).read_text(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    "value",
    [
        Item(float("nan")),
        [None, Item(float("inf"), parts=[])],
        {"a": Box(Box(float("-inf")))},
        pytest.param({1.5, float("nan")}, id="{1.5, nan}"),
        Label("a", None),
        [None, Item(1.5, parts=[Item(2.5)])],
    ],
    ids=repr,
)
def test_floats_that_json_has_no_spelling_for_are_written_as_the_standard_library_does(value: Any) -> None:
    assert ("null" in encode_value(value)) == ("None" in str(value))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(typed_values())
def test_any_value_of_any_type_survives_the_wire(typed_value: tuple[Any, Any]) -> None:
    hint, value = typed_value
    text = encode_value(value)
    assert reader(hint).read_text(text) == value
    assert reader(hint).read(json.loads(text)) == value


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(typed_values())
def test_what_msgspec_reads_in_one_go_is_what_is_read_step_by_step(typed_value: tuple[Any, Any]) -> None:
    hint, value = typed_value
    stepwise = reader(hint)
    assert stepwise._walk(json.loads(encode_value(value))) == value


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(typed_values(), typed_values())
def test_a_value_of_another_type_is_a_payload_error_or_reads_as_one_of_the_type(
    one: tuple[Any, Any], other: tuple[Any, Any]
) -> None:
    """Nothing else is ever raised, and what is read is written as a value of the type again."""
    try:
        read = reader(one[0]).read_text(encode_value(other[1]))
    except PayloadError:
        return
    assert reader(one[0]).read_text(encode_value(read)) == read


@pytest.mark.parametrize(
    "hint,value",
    [
        (dict[bool | int | None, int], {True: 1, 7: 2, None: 3}),
        (dict[date | int, int], {date(2026, 1, 2): 1, 7: 2}),
        (dict[Annotated[bool, "said"], int], {True: 1, False: 2}),
        (dict[str | None, int], {"a": 1}),
        (dict[float, int], {float("inf"): 1}),
        (dict[int, int], {2**70: 1}),
    ],
    ids=str,
)
def test_keys_of_several_types_are_told_apart_by_their_text(hint: Any, value: Any) -> None:
    assert reader(hint).read_text(encode_value(value)) == value
    assert reader(hint).read(value) == value


def test_a_defaultdict_fills_in_what_its_type_says() -> None:
    read = reader(defaultdict[str, list[int]]).read_text('{"a":[1]}')
    read["b"].append(2)
    assert read == {"a": [1], "b": [2]}


NO_INTEGER = "Input should be a valid integer, got `object`"
SHAPES = f"{__name__}.Circle | {__name__}.Square"
COLOURS = "Expected one of 'red', 'green'"
FAULTS: list[Any] = [
    (Order, {"items": [{"price": 1}] * 3 + [{"price": "x"}]}, "$.items[3].price", "Expected `float`, got `str`"),
    (Order, {"items": [{"price": 1, "parts": [{}]}]}, "$.items[0].parts[0]", "Object missing required field `price`"),
    (Order, {"items": [{"price": 1, "colour": "blue"}]}, "$.items[0].colour", f"{COLOURS}, got 'blue'"),
    (Order, {"items": [], "prices": {"green tea": []}}, '$.prices["green tea"]', "Expected `decimal`, got `array`"),
    (Order, [], "$", "Expected `object`, got `array`"),
    (Order, None, "$", "Expected `object`, got `null`"),
    (list[Parcel], [{"sendTo": "x", "weights": [1, {}]}], "$[0].weights[1]", NO_INTEGER),
    (dict[str, Parcel], {"a": {}}, "$.a.sendTo", "Field required, got `object`"),
    (Label, {"longText": "a", "parcel": {"sendTo": 1}}, "$.parcel.sendTo", "Input should be a valid string, got `int`"),
    (Point, [1, "a"], "$[1]", "Expected `int`, got `str`"),
    (Point, [], "$", "Expected `array` of length 2, got 0"),
    (tuple[int, int], [1], "$", "Expected `array` of length 2, got 1"),
    (set[int], ["a"], "$[0]", "Expected `int`, got `str`"),
    (dict[UUID, int], {"a": 1}, "$.a", "the key: Invalid UUID"),
    (dict[bool, int], {"true": 1, "yes": 2}, "$.yes", "the key: Expected one of 'true', 'false', got 'yes'"),
    (dict[bool | int, int], {"true": 1, "a": 2}, "$.a", "the key: Expected `int`, got `str`"),
    (Box[int], {"content": 1, "more": [{"content": "x"}]}, "$.more[0].content", "Expected `int`, got `str`"),
    (Circle | Square, {"sides": 1}, "$", f"Expected `{SHAPES}`, got an object with the fields sides"),
    (Circle | Square, 5, "$", f"Expected `{SHAPES}`, got `int`"),
    (Circle | Square, {"side": "x"}, "$.side", "Expected `float`, got `str`"),
    (Paid | Refused, {"kind": "lost"}, "$.kind", "Expected one of 'paid', 'refused', got 'lost'"),
    (Paid | Refused, {"kind": "paid"}, "$", "Object missing required field `amount`"),
    (deque[int], ["a"], "$[0]", "Expected `int`, got `str`"),
    (Counter[date], {"a": 1}, "$.a", "the key: Invalid RFC3339 encoded date"),
    (Literal[Way.SEA], "air", "$", "Expected one of \"sea\", got `str`"),
    (Ship | Fly, {"hours": 1, "by": "foot"}, "$.by", "Expected one of 'sea', 'air', got 'foot'"),
    (Pair, [2, 2], "$", "Expected one of [1,1], [1,2], got `array`"),
    (Positive, {"number": 0}, "$", "expected a positive number, got 0"),
    (list[Money], [{"a": 1}], "$[0]", "Expected `Money`, got `object`"),
    (Money, {"__class__": "Order", "__module__": "m", "__data__": 1}, "$", "Expected `Money`, got `m.Order`"),
    (Annotated[int, msgspec.Meta(gt=0)], 0, "$", "Expected `int` >= 1, got 0"),
    (int | str, 1.5, "$", "Expected `int | str`, got `float`"),
    (datetime, "yesterday", "$", "Invalid RFC3339 encoded datetime, got 'yesterday'"),
    (UUID, "x" * 99, "$", f"Invalid UUID, got '{'x' * 49}"),
    (Literal["a", 1] | None, "b", "$", "Expected one of 'a', 1, got 'b'"),
]  # fmt: skip


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "value"])
@pytest.mark.parametrize("hint,value,where,what", FAULTS, ids=lambda value: str(value)[:30])
def test_what_does_not_fit_is_one_error_with_its_place(
    hint: Any, value: Any, where: str, what: str, as_text: bool
) -> None:
    with pytest.raises(PayloadError) as caught:
        reader(hint).read_text(json.dumps(value)) if as_text else reader(hint).read(value)
    assert (caught.value.where, caught.value.what) == (where, what)


@pytest.mark.parametrize(
    "hint,problem",
    [
        (complex, "values of type complex cannot be made of JSON. Make it a dataclass"),
        (typing.Callable[[], int], "cannot be made of JSON"),
        (str | date, "cannot be told apart in JSON"),
        (list[int] | tuple[int, int], "cannot be told apart: several are lists in JSON"),
        (Circle | dict[str, int], "cannot be told apart: their fields have the same names"),
        (dict[tuple[int, int], int], "keys of type tuple[int, int] cannot be made of JSON"),
        (dict[Literal[1, "1"], int], "keys are text: 1 and '1' are both '1'"),
        (dict[Pair, int], "a key of type builtins.tuple cannot be written as JSON"),
        (dict[complex, int], "keys of type complex cannot be made of JSON"),
        (list["Order"], "a type is named by the text 'Order', which cannot be looked up here. Name the type itself"),
    ],
    ids=str,
)
def test_a_type_that_cannot_be_read_is_refused_with_the_reason(hint: Any, problem: str) -> None:
    with pytest.raises(UnreadableTypeError) as caught:
        reader(hint)
    assert problem in str(caught.value)


def test_what_cannot_be_in_a_set_is_told() -> None:
    with pytest.raises(PayloadError, match=r"^\$: .*unhashable type: 'list'"):
        reader(set[Any]).read([[1]])


def test_members_of_a_union_of_classes_are_told_apart_by_a_literal_or_by_their_fields() -> None:
    assert reader(Paid | Refused).read({"amount": 1, "kind": "refused"}) == Refused(Decimal(1))
    assert reader(Circle | Square | None).read({"side": 1}) == Square(1.0)
    assert reader(Circle | Square | None).read(None) is None
    assert reader(Parcel | Circle).read({"sendTo": "x"}) == Parcel(sendTo="x")
    assert reader(Label | Address | list[Circle]).read([{"radius": 2}]) == [Circle(2.0)]


def test_a_member_that_newer_code_has_given_more_fields_is_still_known_by_those_it_needs() -> None:
    assert reader(Circle | Square).read({"side": 1, "unit": "m"}) == Square(1.0)


def test_a_type_that_is_only_partly_known_to_msgspec_is_read_as_a_whole() -> None:
    shipment = Shipment(Parcel(sendTo="x"), Paid(Decimal(1)), Circle(1.0), Pair.OTHER)
    shipment.total = 7
    text = encode_value({"a": [shipment]})
    assert reader(dict[str, list[Shipment]]).read_text(text) == {"a": [shipment]}


def test_json_text_of_a_value_is_read_as_the_value() -> None:
    """Clients of azure-functions-durable send events so."""
    text = encode_value(Order([Item(1.5)]))
    assert reader(Order).read_text(encode_value(text)) == Order([Item(1.5)])
    assert reader(str).read_text(encode_value(text)) == text
    assert reader(datetime).read_text(encode_value(encode_value(WHEN))) == WHEN


def test_fields_that_the_type_does_not_have_are_left_out() -> None:
    assert reader(Circle).read({"radius": 1, "colour": "red"}) == Circle(1.0)


@pytest.mark.parametrize(
    "hint,is_plain",
    [
        (int, True),
        (dict[str, list[int | None]], True),
        (dict[Literal["a"], int], True),
        (dict[Any, int], True),
        (dict[int, str], False),
        (dict[bool, str], False),
        (Literal["a"], True),
        (typing.Sequence[Any], True),
        (Address, True),
        (OrderId, True),
        (date, False),
        (list[Colour], False),
        (tuple[int, ...], False),
        (Circle, False),
    ],
    ids=str,
)
def test_plain_types_are_those_of_which_nothing_has_to_be_made(hint: Any, is_plain: bool) -> None:
    assert reader(hint).is_plain is is_plain


class Tree(TypedDict):
    name: str
    branches: list[Tree]


def upper(text: str) -> str:
    return text.upper()


@attrs.define
class Loud:
    text: str = attrs.field(converter=upper)
    size: int = attrs.field(default=1, validator=attrs.validators.gt(0))


@dataclasses.dataclass
class Careless:
    """Says what it does not mean, as much code does."""

    name: str = None  # type: ignore[assignment]


def test_a_type_may_contain_itself() -> None:
    assert reader(Tree).is_plain
    with pytest.raises(PayloadError) as caught:
        reader(Tree).read({"name": "a", "branches": [{"name": 5, "branches": []}]})
    assert (caught.value.where, caught.value.what) == ("$.branches[0].name", "Expected `str`, got `int`")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type` statements came with Python 3.12")
def test_a_type_alias_may_contain_itself() -> None:
    names: dict[str, Any] = {}
    exec("type Words = dict[str, Words] | list[Words] | str", names)
    assert reader(names["Words"]).read({"a": ["b", {}]}) == {"a": ["b", {}]}
    with pytest.raises(PayloadError) as caught:
        reader(names["Words"]).read({"a": ["b", {"c": 5}]})
    assert (caught.value.where, caught.value.what) == ("$.a[1].c", "Expected `str`, got `int`")


def test_attrs_converts_and_checks_fields() -> None:
    assert reader(list[Loud]).read_text('[{"text": "a"}]') == [Loud("A")]
    with pytest.raises(PayloadError, match=r"^\$\[0\]: 'size' must be > 0: 0$"):
        reader(list[Loud]).read_text('[{"text": "a", "size": 0}]')


def test_what_a_class_makes_itself_can_be_read() -> None:
    assert reader(Careless).read_text(encode_value(Careless())) == Careless()
    with pytest.raises(PayloadError, match=r"^\$\.name: Expected `str | null`, got `int`$"):
        reader(Careless).read({"name": 5})


def test_a_class_whose_fields_only_type_checkers_know_says_so() -> None:
    @dataclasses.dataclass
    class Hidden:
        field: Nowhere  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(UnreadableTypeError, match="the fields of Hidden cannot be read: name 'Nowhere'"):
        reader(Hidden)
