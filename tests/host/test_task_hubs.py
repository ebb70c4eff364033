"""Several task hubs in one file: a request acts on the hub that it names, and on no other."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from running_host import PATIENCE, Host, run_host

from worker_ext.host.links import Links

pytestmark = pytest.mark.asyncio(loop_scope="module")

API = "/runtime/webhooks/durabletask"
JSON = {"Content-Type": "application/json"}
OTHER = "taskHub=Other"
FUNCTIONS = """
import azure.functions as func
import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="elsewhere/{name}/{id}", methods=["POST"])
@app.durable_client_input(client_name="client", task_hub="Other")
async def elsewhere(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    instance_id = await client.start_new(req.route_params["name"], req.route_params["id"])
    status = await client.get_status(instance_id)
    return func.HttpResponse(f"{client.task_hub_name} {status.runtime_status.name}")


@app.orchestration_trigger(context_name="context")
def waits(context):
    return (yield context.wait_for_external_event("go"))


@app.entity_trigger(context_name="context")
def counter(context):
    context.set_state(context.get_state(lambda: 0) + 1)
"""


def hub_of(app: Path, name: str) -> None:
    """Says in host.json which hub the app has."""
    durable = {"hubName": name}
    (app / "host.json").write_text(json.dumps({"version": "2.0", "extensions": {"durableTask": durable}}))


@asynccontextmanager
async def two_hubs(folder: Path) -> AsyncIterator[Host]:
    """A host of the hub Own; the file has the hub Other too, and in both an instance `i`."""
    (folder / "function_app.py").write_text(FUNCTIONS)
    for name in ("Other", "Own"):
        hub_of(folder, name)
        async with run_host(folder, folder / "x.db") as running:
            answer = await running.post(f"{API}/orchestrators/waits/i", json.dumps(name).encode())
            assert answer.status == 202
    async with run_host(folder, folder / "x.db") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """A host to change."""
    async with two_hubs(tmp_path) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    """A host to read from."""
    async with two_hubs(tmp_path_factory.mktemp("app")) as running:
        yield running


async def inputs(host: Host, query: str = "") -> list[Any]:
    answer = await host.get(f"{API}/instances{query}")
    return [item["input"] for item in answer.json]


@pytest.mark.parametrize(
    "query, hub",
    [
        ("", "Own"),
        ("?taskHub=", "Own"),
        ("?TASKHUB=own", "Own"),
        ("?taskHub=Other", "Other"),
        ("?taskhub=OTHER&showInput=true", "Other"),
    ],
)
async def test_a_request_reads_the_hub_that_it_names_in_any_case(shared: Host, query: str, hub: str) -> None:
    answer = await shared.get(f"{API}/instances/i{query}")
    assert (answer.json["input"], await inputs(shared, query)) == (hub, [hub])


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "orchestrators/waits/i"),
        ("GET", "instances"),
        ("DELETE", "instances?createdTimeFrom=2020-01-01"),
        ("GET", "instances/i"),
        ("DELETE", "instances/i"),
        ("POST", "instances/i/raiseEvent/go"),
        ("POST", "instances/i/terminate"),
        ("POST", "instances/i/suspend"),
        ("POST", "instances/i/rewind"),
        ("POST", "instances/i/restart"),
        ("POST", "entities/counter/k"),
        ("GET", "entities"),
    ],
)
async def test_a_hub_that_the_file_does_not_have_is_refused(shared: Host, method: str, path: str) -> None:
    joined = "&" if "?" in path else "?"
    answer = await shared.send(method, f"{API}/{path}{joined}taskHub=Nowhere", b"1" if method == "POST" else None, JSON)
    assert (answer.status, answer.json) == (
        400,
        {
            "Message": "One or more of the arguments submitted is incorrect",
            "ExceptionMessage": f"There is no task hub 'Nowhere' in {shared.local.database}; this host runs 'Own'."
            " (Parameter 'taskHub')",
            "ExceptionType": "System.ArgumentException",
            "StackTrace": "",
        },
    )
    assert (await shared.get(f"{API}/instances/i")).json["runtimeStatus"] in ("Pending", "Running")


async def test_what_is_sent_to_another_hub_is_done_when_a_host_of_it_starts(host: Host, tmp_path: Path) -> None:
    started = await host.post(f"{API}/orchestrators/elsewhere_only/new?{OTHER}")
    link = f"{host.url}{API}/instances/new?taskHub=Other&connection=Storage"
    assert started.json["statusQueryGetUri"] == link
    event = await host.post(f"{API}/instances/i/raiseEvent/go?{OTHER}", b'"there"', JSON)
    signal = await host.post(f"{API}/entities/theirs/k?op=add&{OTHER}")
    assert [event.status, signal.status] == [202, 202]
    assert await inputs(host) == ["Own"]
    own = await host.post(f"{API}/instances/i/raiseEvent/go", b'"here"', JSON)
    assert own.status == 202
    instance = await host.local.scheduler.wait_for_completion("i", PATIENCE)
    assert instance is not None
    assert instance.output == '"here"'
    other = (await host.get(f"{API}/instances/new?{OTHER}")).json
    assert (other["name"], other["runtimeStatus"]) == ("elsewhere_only", "Pending")
    await host.local.__aexit__(None, None, None)
    hub_of(tmp_path, "Other")
    async with run_host(tmp_path, tmp_path / "x.db") as running:
        instance = await running.local.scheduler.wait_for_completion("i", PATIENCE)
        assert instance is not None
        assert instance.output == '"there"'
        instance = await running.local.scheduler.wait_for_completion("new", PATIENCE)
        assert instance is not None
        assert instance.status == "Failed"


async def test_a_purge_of_another_hub_leaves_this_one_alone(host: Host) -> None:
    await host.post(f"{API}/instances/i/terminate")
    await host.local.scheduler.wait_for_completion("i", PATIENCE)
    elsewhere = await host.send("DELETE", f"{API}/instances?createdTimeFrom=2020-01-01&{OTHER}")
    assert (elsewhere.status, await inputs(host)) == (404, ["Own"])
    here = await host.send("DELETE", f"{API}/instances?createdTimeFrom=2020-01-01")
    assert (here.json, await inputs(host)) == ({"instancesDeleted": 1}, [])
    assert await inputs(host, f"?{OTHER}") == ["Other"]


async def test_a_client_whose_binding_names_another_hub_works_on_that_one(host: Host) -> None:
    answer = await host.post("/api/elsewhere/waits/mine")
    assert (answer.status, answer.text) == (200, "Other Pending")
    assert (await host.get(f"{API}/instances/mine")).status == 404
    assert (await host.get(f"{API}/instances/mine?{OTHER}")).json["runtimeStatus"] == "Pending"


@pytest.mark.parametrize(
    "hub, base", [("Own", "http://r/durabletask/"), ("O/x", "http://r/durabletask/taskhubs/O%2Fx/")]
)
async def test_a_binding_of_another_hub_gets_that_hubs_base(hub: str, base: str) -> None:
    links = Links("http://h", "http://r/durabletask/", "Own")
    assert json.loads(links.client_payload({"taskHub": hub}))["rpcBaseUrl"] == base
