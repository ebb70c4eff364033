"""The management API of a running host, answer for answer as extension 3.19.0 gives them."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from running_host import APPS, PATIENCE, Answer, Host, run_host

from worker_ext.host.links import Links

pytestmark = pytest.mark.asyncio(loop_scope="module")

API = "/runtime/webhooks/durabletask"
JSON = {"Content-Type": "application/json"}
JSON_TYPE = "application/json; charset=utf-8"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[Host]:
    async with run_host(APPS / "durable") as running:
        yield running


@pytest.fixture
def instance_id() -> str:
    return f"i-{uuid.uuid4().hex[:8]}"


async def begin(host: Host, name: str, instance_id: str, body: bytes | None = None) -> None:
    answer = await host.post(f"{API}/orchestrators/{name}/{quote(instance_id, safe='')}", body)
    assert answer.status == 202, answer.text


async def status(host: Host, instance_id: str, query: str = "") -> Answer:
    return await host.get(f"{API}/instances/{quote(instance_id, safe='')}{query}")


async def reach(host: Host, instance_id: str, state: str) -> Answer:
    """Waits until an instance is in a state and, if it waits there, has set its custom status."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await status(host, instance_id)
            if answer.json["runtimeStatus"] == state and (state != "Running" or answer.json["customStatus"]):
                return answer
            await asyncio.sleep(0.01)


def check_status(origin: str, instance_id: str) -> dict[str, str]:
    base = f"{origin}{API}/instances/{quote(instance_id, safe='')}"
    end = "taskHub=TestHub&connection=Storage"
    return {
        "id": instance_id,
        "statusQueryGetUri": f"{base}?{end}",
        "sendEventPostUri": f"{base}/raiseEvent/{{eventName}}?{end}",
        "terminatePostUri": f"{base}/terminate?reason={{text}}&{end}",
        "purgeHistoryDeleteUri": f"{base}?{end}",
        "restartPostUri": f"{base}/restart?{end}",
        "suspendPostUri": f"{base}/suspend?reason={{text}}&{end}",
        "resumePostUri": f"{base}/resume?reason={{text}}&{end}",
    }


def is_empty(answer: Answer, status_code: int) -> bool:
    return (answer.status, answer.body, "Content-Type" in answer.headers) == (status_code, b"", False)


def long_form(message: str, exception: str, kind: str) -> dict[str, str]:
    return {"Message": message, "ExceptionMessage": exception, "ExceptionType": kind, "StackTrace": ""}


