"""HTTP triggers through the local host: a real worker answers real requests."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from running_host import APPS, Host, run_host

from worker_ext.host.functions import HostFunction
from worker_ext.host.http_trigger import response_from
from worker_ext.rpc import pb

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[Host]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROUTE_OF_SETTING", "setting")
        patch.setenv("AzureWebJobs.switched_off.Disabled", "true")
        patch.setenv("CONTAINER_NAME", "sandbox")
        patch.setenv("WEBSITE_INSTANCE_ID", "sandbox")
        async with run_host(APPS / "web") as running:
            yield running


class TestRequests:
    async def test_a_function_sees_all_of_the_request(self, host: Host) -> None:
        answer = await host.send(
            "PUT",
            "/api/echo/Word/7?a=1&b=x%20y&a=2&empty=",
            b"\x00\xffbody",
            {"X-Custom-Header": "Value", "Accept": "*/*"},
        )
        seen = answer.json
        headers = seen.pop("headers")
        assert seen == {
            "method": "PUT",
            "url": f"{host.url}/api/echo/Word/7?a=1&b=x%20y&a=2&empty=",
            "query": {"a": "1,2", "b": "x y"},
            "route": {"word": "Word", "number": "7"},
            "body": b"\x00\xffbody".hex(),
        }
        assert {name: headers[name] for name in ("x-custom-header", "accept", "content-length", "host")} == {
            "x-custom-header": "Value",
            "accept": "*/*",
            "content-length": "6",
            "host": host.url.removeprefix("http://"),
        }

    async def test_an_optional_parameter_may_be_left_out(self, host: Host) -> None:
        assert (await host.get("/api/echo/word")).json["route"] == {"word": "word"}

    async def test_a_path_matches_without_regard_to_case(self, host: Host) -> None:
        assert (await host.get("/API/Echo/WORD")).json["route"] == {"word": "WORD"}

    async def test_a_body_of_no_stated_length_arrives(self, host: Host) -> None:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first "
            yield b"second"

        async with host.client.post(f"{host.url}/api/text", data=parts()) as response:
            assert await response.text() == "first second"

    async def test_a_body_of_many_megabytes_goes_there_and_back(self, host: Host) -> None:
        body = b"0123456789abcdef" * 400_000
        assert (await host.post("/api/answer?status=200", body)).body == body

    @pytest.mark.parametrize(
        "path, expected",
        [("/api/files/a/b/c", "a/b/c"), ("/api/files", "nothing"), ("/api/files/index", "index")],
    )
    async def test_the_more_literal_route_wins_over_the_catch_all(self, host: Host, path: str, expected: str) -> None:
        assert (await host.get(path)).text == expected

    async def test_a_function_without_a_route_has_its_name_for_one(self, host: Host) -> None:
        assert (await host.get("/api/unrouted")).text == "by name"

    async def test_a_route_may_name_an_app_setting(self, host: Host) -> None:
        assert (await host.get("/api/setting/x")).text == "from a setting"

    @pytest.mark.parametrize(
        "method, path",
        [
            ("GET", "/api/nothing/here"),
            ("GET", "/echo/word"),
            ("GET", "/api/echo/w0rd"),
            ("GET", "/api/echo/word/x"),
            ("DELETE", "/api/echo/word"),
            ("GET", "/api/off"),
            ("GET", "/api/stored"),
            ("GET", "/admin/nothing"),
            ("GET", "/runtime/webhooks/other"),
        ],
    )
    async def test_what_no_route_leads_to_is_not_found(self, host: Host, method: str, path: str) -> None:
        answer = await host.send(method, path)
        assert (answer.status, answer.body) == (404, b"")


class TestCallers:
    """Whoever hangs up or speaks no HTTP is no news for the log."""

    @pytest.mark.parametrize(
        "path", ["/api/unrouted", "/runtime/webhooks/durabletask/orchestrators/x", "/admin/functions/unrouted"]
    )
    @pytest.mark.parametrize("body", [b'Content-Length: 100\r\n\r\n{"a', b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"])
    async def test_who_says_half_of_it_is_passed_over(
        self, host: Host, caplog: pytest.LogCaptureFixture, path: str, body: bytes
    ) -> None:
        await self.say(host, f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode() + body)
        assert caplog.records == []

    async def test_who_speaks_no_http_is_answered_400(self, host: Host, caplog: pytest.LogCaptureFixture) -> None:
        assert (await self.say(host, b"garbage\r\n\r\n", hears=24)) == b"HTTP/1.0 400 Bad Request"
        assert caplog.records == []

    @staticmethod
    async def say(host: Host, text: bytes, hears: int = 0) -> bytes:
        """Sends bytes, hears so many, and hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(host.url.rpartition(":")[2]))
        writer.write(text)
        await writer.drain()
        answer = await reader.readexactly(hears)
        writer.close()
        await writer.wait_closed()
        # Another request goes through the same loop, after what the first one has left to do.
        assert (await host.get("/api/unrouted")).status == 200
        return answer


