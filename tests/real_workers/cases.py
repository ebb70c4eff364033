"""Which worker runs which app on which Python, and how that is set up."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from real_workers.apps import v1
from real_workers.environments import (
    OLD_WORKER,
    OLD_WORKER_NEEDS,
    PROXY,
    Environments,
    put_into_app,
    python,
    requirements,
    worker_folder,
)
from worker.driver import WorkerDriver

from worker_ext.host.settings import load_settings
from worker_ext.host.v1_functions import read_function_folders
from worker_ext.rpc import pb

APPS = Path(__file__).parent / "apps"
HANDLERS = ("azure-functions-runtime", "azure-functions-runtime-v1")


@dataclass(frozen=True)
class Case:
    """A worker, a Python, and where the app's packages are.

    Attributes:
        model: v1 or v2.
        worker: proxy (Microsoft's handlers in a process of ours), old (azure-functions-worker 1.1.9), or own.
        version: The Python it runs on.
        layout: core_tools (the app's packages are the interpreter's) or azure (they are in the app's folder).
        more: Packages of the app beside what worker_ext needs.
    """

    model: str
    worker: str
    version: str
    layout: str = "core_tools"
    more: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "-".join([self.model, self.worker, self.version, self.layout, *self.more])


def prepare(case: Case, environments: Environments, code: Path, folder: Path, also: str = "") -> Path:
    """Write the app, and the settings that make the host start the worker of the case."""
    app = folder / "app"
    app.mkdir(parents=True)
    if case.model == "v2":
        shutil.copy(APPS / "v2" / "function_app.py", app)
    else:
        v1.write(app)
    work = (APPS / "work.py").read_text()
    (app / "work.py").write_text(work.replace("import asyncio\n", f"import asyncio\n{also}\n", 1))
    (app / "host.json").write_text('{"version": "2.0"}')
    values = worker_settings(case, environments, code, folder)
    (app / "local.settings.json").write_text(json.dumps({"Values": values}))
    return app


def worker_settings(case: Case, environments: Environments, code: Path, folder: Path) -> dict[str, str]:
    """The app settings that make the host start the worker of the case.

    Args:
        folder: Where the worker may be put; in the Azure layout the app in it, `app`, gets its packages.
    """
    own = case.worker == "own"
    packages = environments.packages(case.version, [*requirements(for_worker=own), *case.more])
    settings = {"FUNCTIONS_WORKER_RUNTIME_VERSION": case.version}
    if case.worker == "proxy":
        parts = environments.packages(case.version, PROXY)
        worker = worker_folder(folder / "worker", parts, "proxy_worker.py", finds_functions=True)
        settings["languageWorkers__python__workerDirectory"] = str(worker)
    elif case.worker == "old":
        parts = environments.packages(case.version, OLD_WORKER_NEEDS, [OLD_WORKER])
        worker = worker_folder(folder / "worker", parts, "old_worker.py", finds_functions=False)
        settings["languageWorkers__python__workerDirectory"] = str(worker)
    if case.layout == "azure":
        put_into_app(folder / "app", packages, code)
    if case.layout == "azure" and not own:
        executable = python(case.version)
    else:
        executable = str(environments.interpreter(case.version, packages, code))
    return {**settings, "languageWorkers__python__defaultExecutablePath": executable}


async def load_all(driver: WorkerDriver, case: Case, app: Path) -> None:
    """Have every function loaded, found by the worker or by the host."""
    if case.worker == "old":
        described = pb.FunctionMetadataResponse(use_default_metadata_indexing=True)
    else:
        described = await driver.metadata(app)
        assert described.result.status == pb.StatusResult.Success, described.result.exception.message
    assert described.use_default_metadata_indexing == (case.model == "v1"), described
    found = list(described.function_metadata_results)
    if described.use_default_metadata_indexing:
        found = [function.metadata for function in read_function_folders(load_settings(app)).functions]
    for metadata in found:
        loaded = await driver.load(metadata)
        assert loaded.result.status == pb.StatusResult.Success, loaded.result.exception.message
        driver.functions[metadata.name] = metadata


def turn(name: str, input_: Any) -> pb.TypedData:
    """The first turn of an orchestrator, as the extension sends it."""
    now = "2026-01-02T03:04:05.1234567Z"
    started = {"EventType": 12, "EventId": -1, "IsPlayed": False, "Timestamp": now}
    text = json.dumps(input_)
    execution = {"EventType": 0, "EventId": -1, "IsPlayed": False, "Timestamp": now, "Name": name, "Input": text}
    instance = {"OrchestrationInstance": {"InstanceId": "one", "ExecutionId": "e"}, "ParentInstance": None}
    payload = {
        "history": [started, {**execution, **instance, "Version": None, "Tags": None}],
        "input": input_,
        "instanceId": "one",
        "isReplaying": False,
        "parentInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 3,
        "longRunningTimerIntervalDuration": "3.00:00:00",
        "maximumShortTimerDuration": "6.00:00:00",
        "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
    }
    return pb.TypedData(string=json.dumps(payload))