class TestStart:
    async def test_it_answers_with_the_urls_of_the_instance(self, host: Host, instance_id: str) -> None:
        answer = await host.post(f"{API}/orchestrators/child/{instance_id}", b'{"n": 1}')
        urls = check_status(host.url, instance_id)
        assert (answer.status, answer.text) == (202, json.dumps(urls, separators=(",", ":")))
        expected = {"Content-Type": JSON_TYPE, "Location": urls["statusQueryGetUri"], "Retry-After": "10"}
        assert expected.items() <= answer.headers.items()

    async def test_without_an_id_it_makes_one_of_32_hex_digits(self, host: Host) -> None:
        answer = await host.post(f"{API}/orchestrators/child")
        assert re.fullmatch("[0-9a-f]{32}", answer.json["id"])
        assert (await reach(host, answer.json["id"], "Completed")).json["output"] == "c"

    @pytest.mark.parametrize("name", ["@x@y", "a#b", "with space", "i" * 257])
    async def test_it_takes_any_id_and_quotes_it_in_links(self, host: Host, name: str) -> None:
        answer = await host.post(f"{API}/orchestrators/child/{quote(name, safe='')}")
        assert answer.json == check_status(host.url, name)
        assert (await reach(host, name, "Completed")).json["instanceId"] == name

    async def test_the_content_type_of_the_body_does_not_matter(self, host: Host, instance_id: str) -> None:
        answer = await host.post(f"{API}/orchestrators/child/{instance_id}", b"5", {"Content-Type": "text/plain"})
        assert answer.status == 202
        assert (await status(host, instance_id)).json["input"] == 5

    async def test_a_body_that_is_not_json_is_refused(self, host: Host, instance_id: str) -> None:
        answer = await host.post(f"{API}/orchestrators/child/{instance_id}", b"{bad")
        assert (answer.status, answer.headers["Content-Type"]) == (400, JSON_TYPE)
        assert answer.json["Message"] == "Invalid JSON content"
        assert answer.json["ExceptionType"] == "Newtonsoft.Json.JsonReaderException"
        assert is_empty(await status(host, instance_id), 404)

    async def test_an_unknown_function_is_an_instance_that_fails(self, host: Host, instance_id: str) -> None:
        await begin(host, "NoSuch", instance_id)
        assert (
            (await reach(host, instance_id, "Failed"))
            .json["output"]
            .startswith(
                "Orchestrator function 'NoSuch' failed: The function 'NoSuch' doesn't exist, is disabled, or is not an "
                "orchestrator function. Additional info: The following are the known orchestrator functions: "
            )
        )

    async def test_names_and_routes_are_matched_without_regard_to_case(self, host: Host, instance_id: str) -> None:
        answer = await host.post(f"{API.upper()}/Orchestrators/CHILD/{instance_id}/")
        assert answer.status == 202
        assert (await reach(host, instance_id, "Completed")).json["output"] == "c"

    async def test_an_alias_is_the_name_of_its_function(self, host: Host, instance_id: str) -> None:
        await begin(host, "Other%20Name", instance_id)
        assert (await reach(host, instance_id, "Completed")).json["output"] == "by alias"

    async def test_an_id_that_runs_is_not_started_again(self, host: Host, instance_id: str) -> None:
        await begin(host, "waits", instance_id)
        await reach(host, instance_id, "Running")
        answer = await host.post(f"{API}/orchestrators/waits/{instance_id}")
        message = f"An orchestration with id '{instance_id}' already exists. It is in state Running"
        assert (answer.status, answer.json) == (409, {"Message": message})

    async def test_an_id_that_has_ended_is_started_again(self, host: Host, instance_id: str) -> None:
        await begin(host, "child", instance_id, b"1")
        await reach(host, instance_id, "Completed")
        await begin(host, "child", instance_id, b"2")
        assert (await reach(host, instance_id, "Completed")).json["input"] == 2


async def test_the_path_of_the_first_hosts_leads_to_the_same(host: Host, instance_id: str) -> None:
    first = "/admin/extensions/durabletaskextension"
    answer = await host.post(f"{first}/orchestrators/waits/{instance_id}")
    assert (answer.status, answer.json) == (202, check_status(host.url, instance_id))
    assert (await host.get(f"{first}/instances/{instance_id}")).json["instanceId"] == instance_id


class TestStartAndWait:
    async def test_what_completes_in_time_is_its_output(self, host: Host) -> None:
        answer = await host.post(f"{API}/orchestrators/walks?timeout=30&pollingInterval=0.2")
        assert (answer.status, answer.headers["Content-Type"], answer.text) == (200, JSON_TYPE, '{"ok":true}')

    async def test_what_fails_is_its_status(self, host: Host) -> None:
        answer = await host.post(f"{API}/orchestrators/breaks?timeout=30&pollingInterval=0.2")
        assert (answer.status, answer.json["runtimeStatus"]) == (200, "Failed")

    async def test_what_takes_longer_is_its_urls(self, host: Host, instance_id: str) -> None:
        answer = await host.post(f"{API}/orchestrators/waits/{instance_id}?TIMEOUT=0.2&PollingInterval=0.1")
        assert (answer.status, answer.json) == (202, check_status(host.url, instance_id))

    async def test_an_interval_beyond_the_timeout_is_refused_after_the_start(
        self, host: Host, instance_id: str
    ) -> None:
        answer = await host.post(f"{API}/orchestrators/child/{instance_id}?timeout=1&pollingInterval=5")
        assert (answer.status, answer.json) == (
            400,
            {"Message": "Total timeout 1 should be bigger than retry timeout 5"},
        )
        await reach(host, instance_id, "Completed")


