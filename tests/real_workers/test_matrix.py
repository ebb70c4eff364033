"""One app of each model, on workers that Microsoft wrote and on ours, driven by the local host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from real_workers.cases import HANDLERS, Case, prepare
from real_workers.environments import Environments
from running_host import PATIENCE, Host, run_host

from worker_ext.errors import HostError

EVERYTHING = {
    "places": ["x in another thread", "x in the main thread"],
    "total": 6,
    "nothing": None,
    "failure": "LookupError: no luck with a value",
    "counts": [7, 7],
}
IN_ASYNCIO = {
    "seen": ["in time", True],
    "event": "timed out",
    "attempts": 3,
    "answer": 200,
    "count": 5,
    "child": 6,
}
"""What a program in plain asyncio gives; its branches went on side by side where the first has seen the second pass."""

SERVED_BY = {
    ("v1", "proxy"): ["azure_functions_runtime_v1"],
    ("v2", "proxy"): ["azure_functions_runtime"],
    ("v1", "old"): ["azure_functions_worker"],
    ("v1", "own"): ["worker_ext.worker"],
    ("v2", "own"): ["worker_ext.worker"],
}
CASES = [
    Case("v2", "proxy", "3.13"),
    Case("v2", "proxy", "3.13", "azure"),
    Case("v1", "proxy", "3.13"),
    Case("v1", "proxy", "3.13", "azure"),
    Case("v2", "proxy", "3.14"),
    Case("v1", "proxy", "3.14"),
    Case("v1", "old", "3.11"),
    Case("v2", "own", "3.11"),
    Case("v1", "own", "3.11"),
    Case("v2", "own", "3.12"),
    Case("v2", "own", "3.12", "azure"),
    Case("v1", "own", "3.12"),
    Case("v2", "own", "3.13"),
    Case("v1", "own", "3.13"),
    Case("v2", "own", "3.13", more=HANDLERS),
    Case("v1", "own", "3.13", more=HANDLERS),
    Case("v2", "own", "3.14"),
    Case("v1", "own", "3.14"),
    Case("v2", "own", "3.14", more=HANDLERS),
]
SDK = {"3.11": "1", "3.12": "1", "3.13": "2", "3.14": "2"}
"""The major version of azure-functions that each Python can have."""


@asynccontextmanager
async def running(
    case: Case, environments: Environments, code: Path, folder: Path, also: str = ""
) -> AsyncIterator[Host]:
    async with run_host(prepare(case, environments, code, folder, also)) as host:
        yield host


async def result(host: Host, orchestrator: str, body: Any = None) -> Mapping[str, Any]:
    """Start an orchestrator over HTTP and wait for its end."""
    answer = await host.post(f"/api/orchestrators/{orchestrator}", json.dumps(body).encode())
    assert answer.status == 202, (answer, host.printed.getvalue())
    try:
        async with asyncio.timeout(PATIENCE):
            link = answer.json["statusQueryGetUri"]
            while (status := await host.get(link)).status == 202:  # noqa: ASYNC110 - another process ends it
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{orchestrator} has not ended; the host printed:\n{host.printed.getvalue()}") from None
    found: Mapping[str, Any] = status.json
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_app_runs_as_on_every_other_worker(
    case: Case, environments: Environments, code: Path, tmp_path: Path
) -> None:
    async with running(case, environments, code, tmp_path) as host:
        status = await result(host, "everything")
        assert (status["runtimeStatus"], status["output"], status["customStatus"]) == (
            "Completed",
            EVERYTHING,
            "nearly there",
        ), host.printed.getvalue()
        assert "said in the thread" in host.printed.getvalue()
        assert host.printed.getvalue().count("said once by the orchestrator") == 1, "replays are to be silent"
        counted = await host.get(f"/api/counters/{status['instanceId']}")
        assert (counted.status, counted.json) == (200, 7)
        status = await result(host, "in_asyncio", {"round": 1, "url": f"{host.url}/api/about"})
        assert (status["runtimeStatus"], status["output"]) == ("Completed", IN_ASYNCIO), host.printed.getvalue()
        failed = await result(host, "fails")
        assert (failed["runtimeStatus"], "boom ?code=secret; key=other" in failed["output"]) == ("Failed", True)
        handlers = SERVED_BY[case.model, case.worker]
        if case.more == HANDLERS:
            handlers = [*SERVED_BY[case.model, "proxy"], *handlers]
        sdk = "the worker's" if case.worker != "own" and case.layout == "core_tools" else "the app's"
        about = (await host.get("/api/about?of=azure.functions")).json
        about["versions"] = {name: version.partition(".")[0] for name, version in about["versions"].items()}
        assert about == {
            "python": case.version,
            "handlers": handlers,
            "sdk": sdk,
            "versions": {"azure.functions": SDK[case.version]},
        }


@pytest.mark.parametrize(
    "case",
    [
        Case("v2", "proxy", "3.13", more=("azure-functions-durable==1.7.0",)),
        Case("v2", "proxy", "3.13", more=("azure-functions-durable==2.0.0rc3",)),
        Case("v2", "own", "3.12", more=("azure-functions-durable==1.7.0",)),
        Case("v2", "own", "3.13", more=("azure-functions-durable==2.0.0rc3",)),
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["before", "after"])
async def test_an_app_that_also_imports_the_other_durable_package(
    case: Case, place: str, environments: Environments, code: Path, tmp_path: Path
) -> None:
    """Its converters may be registered before ours or after; the functions are ours, so ours have to serve them."""
    also = "import azure.durable_functions"
    app = prepare(case, environments, code, tmp_path, also if place == "before" else "")
    if place == "after":
        with (app / "function_app.py").open("a") as script:
            script.write(f"\n{also}\n")
    async with run_host(app) as host:
        status = await result(host, "everything")
        assert (status["runtimeStatus"], status["output"]) == ("Completed", EVERYTHING), host.printed.getvalue()


@pytest.mark.parametrize(
    "case, versions",
    [
        (Case("v2", "proxy", "3.13", "azure", more=("protobuf==3.20.3",)), {"google.protobuf": "3.20.3"}),
        (
            Case("v2", "own", "3.12", more=("protobuf==4.25.0", "grpcio==1.60.0")),
            {"google.protobuf": "4.25.0", "grpc": "1.60.0"},
        ),
    ],
    ids=str,
)
async def test_an_app_that_pins_old_packages_of_the_wire(
    case: Case, versions: dict[str, str], environments: Environments, code: Path, tmp_path: Path
) -> None:
    async with running(case, environments, code, tmp_path) as host:
        status = await result(host, "everything")
        assert (status["runtimeStatus"], status["output"]) == ("Completed", EVERYTHING), host.printed.getvalue()
        about = await host.get(f"/api/about?of={','.join(versions)}")
        assert about.json["versions"] == versions


@pytest.mark.parametrize(
    "case",
    [Case("v2", "proxy", "3.13"), Case("v2", "own", "3.12"), Case("v2", "own", "3.13", more=HANDLERS)],
    ids=str,
)
async def test_an_app_that_fails_at_import_is_told_by_its_own_line(
    case: Case, environments: Environments, code: Path, tmp_path: Path
) -> None:
    app = prepare(case, environments, code, tmp_path)
    (app / "function_app.py").write_text("import worker_ext as df\n\nraise LookupError('no luck')\n")
    with pytest.raises(HostError) as error:
        async with run_host(app):
            pass
    assert str(error.value).startswith(f"{app / 'function_app.py'}:3: "), error.value
    assert "LookupError: no luck" in str(error.value)


@pytest.mark.parametrize(
    "case", [Case("v1", "proxy", "3.13"), Case("v1", "old", "3.11"), Case("v1", "own", "3.12")], ids=str
)
async def test_a_script_that_fails_at_import_leaves_the_other_functions_alone(
    case: Case, environments: Environments, code: Path, tmp_path: Path
) -> None:
    app = prepare(case, environments, code, tmp_path)
    (app / "in_thread" / "__init__.py").write_text("raise LookupError('no luck')\n")
    async with run_host(app) as host:
        assert "in_thread: the function could not be loaded: " in host.printed.getvalue()
        failed = await result(host, "everything")
        assert (failed["runtimeStatus"], "no luck" in failed["output"]) == ("Failed", True), failed
        ended = await result(host, "fails")
        assert "boom ?code=secret; key=other" in ended["output"]
