"""A worker that was started for nobody, and is then told which app it is for, as in the cloud."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from real_workers.apps import v1
from real_workers.cases import HANDLERS, Case, load_all, prepare, turn
from real_workers.environments import Environments
from worker.driver import WorkerDriver, worker

from worker_ext.host.settings import load_settings
from worker_ext.host.worker_config import read_worker_config
from worker_ext.rpc import pb

CASES = [
    Case("v2", "proxy", "3.13"),
    Case("v1", "proxy", "3.13"),
    Case("v1", "old", "3.11"),
    Case("v2", "own", "3.12"),
    Case("v1", "own", "3.12"),
    Case("v2", "own", "3.13", more=HANDLERS),
    Case("v1", "own", "3.13", more=HANDLERS),
]


async def specialize(driver: WorkerDriver, app: Path) -> None:
    """Hand the app over: its settings and its folder."""
    environment = {**os.environ, "AzureWebJobsScriptRoot": str(app), "GREETING": "hello"}
    request = pb.FunctionEnvironmentReloadRequest(environment_variables=environment, function_app_directory=str(app))
    reply = await driver.ask(pb.StreamingMessage(function_environment_reload_request=request))
    result = reply.function_environment_reload_response.result
    assert result.status == pb.StatusResult.Success, result.exception.message


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_worker_serves_the_app_it_is_given(
    case: Case, environments: Environments, code: Path, tmp_path: Path, repository: Path
) -> None:
    app = prepare(case, environments, code, tmp_path)
    config = read_worker_config(load_settings(app, environ={}).environment)
    placeholder = tmp_path / "placeholder"
    placeholder.mkdir()
    environment = {"FUNCTIONS_WORKER_DIRECTORY": str(config.directory or "")}
    async with worker(placeholder, environment, command=config.command) as driver:
        await driver.started()
        assert (await driver.init(placeholder)).result.status == pb.StatusResult.Success
        await specialize(driver, app)
        await load_all(driver, case, app)
        assert set(driver.functions) == {*v1.FUNCTIONS}
        first = await driver.call("everything", {"context": turn("everything", None)})
        assert first.result.status == pb.StatusResult.Success, first.result.exception
        assert [word for word in ("in_thread", "on_loop") if word in first.return_value.json] == [
            "in_thread",
            "on_loop",
        ]
        nothing = await driver.call("nothing", {"value": pb.TypedData()})
        assert (nothing.result.status, nothing.return_value.json) == (pb.StatusResult.Success, "null")
        sample = repository / "bindings" / "durableClient" / "samples" / "local_host.json"
        client = pb.TypedData(string=json.dumps(json.loads(sample.read_text())["request"]))
        inputs = {
            "msg": pb.TypedData(string='{"order": 1}'),
            "starter" if case.model == "v1" else "client": client,
        }
        metadata = {"DequeueCount": pb.TypedData(string="2")}
        told = await driver.call("from_queue", inputs, trigger_metadata=metadata)
        assert told.result.status == pb.StatusResult.Success, told.result.exception
        [out] = told.output_data
        assert (out.name, json.loads(out.data.string)) == ("out", ["i", {"order": 1}, 2])
