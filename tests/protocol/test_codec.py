"""JSON text to values and back, custom objects, .NET times and durations."""

from __future__ import annotations

import enum
import json
import math
import sys
import tracemalloc
from collections import OrderedDict, namedtuple
from datetime import UTC, datetime, timedelta, timezone
from types import ModuleType
from typing import Any

import pytest
from azure.functions._durable_functions import _serialize_custom_object, df_dumps, df_loads
from hypothesis import example, given
from strategies import any_json, aware_times, texts, timespans

from worker_ext.errors import PayloadError
from worker_ext.protocol import codec
from worker_ext.protocol.codec import (
    MAX_DEPTH,
    _is_deeper_than,
    check_size,
    decode_json,
    decode_value,
    encode_value,
    format_microseconds,
    format_timespan,
    format_timestamp,
    parse_timespan,
    parse_timestamp,
    restore,
)


class Parcel:
    """A custom object as apps of azure-functions-durable write them."""

    def __init__(self, weight: int, inner: Any = None) -> None:
        self.weight = weight
        self.inner = inner

    def __repr__(self) -> str:
        return f"Parcel({self.weight})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parcel) and (self.weight, self.inner) == (other.weight, other.inner)

    __hash__ = None  # type: ignore[assignment]

    @staticmethod
    def to_json(parcel: Parcel) -> dict[str, Any]:
        return {"weight": parcel.weight, "inner": parcel.inner}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Parcel:
        return Parcel(**data)


class Unwritable:
    """Has neither a JSON form nor a `to_json`."""


class Colour(enum.IntEnum):
    RED = 1


class Priority(enum.Enum):
    """A plain enum, which 1.7.0 writes by its `to_json`."""

    LOW = 1
    HIGH = 2

    @staticmethod
    def to_json(priority: Priority) -> str:
        return priority.name

    @staticmethod
    def from_json(name: str) -> Priority:
        return Priority[name]


class Level(enum.StrEnum):
    """Text itself, so that the standard library never asks for its `to_json`."""

    LOW = "low"

    @staticmethod
    def to_json(level: Level) -> str:
        return level.name


class Mode(enum.Enum):
    """A plain enum without a `to_json`."""

    FAST = "fast"


Point = namedtuple("Point", "x y")


def envelope(data: Any, name: str = "Parcel", module: str = __name__) -> dict[str, Any]:
    return {"__class__": name, "__module__": module, "__data__": data}


# ---------------------------------------------------------------- values


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal with NaN equal to itself, and 1 unlike True and 1.0."""
    return repr(one) == repr(other)


@given(any_json)
@example(float("nan"))
@example([float("inf"), -float("inf")])
@example(2**64)
@example(-(2**63) - 1)
@example(10**400)
@example(-0.0)
@example(1e22)
@example(5e-324)
def test_what_is_written_is_what_is_read(value: Any) -> None:
    """A value of plain JSON types comes back as it was, with its types."""
    assert same(decode_value(encode_value(value)), value)


@given(any_json)
def test_writing_agrees_with_the_standard_library(value: Any) -> None:
    """Whoever reads the text with `json` gets what `json` would have written."""
    assert same(json.loads(encode_value(value)), json.loads(json.dumps(value)))


@given(any_json)
def test_reading_agrees_with_the_standard_library(value: Any) -> None:
    """Text that `json` wrote, with its escapes and spaces, is read as `json` reads it."""
    text = json.dumps(value, indent=2)
    assert same(decode_json(text), json.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "null",
        " [1 , 2]\n",
        "1e400",
        "-1e400",
        "1e-400",
        "-0",
        "18446744073709551616",
        "123456789012345678901234567890",
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '{"a": 1, "a": 2}',
        "NaN",
        "[Infinity, -Infinity]",
        '"\u2028\x7f"',
    ],
)
def test_odd_json_text_is_read_as_the_standard_library_reads_it(text: str) -> None:
    assert same(decode_json(text), json.loads(text))


@pytest.mark.parametrize("text", ["", " ", "tru", "{'a': 1}", "[1,]", "01", "1 2", '"open', "\ufeff1", '"a\nb"'])
def test_text_that_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the JSON parser's
        decode_json(text)


def test_bytes_are_read_as_utf_8() -> None:
    assert decode_json('{"name": "Zürich"}'.encode()) == {"name": "Zürich"}


@given(texts)
def test_text_that_is_not_json_is_the_value_itself(text: str) -> None:
    """Hosts and people send bare text where JSON text is expected."""
    try:
        expected = json.loads(text)
    except ValueError:
        expected = text
    assert same(decode_value(text), expected)


def test_no_text_is_no_value() -> None:
    assert decode_value(None) is None


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({1: "a", False: "b", None: "c", 2.5: "d"}, id="keys that are no strings"),
        pytest.param(OrderedDict(b=1, a=2), id="dict subclass"),
        pytest.param(Point(1, 2), id="named tuple"),
        pytest.param((1, (2,)), id="tuple"),
        pytest.param(Colour.RED, id="int enum"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param([2**64, {"n": float("nan")}], id="NaN and a great integer"),
    ],
)
def test_what_the_fast_encoder_writes_otherwise_is_written_as_json_does(value: Any) -> None:
    assert same(json.loads(encode_value(value)), json.loads(json.dumps(value)))


@pytest.mark.parametrize(
    "value",
    [Unwritable(), [Unwritable()], {"a": Unwritable()}, Unwritable, 1j],
    ids=["object", "object in a list", "object in a dict", "class", "complex number"],
)
def test_a_value_that_is_not_json_is_refused_by_its_type(value: Any) -> None:
    with pytest.raises(TypeError, match=r"a value of type \S+ cannot be written as JSON"):
        encode_value(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the JSON encoder's
        encode_value(ring)


@pytest.mark.parametrize("depth", [100, 300, 600])
def test_deep_values_survive(depth: int) -> None:
    """Deeper than the fast encoder goes, less deep than Python does."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    assert decode_value(encode_value(value)) == value


