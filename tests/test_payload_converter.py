"""PayloadConverter: one class of two methods, asked for every value of an app."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from management_host import client_payload

import worker_ext as df
from worker_ext.payload_converter import ConvertedPayloads, PayloadConverter, payloads_of
from worker_ext.payloads import PLAIN
from worker_ext.testing import HistoryBuilder


class Marked(PayloadConverter):
    """Puts a mark around every value."""

    def encode(self, value: Any) -> str:
        return json.dumps({"marked": json.loads(super().encode(value))})

    def decode(self, text: str, expected_type: Any) -> Any:
        return super().decode(json.dumps(json.loads(text)["marked"]), expected_type)


app = df.DFApp(payload_converter=Marked())
blueprint = df.Blueprint()
own = df.Blueprint(payload_converter=PayloadConverter())


@blueprint.activity_trigger(input_name="words")
def count(words: set[str]) -> int:
    return len(words)


@blueprint.orchestration_trigger(context_name="context")
def orchestrator(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    context.set_custom_status("counting")
    return (yield context.call_activity("count", context.get_input()))


@own.activity_trigger(input_name="words")
def unmarked(words: list[str]) -> int:
    return len(words)


app.register_blueprint(blueprint)
app.register_functions(own)
functions: dict[str, Any] = {str(found.get_function_name()): found.get_user_function() for found in app.get_functions()}


def mark(value: Any) -> dict[str, Any]:
    return {"marked": value}


def test_an_activity_of_a_blueprint_is_given_and_gives_what_the_apps_converter_says() -> None:
    assert functions["count"](words=mark(["a", "b"])) == mark(2)
    assert count({"a"}) == 1


def test_a_blueprint_may_have_its_own() -> None:
    assert functions["unmarked"](words=["a"]) == 1


def test_asking_for_the_functions_again_converts_no_second_time() -> None:
    builders: list[Any] = app._function_builders
    before = [builder._function.get_user_function() for builder in builders]
    for builder in builders:
        builder.convert_payloads()
    assert [builder._function.get_user_function() for builder in builders] == before


def test_an_orchestrator_sends_and_returns_what_the_converter_says_but_for_the_custom_status() -> None:
    history = HistoryBuilder().started(input_=mark(["a"]))
    first = json.loads(functions["orchestrator"](history.payload()))
    [[action]] = first["actions"]
    assert (json.loads(action["input"]), first["customStatus"]) == (mark(["a"]), "counting")
    done = json.loads(functions["orchestrator"](history.scheduled("count", 0).batch().completed(0, mark(1)).payload()))
    assert done["output"] == mark(1)


def test_text_that_the_converter_cannot_read_is_a_payload_error_that_names_it() -> None:
    with pytest.raises(df.PayloadError, match=r"^\$: Marked.decode raised KeyError: 'marked'$"):
        functions["count"](words={"open": 1})


def test_a_value_of_another_type_is_told_as_ever() -> None:
    with pytest.raises(df.PayloadError, match=r"^\$\[1\]: Expected `str`, got `int`$"):
        functions["count"](words=mark(["a", 1]))


def test_what_is_no_json_text_is_refused() -> None:
    class Raw(PayloadConverter):
        def encode(self, value: Any) -> str:
            return "sealed"

    with pytest.raises(TypeError, match=r"Raw.encode gave 'sealed', which is no JSON text: .*goes through json.dumps$"):
        ConvertedPayloads(Raw()).encode(1)


def test_without_a_converter_nothing_is_asked() -> None:
    assert payloads_of(None) is PLAIN
    assert df.DFApp()._slot.payloads is PLAIN


@pytest.mark.parametrize("value", [None, 1, "text", {"a": [1]}])
def test_the_base_class_writes_and_reads_as_without_a_converter(value: Any) -> None:
    converter = PayloadConverter()
    text = converter.encode(value)
    assert (text, converter.decode(text, None)) == (PLAIN.encode(value), value)


def test_a_client_reads_with_the_converter_it_is_given() -> None:
    client = df.DurableOrchestrationClient(client_payload("http://localhost/"), payload_converter=Marked())
    status = client._status({"instanceId": "i", "runtimeStatus": "Completed", "output": mark(["a"]), "input": None})
    assert (status.output, status.get_output(set[str])) == (["a"], {"a"})
    assert status.to_json()["output"] == mark(["a"])
