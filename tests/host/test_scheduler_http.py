"""Durable HTTP against a real server: what is sent, what comes back, polling."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from running_scheduler import outcome as ended
from running_scheduler import running
from scripted_gateway import ScriptedGateway, state

from worker_ext.host.durable_http import HttpSender, activity_request
from worker_ext.host.gateway import Reply
from worker_ext.host.scheduler import Scheduler
from worker_ext.host.settings import DurableHttpSettings, DurableSettings
from worker_ext.host.store import Store


class Server:
    """A server that answers as it is told and keeps what it was sent."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[dict[str, Any]] = []
        self.user_agent: str | None = None
        self.answers: list[web.Response] = []

    async def handle(self, request: web.Request) -> web.Response:
        kept = {
            name: value for name, value in request.headers.items() if name in {"Content-Type", "X-A", "x-functions-key"}
        }
        self.user_agent = request.headers.get("User-Agent")
        self.seen.append(
            {"method": request.method, "path": request.path_qs, "headers": kept, "body": await request.text()}
        )
        return self.answers.pop(0)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    sender = HttpSender()
    yield sender
    await sender.close()


async def send(sender: HttpSender, **request: Any) -> Reply:
    return await sender.send(json.dumps(activity_request(request)))


def result(reply: Reply) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(reply.value or "null")
    for name in ("Date", "Server"):
        found["headers"].pop(name, None)
    return found


async def test_a_request_is_sent_as_it_was_asked_for(server: Server, sender: HttpSender) -> None:
    server.answers = [web.Response(status=201, text="größer", headers={"X-Answer": "yes"})]
    reply = await send(
        sender,
        method="PUT",
        uri=f"{server.url}/a?b=1",
        headers={"X-A": "1", "Content-Type": "application/json"},
        content="[1]",
    )
    assert server.seen == [
        {"method": "PUT", "path": "/a?b=1", "headers": {"X-A": "1", "Content-Type": "application/json"}, "body": "[1]"}
    ]
    assert result(reply) == {"statusCode": 201, "headers": {"X-Answer": "yes"}, "content": "größer"}


async def test_content_without_a_type_is_plain_text(server: Server, sender: HttpSender) -> None:
    server.answers = [web.Response()]
    await send(sender, method="POST", uri=server.url, content="x")
    assert server.seen[0]["headers"] == {"Content-Type": "text/plain; charset=utf-8"}


@pytest.mark.parametrize(
    "headers, user_agent",
    [({}, "Microsoft.Azure.WebJobs.Extensions.DurableTask/3.19.0"), ({"user-agent": "mine/1"}, "mine/1")],
)
async def test_a_request_names_the_extension_unless_the_app_names_itself(
    server: Server, sender: HttpSender, headers: dict[str, str], user_agent: str
) -> None:
    server.answers = [web.Response()]
    await send(sender, uri=server.url, headers=headers)
    assert server.user_agent == user_agent


async def test_any_status_is_a_result(server: Server, sender: HttpSender) -> None:
    server.answers = [web.Response(status=503, text="busy")]
    assert result(await send(sender, uri=server.url)) == {"statusCode": 503, "headers": {}, "content": "busy"}


async def test_a_header_that_comes_twice_is_a_list(server: Server, sender: HttpSender) -> None:
    answer = web.Response()
    answer.headers.add("X-Multi", "a")
    answer.headers.add("X-Multi", "b")
    server.answers = [answer]
    assert result(await send(sender, uri=server.url))["headers"] == {"X-Multi": ["a", "b"]}


@pytest.mark.parametrize(
    "request_members, text",
    [
        ({"uri": "http://127.0.0.1:1/"}, "GET http://127.0.0.1:1/: Cannot connect to host 127.0.0.1:1"),
        ({"uri": "not a url"}, "GET not a url: expected an absolute http or https URL"),
        ({"uri": None}, "The HTTP request cannot be sent: Expected `str`, got `null`"),
        ({"uri": "http://x/", "timeout": "soon"}, "The HTTP request cannot be sent: duration: expected"),
        (
            {"uri": "http://x/", "content": "x", "headers": {"content-type": "multipart/form-data"}},
            "Multipart content is not supported with CallHttpAsync.",
        ),
        (
            {"uri": "http://x/", "tokenSource": {"kind": "AzureManagedIdentity"}},
            "tokenSource: expected a resource, found None",
        ),
    ],
)
async def test_a_request_without_an_answer_fails_and_says_why(
    sender: HttpSender, request_members: dict[str, Any], text: str
) -> None:
    reply = await send(sender, **request_members)
    assert reply.value is None
    assert (reply.failure or "")[: len(text)] == text