class TestStatus:
    async def test_while_it_runs_it_is_202_with_its_place(self, host: Host, instance_id: str) -> None:
        await begin(host, "waits", instance_id, b'{"n": 1}')
        answer = await reach(host, instance_id, "Running")
        created, updated = answer.json["createdTime"], answer.json["lastUpdatedTime"]
        assert re.fullmatch(TIME, created)
        assert re.fullmatch(TIME, updated)
        assert (answer.status, answer.text) == (
            202,
            f'{{"name":"waits","instanceId":"{instance_id}","runtimeStatus":"Running","input":{{"n":1}},'
            f'"customStatus":{{"s":1}},"output":null,"createdTime":"{created}","lastUpdatedTime":"{updated}"}}',
        )
        expected = {
            "Content-Type": JSON_TYPE,
            "Location": f"{host.url}{API}/instances/{instance_id}",
            "Retry-After": "5",
        }
        assert expected.items() <= answer.headers.items()

    async def test_when_it_has_completed_it_is_200_with_its_output(self, host: Host, instance_id: str) -> None:
        await begin(host, "walks", instance_id)
        answer = await reach(host, instance_id, "Completed")
        assert (answer.status, answer.json["output"]) == (200, {"ok": True})
        assert not {"Location", "Retry-After"} & answer.headers.keys()

    async def test_numbers_that_json_does_not_have_are_shown_as_texts(self, host: Host, instance_id: str) -> None:
        """As recorded: nothing but Python reads NaN."""
        await begin(host, "waits", instance_id, b"[NaN, 1.5, -1e999]")
        sent = await host.post(
            f"{API}/instances/{instance_id}/raiseEvent/go", b'{"a": [Infinity]}', {"Content-Type": "application/json"}
        )
        assert sent.status == 202
        await reach(host, instance_id, "Completed")
        answer = (await status(host, instance_id, "?showHistory=true&showHistoryOutput=true")).json
        assert (answer["input"], answer["output"]) == (["NaN", 1.5, "-Infinity"], {"got": {"a": ["Infinity"]}})
        assert answer["historyEvents"][-1]["Result"] == {"got": {"a": ["Infinity"]}}

    async def test_the_input_can_be_left_out(self, host: Host, instance_id: str) -> None:
        await begin(host, "child", instance_id, b"[1]")
        await reach(host, instance_id, "Completed")
        assert (await status(host, instance_id, "?SHOWINPUT=False")).json["input"] is None
        assert (await status(host, instance_id, "?showInput=maybe")).json["input"] == [1]

    async def test_a_failure_is_200_or_500_as_the_query_says(self, host: Host, instance_id: str) -> None:
        await begin(host, "breaks", instance_id)
        answer = await reach(host, instance_id, "Failed")
        assert (answer.status, "boom" in answer.json["output"]) == (200, True)
        failed = await status(host, instance_id, "?returnInternalServerErrorOnFailure=true")
        assert (failed.status, failed.json) == (500, answer.json)

    async def test_an_unknown_instance_is_not_found(self, host: Host) -> None:
        assert is_empty(await status(host, "nosuch"), 404)


