"""The converters, asked as workers ask them: with a Datum class of the worker's own."""

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import azure.functions as func
import pytest
from azure.functions import meta

from worker_ext import converters
from worker_ext.context import DurableOrchestrationContext
from worker_ext.converters import CONVERTERS
from worker_ext.decorators import Blueprint, DFApp
from worker_ext.errors import AppError, PayloadError
from worker_ext.protocol import codec


@dataclass
class Datum:
    """What a worker hands in: its own class, not azure-functions'."""

    value: Any
    type: str | None


@pytest.fixture
def registry() -> Iterator[dict[str, Any]]:
    """The private table of azure-functions 1.x with the converters it brings, put back afterwards."""
    table: dict[str, Any] = meta.get_binding_registry()._bindings  # type: ignore[no-untyped-call]
    before = dict(table)
    table |= {
        "orchestrationTrigger": func.durable_functions.OrchestrationTriggerConverter,
        "entityTrigger": func.durable_functions.EnitityTriggerConverter,
        "activityTrigger": func.durable_functions.ActivityTriggerConverter,
        "durableClient": func.durable_functions.DurableClientConverter,
    }
    yield table
    table.clear()
    table.update(before)


def durable(registry: dict[str, Any]) -> dict[str, Any]:
    return {name: registry[name] for name in CONVERTERS}


# ---------------------------------------------------------------- registration


@pytest.mark.parametrize("build", [DFApp, Blueprint])
def test_building_an_app_registers_the_converters(registry: dict[str, Any], build: type[Blueprint]) -> None:
    build()
    assert durable(registry) == CONVERTERS


def test_each_decorator_registers_them_again_after_somebody_else_has(registry: dict[str, Any]) -> None:
    app = DFApp()
    registry["activityTrigger"] = func.durable_functions.ActivityTriggerConverter
    app.activity_trigger(input_name="name")
    assert durable(registry) == CONVERTERS


def test_the_worker_finds_them_when_it_asks_for_the_functions(registry: dict[str, Any]) -> None:
    """A package that is imported below the last decorator would have the last word else."""
    app = DFApp()
    app.activity_trigger(input_name="name")(lambda name: name)
    registry["activityTrigger"] = func.durable_functions.ActivityTriggerConverter
    app.get_functions()
    assert durable(registry) == CONVERTERS


@pytest.mark.parametrize("kind", ["orchestrationTrigger", "entityTrigger"])
def test_a_reply_passes_them_whoever_came_after_the_worker_looked(
    registry: dict[str, Any], repository: Path, kind: str
) -> None:
    def nothing(context: Any) -> None: ...

    app = DFApp()
    declare = app.orchestration_trigger if kind == "orchestrationTrigger" else app.entity_trigger
    declare("context")(nothing)
    [function] = app.get_functions()
    registry["orchestrationTrigger"] = func.durable_functions.OrchestrationTriggerConverter
    registry["entityTrigger"] = func.durable_functions.EnitityTriggerConverter
    sample = next((repository / "bindings" / kind / "samples").glob("*.json"))
    function.get_user_function()(context=json.dumps(json.loads(sample.read_text())["request"]))
    assert durable(registry) == CONVERTERS


def test_registering_twice_changes_nothing(registry: dict[str, Any]) -> None:
    converters.register()
    once = dict(registry)
    converters.register()
    assert registry == once


def test_the_converters_of_a_third_package_are_replaced_with_a_warning(registry: dict[str, Any]) -> None:
    class Foreign:
        pass

    Foreign.__module__ = "azure.durable_functions.internal"
    registry["durableClient"] = Foreign
    with pytest.warns(RuntimeWarning, match=r"azure\.durable_functions\.internal had registered .* 'durableClient'"):
        converters.register()
    assert durable(registry) == CONVERTERS


def test_the_converters_of_the_sdk_are_replaced_in_silence(registry: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        converters.register()
    assert durable(registry) == CONVERTERS


def test_the_public_way_of_registering_is_taken_where_there_is_one(
    registry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Any, bool]] = []

    def register_converter(binding_name: str, converter_class: Any, *, overwrite: bool = False) -> None:
        calls.append((binding_name, converter_class, overwrite))

    monkeypatch.setattr(func, "register_converter", register_converter, raising=False)
    converters.register()
    assert calls == [(name, converter, True) for name, converter in CONVERTERS.items()]


def test_an_sdk_without_a_known_place_for_converters_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Registry:
        @staticmethod
        def get(name: str) -> None:
            return None

    monkeypatch.setattr(func, "get_binding_registry", lambda: Registry)
    monkeypatch.delattr(func, "register_converter", raising=False)
    with pytest.raises(AppError, match=r"azure-functions>=1\.20"):
        converters.register()


# ---------------------------------------------------------------- what workers ask of the class


@pytest.mark.parametrize(
    "binding,implicit_output,trigger_support",
    [
        ("orchestrationTrigger", True, True),
        ("entityTrigger", True, True),
        ("activityTrigger", True, True),
        ("durableClient", False, False),
    ],
)
def test_a_converter_says_whether_it_answers_and_whether_it_triggers(
    binding: str, implicit_output: bool, trigger_support: bool
) -> None:
    converter = CONVERTERS[binding]
    assert (converter.has_implicit_output(), converter.has_trigger_support()) == (implicit_output, trigger_support)


