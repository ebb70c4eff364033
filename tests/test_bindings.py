"""`bindings/` states the contracts as data: the decorators, the converters, the engine and the client hold to it."""

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func
import jsonschema_rs
import pytest
from contract import DECLARATION, KINDS, REQUEST, RESPONSE, schema, validator

from worker_ext import DFApp, DurableOrchestrationClient, DurableOrchestrationContext, OrchestrationFailedError
from worker_ext.converters import CONVERTERS
from worker_ext.entity import DurableEntityContext
from worker_ext.protocol.orchestrator import OrchestratorRequest

BINDINGS = Path(__file__).resolve().parents[1] / "bindings"
DECLARATIONS = [
    pytest.param(declaration, id=f"{declaration['decorator']}-{index}")
    for kind in KINDS
    for index, declaration in enumerate(json.loads((BINDINGS / kind / "binding.json").read_text())["declarations"])
]
MARKER = "\n\n$OutOfProcData$:"

Orchestrator = Callable[[DurableOrchestrationContext], Any]


@dataclass
class Datum:
    """A worker's pair of value and type."""

    value: Any
    type: str


def sample_paths(kind: str) -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in sorted((BINDINGS / kind / "samples").glob("*.json"))]


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def chain(context: DurableOrchestrationContext) -> Generator[Any, Any, list[Any]]:
    results = []
    for name, value in (("A", "a"), ("B", {"x": [1, 2.5, None, "2026-01-02T03:04:05Z"]}), ("C", None)):
        results.append((yield context.call_activity(name, {"ret": value})))
    return results


def fan_out(context: DurableOrchestrationContext) -> Generator[Any, Any, str]:
    sleeps = {"A": 0.3, "B": 0.1, "C": 0.2}
    yield context.task_all([context.call_activity(name, {"sleep": seconds}) for name, seconds in sleeps.items()])
    return "ok"


def wait_for_go(context: DurableOrchestrationContext) -> Generator[Any, Any, str]:
    yield context.wait_for_external_event("go")
    return "ok"


def give_up(context: DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    try:
        yield context.call_activity("Fail", {"fail": "ValueError: bad"})
    except Exception as error:
        raise LookupError("the box is gone") from error


def counter(context: DurableEntityContext) -> None:
    if context.operation_name == "add":
        context.set_state(context.get_state(lambda: 0) + int(context.get_input()))
    context.set_result(context.get_state(lambda: 0))


ORCHESTRATORS: dict[str, Orchestrator] = {
    "chain_first_turn": chain,
    "chain_last_turn": chain,
    "fan_out_half_way": fan_out,
    "event_while_suspended": wait_for_go,
    "failure_after_a_failed_activity": give_up,
}
"""The orchestrator that each sample is a turn of."""


def test_every_binding_has_its_four_parts() -> None:
    assert sorted(path.name for path in BINDINGS.iterdir()) == list(KINDS)
    for kind in KINDS:
        names = {path.name for path in (BINDINGS / kind).iterdir()}
        assert names == {"binding.json", "request.schema.json", "response.schema.json", "samples"}
        assert list((BINDINGS / kind / "samples").iterdir()) != []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [DECLARATION, REQUEST, RESPONSE])
def test_a_schema_is_one(kind: str, part: str) -> None:
    jsonschema_rs.meta.validate(schema(kind, part))


@pytest.mark.parametrize("declaration", DECLARATIONS)
def test_a_decorator_makes_the_binding_that_is_stated(declaration: dict[str, Any]) -> None:
    app = DFApp()
    arguments = declaration["arguments"]
    name = declaration["binding"]["name"]
    namespace: dict[str, Any] = {}
    exec(f"def function({name}): ...", namespace)
    function = getattr(app, declaration["decorator"])(**arguments)(namespace["function"])
    if declaration["decorator"] == "durable_client_input":
        app.warm_up_trigger(arg_name="context")(function)
    [built] = app.get_functions()
    binding = json.loads(built.get_raw_bindings()[0])
    assert binding == declaration["binding"]
    assert [error.message for error in validator(binding["type"], DECLARATION).iter_errors(binding)] == []


@pytest.mark.parametrize("path", [path for kind in KINDS for path in sample_paths(kind)])
def test_a_sample_keeps_to_its_schemas_and_names_its_origin(path: Path) -> None:
    kind, sample = path.parents[1].name, load(path)
    for part in (REQUEST, RESPONSE):
        assert [error.message for error in validator(kind, part).iter_errors(sample[part])] == []
    assert sample["$comment"] != ""


@pytest.mark.parametrize("path", sample_paths("orchestrationTrigger"))
def test_an_orchestrator_answers_as_the_sample_says(path: Path) -> None:
    sample = load(path)
    app = DFApp()
    app.orchestration_trigger(context_name="context")(ORCHESTRATORS[path.stem])
    [function] = app.get_functions()
    converter = CONVERTERS["orchestrationTrigger"]
    carrier = converter.decode(Datum(json.dumps(sample["request"]), "string"), trigger_metadata={})
    if "error" in sample["response"]:
        with pytest.raises(OrchestrationFailedError) as failure:
            function.get_user_function()(context=carrier)
        _, _, reply = str(failure.value).partition(MARKER)
    else:
        reply = converter.encode(function.get_user_function()(context=carrier), expected_type=None).value
    assert json.loads(reply) == sample["response"]


@pytest.mark.parametrize("path", sample_paths("orchestrationTrigger"))
def test_the_protocol_reads_every_event_of_a_sample(path: Path) -> None:
    request = load(path)["request"]
    decoded = OrchestratorRequest.decode(json.dumps(request))
    assert (decoded.instance_id, len(decoded.history)) == (request["instanceId"], len(request["history"]))


@pytest.mark.parametrize("path", sample_paths("entityTrigger"))
def test_an_entity_answers_as_the_sample_says(path: Path) -> None:
    sample = load(path)
    app = DFApp()
    app.entity_trigger(context_name="context")(counter)
    [function] = app.get_functions()
    converter = CONVERTERS["entityTrigger"]
    carrier = converter.decode(Datum(json.dumps(sample["request"]), "string"), trigger_metadata={})
    reply = json.loads(converter.encode(function.get_user_function()(context=carrier), expected_type=None).value)
    for result, expected in zip(reply["results"], sample["response"]["results"], strict=True):
        result |= {clock: expected[clock] for clock in ("duration", "startTime")}
    assert reply == sample["response"]


@pytest.mark.parametrize("path", sample_paths("activityTrigger"))
def test_an_activity_gets_and_gives_what_the_sample_says(path: Path) -> None:
    sample = load(path)
    converter = CONVERTERS["activityTrigger"]
    data = None if sample["request"] is None else Datum(sample["request"], "string")
    value = converter.decode(data, trigger_metadata={})
    assert value == sample["value"]
    assert json.loads(converter.encode(sample["result"], expected_type=None).value) == sample["response"]


@pytest.mark.parametrize("path", sample_paths("durableClient"))
def test_a_client_is_made_of_the_sample(path: Path) -> None:
    payload = load(path)["request"]
    client = DurableOrchestrationClient(json.dumps(payload))
    links = client.get_client_response_links(func.HttpRequest("GET", "https://contoso.net/api/x", body=b""), "abc")
    origin = payload["baseUrl"].partition("/runtime")[0]
    assert links == {
        name: url.replace(origin, "https://contoso.net").replace(payload["managementUrls"]["id"], "abc")
        for name, url in payload["managementUrls"].items()
    }
