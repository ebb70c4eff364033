"""JSON text to values and back, custom objects, .NET times and durations."""

from __future__ import annotations

import enum
import json
import math
import sys
from collections import OrderedDict, namedtuple
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from strategies import any_json, aware_times, texts, timespans

from worker_ext.errors import PayloadError
from worker_ext.protocol.codec import (
    decode_json,
    decode_value,
    encode_value,
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
    [Unwritable(), [Unwritable()], {1, 2}, b"bytes", datetime(2026, 1, 2), {"when": datetime(2026, 1, 2)}],
    ids=["object", "object in a list", "set", "bytes", "datetime", "datetime in a dict"],
)
def test_a_value_that_is_not_json_is_refused_by_its_type(value: Any) -> None:
    """The fast encoder would write some of these; the standard library, and so the other workers, do not."""
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
def test_text_nested_beyond_all_measure_is_its_own_value(inner: str) -> None:
    text = "[" * 100_000 + inner + "]" * 100_000
    assert decode_value(text) == text


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