@pytest.mark.parametrize("inner", ["", '{"__class__": 1}'])
def test_text_nested_beyond_all_measure_is_refused(inner: str) -> None:
    text = "[" * 100_000 + inner + "]" * 100_000
    with pytest.raises(PayloadError, match="value: the value is nested too deeply"):
        decode_value(text)


def test_a_number_longer_than_python_reads_is_refused() -> None:
    with pytest.raises(PayloadError, match=r"value: Exceeds the limit .* for integer string conversion"):
        decode_value("1" * 5_000)


@pytest.mark.parametrize("opening,closing", ["[]", ('{"a":', "}"), ('[{"]":', "}]")])
def test_values_nested_deeper_than_the_limit_are_not_written(opening: str, closing: str) -> None:
    levels = sum(map(opening.count, "[{"))
    depth = MAX_DEPTH // levels + 1
    text = opening * depth + "0" + closing * depth
    assert (_is_deeper_than(MAX_DEPTH, text), _is_deeper_than(depth * levels, text)) == (True, False)


@pytest.mark.parametrize("text", ["[" * 500_000, '\\"[' * 200_000], ids=["plain", "escaped"])
def test_brackets_within_a_great_text_are_passed_over_at_no_great_cost(text: str) -> None:
    tracemalloc.start()
    try:
        assert not _is_deeper_than(1, f'["{text}"]')
        assert tracemalloc.get_traced_memory()[1] < 5 * len(text)
    finally:
        tracemalloc.stop()


def test_a_value_nested_deeper_than_the_limit_is_refused_in_words() -> None:
    value: list[Any] = []
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(ValueError, match="the value is nested too deeply: 1000 levels at most"):
        encode_value(value)


def test_brackets_in_strings_do_not_nest() -> None:
    text = json.dumps(['["\\' * 2_000, "{" * 2_000])
    assert (_is_deeper_than(1, text), _is_deeper_than(0, text)) == (False, True)


def test_text_longer_than_a_message_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_CHARACTERS", 10)
    assert check_size("0123456789") == "0123456789"
    with pytest.raises(ValueError, match=r"the payload has 11 characters, and a message holds at most 10\. Keep large"):
        check_size("0123456789a")


def test_a_custom_object_nested_beyond_measure_is_refused() -> None:
    value: Any = envelope({})
    for _ in range(5_000):
        value = [value]
    with pytest.raises(PayloadError, match="nested too deeply"):
        restore(value)


# ---------------------------------------------------------------- custom objects


@pytest.mark.parametrize(
    "value",
    [Parcel(3), [Parcel(1), {"a": Parcel(2)}], Parcel(1, Parcel(2)), {"n": float("nan"), "p": Parcel(1)}["p"]],
    ids=["alone", "inside", "nested", "beside NaN"],
)
def test_custom_objects_come_back_as_objects(value: Any) -> None:
    assert decode_value(encode_value(value)) == value


def test_a_custom_object_is_written_in_its_envelope() -> None:
    assert json.loads(encode_value(Parcel(3))) == envelope({"weight": 3, "inner": None})


