"""Live reload, and several workers, on a host that runs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from open_sockets import listening
from running_host import APPS, PATIENCE, Host, run_host

from worker_ext.errors import HostError
from worker_ext.host.reload import concerns_app
from worker_ext.host.served_app import ServedApp
from worker_ext.host.settings import load_settings

VERSION = """
import azure.functions as func
import worker_ext as df
import os

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="VERSION")
def version(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("VERSION")


@app.route(route="pid")
def pid(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(str(os.getpid()))


@app.route(route="setting/{name}")
def setting(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(os.environ.get(req.route_params["name"], ""))


@app.route(route="slow")
async def slow(req: func.HttpRequest) -> func.HttpResponse:
    import asyncio

    print("slow begins", flush=True)
    await asyncio.sleep(1)
    return func.HttpResponse("VERSION")


@app.orchestration_trigger(context_name="context")
def waits(context):
    yield context.wait_for_external_event("go")
    return (yield context.call_activity("says", None))


@app.activity_trigger(input_name="nothing")
def says(nothing: None) -> str:
    return "VERSION"
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Versions have the same size and may be written in the same second: bytecode that is kept would hide the new one.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    folder = Path(shutil.copytree(APPS / "durable", tmp_path / "app"))
    write(folder, "one")
    return folder


def write(app: Path, version: str) -> None:
    (app / "function_app.py").write_text(VERSION.replace("VERSION", version))


def set_host_json(app: Path, hub: str = "TestHub", **http: str) -> None:
    extensions = {"durableTask": {"hubName": hub}, "http": http}
    (app / "host.json").write_text(json.dumps({"version": "2.0", "extensions": extensions}))


def workers_of_this_process() -> list[str]:
    command = ["ps", "-A", "-o", "ppid=", "-o", "stat=", "-o", "args="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    own = [line for line in listed if line.split()[0] == str(os.getpid())]
    return [line for line in own if "worker_ext.worker" in line and not line.split()[1].startswith("Z")]


async def reloaded(host: Host, path: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if (await host.get(path)).status == 200:
                return
            await asyncio.sleep(0.05)


class TestReload:
    async def test_what_changed_is_served_and_instances_go_on(self, app: Path) -> None:
        async with run_host(app, reload=True) as host:
            instance_id = await host.local.scheduler.start_instance("waits", None)
            assert (await host.get("/api/one")).text == "one"
            write(app, "two")
            await reloaded(host, "/api/two")
            assert (await host.get("/api/one")).status == 404
            await host.local.scheduler.raise_event(instance_id, "go", None)
            instance = await host.local.scheduler.wait_for_completion(instance_id, PATIENCE)
            assert instance is not None
            assert (instance.status, instance.output) == ("Completed", '"two"')

    async def test_what_runs_is_finished_by_the_worker_it_runs_in(self, app: Path) -> None:
        async with run_host(app, reload=True) as host:
            slow = asyncio.create_task(host.get("/api/slow"))
            await host.until(lambda: "slow begins" in host.printed.getvalue(), "the request to run")
            await host.local.workers.reload()
            assert (await slow).text == "one"

    async def test_one_that_fails_keeps_the_app_and_shows_why(self, app: Path) -> None:
        async with run_host(app, reload=True) as host:
            (app / "function_app.py").write_text("def broken(:\n")
            await host.until(lambda: "at the next change." in host.printed.getvalue(), "the reload to fail")
            assert "function_app.py" in host.printed.getvalue()
            assert "SyntaxError" in host.printed.getvalue() or "invalid syntax" in host.printed.getvalue()
            assert (await host.get("/api/one")).text == "one"
            write(app, "three")
            await reloaded(host, "/api/three")

    async def test_a_worker_that_is_killed_while_it_loads_the_app_keeps_the_app_as_it_was(self, app: Path) -> None:
        async with run_host(app, reload=True) as host:
            instance_id = await host.local.scheduler.start_instance("waits", None)
            loading = "import os, time\nprint('loading in', os.getpid(), flush=True)\ntime.sleep(600)\n"
            (app / "function_app.py").write_text(loading)
            await host.until(lambda: "loading in" in host.printed.getvalue(), "the new worker to load the app")
            (pid,) = re.findall(r"loading in (\d+)", host.printed.getvalue())
            os.kill(int(pid), signal.SIGKILL)
            await host.until(lambda: "at the next change." in host.printed.getvalue(), "the reload to fail")
            assert "the worker was killed by signal 9 before it had loaded the app" in host.printed.getvalue()
            assert (await host.get("/api/one")).text == "one"
            write(app, "two")
            await reloaded(host, "/api/two")
            await host.local.scheduler.raise_event(instance_id, "go", None)
            instance = await host.local.scheduler.wait_for_completion(instance_id, PATIENCE)
            assert instance is not None
            assert (instance.status, instance.output) == ("Completed", '"two"')
        assert workers_of_this_process() == []

    async def test_a_worker_that_is_killed_while_its_successor_loads_costs_nothing(self, app: Path) -> None:
        async with run_host(app, reload=True) as host:
            instance_id = await host.local.scheduler.start_instance("waits", None)
            before = host.local.workers.pids
            slow = "import time\nprint('loading', flush=True)\ntime.sleep(1)\n"
            (app / "function_app.py").write_text(slow + VERSION.replace("VERSION", "two"))
            await host.until(lambda: "loading" in host.printed.getvalue().split(), "the new worker to load the app")
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            await host.local.scheduler.raise_event(instance_id, "go", None)
            instance = await host.local.scheduler.wait_for_completion(instance_id, PATIENCE)
            assert instance is not None
            assert (instance.status, instance.output) == ("Completed", '"two"')
            await reloaded(host, "/api/two")
        assert workers_of_this_process() == []

    async def test_functions_of_the_other_model_are_refused(self, app: Path) -> None:
        async with run_host(app, reload=True) as host:
            (app / "hello").mkdir()
            (app / "hello" / "function.json").write_text('{"bindings": []}')
            await host.until(lambda: "at the next change." in host.printed.getvalue(), "the reload to fail")
            assert "expected an app of one programming model" in host.printed.getvalue()
            assert (await host.get("/api/one")).text == "one"

    async def test_settings_that_change_count_and_instances_go_on(self, app: Path) -> None:
        async with run_host(app, reload=True) as host:
            instance_id = await host.local.scheduler.start_instance("waits", None)
            set_host_json(app, routePrefix="v2")
            await reloaded(host, "/v2/one")
            assert (await host.get("/api/one")).status == 404
            await host.local.scheduler.raise_event(instance_id, "go", None)
            instance = await host.local.scheduler.wait_for_completion(instance_id, PATIENCE)
            assert instance is not None
            assert (instance.status, instance.output) == ("Completed", '"one"')

    async def test_app_settings_that_change_reach_the_app(self, app: Path) -> None:
        async with run_host(app, reload=True) as host:
            assert (await host.get("/api/setting/COLOUR")).text == ""
            (app / "local.settings.json").write_text('{"Values": {"COLOUR": "blue"}, "Host": {"CORS": "https://a.b"}}')
            await host.until(lambda: "The app has been loaded anew." in host.printed.getvalue(), "the reload")
            assert (await host.get("/api/setting/COLOUR")).text == "blue"
            answer = await host.send("GET", "/api/one", headers={"Origin": "https://a.b"})
            assert answer.headers["Access-Control-Allow-Origin"] == "https://a.b"

    async def test_another_task_hub_has_other_instances(self, app: Path, tmp_path: Path) -> None:
        async with run_host(app, tmp_path / "x.db", reload=True) as host:
            instance_id = await host.local.scheduler.start_instance("waits", None)
            set_host_json(app, "Other")
            await host.until(lambda: host.local.settings.durable.hub_name == "Other", "the other hub")
            assert await host.local.scheduler.get(instance_id) is None
            assert "The task hub is Other now; the instances of TestHub rest until" in host.printed.getvalue()
            set_host_json(app)
            await host.until(lambda: host.local.settings.durable.hub_name == "TestHub", "the first hub")
            assert await host.local.scheduler.get(instance_id) is not None

    async def test_requests_wait_while_settings_change(self, app: Path) -> None:
        async with run_host(app, reload=True) as host:
            (app / "host.json").write_text('{"version": "2.0", "functionTimeout": "00:10:00"}')
            while "The app has been loaded anew." not in host.printed.getvalue():
                assert (await host.get("/api/one")).text == "one"

    @pytest.mark.parametrize(
        "file, text, message",
        [
            ("host.json", '{"version": ', "not valid JSON"),
            ("host.json", '{"version": "2.0", "functionTimeout": 5}', "functionTimeout: expected"),
            ("local.settings.json", '{"Values": 5}', "local.settings.json: Values: expected"),
            ("local.settings.json", '{"Values": {"FUNCTIONS_WORKER_PROCESS_COUNT": "0"}}', "PROCESS_COUNT: expected"),
        ],
    )
    async def test_settings_that_are_none_change_nothing(self, app: Path, file: str, text: str, message: str) -> None:
        async with run_host(app, reload=True) as host:
            before = host.local.workers.pids
            (app / file).write_text(text)
            await host.until(lambda: "at the next change." in host.printed.getvalue(), "the reload to fail")
            assert message in host.printed.getvalue()
            assert (host.local.workers.pids, (await host.get("/api/one")).text) == (before, "one")
            (app / file).write_text("{}")
            await host.until(lambda: "has been loaded anew" in host.printed.getvalue(), "the reload")

    async def test_a_host_that_is_stopped_meanwhile_leaves_no_worker(self, app: Path) -> None:
        for pause in (0.05, 0.3, 0.6, 0.9):
            async with run_host(app, reload=True) as host:
                (app / "local.settings.json").write_text(json.dumps({"Values": {"PAUSE": str(pause)}}))
                await host.until(lambda: "settings are read" in host.printed.getvalue(), "the reload to begin")
                await asyncio.sleep(pause)
            assert workers_of_this_process() == []

    @pytest.mark.parametrize("seconds", [0, 0.01, 0.1])
    async def test_a_host_that_is_stopped_while_apps_change_places_leaves_nothing(
        self, app: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
    ) -> None:
        before, stopping, stop = listening(), asyncio.Event(), ServedApp.stop

        async def tell_and_stop(served: ServedApp) -> None:
            stopping.set()
            await stop(served)

        monkeypatch.setattr(ServedApp, "stop", tell_and_stop)
        async with run_host(app, reload=True):
            (app / "local.settings.json").write_text(json.dumps({"Values": {"PAUSE": str(seconds)}}))
            async with asyncio.timeout(PATIENCE):
                await stopping.wait()
            await asyncio.sleep(seconds)
        assert listening() <= before
        assert workers_of_this_process() == []

    async def test_a_database_that_cannot_be_opened_brings_the_old_settings_back(
        self, app: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with run_host(app, None, reload=True) as host:
            instance_id = await host.local.scheduler.start_instance("waits", None)
            (app / ".worker_ext" / "Broken.db").write_text("no database")
            set_host_json(app, "Broken")
            await host.until(lambda: "at the next change." in host.printed.getvalue(), "the reload to fail")
            assert "Broken.db" in host.printed.getvalue()
            assert (await host.get("/api/one")).text == "one"
            assert await host.local.scheduler.get(instance_id) is not None

    async def test_without_it_nothing_is_watched(self, app: Path) -> None:
        async with run_host(app) as host:
            write(app, "two")
            await host.local.scheduler.start_instance("waits", None)
            assert (await host.get("/api/two")).status == 404


@pytest.mark.parametrize(
    "path, expected",
    [
        ("function_app.py", True),
        ("shared/helper.py", True),
        ("hello/function.json", True),
        ("host.json", True),
        ("local.settings.json", True),
        ("data/host.json", False),
        ("notes.txt", False),
        (".venv/lib/x.py", False),
        ("env/lib/x.py", False),
        ("__pycache__/x.py", False),
        (".worker_ext/x.py", False),
    ],
)
def test_files_of_the_app_are_watched(tmp_path: Path, path: str, expected: bool) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    assert concerns_app(tmp_path, tmp_path / path) is expected


class TestSeveralWorkers:
    async def test_work_is_spread_over_them(self, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FUNCTIONS_WORKER_PROCESS_COUNT", "2")
        async with run_host(app) as host:
            await host.until(lambda: len(host.local.workers.pids) == 2, "the second worker")
            seen = {(await host.get("/api/pid")).text for _ in range(4)}
            assert seen == {str(pid) for pid in host.local.workers.pids}

    async def test_one_that_dies_leaves_the_work_to_the_other(self, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FUNCTIONS_WORKER_PROCESS_COUNT", "2")
        async with run_host(app) as host:
            await host.until(lambda: len(host.local.workers.pids) == 2, "the second worker")
            first, second = host.local.workers.pids
            os.kill(second, signal.SIGKILL)
            await host.until(lambda: second not in host.local.workers.pids, "the death to be noticed")
            assert (await host.get("/api/pid")).status == 200
            await host.until(lambda: len(host.local.workers.pids) == 2, "its successor")
            assert host.local.workers.pids[0] == first

    async def test_none_is_left_at_the_end(self, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FUNCTIONS_WORKER_PROCESS_COUNT", "3")
        async with run_host(app) as host:
            await host.until(lambda: len(host.local.workers.pids) == 3, "the workers")
            pids = host.local.workers.pids
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    @pytest.mark.parametrize("count", ["0", "11", "many", "-1"])
    def test_a_number_of_workers_that_is_none_is_refused(self, tmp_path: Path, count: str) -> None:
        with pytest.raises(HostError, match="FUNCTIONS_WORKER_PROCESS_COUNT: expected a number from 1 to 10, found"):
            load_settings(tmp_path, environ={"FUNCTIONS_WORKER_PROCESS_COUNT": count})


def test_settings_of_cors_are_read(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text(json.dumps({"Host": {"CORS": "a, B/,", "CORSCredentials": True}}))
    cors = load_settings(tmp_path, environ={}).cors
    assert (cors.origins, cors.credentials) == (frozenset({"a", "b"}), True)