class TestHistory:
    async def test_completions_take_over_what_they_complete(self, host: Host, instance_id: str) -> None:
        await begin(host, "walks", instance_id, b'{"n": 1}')
        await reach(host, instance_id, "Completed")
        events = (await status(host, instance_id, "?showHistory=true")).json["historyEvents"]
        assert [without_times(event) for event in events] == [
            {
                "EventType": "ExecutionStarted",
                "Input": '{"n": 1}',
                "Correlation": None,
                "ParentTraceContext": None,
                "ScheduledStartTime": None,
                "Generation": None,
                "GenerateNewTrace": False,
                "FunctionName": "walks",
            },
            {"EventType": "TaskCompleted", "FunctionName": "pack", "Input": None},
            {"EventType": "TimerCreated"},
            {"EventType": "TimerFired"},
            {
                "EventType": "SubOrchestrationInstanceCompleted",
                "FunctionName": "child",
                "InstanceId": f"{instance_id}-child",
                "Input": None,
            },
            {"EventType": "ExecutionCompleted", "OrchestrationStatus": "Completed", "FailureDetails": None},
        ]

    async def test_members_are_in_the_extensions_order(self, host: Host, instance_id: str) -> None:
        await begin(host, "walks", instance_id)
        await reach(host, instance_id, "Completed")
        events = (await status(host, instance_id, "?showHistory=true&showHistoryOutput=true")).json["historyEvents"]
        assert [list(event) for event in events] == [
            [
                *("EventType", "Input", "Correlation", "ParentTraceContext", "ScheduledStartTime", "Generation"),
                *("GenerateNewTrace", "Timestamp", "FunctionName"),
            ],
            ["EventType", "Result", "Timestamp", "ScheduledTime", "FunctionName", "Input"],
            ["EventType", "FireAt", "Timestamp"],
            ["EventType", "FireAt", "Timestamp"],
            ["EventType", "Result", "Timestamp", "ScheduledTime", "FunctionName", "InstanceId", "Input"],
            ["EventType", "OrchestrationStatus", "Result", "FailureDetails", "Timestamp"],
        ]
        assert re.fullmatch(r"[^Z]*\+00:00", events[1]["ScheduledTime"])

    async def test_what_began_when_is_shown_on_request(self, host: Host, instance_id: str) -> None:
        await begin(host, "walks", instance_id)
        await reach(host, instance_id, "Completed")
        plain = (await status(host, instance_id, "?showHistory=true")).json["historyEvents"]
        events = (await status(host, instance_id, "?showHistory=true&showStarts=true")).json["historyEvents"]
        assert [{k: v for k, v in event.items() if k != "StartedTime"} for event in events] == plain
        started = {event["EventType"]: event["StartedTime"] for event in events if "StartedTime" in event}
        assert started.keys() == {"ExecutionStarted", "TaskCompleted"}
        packed = next(event for event in events if event["EventType"] == "TaskCompleted")
        assert events[0]["Timestamp"] <= events[0]["StartedTime"]
        assert packed["ScheduledTime"].removesuffix("+00:00") <= packed["StartedTime"].removesuffix("Z")
        assert packed["StartedTime"] <= packed["Timestamp"]

    async def test_what_runs_has_begun_and_what_waits_has_not(
        self, host: Host, instance_id: str, tmp_path: Path
    ) -> None:
        places, gate = host.local.settings.durable.max_concurrent_activity_functions, tmp_path / "gate"
        await begin(host, "crowds", instance_id, json.dumps({"gate": str(gate), "size": places + 1}).encode())

        async def begun() -> list[bool]:
            query = "?showHistory=true&showStarts=true"
            events = (await status(host, instance_id, query)).json.get("historyEvents", [])
            return ["StartedTime" in event for event in events if event["EventType"] == "TaskScheduled"]

        async with asyncio.timeout(PATIENCE):
            while True:
                seen = await begun()
                if sum(seen) == places:
                    break
                await asyncio.sleep(0.01)
        assert sorted(seen) == [False, *[True] * places]
        gate.touch()
        await reach(host, instance_id, "Completed")

    async def test_results_are_shown_as_json_on_request(self, host: Host, instance_id: str) -> None:
        await begin(host, "walks", instance_id)
        await reach(host, instance_id, "Completed")
        events = (await status(host, instance_id, "?showHistory=true&showHistoryOutput=true")).json["historyEvents"]
        assert [event.get("Result") for event in events] == [None, {"k": 1}, None, None, "c", {"ok": True}]

    async def test_inputs_go_with_the_input(self, host: Host, instance_id: str) -> None:
        await begin(host, "walks", instance_id, b"1")
        await reach(host, instance_id, "Completed")
        events = (await status(host, instance_id, "?showHistory=true&showInput=false")).json["historyEvents"]
        assert [event for event in events if "Input" in event] == []

    async def test_a_failure_keeps_its_reason(self, host: Host, instance_id: str) -> None:
        await begin(host, "breaks", instance_id)
        await reach(host, instance_id, "Failed")
        events = (await status(host, instance_id, "?showHistory=true")).json["historyEvents"]
        assert [event["EventType"] for event in events] == ["ExecutionStarted", "TaskFailed", "ExecutionCompleted"]
        assert "boom" in events[1]["Reason"]
        assert events[1]["FunctionName"] == "break_it"

    async def test_what_is_open_stays(self, host: Host, instance_id: str) -> None:
        await begin(host, "waits", instance_id)
        await reach(host, instance_id, "Running")
        await host.post(f"{API}/instances/{instance_id}/suspend?reason=why")
        answer = await reach(host, instance_id, "Suspended")
        assert "historyEvents" not in answer.json
        events = (await status(host, instance_id, "?showHistory=true")).json["historyEvents"]
        assert [event["EventType"] for event in events] == ["ExecutionStarted", "ExecutionSuspended"]