@pytest.mark.parametrize(
    "binding,annotation,accepted",
    [
        ("orchestrationTrigger", func.OrchestrationContext, True),
        ("orchestrationTrigger", DurableOrchestrationContext, True),
        ("orchestrationTrigger", str, True),
        ("orchestrationTrigger", int, False),
        ("orchestrationTrigger", list[int], False),
        ("orchestrationTrigger", str | None, False),
        ("orchestrationTrigger", Any, True),
        ("orchestrationTrigger", "str", False),
        ("entityTrigger", func.EntityContext, True),
        ("entityTrigger", str, True),
        ("entityTrigger", func.HttpRequest, False),
        ("entityTrigger", dict[str, int], False),
        ("activityTrigger", list[int], True),
        ("activityTrigger", str | None, True),
        ("activityTrigger", Annotated[int, "days"], True),
        ("activityTrigger", "Missing", True),
        ("durableClient", str, True),
        ("durableClient", bytes, True),
        ("durableClient", dict, False),
        ("durableClient", list[str], False),
        ("durableClient", "str", False),
    ],
)
def test_an_input_annotation_is_judged_without_failing(binding: str, annotation: Any, accepted: bool) -> None:
    assert CONVERTERS[binding].check_input_type_annotation(annotation) is accepted


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("binding", ["orchestrationTrigger", "entityTrigger"])
@pytest.mark.parametrize(
    "data,body",
    [
        (Datum('{"a":1}', "string"), '{"a":1}'),
        (Datum('{"a":1}', "json"), '{"a":1}'),
        (Datum(b'{"a":"\xc3\xa4"}', "bytes"), '{"a":"ä"}'),
        (Datum(None, None), ""),
        (None, ""),
    ],
)
def test_a_context_trigger_is_carried_as_text(binding: str, data: Datum | None, body: str) -> None:
    assert CONVERTERS[binding].decode(data, trigger_metadata={}).body == body


@pytest.mark.parametrize("binding", ["orchestrationTrigger", "entityTrigger"])
def test_the_wrappers_reply_leaves_as_json(binding: str) -> None:
    reply = CONVERTERS[binding].encode('{"isDone":true}', expected_type=None)
    assert (reply.type, reply.value) == ("json", '{"isDone":true}')


@pytest.mark.parametrize("binding,kind", [("orchestrationTrigger", "orchestrator"), ("entityTrigger", "entity")])
@pytest.mark.parametrize("returned", [None, {"isDone": True}, iter(())])
def test_a_reply_that_no_wrapper_made_is_refused(binding: str, kind: str, returned: object) -> None:
    with pytest.raises(AppError, match=f"^the {kind} answered with {type(returned).__name__}, not with the text"):
        CONVERTERS[binding].encode(returned, expected_type=None)


@pytest.mark.parametrize(
    "data,value",
    [
        (Datum('{"n": 1}', "string"), {"n": 1}),
        (Datum("5", "json"), 5),
        (Datum('"Tokyo"', "string"), "Tokyo"),
        (Datum("Tokyo", "string"), "Tokyo"),
        (Datum("", "string"), ""),
        (Datum("null", "string"), None),
        (Datum("True", "string"), "True"),
        (Datum(b"[1, 2]", "bytes"), [1, 2]),
        (Datum(None, None), None),
        (None, None),
    ],
)
def test_an_activity_gets_the_value_its_input_spells(data: Datum | None, value: Any) -> None:
    assert CONVERTERS["activityTrigger"].decode(data, trigger_metadata={}) == value


@pytest.mark.parametrize(
    "value,text",
    [(None, "null"), ("Tokyo", '"Tokyo"'), (0, "0"), (False, "false"), ({"a": [1, None]}, '{"a":[1,null]}')],
)
def test_an_activitys_result_leaves_as_json(value: Any, text: str) -> None:
    reply = CONVERTERS["activityTrigger"].encode(value, expected_type=None)
    assert (reply.type, reply.value) == ("json", text)


def test_an_activitys_result_that_is_no_json_is_named() -> None:
    with pytest.raises(TypeError, match=r"a value of type builtins\.object cannot be written as JSON"):
        CONVERTERS["activityTrigger"].encode({"a": object()}, expected_type=None)


def test_an_activitys_result_that_no_message_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_CHARACTERS", 10)
    with pytest.raises(ValueError, match="the payload has 14 characters, and a message holds at most 10"):
        CONVERTERS["activityTrigger"].encode("a long value", expected_type=None)


@pytest.mark.parametrize("data", [Datum("{}", "string"), Datum("{}", "json"), Datum(b"{}", "bytes")])
def test_the_clients_text_arrives_as_text(data: Datum) -> None:
    assert CONVERTERS["durableClient"].decode(data, trigger_metadata=None) == "{}"


def test_nothing_can_be_returned_through_a_client() -> None:
    with pytest.raises(AppError, match="the durable client is an input binding"):
        CONVERTERS["durableClient"].encode("x", expected_type=None)


@pytest.mark.parametrize("binding", CONVERTERS)
def test_data_of_a_kind_that_no_durable_binding_has_is_refused(binding: str) -> None:
    with pytest.raises(PayloadError, match=f"^{binding}: expected text .* found data of the type 'collection_bytes'"):
        CONVERTERS[binding].decode(Datum([b""], "collection_bytes"), trigger_metadata={})
