"""Clients that no binding made, against a host that runs in another process; and what goes beyond one instance."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from host_process import PATIENCE, HostProcess
from management_host import FakeHost, Seen

from worker_ext.client import DurableOrchestrationClient
from worker_ext.connection import connection_payload, find_target
from worker_ext.errors import ClientError, InstanceFailedError, PayloadError
from worker_ext.protocol.client import OrchestrationRuntimeStatus
from worker_ext.recording import from_status
from worker_ext.sync_client import SyncDurableOrchestrationClient

APP = Path(__file__).parent.parent / "host" / "apps" / "durable"
API = "/runtime/webhooks/durabletask"
SOON = timedelta(seconds=60)
POLL = timedelta(milliseconds=20)
TIMES = {"createdTime": "2026-01-02T03:04:05Z", "lastUpdatedTime": "2026-01-02T03:04:05Z"}


def status(instance_id: str, state: str = "Running") -> dict[str, object]:
    return {"name": "o", "instanceId": instance_id, "runtimeStatus": state, **TIMES}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    folder = tmp_path_factory.mktemp("connect")
    process = HostProcess(Path(shutil.copytree(APP, folder / "app")), folder / "x.db")
    process.start()
    yield process
    process.stop()


@pytest.fixture
def connected(host: FakeHost) -> DurableOrchestrationClient:
    return DurableOrchestrationClient.connect(host.base.removesuffix("/durabletask/"), "a/b=")


@dataclass
class Got:
    got: int


@dataclass
class GotText:
    got: str


class TestConnect:
    async def test_requests_go_to_the_public_api_with_the_key(
        self, host: FakeHost, connected: DurableOrchestrationClient
    ) -> None:
        host.answers(202)
        await connected.terminate("i 1", "enough")
        assert host.seen == [Seen("POST", f"{API}/instances/i%201/terminate?reason=enough&code=a%2Fb%3D")]

    async def test_a_task_hub_is_named_in_each_request(self, host: FakeHost) -> None:
        client = DurableOrchestrationClient.connect(host.base.removesuffix("/durabletask/"), task_hub_name="Other")
        host.answers(404)
        assert not await client.get_status("i")
        assert host.seen == [Seen("GET", f"{API}/instances/i?taskHub=Other")]

    def test_links_lead_to_the_host(self) -> None:
        client = DurableOrchestrationClient.connect("https://app.example/", "K")
        links = client.create_http_management_payload("i")
        base = f"https://app.example{API}/instances/i"
        assert links == {
            "id": "i",
            "statusQueryGetUri": f"{base}?code=K",
            "sendEventPostUri": f"{base}/raiseEvent/{{eventName}}?code=K",
            "terminatePostUri": f"{base}/terminate?reason={{text}}&code=K",
            "rewindPostUri": f"{base}/rewind?reason={{text}}&code=K",
            "purgeHistoryDeleteUri": f"{base}?code=K",
            "restartPostUri": f"{base}/restart?code=K",
            "suspendPostUri": f"{base}/suspend?reason={{text}}&code=K",
            "resumePostUri": f"{base}/resume?reason={{text}}&code=K",
        }

    @pytest.mark.parametrize(
        "environ, base, key",
        [
            ({}, "http://localhost:7071", ""),
            ({"WORKER_EXT_URL": "https://x.example"}, "https://x.example", ""),
            ({"WORKER_EXT_URL": f"https://x.example{API}/", "WORKER_EXT_KEY": "k"}, "https://x.example", "code=k"),
        ],
    )
    def test_the_environment_says_what_is_not_given(self, environ: dict[str, str], base: str, key: str) -> None:
        payload = connection_payload(environ=environ)
        assert (payload.base_url, payload.required_query_string_parameters) == (base + API, key)

    @pytest.mark.parametrize(
        "settings, url, key",
        [
            ("{}", "http://localhost:7071", None),
            ('{"Host": {"LocalHttpPort": 7072}} // mine', "http://localhost:7072", None),
            ('{"values": {"WORKER_EXT_URL": "https://x", "WORKER_EXT_KEY": "k"}}', "https://x", "k"),
        ],
    )
    def test_else_the_settings_of_the_folder_do(self, tmp_path: Path, settings: str, url: str, key: str | None) -> None:
        (tmp_path / "local.settings.json").write_text(settings)
        assert find_target(environ={}, folder=tmp_path) == (url, key)

    def test_the_key_of_settings_is_for_their_host_alone(self, tmp_path: Path) -> None:
        (tmp_path / "local.settings.json").write_text('{"Values": {"WORKER_EXT_KEY": "k"}}')
        assert find_target("https://other", environ={}, folder=tmp_path) == ("https://other", None)
        assert find_target(environ={"WORKER_EXT_URL": "https://other"}, folder=tmp_path) == ("https://other", None)

    def test_settings_that_are_none_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "local.settings.json").write_text("{")
        with pytest.raises(ValueError, match=r"local\.settings\.json:1:2: not valid JSON"):
            find_target(environ={}, folder=tmp_path)

    @pytest.mark.parametrize("url", ["my-app", "ftp://x", "http://", "https://x.example?code=K"])
    def test_what_is_no_url_of_a_host_is_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match="expected the URL of a host, such as http://localhost:7071"):
            DurableOrchestrationClient.connect(url)


class TestListInstances:
    async def test_it_asks_for_a_page_when_it_gets_there(
        self, host: FakeHost, connected: DurableOrchestrationClient
    ) -> None:
        host.answers(200, [status("a"), status("b")], {"x-ms-continuation-token": "t"})
        host.answers(200, [status("c")], {"x-ms-continuation-token": ""})
        found = connected.list_instances(instance_id_prefix="x", page_size=2, show_input=False)
        seen = [(item.instance_id, len(host.seen)) async for item in found]
        assert seen == [("a", 1), ("b", 1), ("c", 2)]
        assert host.seen[0].target == f"{API}/instances/?instanceIdPrefix=x&showInput=false&top=2&code=a%2Fb%3D"
        assert [headers.get("x-ms-continuation-token") for headers in host.headers] == [None, "t"]


class TestWaitForCompletion:
    async def test_it_gives_the_status_however_the_instance_ended(
        self, host: FakeHost, connected: DurableOrchestrationClient
    ) -> None:
        host.answers(202, status("i"))
        host.answers(200, status("i", "Terminated"))
        ended = await connected.wait_for_completion("i", SOON, POLL)
        assert ended.runtime_status is OrchestrationRuntimeStatus.Terminated

    async def test_it_waits_no_longer_than_told(self, host: FakeHost, connected: DurableOrchestrationClient) -> None:
        host.answers(202, status("i"))
        with pytest.raises(TimeoutError, match="instance 'i' has not ended within 0:00:00"):
            await connected.wait_for_completion("i", timedelta(0))

    async def test_an_unknown_instance_never_ends(self, host: FakeHost, connected: DurableOrchestrationClient) -> None:
        host.answers(404)
        host.answers(200, [])
        with pytest.raises(ClientError, match="there is no such instance"):
            await connected.wait_for_completion("i")

    async def test_a_wrong_address_is_told_from_an_unknown_instance(
        self, host: FakeHost, connected: DurableOrchestrationClient
    ) -> None:
        for _ in range(2):
            host.answers(404)
        with pytest.raises(ClientError, match="not a Durable management API") as refusal:
            await connected.terminate("i", "x")
        assert refusal.value.instance_id is None


class TestWaitForResult:
    async def test_it_is_what_the_orchestrator_returned(self, running: HostProcess) -> None:
        client = DurableOrchestrationClient.connect(running.url)
        instance_id = await client.start_new("waits")
        await client.send_event(instance_id, "go", 7)
        assert await client.wait_for_result(instance_id, None, SOON, POLL) == {"got": 7}
        assert await client.wait_for_result(instance_id, Got, SOON, POLL) == Got(7)
        with pytest.raises(PayloadError, match="got"):
            await client.wait_for_result(instance_id, GotText, SOON, POLL)

    async def test_an_instance_that_fails_or_is_terminated_has_none(self, running: HostProcess) -> None:
        client = DurableOrchestrationClient.connect(running.url)
        failing, waiting = await client.start_new("breaks"), await client.start_new("waits")
        await client.terminate(waiting, "enough")
        with pytest.raises(InstanceFailedError, match=f"^instance '{failing}' has ended as Failed: .*boom") as failed:
            await client.wait_for_result(failing, None, SOON, POLL)
        assert (failed.value.instance_id, failed.value.state) == (failing, "Failed")
        with pytest.raises(InstanceFailedError) as terminated:
            await client.wait_for_result(waiting, None, SOON, POLL)
        assert (terminated.value.state, terminated.value.output) == ("Terminated", "enough")

    async def test_it_waits_no_longer_than_told(self, host: FakeHost, connected: DurableOrchestrationClient) -> None:
        host.answers(202, status("i"))
        with pytest.raises(TimeoutError):
            await connected.wait_for_result("i", timeout=timedelta(0))


def test_a_script_finds_its_host_and_key_in_the_environment(tmp_path: Path) -> None:
    """Another process, a host that asks for keys, and nothing in the code that names either."""
    app = Path(shutil.copytree(APP, tmp_path / "app"))
    host = HostProcess(app, tmp_path / "x.db", options=["--enable-auth"]).start()
    try:
        keys = json.loads((app / ".worker_ext" / "keys.json").read_text())
        system = {"WORKER_EXT_URL": host.url, "WORKER_EXT_KEY": keys["systemKeys"]["durabletask_extension"]}
        assert run_script(system) == "Completed c"
        assert run_script(system | {"WORKER_EXT_KEY": keys["masterKey"]}) == "Completed c"
        assert run_script(system | {"WORKER_EXT_KEY": "wrong"}) == "refused 401"
    finally:
        host.stop()


SCRIPT = """
import asyncio
from datetime import timedelta
import worker_ext as df