def without_times(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in ("Timestamp", "ScheduledTime", "FireAt")}


class TestRaiseEvent:
    @pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
    async def test_it_reaches_the_instance(self, host: Host, instance_id: str, content_type: str) -> None:
        await begin(host, "waits", instance_id)
        url = f"{API}/instances/{instance_id}/raiseEvent/go"
        assert is_empty(await host.post(url, b'{"a": 1}', {"Content-Type": content_type}), 202)
        assert (await reach(host, instance_id, "Completed")).json["output"] == {"got": {"a": 1}}

    async def test_an_unknown_instance_is_not_found(self, host: Host) -> None:
        assert is_empty(await host.post(f"{API}/instances/nosuch/raiseEvent/go", b"1"), 404)

    async def test_one_that_has_ended_is_gone(self, host: Host, instance_id: str) -> None:
        await begin(host, "child", instance_id)
        await reach(host, instance_id, "Completed")
        assert is_empty(await host.post(f"{API}/instances/{instance_id}/raiseEvent/go", b"1", JSON), 410)

    @pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}])
    async def test_another_content_type_is_refused(self, host: Host, instance_id: str, headers: dict[str, str]) -> None:
        await begin(host, "waits", instance_id)
        answer = await host.post(f"{API}/instances/{instance_id}/raiseEvent/go", b"1", headers)
        assert (answer.status, answer.json) == (
            400,
            {"Message": "Only application/json request content is supported"},
        )

    async def test_a_body_that_is_not_json_is_refused(self, host: Host, instance_id: str) -> None:
        await begin(host, "waits", instance_id)
        url = f"{API}/instances/{instance_id}/raiseEvent/go"
        empty, broken = await host.post(url, b"", JSON), await host.post(url, b"{bad", JSON)
        assert (empty.status, empty.json) == (
            400,
            long_form(
                "Invalid JSON content",
                "Error reading JToken from JsonReader. Path '', line 0, position 0.",
                "Newtonsoft.Json.JsonReaderException",
            ),
        )
        assert (broken.status, broken.json["Message"]) == (400, "Invalid JSON content")


class TestSuspendResumeTerminate:
    async def test_an_instance_goes_through_them(self, host: Host, instance_id: str) -> None:
        await begin(host, "waits", instance_id)
        await reach(host, instance_id, "Running")
        assert is_empty(await host.post(f"{API}/instances/{instance_id}/suspend?reason=why"), 202)
        suspended = await reach(host, instance_id, "Suspended")
        assert (suspended.status, suspended.headers["Retry-After"]) == (202, "5")
        assert is_empty(await host.post(f"{API}/instances/{instance_id}/resume?reason=x"), 202)
        await reach(host, instance_id, "Running")
        assert is_empty(await host.post(f"{API}/instances/{instance_id}/terminate?reason=oh%20no"), 202)
        terminated = await reach(host, instance_id, "Terminated")
        assert (terminated.status, terminated.json["output"]) == (200, "oh no")

    async def test_a_suspended_instance_is_not_suspended_again(self, host: Host, instance_id: str) -> None:
        await begin(host, "waits", instance_id)
        await reach(host, instance_id, "Running")
        await host.post(f"{API}/instances/{instance_id}/suspend?reason=why")
        await reach(host, instance_id, "Suspended")
        answer = await host.post(f"{API}/instances/{instance_id}/suspend?reason=why")
        what = f"Cannot suspend the orchestration instance {instance_id} because instance is in the Suspended state."
        assert (answer.status, answer.json) == (
            500,
            long_form("Something went wrong while processing your request", what, "System.InvalidOperationException"),
        )

    async def test_a_running_instance_is_not_resumed(self, host: Host, instance_id: str) -> None:
        await begin(host, "waits", instance_id)
        await reach(host, instance_id, "Running")
        answer = await host.post(f"{API}/instances/{instance_id}/resume?reason=x")
        what = f"Cannot resume the orchestration instance {instance_id} because instance is in the Running state."
        assert (answer.status, answer.json["ExceptionMessage"]) == (500, what)

    @pytest.mark.parametrize("verb", ["suspend", "resume", "terminate"])
    async def test_unknown_and_ended_instances_are_refused(self, host: Host, instance_id: str, verb: str) -> None:
        await begin(host, "child", instance_id)
        await reach(host, instance_id, "Completed")
        assert is_empty(await host.post(f"{API}/instances/{instance_id}/{verb}"), 410)
        assert is_empty(await host.post(f"{API}/instances/nosuch/{verb}"), 404)


