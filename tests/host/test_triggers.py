"""Functions started by the clock and by hand, keys and CORS, on a host that runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from running_host import APPS, Answer, Host, run_host

from worker_ext.errors import HostError
from worker_ext.host.keys import load_keys
from worker_ext.host.store import Store
from worker_ext.host.timer_statuses import TimerStatus

pytestmark = pytest.mark.asyncio(loop_scope="module")


def copy_app(folder: Path, cors: dict[str, Any] | None = None) -> Path:
    app = Path(shutil.copytree(APPS / "timers", folder / "app"))
    (app / "local.settings.json").write_text(json.dumps({"Host": cors or {}}))
    return app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[Host]:
    async with run_host(APPS / "timers") as running:
        yield running


async def printed(host: Host, text: str) -> None:
    await host.until(lambda: text in host.printed.getvalue(), repr(text))


class TestTimers:
    async def test_a_schedule_starts_its_function(self, host: Host) -> None:
        await printed(host, "every_second past due: False")

    async def test_a_function_may_run_at_each_start(self, host: Host) -> None:
        await printed(host, 'at_start past due: False, {"AdjustForDST": true}')

    async def test_a_schedule_that_is_none_is_a_fault(self, host: Host) -> None:
        never = next(function for function in host.local.workers.catalog.functions if function.name == "never")
        assert never.fault is not None
        assert never.fault.startswith("schedule: expected six fields")

    async def test_a_time_that_was_missed_is_made_up_for_at_the_next_start(self, tmp_path: Path) -> None:
        db = tmp_path / "x.db"
        store = Store(db, "TestHub")
        missed = datetime.now(UTC) - timedelta(hours=1)
        last = datetime(2026, 1, 2, tzinfo=UTC)
        await store.timer_statuses.put("nightly", TimerStatus(last, missed))
        store.close()
        async with run_host(APPS / "timers", db) as host:
            await printed(host, "nightly past due: True, last 2026-01-02")
            await host.until(lambda: host.local.workers.running == 0, "the function to be answered")
        store = Store(db, "TestHub")
        kept = await store.timer_statuses.get("nightly")
        store.close()
        assert kept is not None
        assert kept.last is not None
        assert kept.last > missed
        assert (kept.next.minute, kept.next > datetime.now(UTC)) == (30, True)

    async def test_what_runs_every_second_is_never_past_due(self, tmp_path: Path) -> None:
        db = tmp_path / "x.db"
        store = Store(db, "TestHub")
        await store.timer_statuses.put("every_second", TimerStatus(None, datetime(2026, 1, 2, tzinfo=UTC)))
        store.close()
        async with run_host(APPS / "timers", db) as host:
            await printed(host, "every_second past due: False")
            assert "every_second past due: True" not in host.printed.getvalue()


class TestByHand:
    @pytest.mark.parametrize(
        "name, text, seen",
        [
            ("from_queue", "a message", "from_queue got a message"),
            ("PACK", "17", "pack got 17"),
            ("nightly", "", "nightly past due: False"),
            ("locked", "a body", "locked got POST a body"),
            ("waits", "x", "waits: an orchestration cannot be started by hand. Start it through the durable client"),
        ],
    )
    async def test_any_function_is_started_without_waiting(self, host: Host, name: str, text: str, seen: str) -> None:
        answer = await host.post(f"/admin/functions/{name}", json.dumps({"input": text}).encode())
        assert (answer.status, answer.body) == (202, b"")
        await printed(host, seen)

    @pytest.mark.parametrize("path, body, status", [("pack", None, 400), ("pack", b"[1]", 400), ("nosuch", b"{}", 404)])
    async def test_what_cannot_be_is_refused(self, host: Host, path: str, body: bytes | None, status: int) -> None:
        assert (await host.post(f"/admin/functions/{path}", body)).status == status


class TestDescriptions:
    async def test_every_function_is_listed_with_its_bindings(self, host: Host) -> None:
        listed = {item["name"]: item for item in (await host.get("/admin/functions")).json}
        assert set(listed) == {function.name for function in host.local.workers.catalog.functions}
        one = (await host.get("/admin/functions/Locked")).json
        assert one == listed["locked"]
        assert (one["invoke_url_template"], one["href"], one["isDisabled"]) == (
            f"{host.url}/api/locked/{{word?}}",
            f"{host.url}/admin/functions/locked",
            False,
        )
        assert [binding["type"] for binding in one["config"]["bindings"]] == ["httpTrigger", "http"]
        assert listed["pack"]["invoke_url_template"] is None

    async def test_its_errors_are_told(self, host: Host) -> None:
        assert (await host.get("/admin/functions/pack/status")).json == {"errors": []}
        (error,) = (await host.get("/admin/functions/never/status")).json["errors"]
        assert error.startswith("schedule: expected six fields")

    async def test_an_unknown_function_is_not_found(self, host: Host) -> None:
        assert (await host.get("/admin/functions/nosuch")).status == 404


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    app = copy_app(tmp_path_factory.mktemp("keys"))
    (app / ".worker_ext").mkdir()
    keys = {
        "masterKey": "M",
        "functionKeys": {"default": "H"},
        "systemKeys": {"durabletask_extension": "S"},
        "functions": {"Locked": {"own": "F"}},
    }
    (app / ".worker_ext" / "keys.json").write_text(json.dumps(keys))
    async with run_host(app, enable_auth=True) as running:
        yield running


class TestKeys:
    @pytest.mark.parametrize(
        "path, keys",
        [
            ("/api/open", ["", "x", "M", "H", "S", "F"]),
            ("/api/locked", ["M", "H", "F"]),
            ("/api/masters", ["M"]),
            ("/runtime/webhooks/durabletask/instances", ["M", "S"]),
            ("/admin/extensions/DurableTaskExtension/instances", ["M", "S"]),
            ("/admin/host/status", ["M"]),
            ("/admin/functions", ["M"]),
            ("/admin/host/ping", ["", "x", "M", "H", "S", "F"]),
        ],
    )
    async def test_each_level_has_its_keys(self, guarded: Host, path: str, keys: list[str]) -> None:
        opened = []
        for key in ["", "x", "M", "H", "S", "F"]:
            by_header = await guarded.send("GET", path, headers={"x-functions-key": key})
            by_query = await guarded.get(f"{path}?code={key}")
            assert by_header.status == by_query.status
            assert by_header.status in (200, 401)
            opened += [key] if by_header.status == 200 else []
        assert opened == keys

    async def test_the_header_is_looked_at_first(self, guarded: Host) -> None:
        assert (await guarded.send("GET", "/api/locked?code=H", headers={"x-functions-key": "x"})).status == 401

    async def test_management_urls_carry_the_system_key(self, guarded: Host) -> None:
        answer = await guarded.post("/runtime/webhooks/durabletask/orchestrators/waits?code=S")
        assert answer.json["statusQueryGetUri"].endswith("&code=S")
        assert (await guarded.get(answer.json["statusQueryGetUri"])).status in (200, 202)

    async def test_the_apps_own_clients_need_none(self, guarded: Host) -> None:
        payload = (await guarded.get("/api/binding")).json
        assert payload["requiredQueryStringParameters"] == "code=S"
        assert (await guarded.get(f"{payload['rpcBaseUrl']}instances")).status == 200

    async def test_new_keys_are_made_once_and_for_the_owner_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        keys = load_keys(file)
        assert load_keys(file) == keys
        assert file.stat().st_mode & 0o77 == 0
        assert len({keys.master_key, keys.durable_key, keys.function_keys["default"]}) == 3

    @pytest.mark.parametrize("text", ["", "{}", '{"masterKey": 5}', '{"masterKey": ""}'])
    async def test_a_file_of_no_keys_is_refused(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "keys.json"
        file.write_text(text)
        with pytest.raises(HostError, match=r"keys\.json: .* get new keys"):
            load_keys(file)

    async def test_nothing_is_asked_for_by_default(self, host: Host) -> None:
        assert [(await host.get(path)).status for path in ("/api/locked", "/api/masters", "/admin/functions")] == [
            200
        ] * 3


class TestCors:
    async def ask(self, folder: Path, settings: dict[str, Any], origin: str | None, method: str = "GET") -> Answer:
        headers = {} if origin is None else {"Origin": origin}
        if method == "OPTIONS":
            headers |= {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-a, x-b"}
        async with run_host(copy_app(folder, settings)) as host:
            return await host.send(method, "/api/open", headers=headers)

    @staticmethod
    def allowing(answer: Answer) -> dict[str, str]:
        return {name[15:]: value for name, value in answer.headers.items() if name.startswith("Access-Control-")}

    @pytest.mark.parametrize(
        "settings, origin, allowed",
        [
            ({}, "https://a.example", {}),
            ({"CORS": "*"}, "https://a.example", {"Allow-Origin": "*"}),
            ({"CORS": "*"}, None, {}),
            (
                {"CORS": "https://b.example, https://A.example/"},
                "https://a.example",
                {"Allow-Origin": "https://a.example"},
            ),
            ({"CORS": "https://b.example"}, "https://a.example", {}),
            (
                {"CORS": "https://a.example", "CORSCredentials": True},
                "https://a.example",
                {"Allow-Origin": "https://a.example", "Allow-Credentials": "true"},
            ),
        ],
    )
    async def test_answers_name_the_origins_that_are_let_in(
        self, tmp_path: Path, settings: dict[str, Any], origin: str | None, allowed: dict[str, str]
    ) -> None:
        answer = await self.ask(tmp_path, settings, origin)
        assert (answer.status, answer.text, self.allowing(answer)) == (200, "open", allowed)

    async def test_a_preflight_request_is_answered_for_the_function(self, tmp_path: Path) -> None:
        answer = await self.ask(tmp_path, {"CORS": "*"}, "https://a.example", "OPTIONS")
        allowed = {"Allow-Origin": "*", "Allow-Methods": "PUT", "Allow-Headers": "x-a, x-b"}
        assert (answer.status, self.allowing(answer)) == (204, allowed)

    async def test_a_preflight_request_from_elsewhere_is_told_nothing(self, tmp_path: Path) -> None:
        answer = await self.ask(tmp_path, {"CORS": "https://b.example"}, "https://a.example", "OPTIONS")
        assert (answer.status, self.allowing(answer)) == (204, {})