def test_a_custom_object_that_holds_nan_is_written_as_json_does() -> None:
    read = decode_value(encode_value(Parcel(1, math.nan)))
    assert isinstance(read, Parcel)
    assert math.isnan(read.inner)


def test_a_dict_that_only_looks_like_an_envelope_stays_a_dict() -> None:
    value = {"__class__": "Parcel", "__data__": 1}
    assert decode_value(json.dumps(value)) == value


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(envelope({}, module="not_loaded_anywhere"), id="module not loaded"),
        pytest.param(envelope({}, name="Missing"), id="no such class"),
        pytest.param(envelope({}, name="Unwritable"), id="class without from_json"),
        pytest.param(envelope({}, name="decode_value"), id="not a class"),
        pytest.param(envelope("1", name="Fraction", module="fractions"), id="class of the standard library"),
        pytest.param(envelope({}, name="Parcel.to_json"), id="path into a class"),
        pytest.param({"__class__": 1, "__module__": 2, "__data__": 3}, id="numbers for names"),
        pytest.param({"__class__": ["x"], "__module__": {}, "__data__": 3}, id="containers for names"),
    ],
)
def test_a_payload_cannot_choose_a_class_that_is_not_the_apps(data: Any) -> None:
    import fractions

    assert fractions.__name__ in sys.modules
    with pytest.raises(
        PayloadError, match=r"^custom object .*: (module .* is not loaded|expected a class of the app's own)"
    ):
        restore([data])


def test_nothing_is_imported_for_a_payload() -> None:
    sys.modules.pop("this", None)
    with pytest.raises(PayloadError):
        decode_value(json.dumps(envelope({}, name="s", module="this")))
    assert "this" not in sys.modules


PLAIN_ENUMS = [
    pytest.param(Priority.HIGH, id="alone"),
    pytest.param({"deep": [1, (Priority.LOW, None)]}, id="inside"),
    pytest.param(Parcel(1, Priority.LOW), id="in a custom object"),
    pytest.param([math.nan, Priority.LOW], id="beside NaN"),
]


@pytest.mark.parametrize("value", PLAIN_ENUMS)
def test_an_enum_with_to_json_is_written_by_it(value: Any) -> None:
    """As 1.7.0 does it; the fast encoder alone would write the plain value of the enum."""
    assert same(json.loads(encode_value(value)), json.loads(json.dumps(value, default=_serialize_custom_object)))


@pytest.mark.parametrize("value", [Level.LOW, [Level.LOW], Colour.RED, {"c": Colour.RED}])
def test_an_enum_of_text_or_numbers_is_written_plainly(value: Any) -> None:
    assert encode_value(value) == json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize(
    "value,text", [(Mode.FAST, '"fast"'), ([Mode.FAST, Priority.LOW], None), ([Mode.FAST], '["fast"]')]
)
def test_a_plain_enum_without_to_json_is_written_by_its_value(value: Any, text: str | None) -> None:
    assert encode_value(value) == (text or f'["fast",{json.dumps(envelope("LOW", "Priority"), separators=(",", ":"))}]')