class TestRestart:
    async def test_a_new_instance_gets_the_old_input(self, host: Host, instance_id: str) -> None:
        await begin(host, "child", instance_id, b"[7]")
        await reach(host, instance_id, "Completed")
        answer = await host.post(f"{API}/instances/{instance_id}/restart")
        new_id = answer.json["id"]
        assert (answer.status, answer.json) == (202, check_status(host.url, new_id))
        assert new_id != instance_id
        restarted = (await reach(host, new_id, "Completed")).json
        assert (restarted["name"], restarted["input"]) == ("child", [7])

    async def test_it_may_keep_its_id(self, host: Host, instance_id: str) -> None:
        await begin(host, "child", instance_id)
        await reach(host, instance_id, "Completed")
        answer = await host.post(f"{API}/instances/{instance_id}/restart?restartWithNewInstanceId=false")
        assert (answer.status, answer.json) == (202, check_status(host.url, instance_id))

    async def test_an_unknown_instance_is_a_bad_argument(self, host: Host) -> None:
        answer = await host.post(f"{API}/instances/nosuch/restart")
        assert (answer.status, answer.json) == (
            400,
            long_form(
                "InstanceId does not match a valid orchestration instance.",
                "No instance with ID 'nosuch' was found. (Parameter 'instanceId')",
                "System.ArgumentException",
            ),
        )

    async def test_with_options_it_gets_the_id_and_version_that_are_asked_for(
        self, host: Host, instance_id: str
    ) -> None:
        await begin(host, "versioned", instance_id, b"[7]")
        await reach(host, instance_id, "Completed")
        new_id = f"{instance_id}-again"
        path = f"{API}/instances/{instance_id}/restartWithOptions?newInstanceId={new_id}&version=2.5"
        answer = await host.post(path)
        assert (answer.status, answer.json) == (202, check_status(host.url, new_id))
        restarted = (await reach(host, new_id, "Completed")).json
        assert (restarted["name"], restarted["input"], restarted["output"]) == ("versioned", [7], "2.5")

    async def test_with_options_it_must_be_told_an_id(self, host: Host, instance_id: str) -> None:
        await begin(host, "child", instance_id)
        answer = await host.post(f"{API}/instances/{instance_id}/restartWithOptions")
        assert (answer.status, answer.json["ExceptionType"]) == (400, "System.ArgumentException")


class TestRewind:
    async def test_only_failed_instances_can_be(self, host: Host, instance_id: str) -> None:
        await begin(host, "child", instance_id)
        await reach(host, instance_id, "Completed")
        answer = await host.post(f"{API}/instances/{instance_id}/rewind?reason=x")
        what = 'This orchestration has status Completed, but only orchestrations in the "Failed" state can be rewound.'
        assert (answer.status, answer.headers["Content-Type"], answer.json) == (412, JSON_TYPE, what)

    async def test_an_unknown_instance_is_not_found(self, host: Host) -> None:
        answer = await host.post(f"{API}/instances/nosuch/rewind?reason=x")
        assert (answer.status, answer.json) == (404, 'No orchestration with instance ID "$nosuch" found.')

    async def test_a_failed_instance_goes_on(self, host: Host, instance_id: str) -> None:
        await begin(host, "breaks", instance_id)
        await reach(host, instance_id, "Failed")
        answer = await host.post(f"{API}/instances/{instance_id}/rewind?reason=x")
        assert (answer.status, answer.body, answer.headers["Content-Length"]) == (202, b"", "0")
        assert "Content-Type" not in answer.headers
        await reach(host, instance_id, "Failed")
        shown = (await host.get(f"{API}/instances/{instance_id}?showHistory=true")).json
        rewound = [event for event in shown["historyEvents"] if event["EventType"] == "ExecutionRewound"]
        assert [event["Reason"] for event in rewound] == ["x"]