async def main():
    client = df.DurableOrchestrationClient.connect()
    try:
        instance_id = await client.start_new("child")
    except df.ClientError as error:
        return f"refused {error.status}"
    ended = await client.wait_for_completion(instance_id, timedelta(seconds=60), timedelta(milliseconds=20))
    return f"{ended.runtime_status.value} {ended.output}"

print(asyncio.run(main()))
"""


def run_script(environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return done.stdout.strip()


async def test_a_failed_instance_is_rewound(running: HostProcess, tmp_path: Path) -> None:
    client = DurableOrchestrationClient.connect(running.url)
    file = tmp_path / "order.txt"
    instance_id = await client.start_new("reads", None, str(file))
    failed = await client.wait_for_completion(instance_id, SOON, POLL)
    assert failed.runtime_status is OrchestrationRuntimeStatus.Failed
    file.write_text("two boxes")
    await client.rewind(instance_id, "the file is there")
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await client.get_status(instance_id)
            if found.runtime_status is not OrchestrationRuntimeStatus.Failed:
                break
            await asyncio.sleep(0.02)
    assert await client.wait_for_result(instance_id, str, SOON, POLL) == "two boxes"
    with pytest.raises(ClientError, match="only orchestrations in the"):
        await client.rewind(instance_id, "again")


class TestExportHistory:
    async def test_of_a_host_that_tells_no_history_it_is_worked_out(
        self, host: FakeHost, connected: DurableOrchestrationClient
    ) -> None:
        event = {"EventType": "ExecutionStarted", "Timestamp": "2026-01-02T03:04:05Z", "FunctionName": "f"}
        shown = {**status("i"), "historyEvents": [event]}
        host.answers(202, shown)
        host.answers(404)
        assert json.loads(await connected.export_history("i")) == from_status(shown)
        assert [seen.target.partition("?")[0] for seen in host.seen] == [
            f"{API}/instances/i",
            f"{API}/instances/i/history",
        ]

    async def test_an_instance_that_has_not_begun_has_none(
        self, host: FakeHost, connected: DurableOrchestrationClient
    ) -> None:
        host.answers(202, status("i", "Pending"))
        host.answers(404)
        with pytest.raises(ClientError, match="the instance has no history yet"):
            await connected.export_history("i")


class TestMany:
    async def test_each_is_done_and_refusals_are_told(
        self, host: FakeHost, connected: DurableOrchestrationClient
    ) -> None:
        for code in (202, 404, 410):
            host.answers(code)
        progress: list[int] = []
        result = await connected.terminate_each(["a", "b", "c"], "why", progress.append)
        assert (result.done, progress, len(result.refused)) == (2, [1, 2, 3], 1)

    async def test_an_iterator_of_ids_is_followed(self, running: HostProcess) -> None:
        client = DurableOrchestrationClient.connect(running.url)
        for number in range(25):
            await client.start_new("child", f"many-{number}")
        for number in range(25):
            await client.wait_for_completion(f"many-{number}", SOON, POLL)
        ids = (str(item.instance_id) async for item in client.list_instances(instance_id_prefix="many-", page_size=7))
        result = await client.purge_each(ids)
        assert (result.done, result.refused) == (25, {})
        assert await client.get_status_by(instance_id_prefix="many-") == []

    async def test_a_lost_connection_ends_it(self, connected: DurableOrchestrationClient) -> None:
        async def gone() -> None:
            raise ConnectionError("gone")

        from worker_ext.bulk import for_each

        with pytest.raises(ConnectionError):
            await for_each(["a", "b"], lambda _: gone())
        assert len(asyncio.all_tasks()) == 1


async def test_every_page_is_followed_on_a_real_host(running: HostProcess) -> None:
    client = DurableOrchestrationClient.connect(running.url)
    for number in range(120):
        await client.start_new("child", f"page-{number:03}")
    found = await client.get_status_by(instance_id_prefix="page-")
    assert [item.instance_id for item in found] == [f"page-{number:03}" for number in range(120)]
    assert len(await client.get_status_all()) >= 120


async def test_an_event_is_sent_as_it_is_or_as_text(running: HostProcess) -> None:
    client = DurableOrchestrationClient.connect(running.url)
    for send, got in ((client.send_event, {"n": 1}), (client.raise_event, '{"n": 1}')):
        instance_id = await client.start_new("waits")
        await send(instance_id, "go", {"n": 1})
        assert (await client.wait_for_completion(instance_id, SOON, POLL)).output == {"got": got}


class TestSyncClient:
    def test_it_does_what_the_other_does(self, running: HostProcess) -> None:
        with SyncDurableOrchestrationClient.connect(running.url) as client:
            instance_id = client.start_new("waits", client_input=[1])
            client.suspend(instance_id, "x")
            while client.get_status(instance_id).runtime_status is not OrchestrationRuntimeStatus.Suspended:
                pass
            client.resume(instance_id, "x")
            client.send_event(instance_id, "go", 7)
            ended = client.wait_for_completion(instance_id, SOON, POLL)
            assert (ended.output, client.get_status(instance_id).input_) == ({"got": 7}, "[1]")
            assert client.wait_for_result(instance_id, Got) == Got(7)
            again = client.restart(instance_id)
            client.terminate(again, "enough")
            assert client.wait_for_completion(again, SOON, POLL).output == "enough"
            listed = [item.instance_id for item in client.list_instances(instance_id_prefix=again, page_size=1)]
            assert listed == [again]
            assert client.purge_instance_history(again).instances_deleted == 1
            assert not client.get_status(again)

    def test_it_has_every_method_that_needs_no_request(self) -> None:
        """Those that answer an HTTP request are for functions, which get the other client."""
        methods = {name for name in vars(DurableOrchestrationClient) if not name.startswith("_")}
        answering = {name for name in methods if "check_status" in name or name == "get_client_response_links"}
        missing = methods - answering - vars(SyncDurableOrchestrationClient).keys()
        assert missing == {"create_http_management_payload"}
        assert SyncDurableOrchestrationClient.start_new.__doc__ == DurableOrchestrationClient.start_new.__doc__

    def test_lists_are_gone_through_to_their_end(self, running: HostProcess) -> None:
        with SyncDurableOrchestrationClient.connect(running.url) as client:
            for number in range(5):
                client.start_new("child", f"step-{number}")
            found = client.list_instances(instance_id_prefix="step-", page_size=2)
            assert next(found).instance_id == "step-0"
            assert [item.instance_id for item in found] == [f"step-{number}" for number in range(1, 5)]
            assert list(client.list_entities()) == []

    def test_a_refusal_is_raised_where_it_is_called(self, running: HostProcess) -> None:
        with (
            SyncDurableOrchestrationClient.connect(running.url) as client,
            pytest.raises(ClientError, match="nosuch"),
        ):
            client.terminate("nosuch", "x")

    async def test_it_works_where_a_loop_runs(self, running: HostProcess) -> None:
        with SyncDurableOrchestrationClient.connect(running.url) as client:
            assert not client.get_status("nosuch")

    def test_closed_it_says_so_and_leaves_no_thread(self, running: HostProcess) -> None:
        before = threading.active_count()
        client = SyncDurableOrchestrationClient.connect(running.url)
        assert not client.get_status("nosuch")
        client.close()
        client.close()
        assert threading.active_count() == before
        with pytest.raises(RuntimeError, match="the client is closed"):
            client.get_status("nosuch")
