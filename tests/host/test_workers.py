"""Worker processes and what the host makes of their answers."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from running_host import APPS, PATIENCE, run_host

from worker_ext.host.functions import FunctionCatalog, read_catalog
from worker_ext.host.settings import load_settings
from worker_ext.host.worker_config import WorkerConfig
from worker_ext.host.worker_process import worker_arguments, worker_environment
from worker_ext.host.workers import json_text
from worker_ext.rpc import pb

BAD_NAMES = ["<lambda>", "_f", "1f", "a b", "x" * 129, "host", "Host"]
OURS = WorkerConfig(command=("python",), version="3.12")


def test_every_argument_is_there_in_both_spellings() -> None:
    arguments = worker_arguments("http://127.0.0.1:50123/", "w", "r")
    assert dict(zip(arguments[::2], arguments[1::2], strict=True)) == {
        "--host": "127.0.0.1",
        "--port": "50123",
        "--workerId": "w",
        "--requestId": "r",
        "--grpcMaxMessageLength": "2147483647",
        "--functions-uri": "http://127.0.0.1:50123/",
        "--functions-worker-id": "w",
        "--functions-request-id": "r",
        "--functions-grpc-max-message-length": "2147483647",
    }


class TestEnvironment:
    def test_what_would_send_a_worker_to_the_cloud_is_left_out(self) -> None:
        given = {"CONTAINER_NAME": "x", "WEBSITE_INSTANCE_ID": "y", "HOME": "/home/me"}
        found = worker_environment(OURS, Path("/app"), 7071, given)
        assert {name: found.get(name) for name in given} == {
            "CONTAINER_NAME": None,
            "WEBSITE_INSTANCE_ID": None,
            "HOME": "/home/me",
        }

    def test_a_variable_that_is_set_wins_over_a_default(self) -> None:
        given = {"PYTHON_THREADPOOL_THREAD_COUNT": "4", "AZURE_FUNCTIONS_ENVIRONMENT": "Staging"}
        found = worker_environment(OURS, Path("/app"), 7071, given)
        assert given.items() <= found.items()

    def test_what_the_host_decides_cannot_be_set(self) -> None:
        found = worker_environment(
            OURS, Path("/app"), 7072, {"FUNCTIONS_WORKER_RUNTIME": "node", "WEBSITE_HOSTNAME": "x"}
        )
        assert (found["FUNCTIONS_WORKER_RUNTIME"], found["WEBSITE_HOSTNAME"]) == ("python", "localhost:7072")
        assert found["FUNCTIONS_WORKER_RUNTIME_VERSION"] == "3.12"


class TestJsonText:
    @pytest.mark.parametrize(
        "data, text",
        [
            (pb.TypedData(), None),
            (pb.TypedData(json='{"a": 1}'), '{"a": 1}'),
            (pb.TypedData(json="null"), "null"),
            (pb.TypedData(string='say "hi"'), '"say \\"hi\\""'),
            (pb.TypedData(string=""), '""'),
            (pb.TypedData(int=-5), "-5"),
            (pb.TypedData(double=1.5), "1.5"),
            (pb.TypedData(bytes=b"ab"), '"YWI="'),
        ],
    )
    def test_a_returned_value_is_json(self, data: pb.TypedData, text: str | None) -> None:
        assert json_text(data) == text

    def test_what_only_goes_to_workers_is_refused(self) -> None:
        with pytest.raises(ValueError, match="a returned value of kind collection_string"):
            json_text(pb.TypedData(collection_string=pb.CollectionString(string=["a"])))


class TestCatalog:
    @staticmethod
    def catalog(tmp_path: Path, *bindings: str) -> FunctionCatalog:
        found = pb.RpcFunctionMetadata(name="f", function_id="1", raw_bindings=bindings)
        return read_catalog([found], load_settings(tmp_path, environ={}))

    @pytest.mark.parametrize(
        "bindings, fault",
        [
            ([], "expected one trigger, found none"),
            (
                [
                    '{"type": "httpTrigger", "direction": "IN", "name": "a"}',
                    '{"type": "timerTrigger", "direction": "IN", "name": "b"}',
                ],
                "expected one trigger, found httpTrigger, timerTrigger",
            ),
            (
                [
                    '{"type": "activityTrigger", "direction": "IN", "name": "a"}',
                    '{"type": "blob", "direction": "IN", "name": "b"}',
                ],
                "its input binding 'blob' needs a service that is not here",
            ),
            (
                [
                    '{"type": "activityTrigger", "direction": "IN", "name": "a"}',
                    '{"type": "durableClient", "direction": "IN", "name": "a"}',
                ],
                "expected bindings of different names, found 2 named 'a'",
            ),
            (
                ['{"type": "httpTrigger", "direction": "IN", "name": "a", "route": "%NOT_SET%"}'],
                "%NOT_SET% names no app setting. Set NOT_SET in the environment or in local.settings.json",
            ),
        ],
    )
    def test_what_cannot_be_served_has_a_fault(self, tmp_path: Path, bindings: list[str], fault: str) -> None:
        (function,) = self.catalog(tmp_path, *bindings).functions
        assert (function.fault, function.is_served) == (fault, False)

    @pytest.mark.parametrize(
        "name, is_served",
        [
            *[(name, True) for name in ("a", "A1", "_a", "a_b_", "x" * 128)],
            *[(name, False) for name in ("a__b", "__a", "a__", "1a", "a-b", "größe", "$value", "", "x" * 129)],
        ],
    )
    def test_a_binding_is_called_what_the_functions_host_takes(
        self, tmp_path: Path, name: str, is_served: bool
    ) -> None:
        trigger = json.dumps({"type": "httpTrigger", "direction": "IN", "name": name})
        (function,) = self.catalog(tmp_path, trigger).functions
        fault = (
            f"its binding {name!r}: expected a name of a letter or '_' and up to 127 letters, digits and '_', but no "
            "'__': the Functions host takes no other. Rename the parameter"
        )
        assert (function.fault, function.is_served) == (None if is_served else fault, is_served)

    def test_the_binding_of_what_a_function_returns_is_called_return(self, tmp_path: Path) -> None:
        trigger = '{"type": "httpTrigger", "direction": "IN", "name": "req"}'
        (function,) = self.catalog(
            tmp_path, trigger, '{"type": "http", "direction": "OUT", "name": "$return"}'
        ).functions
        assert function.fault is None

    @pytest.mark.parametrize(
        "name, is_served",
        [("f-1_A", True), ("x" * 128, True), ("hosts", True), *[(bad, False) for bad in BAD_NAMES]],
    )
    def test_a_function_is_called_what_the_functions_host_takes(
        self, tmp_path: Path, name: str, is_served: bool
    ) -> None:
        trigger = '{"type": "activityTrigger", "direction": "IN", "name": "a"}'
        found = pb.RpcFunctionMetadata(name=name, function_id="1", raw_bindings=[trigger])
        (function,) = read_catalog([found], load_settings(tmp_path, environ={})).functions
        assert (function.is_served, "Rename the function" in (function.fault or "")) == (is_served, not is_served)

    def test_durable_functions_are_found_by_alias_without_regard_to_case(self, tmp_path: Path) -> None:
        binding = '{"type": "orchestrationTrigger", "direction": "IN", "name": "c", "orchestration": "Ship It"}'
        catalog = self.catalog(tmp_path, binding)
        assert catalog.durable_names("orchestration") == ("Ship It",)
        assert catalog.find("orchestration", "SHIP it") is catalog.functions[0]
        assert catalog.find("orchestration", "f") is None
        assert catalog.find("activity", "Ship It") is None


async def test_what_a_worker_gives_up_when_it_is_ended_is_run_again(tmp_path: Path) -> None:
    """A worker that is told to end answers for what it cancels; that is no failure of the activity."""
    app = Path(shutil.copytree(APPS / "durable", tmp_path / "app"))
    (app / "function_app.py").write_text(GIVES_UP)
    async with run_host(app) as host:
        instance_id = await host.local.scheduler.start_instance("patient", None)
        await host.until(lambda: "first run" in host.printed.getvalue(), "the activity to run")
        assert host.local.workers.pid is not None
        os.kill(host.local.workers.pid, signal.SIGTERM)
        instance = await host.local.scheduler.wait_for_completion(instance_id, PATIENCE)
        assert instance is not None
        assert (instance.status, instance.output) == ("Completed", '"second run"')


GIVES_UP = """
import asyncio
import os
import worker_ext as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def patient(context):
    return (yield context.call_activity("wait_once", None))


@app.activity_trigger(input_name="nothing")
async def wait_once(nothing: None) -> str:
    try:
        os.close(os.open("ran", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "second run"
    print("first run", flush=True)
    await asyncio.sleep(600)
    return "never"
"""