class TestAnswers:
    async def test_status_headers_and_bytes_are_the_functions(self, host: Host) -> None:
        answer = await host.post("/api/answer?status=418&type=image/png", b"\x89PNG\x00")
        assert (answer.status, answer.body) == (418, b"\x89PNG\x00")
        assert answer.headers["X-Mine"] == "yes"
        assert answer.headers["Content-Type"].startswith("image/png")

    async def test_headers_of_host_json_are_added_where_the_function_has_none(self, host: Host) -> None:
        assert (await host.get("/api/unrouted")).headers["X-Served-By"] == "tests"
        assert (await host.get("/api/answer?status=200")).headers["X-Served-By"] == "the function"

    @pytest.mark.parametrize(
        "returned, status, content_type, body",
        [
            ("plain é", 200, "text/plain; charset=utf-8", "plain é"),
            ('{"a": [1, 2]}', 200, "application/json; charset=utf-8", '{"a":[1,2]}'),
            ("5", 200, "application/json; charset=utf-8", "5"),
            ('{"body": "made", "statusCode": 201}', 201, "text/plain; charset=utf-8", "made"),
            ('{"body": {"b": 1}, "status": 202}', 202, "application/json; charset=utf-8", '{"b":1}'),
            ('{"body": "<p>", "headers": {"content-type": "text/html"}}', 200, "text/html", "<p>"),
        ],
    )
    async def test_a_returned_text_may_be_json_or_a_whole_response(
        self, host: Host, returned: str, status: int, content_type: str, body: str
    ) -> None:
        answer = await host.post("/api/text", returned.encode())
        assert (answer.status, answer.headers["Content-Type"], answer.text) == (status, content_type, body)

    async def test_a_function_that_fails_is_an_empty_500_and_a_line_in_the_log(self, host: Host) -> None:
        answer = await host.get("/api/boom")
        assert (answer.status, answer.body) == (500, b"")
        assert "boom: failed: ValueError: a reason for the log" in host.printed.getvalue()


class TestOwnPages:
    async def test_the_home_page_says_that_the_app_runs(self, host: Host) -> None:
        answer = await host.get("/")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "The app is running" in answer.text

    async def test_ping_is_empty(self, host: Host) -> None:
        assert [(await host.send(method, "/admin/host/ping")).status for method in ("GET", "POST")] == [200, 200]

    async def test_the_status_says_running(self, host: Host) -> None:
        status = (await host.get("/admin/host/status")).json
        assert (status["state"], status["errors"]) == ("Running", [])
        assert {"id", "version", "instanceId", "computerName", "processUptime"} <= status.keys()


class TestWorker:
    @pytest.mark.parametrize(
        "name, value",
        [
            ("FUNCTIONS_WORKER_RUNTIME", "python"),
            ("AzureWebJobsScriptRoot", str(APPS / "web")),
            ("FUNCTIONS_APPLICATION_DIRECTORY", str(APPS / "web")),
            ("PYTHON_THREADPOOL_THREAD_COUNT", "1000"),
            ("AZURE_FUNCTIONS_ENVIRONMENT", "Development"),
            ("ROUTE_OF_SETTING", "setting"),
            ("CONTAINER_NAME", None),
            ("WEBSITE_INSTANCE_ID", None),
        ],
    )
    async def test_its_environment_is_that_of_a_functions_worker(
        self, host: Host, name: str, value: str | None
    ) -> None:
        assert (await host.get(f"/api/environment/{name}")).json == value

    async def test_what_the_app_logs_and_prints_is_shown(self, host: Host) -> None:
        await host.get("/api/log")
        lines = ("] log: logged by the app", "printed by the app", "a warning of the process")
        await host.until(lambda: all(line in host.printed.getvalue() for line in lines), "the app's output")

    async def test_one_that_dies_is_replaced_and_its_request_fails(self, host: Host) -> None:
        before = host.local.workers.pid
        slow = asyncio.create_task(host.get("/api/sleep/50"))
        await host.until(lambda: host.local.workers.running == 1, "a request to run")
        assert (await host.get("/api/exit/3")).status == 500
        assert (await slow).status == 500
        assert (await host.get("/api/unrouted")).text == "by name"
        assert host.local.workers.pid not in (before, None)
        assert "The worker ended with exit code 3; another one starts in 0.2 s" in host.printed.getvalue()

    async def test_what_cannot_be_served_is_known_with_its_reason(self, host: Host) -> None:
        faults = {f.name: f.fault for f in host.local.workers.catalog.functions if not f.is_served}
        assert faults == {
            "switched_off": None,
            "stored": "its output binding 'blob' needs a service that is not here",
            "badly_routed": "route '{broken:nonsense}': parameter 'broken': unknown constraint 'nonsense'",
        }


@asynccontextmanager
async def host_of(tmp_path: Path, host_json: dict[str, Any]) -> AsyncIterator[Host]:
    """A host of the same app with other settings."""
    shutil.copy(APPS / "web" / "function_app.py", tmp_path)
    (tmp_path / "host.json").write_text(json.dumps({"version": "2.0", **host_json}))
    async with run_host(tmp_path) as host:
        yield host