async def test_what_nobody_has_foreseen_is_told_in_the_long_form(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(_instance_id: str) -> None:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(host.local.scheduler, "get", fails)
    answer = await status(host, "i")
    what = "Something went wrong while processing your request"
    assert (answer.status, answer.json) == (500, long_form(what, "odd", "builtins.ZeroDivisionError"))
    assert "GET /instances/i went wrong" in caplog.text


@pytest.mark.parametrize("method, path", [("GET", "nosuch"), ("DELETE", "orchestrators/child"), ("GET", "")])
async def test_what_the_api_has_not_is_an_empty_404(host: Host, method: str, path: str) -> None:
    assert is_empty(await host.send(method, f"{API}/{path}"), 404)


class TestClientBinding:
    async def test_its_text_names_this_host(self, host: Host) -> None:
        text = (await host.get("/api/client")).text
        rpc = json.loads(text)["rpcBaseUrl"]
        assert text == Links(host.local.url, rpc, "TestHub").client_payload({})
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/durabletask/", rpc)
        assert rpc.split("/")[2] != host.url.removeprefix("http://")

    async def test_the_apps_own_clients_have_a_listener_that_serves_nothing_else(
        self, host: Host, instance_id: str
    ) -> None:
        base = (await host.get("/api/client")).json["rpcBaseUrl"]
        started = await host.post(f"{base}orchestrators/waits/{instance_id}")
        origin = base.removesuffix("/durabletask/")
        assert (started.status, started.json) == (202, check_status(origin, instance_id))
        running = await host.get(f"{base}instances/{instance_id}")
        assert (running.status, running.headers["Location"]) == (202, f"{base}instances/{instance_id}")
        assert (await host.get(started.json["statusQueryGetUri"])).status == 202
        assert (await host.get(f"{origin}/api/client")).status == 404

    async def test_a_function_starts_an_instance_through_it(self, host: Host) -> None:
        answer = await host.post("/api/start/waits", b"hello")
        running = await reach(host, answer.json["id"], "Running")
        assert answer.headers["Location"] == check_status(host.url, answer.json["id"])["statusQueryGetUri"]
        assert running.json["input"] == json.dumps("hello")


async def test_the_client_payload_is_the_extensions_text() -> None:
    """Byte for byte what extension 3.19.0 sends, with a system key."""
    instance = "http://localhost:7071/runtime/webhooks/durabletask/instances/INSTANCEID"
    start = "http://localhost:7071/runtime/webhooks/durabletask/orchestrators/{functionName}[/{instanceId}]"
    end = "taskHub=ThinHub&connection=Storage&code=K"
    links = Links("http://localhost:7071", "http://127.0.0.1:17071/durabletask/", "ThinHub", key="K")
    assert links.client_payload({}) == (
        '{"taskHubName":"ThinHub","connectionName":null,"creationUrls":{'
        f'"createNewInstancePostUri":"{start}?code=K",'
        f'"createAndWaitOnNewInstancePostUri":"{start}?timeout={{timeoutInSeconds}}'
        '&pollingInterval={intervalInSeconds}&code=K"},'
        '"managementUrls":{"id":"INSTANCEID",'
        f'"statusQueryGetUri":"{instance}?{end}",'
        f'"sendEventPostUri":"{instance}/raiseEvent/{{eventName}}?{end}",'
        f'"terminatePostUri":"{instance}/terminate?reason={{text}}&{end}",'
        f'"rewindPostUri":"{instance}/rewind?reason={{text}}&{end}",'
        f'"purgeHistoryDeleteUri":"{instance}?{end}",'
        f'"restartPostUri":"{instance}/restart?{end}",'
        f'"suspendPostUri":"{instance}/suspend?reason={{text}}&{end}",'
        f'"resumePostUri":"{instance}/resume?reason={{text}}&{end}"}},'
        '"baseUrl":"http://localhost:7071/runtime/webhooks/durabletask","requiredQueryStringParameters":"code=K",'
        '"rpcBaseUrl":"http://127.0.0.1:17071/durabletask/","httpBaseUrl":null,'
        '"maxGrpcMessageSizeInBytes":null,"grpcHttpClientTimeout":null}'
    )