def test_enums_are_looked_for_again_after_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until one is found, values are not searched for them."""
    monkeypatch.setattr(codec, "_modules_without_enums", len(sys.modules))
    assert encode_value([Priority.LOW]) == "[1]"
    monkeypatch.setitem(sys.modules, "one_more", ModuleType("one_more"))
    assert json.loads(encode_value([Priority.LOW])) == [envelope("LOW", "Priority")]


def test_a_from_json_that_fails_is_named() -> None:
    with pytest.raises(PayloadError, match=r"custom object .*Parcel: its from_json raised TypeError: .*weight"):
        restore(envelope({}))


# ---------------------------------------------------------------- strict typing


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "True")


@pytest.mark.usefixtures("strict")
class TestStrictTyping:
    @pytest.mark.parametrize("value", [Parcel(3), Priority.LOW, {"a": 1}, [1.5, None], "text"], ids=repr)
    def test_whole_values_are_written_as_ever(self, value: Any) -> None:
        assert json.loads(encode_value(value)) == json.loads(df_dumps(value))

    @pytest.mark.parametrize(
        "value", [[Parcel(3)], Parcel(1, Parcel(2)), {"p": Priority.LOW}], ids=["list", "custom", "enum"]
    )
    def test_custom_objects_inside_others_are_refused(self, value: Any) -> None:
        for write in (encode_value, df_dumps):
            with pytest.raises(TypeError, match="not JSON serializable"):
                write(value)

    def test_no_class_is_chosen_by_a_payload(self) -> None:
        text = json.dumps(envelope({"weight": 1}))
        for read in (decode_value, df_loads):
            with pytest.raises(TypeError, match="expected_type"):
                read(text)

    def test_custom_objects_inside_others_stay_dicts(self) -> None:
        value = [envelope({"weight": 1})]
        assert decode_value(json.dumps(value)) == df_loads(json.dumps(value)) == value


# ---------------------------------------------------------------- times


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.1Z", datetime(2026, 1, 2, 3, 4, 5, 100_000, tzinfo=UTC)),
        ("2026-01-02T03:04:05.12Z", datetime(2026, 1, 2, 3, 4, 5, 120_000, tzinfo=UTC)),
        ("2026-01-02T03:04:05.1234567Z", datetime(2026, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)),
        ("2026-01-02T03:04:05.9999999Z", datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)),
        ("2026-01-02T03:04:05.1234567", datetime(2026, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)),
        ("2026-01-02T03:04:05+00:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T05:34:05.5+02:30", datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)),
        ("0001-01-01T00:00:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.9999999Z", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_dotnet_times_are_read_as_utc(text: str, expected: datetime) -> None:
    read = parse_timestamp(text)
    assert (read, read.tzinfo) == (expected, UTC)


@pytest.mark.parametrize(
    "text", ["", "now", "2026-13-01T00:00:00Z", "2026-01-02T03:04:05Zulu", "0001-01-01T00:00:00+14:00"]
)
def test_what_is_no_time_is_refused_with_what_was_found(text: str) -> None:
    with pytest.raises(PayloadError) as refused:
        parse_timestamp(text)
    assert (refused.value.where, refused.value.what) == ("timestamp", f"expected an ISO 8601 time, found {text!r}")


@pytest.mark.parametrize(
    "time, text",
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 120_000, tzinfo=UTC), "2026-01-02T03:04:05.12Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 1, tzinfo=UTC), "2026-01-02T03:04:05.000001Z"),
        (datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T03:04:05Z"),
        (datetime(33, 4, 5, tzinfo=UTC), "0033-04-05T00:00:00Z"),
    ],
)
def test_times_are_written_as_dotnet_writes_them(time: datetime, text: str) -> None:
    assert format_timestamp(time) == text


@given(aware_times)
def test_times_survive_the_wire(time: datetime) -> None:
    assert parse_timestamp(format_timestamp(time)) == time


@given(aware_times)
def test_the_times_of_timers_always_have_six_digits(time: datetime) -> None:
    written = time.astimezone(UTC)
    assert format_microseconds(written) == written.isoformat(timespec="microseconds").replace("+00:00", "Z")


# ---------------------------------------------------------------- durations


@pytest.mark.parametrize(
    "text, expected",
    [
        ("00:00:30", timedelta(seconds=30)),
        ("3.00:00:00", timedelta(days=3)),
        ("0.16:00:00", timedelta(hours=16)),
        ("-00:00:01", -timedelta(seconds=1)),
        ("1.02:03:04.5", timedelta(1, 4, 500_000, minutes=3, hours=2)),
        ("-10675199.02:48:05.4775808", -timedelta(10_675_199, 5, 477_580, minutes=48, hours=2)),
        ("00:00:00.9999999", timedelta(microseconds=999_999)),
        ("24:00:00", timedelta(days=1)),
        ("9999999999.00:00:00", timedelta.max),
    ],
)
def test_dotnet_durations_are_read(text: str, expected: timedelta) -> None:
    assert parse_timespan(text) == expected


@pytest.mark.parametrize("text", ["", "30", "00:30", "1 day", "00:00:30.", "P3D", "00:00:-1", "\u0661:00:00"])
def test_what_is_no_duration_is_refused_with_what_was_found(text: str) -> None:
    with pytest.raises(PayloadError) as refused:
        parse_timespan(text)
    expected = ("duration", f"expected [-][d.]hh:mm:ss[.fffffff], found {text!r}")
    assert (refused.value.where, refused.value.what) == expected


@pytest.mark.parametrize(
    "span, text",
    [
        (timedelta(0), "00:00:00"),
        (timedelta(days=3), "3.00:00:00"),
        (timedelta(hours=26, seconds=1), "1.02:00:01"),
        (timedelta(microseconds=120_000), "00:00:00.1200000"),
        (-timedelta(seconds=1), "-00:00:01"),
    ],
)
def test_durations_are_written_as_dotnet_writes_them(span: timedelta, text: str) -> None:
    assert format_timespan(span) == text


@given(timespans)
def test_durations_survive_the_wire(span: timedelta) -> None:
    assert parse_timespan(format_timespan(span)) == span