class TestSettings:
    async def test_without_a_prefix_routes_start_at_the_root(self, tmp_path: Path) -> None:
        async with host_of(tmp_path, {"extensions": {"http": {"routePrefix": ""}}}) as host:
            assert (await host.get("/unrouted")).text == "by name"
            assert (await host.get("/api/unrouted")).status == 404
            assert "The app is running" in (await host.get("/")).text
            assert (await host.get("/admin/host/ping")).status == 200

    async def test_beyond_the_most_outstanding_requests_the_answer_is_429(self, tmp_path: Path) -> None:
        async with host_of(tmp_path, {"extensions": {"http": {"maxOutstandingRequests": 1}}}) as host:
            slow = asyncio.create_task(host.get("/api/sleep/1"))
            await host.until(lambda: host.local.workers.running == 1, "a request to run")
            assert (await host.get("/api/unrouted")).status == 429
            assert (await slow).text == "awake"
            assert (await host.get("/api/unrouted")).status == 200

    @pytest.mark.parametrize(
        "path", ["/api/unrouted", "/runtime/webhooks/durabletask/orchestrators/x", "/admin/functions/unrouted"]
    )
    async def test_a_body_beyond_the_limit_is_413(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        monkeypatch.setenv("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "1000")
        async with host_of(tmp_path, {}) as host:
            fits, too_long = b'"%s"' % (b"x" * 998), b'"%s"' % (b"x" * 999)
            assert (await host.post(path, fits)).status != 413
            assert (await host.post(path, too_long)).status == 413
            assert (await host.get("/api/unrouted")).text == "by name"

    async def test_a_function_that_takes_too_long_costs_its_worker(self, tmp_path: Path) -> None:
        async with host_of(tmp_path, {"functionTimeout": "00:00:01"}) as host:
            before = host.local.workers.pid
            assert (await host.get("/api/hang/50")).status == 500
            assert (await host.get("/api/unrouted")).text == "by name"
            assert host.local.workers.pid != before
            assert "hang: took longer than functionTimeout (0:00:01); its worker is replaced" in host.printed.getvalue()

    async def test_only_the_functions_that_host_json_names_are_loaded(self, tmp_path: Path) -> None:
        async with host_of(tmp_path, {"functions": ["unrouted"]}) as host:
            assert [function.name for function in host.local.workers.catalog.functions] == ["unrouted"]
            assert (await host.get("/api/text")).status == 404


class TestResponseFrom:
    """What a worker may answer that the SDK's HttpResponse cannot express."""

    @staticmethod
    def function(output: str = "$return") -> HostFunction:
        trigger = {"type": "httpTrigger", "direction": "IN", "name": "req"}
        binding = {"type": "http", "direction": "OUT", "name": output}
        return HostFunction("f", "id", pb.RpcFunctionMetadata(), (trigger, binding), trigger)

    @staticmethod
    def answer(**fields: Any) -> pb.InvocationResponse:
        return pb.InvocationResponse(result=pb.StatusResult(status=pb.StatusResult.Success), **fields)

    async def test_nothing_is_an_empty_200(self) -> None:
        response = response_from(self.function(), self.answer())
        assert (response.status, response.body) == (200, None)

    @pytest.mark.parametrize(
        "data, content_type, body",
        [
            (pb.TypedData(bytes=b"\x00"), "application/octet-stream", b"\x00"),
            (pb.TypedData(json="[1]"), "application/json; charset=utf-8", b"[1]"),
            (pb.TypedData(int=5), "text/plain; charset=utf-8", b"5"),
        ],
    )
    async def test_other_values_are_answered_in_their_own_type(
        self, data: pb.TypedData, content_type: str, body: bytes
    ) -> None:
        response = response_from(self.function(), self.answer(return_value=data))
        assert (response.headers["Content-Type"], response.body) == (content_type, body)

    async def test_an_output_by_name_is_the_answer(self) -> None:
        named = pb.ParameterBinding(name="res", data=pb.TypedData(string="named"))
        response = response_from(self.function("res"), self.answer(output_data=[named]))
        assert response.text == "named"

    async def test_cookies_are_set_as_asp_net_writes_them(self) -> None:
        cookie = pb.RpcHttpCookie(name="a", value="b c;", same_site=pb.RpcHttpCookie.Strict)
        cookie.expires.value.FromDatetime(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        cookie.max_age.value = 60
        cookie.domain.value = "example.org"
        cookie.secure.value = True
        cookie.http_only.value = True
        http = pb.RpcHttp(status_code="204", cookies=[cookie, pb.RpcHttpCookie(name="plain", value="x")])
        response = response_from(self.function(), self.answer(return_value=pb.TypedData(http=http)))
        assert (response.status, response.headers.getall("Set-Cookie")) == (
            204,
            [
                "a=b%20c%3B; expires=Fri, 02 Jan 2026 03:04:05 GMT; max-age=60; domain=example.org; path=/; secure; "
                "samesite=strict; httponly",
                "plain=x; path=/",
            ],
        )
