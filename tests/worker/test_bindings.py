"""Converters as the worker uses them, and the rules for binding types that have none."""

from __future__ import annotations

from typing import Any

import pytest
from azure.functions.meta import Datum
from hypothesis import given
from hypothesis import strategies as st
from strategies import texts

from worker_ext.worker import bindings


def seen_metadata(binding_type: str, datum: Datum, **metadata: Datum) -> Any:
    return bindings.decode(binding_type, datum, metadata, "parameter 'x'")


@pytest.mark.parametrize(
    "value, expected",
    [
        ("text", Datum("text", "string")),
        (b"bytes", Datum(b"bytes", "bytes")),
        (bytearray(b"bytes"), Datum(b"bytes", "bytes")),
        (None, Datum(None, None)),
        ({"a": 1}, Datum({"a": 1}, "dict")),
        ([1], Datum([1], "list")),
        (True, Datum(True, "bool")),
        (3, Datum(3, "int")),
        (0.5, Datum(0.5, "double")),
    ],
)
def test_generic_binding_carries_plain_values(value: Any, expected: Datum) -> None:
    assert bindings.encode("anything", value, None, "the return value") == expected


@given(st.builds(Datum, texts, st.sampled_from(["string", "json"])) | st.builds(Datum, st.binary(), st.just("bytes")))
def test_generic_binding_gives_text_and_bytes_as_they_came(datum: Datum) -> None:
    assert bindings.decode("anything", datum, {}, "parameter 'x'") == datum.value


def test_generic_binding_gives_none_for_nothing() -> None:
    assert bindings.decode("anything", None, {}, "parameter 'x'") is None


@pytest.mark.parametrize(
    "binding_type, implicit",
    [
        ("anything", True),
        ("durableClient", False),
        ("activityTrigger", True),
        ("orchestrationTrigger", True),
        ("entityTrigger", True),
        ("httpTrigger", False),
        ("http", False),
        ("queue", False),
    ],
)
def test_return_value_goes_to_bindings_that_say_so(binding_type: str, implicit: bool) -> None:
    assert bindings.has_implicit_output(binding_type) is implicit


def test_metadata_reaches_converters_that_read_it() -> None:
    message = seen_metadata("queueTrigger", Datum("hi", "string"), Id=Datum("7", "string"))
    assert (message.id, message.get_body()) == ("7", b"hi")


@pytest.mark.parametrize(
    "binding_type, datum, message",
    [
        (
            "timerTrigger",
            Datum("x", "string"),
            "the host sent a value of kind 'string', which the binding 'timerTrigger'",
        ),
        ("anything", Datum(1, "int"), "the host sent a value of kind 'int', which the binding 'anything' cannot take"),
    ],
)
def test_value_a_binding_cannot_take_is_refused(binding_type: str, datum: Datum, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        bindings.decode(binding_type, datum, {}, "parameter 'x'")
    assert str(caught.value).startswith(f"parameter 'x': {message}")


async def coroutine() -> None: ...


@pytest.mark.parametrize(
    "binding_type, value, message",
    [
        ("http", None, "the binding 'http' cannot carry None"),
        ("http", 5, "the binding 'http' cannot carry a value of type 'int'"),
        ("anything", object(), "the binding 'anything' cannot carry a value of type 'object'"),
        ("httpTrigger", "x", "the binding 'httpTrigger' takes no output"),
    ],
)
def test_value_a_binding_cannot_carry_is_refused(binding_type: str, value: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        bindings.encode(binding_type, value, None, "the return value")
    assert str(caught.value) == f"the return value: {message}"


def test_forgotten_await_is_recognised() -> None:
    forgotten = coroutine()
    with pytest.raises(TypeError, match="returned an awaitable: declare it with 'async def', or await the value in it"):
        bindings.encode("http", forgotten, None, "the return value")
    forgotten.close()
