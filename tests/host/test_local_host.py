"""LocalHost: what it wires, what it keeps, and what it leaves behind."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
from pathlib import Path

import pytest
from host_process import free_port
from running_host import APPS, PATIENCE, run_host

from worker_ext.errors import HostError
from worker_ext.host.console import Console
from worker_ext.host.local_host import LocalHost


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """An app of one's own, to write beside."""
    return Path(shutil.copytree(APPS / "durable", tmp_path / "app"))


def quiet() -> Console:
    return Console(io.StringIO())


async def test_it_runs_an_orchestration_to_its_result(app: Path) -> None:
    async with run_host(app) as host:
        instance_id = await host.local.scheduler.start_instance("walks", None)
        instance = await host.local.scheduler.wait_for_completion(instance_id, PATIENCE)
        assert instance is not None
        assert (instance.status, instance.output) == ("Completed", '{"ok":true}')


@pytest.mark.parametrize("transport, loads_grpc", [("", False), ("frames", False), ("grpc", True)])
async def test_the_worker_speaks_what_the_setting_says(
    app: Path, monkeypatch: pytest.MonkeyPatch, transport: str, loads_grpc: bool
) -> None:
    monkeypatch.setenv("WORKER_EXT_TRANSPORT", transport)
    with (app / "function_app.py").open("a") as script:
        script.write("\nimport sys\nprint('grpc is loaded:', 'grpc' in sys.modules)\n")
    async with run_host(app) as host:
        instance_id = await host.local.scheduler.start_instance("walks", None)
        instance = await host.local.scheduler.wait_for_completion(instance_id, PATIENCE)
        assert instance is not None
        assert (instance.status, instance.output) == ("Completed", '{"ok":true}')
        assert f"grpc is loaded: {loads_grpc}" in host.printed.getvalue()


async def test_instances_go_on_after_a_restart(app: Path) -> None:
    async with run_host(app, app / "x.db") as host:
        instance_id = await host.local.scheduler.start_instance("waits", None)
    async with run_host(app, app / "x.db") as host:
        await host.local.scheduler.raise_event(instance_id, "go", '"on"')
        instance = await host.local.scheduler.wait_for_completion(instance_id, PATIENCE)
        assert instance is not None
        assert instance.output == '{"got":"on"}'


async def test_an_activity_survives_the_death_of_its_worker(app: Path) -> None:
    (app / "function_app.py").write_text(
        """
import os
import time
import worker_ext as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def survivor(context):
    return (yield context.call_activity("die_once", None))


@app.activity_trigger(input_name="nothing")
def die_once(nothing: None) -> str:
    try:
        os.close(os.open("died", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "second life"
    os._exit(1)
"""
    )
    async with run_host(app) as host:
        instance_id = await host.local.scheduler.start_instance("survivor", None)
        instance = await host.local.scheduler.wait_for_completion(instance_id, PATIENCE)
        assert instance is not None
        assert (instance.status, instance.output) == ("Completed", '"second life"')


async def test_the_default_database_is_in_a_folder_that_git_passes_over(app: Path) -> None:
    async with LocalHost(app, port=0, console=quiet()) as host:
        assert host.database == str(app / ".worker_ext" / "TestHub.db")
    assert names_in(app / ".worker_ext") == [".gitignore", "TestHub.db"]
    assert (app / ".worker_ext" / ".gitignore").read_text() == "*\n"


async def test_nothing_is_written_for_a_database_in_memory(app: Path) -> None:
    async with LocalHost(app, port=0, db=":memory:", console=quiet()) as host:
        assert host.database == ":memory:"
    assert names_in(app) == ["function_app.py", "host.json"]


async def test_two_hosts_run_side_by_side(app: Path) -> None:
    async with run_host(app) as first, run_host(app) as second:
        assert first.url != second.url
        payloads = [(await host.get("/api/client")).json["rpcBaseUrl"] for host in (first, second)]
        assert payloads[0] != payloads[1]


async def test_without_a_local_endpoint_the_client_uses_the_public_one(app: Path) -> None:
    (app / "host.json").write_text(
        '{"version": "2.0", "extensions": {"durableTask": {"localRpcEndpointEnabled": false}}}'
    )
    async with run_host(app) as host:
        assert (await host.get("/api/client")).json["rpcBaseUrl"] is None
        assert (await host.post("/api/start/child")).status == 202


async def test_links_follow_the_forwarded_host_when_told_to(app: Path) -> None:
    (app / "host.json").write_text(
        '{"version": "2.0", "extensions": {"durableTask": {"httpSettings": {"useForwardedHost": true}}}}'
    )
    headers = {"X-Forwarded-Host": "proxy.example", "X-Forwarded-Proto": "https"}
    async with run_host(app) as host:
        answer = await host.post("/runtime/webhooks/durabletask/orchestrators/child", None, headers)
        assert answer.headers["Location"].startswith("https://proxy.example/runtime/webhooks/durabletask/instances/")


async def test_whoever_connects_before_the_host_is_ready_waits_for_it(app: Path) -> None:
    (app / "local.settings.json").write_text(f'{{"Host": {{"LocalHttpPort": {free_port()}}}}}')
    host = LocalHost(app, db=":memory:", console=quiet())
    starting = asyncio.create_task(host.start())
    try:
        reader, writer = await connected(host.settings.port)
        assert not starting.done()
        writer.write(b"GET /admin/host/ping HTTP/1.0\r\n\r\n")
        assert (await reader.readline()).rstrip() == b"HTTP/1.0 200 OK"
        writer.close()
        await writer.wait_closed()
    finally:
        await starting
        await host.stop()


async def test_a_start_that_fails_leaves_nothing_running(app: Path) -> None:
    (app / "function_app.py").write_text("raise RuntimeError('not today')\n")
    host = LocalHost(app, port=0, db=app / "x.db", console=quiet())
    with pytest.raises(HostError, match=r"function_app\.py:1: the app could not be loaded: .*not today"):
        await host.start()
    assert host.workers.pid is None
    (app / "function_app.py").write_text((APPS / "durable" / "function_app.py").read_text())
    async with run_host(app, app / "x.db"):
        pass


async def test_a_start_that_is_given_up_leaves_nothing_running(app: Path) -> None:
    (app / "function_app.py").write_text("import time\ntime.sleep(600)\n")
    host = LocalHost(app, port=0, db=":memory:", console=quiet())
    starting = asyncio.create_task(host.start())
    async with asyncio.timeout(PATIENCE):
        while True:
            if host.is_launched and (pid := host.workers.pid) is not None:
                break
            await asyncio.sleep(0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def names_in(folder: Path) -> list[str]:
    """What lies in a folder, but for Python's cache."""
    return sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.001)