def retried(server: Server, **options: Any) -> dict[str, Any]:
    members = {"FirstRetryInterval": "00:00:00.01", "MaxNumberOfAttempts": 3, **options}
    return {"actionType": 8, "httpRequest": {"uri": server.url, "retryOptions": members}}


@pytest.mark.parametrize(
    "statuses, options, outcome",
    [
        ([500, 404, 200], {}, 200),
        ([500, 500, 500], {}, "was answered with status 500"),
        ([500], {"StatusCodesToRetry": [503]}, 500),
        ([503, 500], {"StatusCodesToRetry": [503]}, 500),
        ([500], {"MaxNumberOfAttempts": 1}, "was answered with status 500"),
        ([202], {}, 202),
    ],
)
async def test_a_request_is_repeated_as_its_options_say(
    server: Server, tmp_path: Path, statuses: list[int], options: dict[str, Any], outcome: int | str
) -> None:
    server.answers = [web.Response(status=status) for status in statuses]

    def calls(context: dict[str, Any]) -> dict[str, Any]:
        ends = [event for event in context["history"] if event["EventType"] in {5, 6}]
        results = [event.get("Reason") or json.loads(event["Result"])["statusCode"] for event in ends]
        return state(retried(server, **options), done=True, output=results)

    async with running(tmp_path / "app.db", ScriptedGateway({"Calls": calls}, {})) as scheduler:
        found = await ended(scheduler, await scheduler.start_instance("Calls", None))
    assert found[0] == "Completed"
    assert len(found[1]) == len(statuses)
    assert str(outcome) in str(found[1][-1])
    assert server.answers == []


@pytest.mark.parametrize(
    "options, text",
    [
        (
            {"FirstRetryInterval": None},
            "httpRequest.retryOptions: Expected `str`, got `null`",
        ),
        ({"FirstRetryInterval": "soon"}, "duration: expected"),
        ({"MaxNumberOfAttempts": 0}, "httpRequest.retryOptions: Expected `int` >= 1 - at `$.MaxNumberOfAttempts`"),
    ],
)
async def test_retry_options_that_cannot_be_read_fail_the_instance(
    server: Server, tmp_path: Path, options: dict[str, Any], text: str
) -> None:
    calls = {"Calls": lambda context: state(retried(server, **options))}
    async with running(tmp_path / "app.db", ScriptedGateway(calls, {})) as scheduler:
        status, output = await ended(scheduler, await scheduler.start_instance("Calls", None))
    assert status == "Failed"
    assert text in output


async def test_an_accepted_request_is_polled_where_the_action_asks_for_it(server: Server, tmp_path: Path) -> None:
    accepted = {"Location": "/poll", "Retry-After": "0"}
    server.answers = [
        web.Response(status=202, headers=accepted),
        web.Response(status=202, headers={"Location": "/poll"}),
        web.Response(text="done"),
    ]
    request = {
        "uri": f"{server.url}/x",
        "headers": {"x-functions-key": "k", "X-A": "1"},
        "asynchronousPatternEnabled": True,
    }

    def calls(context: dict[str, Any]) -> dict[str, Any]:
        results = [json.loads(event["Result"])["statusCode"] for event in context["history"] if event["EventType"] == 5]
        return state({"actionType": 8, "httpRequest": request}, done=True, output=results)

    settings = DurableSettings(http_settings=DurableHttpSettings(default_async_request_sleep_time_milliseconds=20))
    store = Store(tmp_path / "app.db", "Hub")
    scheduler = Scheduler(store, ScriptedGateway({"Calls": calls}, {}), settings)
    await scheduler.start()
    found = await scheduler.wait_for_completion(await scheduler.start_instance("Calls", None), 20)
    await scheduler.stop(5)
    store.close()
    assert found is not None
    assert (found.status, found.output) == ("Completed", "[202,202,200]")
    assert [(item["path"], item["headers"]) for item in server.seen] == [
        ("/x", {"x-functions-key": "k", "X-A": "1"}),
        ("/poll", {"X-A": "1"}),
        ("/poll", {"X-A": "1"}),
    ]
