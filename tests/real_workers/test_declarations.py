"""Apps with all that may stand beside durable functions, indexed and invoked by each worker."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from real_workers.cases import APPS, HANDLERS, Case, load_all, prepare
from real_workers.environments import Environments
from worker.driver import WorkerDriver, worker

from worker_ext.host.settings import load_settings
from worker_ext.host.worker_config import read_worker_config
from worker_ext.rpc import pb

CASES = [
    Case("v2", "proxy", "3.13"),
    Case("v2", "proxy", "3.14"),
    Case("v2", "own", "3.11"),
    Case("v2", "own", "3.12"),
    Case("v2", "own", "3.13"),
    Case("v2", "own", "3.13", more=HANDLERS),
    Case("v2", "own", "3.14"),
]
SUCCESS = pb.StatusResult.Success


@asynccontextmanager
async def opened(
    case: Case, script: str, environments: Environments, code: Path, folder: Path
) -> AsyncIterator[WorkerDriver]:
    app = prepare(case, environments, code, folder)
    shutil.copy(APPS / script / "function_app.py", app)
    config = read_worker_config(load_settings(app, environ={}).environment)
    environment = {
        "FUNCTIONS_WORKER_DIRECTORY": str(config.directory or ""),
        "AzureWebJobsScriptRoot": str(app),
    }
    async with worker(app, environment, command=config.command) as driver:
        await driver.started()
        result = (await driver.init(app)).result
        assert result.status == SUCCESS, result.exception.message
        await load_all(driver, case, app)
        yield driver


def sample(repository: Path, binding: str, name: str) -> Any:
    path = repository / "bindings" / binding / "samples" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["request"]


def text(value: str) -> pb.TypedData:
    return pb.TypedData(string=value)


@dataclass(frozen=True)
class Event:
    """What starts a function, and what the function tells of it."""

    function: str
    parameter: str
    data: pb.TypedData
    metadata: dict[str, pb.TypedData]
    told: list[Any]


EVENT = {"PartitionKey": text("left"), "SequenceNumber": pb.TypedData(json="7"), "SystemProperties": text("{}")}
TIMER = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": True}
BATCH = {
    "PartitionKeyArray": pb.TypedData(json='["a", "b"]'),
    "SystemPropertiesArray": pb.TypedData(json="[{}, {}]"),
}
BODIES = pb.TypedData(collection_bytes=pb.CollectionBytes(bytes=[b"one", b"two"]))
MESSAGE = {"DeliveryCount": text("3"), "MessageId": text("m"), "UserProperties": pb.TypedData(json="{}")}
STARTED = [
    Event("timer_started", "timer", pb.TypedData(json=json.dumps(TIMER)), {}, [True]),
    Event("by_queue", "msg", text('{"id": 1}'), {"DequeueCount": text("2")}, [{"id": 1}, 2]),
    Event("by_blob", "blob", pb.TypedData(bytes=b"content"), {"BlobTrigger": text("in/a")}, ["content", "in/a"]),
    Event("by_event", "event", pb.TypedData(bytes=b"body"), EVENT, ["body", "left"]),
    Event("by_events", "events", BODIES, BATCH, [["one", "two"]]),
    Event("by_bus", "msg", text("job"), MESSAGE, ["job", 3, "m"]),
    Event("by_anything", "thing", text("thing"), {}, ["thing"]),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_any_event_starts_a_workflow(
    case: Case, environments: Environments, code: Path, tmp_path: Path, repository: Path
) -> None:
    client = text(json.dumps(sample(repository, "durableClient", "local_host")))
    async with opened(case, "starters", environments, code, tmp_path) as driver:
        told = {}
        for event in STARTED:
            inputs = {event.parameter: event.data, "client": client}
            answer = await driver.call(event.function, inputs, trigger_metadata=event.metadata)
            assert answer.result.status == SUCCESS, (event.function, answer.result.exception)
            [out] = answer.output_data
            told[event.function] = json.loads(getattr(out.data, str(out.data.WhichOneof("data"))))
        assert told == {event.function: ["i", *event.told] for event in STARTED}


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_what_stands_beside_durable_functions_is_declared_as_written(
    case: Case, environments: Environments, code: Path, tmp_path: Path
) -> None:
    async with opened(case, "starters", environments, code, tmp_path) as driver:
        bindings = {name: [json.loads(raw) for raw in found.raw_bindings] for name, found in driver.functions.items()}
        kinds = {name: sorted(binding["type"] for binding in found) for name, found in bindings.items()}
        assert kinds == {
            "timer_started": ["durableClient", "queue", "timerTrigger"],
            "by_queue": ["durableClient", "queue", "queueTrigger"],
            "by_blob": ["blobTrigger", "durableClient", "queue"],
            "by_event": ["durableClient", "eventHubTrigger", "queue"],
            "by_events": ["durableClient", "eventHubTrigger", "queue"],
            "by_bus": ["durableClient", "queue", "serviceBusTrigger"],
            "by_anything": ["durableClient", "ourOwn", "ourOwnTrigger"],
            "asgi": ["http", "httpTrigger"],
            "wsgi": ["http", "httpTrigger"],
            "default_level": ["http", "httpTrigger"],
        }
        levels = {name: binding["authLevel"] for name in kinds for binding in bindings[name] if "authLevel" in binding}
        assert levels == {"asgi": "ANONYMOUS", "wsgi": "FUNCTION", "default_level": "ADMIN"}
        [client] = [binding for binding in bindings["by_event"] if binding["type"] == "durableClient"]
        assert client == {
            "direction": "IN",
            "type": "durableClient",
            "name": "client",
            "taskHub": "Other",
            "connectionName": "OtherStorage",
        }
        retry = driver.functions["by_anything"].retry_options
        assert (retry.max_retry_count, retry.delay_interval.seconds) == (3, 10)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_asgi_and_wsgi_apps_answer_beside_durable_functions(
    case: Case, environments: Environments, code: Path, tmp_path: Path
) -> None:
    async with opened(case, "starters", environments, code, tmp_path) as driver:
        answers = {}
        for name in ("asgi", "wsgi"):
            request = pb.RpcHttp(method="GET", url=f"http://localhost:7071/api/{name}/x", headers={"host": "localhost"})
            answer = await driver.call(name, {"req": pb.TypedData(http=request)})
            assert answer.result.status == SUCCESS, (name, answer.result.exception)
            http = answer.return_value.http
            body = http.body.bytes or http.body.string.encode()
            answers[name] = (
                http.status_code,
                {key.lower(): value for key, value in http.headers.items()}["x-path"],
                body,
            )
        assert answers == {"asgi": ("418", "/api/asgi/x", b"from asgi"), "wsgi": ("201", "/api/wsgi/x", b"from wsgi")}


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_annotations_of_every_form_load_and_run(
    case: Case, environments: Environments, code: Path, tmp_path: Path, repository: Path
) -> None:
    client = text(json.dumps(sample(repository, "durableClient", "local_host")))
    request = pb.TypedData(http=pb.RpcHttp(method="GET", url="http://localhost/api"))
    async with opened(case, "annotated", environments, code, tmp_path) as driver:
        forms = {name.removesuffix("_activity") for name in driver.functions if name.endswith("_activity")}
        kinds = ("activity", "orchestrator", "entity", "starter")
        assert set(driver.functions) == {f"{form}_{kind}" for form in forms for kind in kinds}
        assert len(forms) == 19
        for form in forms:
            answer = await driver.call(f"{form}_starter", {"req": request, "client": client})
            assert (answer.result.status, answer.return_value.string) == (SUCCESS, "i"), (form, answer)
            nothing = await driver.call(f"{form}_activity", {"value": pb.TypedData()})
            assert (nothing.result.status, nothing.return_value.json) == (SUCCESS, "null"), (form, nothing)
