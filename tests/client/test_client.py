"""The client over real HTTP: what it asks, and what it makes of the answers that the extension was recorded to give."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import azure.functions as func
import pytest
from aiohttp import web
from management_host import KEY, MANAGEMENT_URLS, WEBHOOK, FakeHost, client_payload

from worker_ext.client import DurableOrchestrationClient
from worker_ext.context import DurableOrchestrationContext
from worker_ext.decorators import DFApp
from worker_ext.errors import ClientError, PayloadError
from worker_ext.http_transport import Request, Response
from worker_ext.protocol.client import OrchestrationRuntimeStatus
from worker_ext.protocol.entity import EntityId

Call = Callable[[DurableOrchestrationClient], Awaitable[Any]]

RUNNING = {
    "name": "Orch",
    "instanceId": "w__1",
    "runtimeStatus": "Running",
    "input": '{"n":1}',
    "customStatus": {"s": 1},
    "output": None,
    "createdTime": "2026-11-21T04:26:33Z",
    "lastUpdatedTime": "2026-11-21T04:26:34Z",
}
COMPLETED = RUNNING | {"runtimeStatus": "Completed", "output": {"ok": True}}
FAILED = RUNNING | {"runtimeStatus": "Failed", "output": "Orchestrator function 'Orch' failed: boom"}
TERMINATED = RUNNING | {"runtimeStatus": "Terminated", "output": "oh no"}
LOCAL = "http://127.0.0.1:17071/durabletask/"
WRONG = "Something went wrong while processing your request"


def asked(host: FakeHost) -> list[tuple[str, str, str]]:
    return [(seen.method, seen.target.removeprefix("/durabletask/"), seen.body) for seen in host.seen]


def http_request(url: str) -> func.HttpRequest:
    return func.HttpRequest(method="POST", url=url, body=b"")


# ---------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    "call,status,answer,expected",
    [
        (lambda c: c.start_new("Orch"), 202, {"id": "w"}, ("POST", "orchestrators/Orch", "")),
        (lambda c: c.start_new("Orch", "w__1"), 202, {"id": "w"}, ("POST", "orchestrators/Orch/w__1", "")),
        (
            lambda c: c.start_new("Orch", None, {"n": 1}),
            202,
            {"id": "w"},
            ("POST", "orchestrators/Orch", '"{\\"n\\": 1}"'),
        ),
        (lambda c: c.start_new("Orch", client_input=0), 202, {"id": "w"}, ("POST", "orchestrators/Orch", '"0"')),
        (lambda c: c.start_new("Orch", client_input=""), 202, {"id": "w"}, ("POST", "orchestrators/Orch", '"\\"\\""')),
        (lambda c: c.start_new("Orch", client_input=[]), 202, {"id": "w"}, ("POST", "orchestrators/Orch", '"[]"')),
        (
            lambda c: c.start_new("Orch", version="1.0 b"),
            202,
            {"id": "w"},
            ("POST", "orchestrators/Orch?version=1.0%20b", ""),
        ),
        (
            lambda c: c.start_new("Orch", "@x@y/a#b"),
            202,
            {"id": "w"},
            ("POST", "orchestrators/Orch/%40x%40y%2Fa%23b", ""),
        ),
        (lambda c: c.get_status("w__1"), 202, RUNNING, ("GET", "instances/w__1", "")),
        (
            lambda c: c.get_status("w__1", True, True, True),
            202,
            RUNNING,
            ("GET", "instances/w__1?showInput=True&showHistory=True&showHistoryOutput=True", ""),
        ),
        (lambda c: c.get_status_all(), 200, [], ("GET", "instances/", "")),
        (
            lambda c: c.get_status_by(
                created_time_from=datetime(2026, 1, 2, 3, 4, 5, 600000),
                created_time_to=datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))),
                runtime_status=[OrchestrationRuntimeStatus.Running, OrchestrationRuntimeStatus.Failed],
                instance_id_prefix="q__",
            ),
            200,
            [],
            (
                "GET",
                "instances/?createdTimeFrom=2026-01-02T03:04:05.600000Z&createdTimeTo=2026-01-02T01:00:00.000000Z"
                "&runtimeStatus=Running,Failed&instanceIdPrefix=q__",
                "",
            ),
        ),
        (lambda c: c.purge_instance_history("w__1"), 200, {"instancesDeleted": 1}, ("DELETE", "instances/w__1", "")),
        (
            lambda c: c.purge_instance_history_by(
                datetime(2020, 1, 1, tzinfo=UTC), None, [OrchestrationRuntimeStatus.Failed]
            ),
            200,
            {"instancesDeleted": 7},
            ("DELETE", "instances/?createdTimeFrom=2020-01-01T00:00:00.000000Z&runtimeStatus=Failed", ""),
        ),
        (lambda c: c.raise_event("w__1", "go"), 202, None, ("POST", "instances/w__1/raiseEvent/go", '"null"')),
        (
            lambda c: c.raise_event("w__1", "go on", {"a": 1}, "Hub", "Storage"),
            202,
            None,
            ("POST", "instances/w__1/raiseEvent/go%20on?taskHub=Hub&connection=Storage", '"{\\"a\\": 1}"'),
        ),
        (lambda c: c.raise_event("w__1", "go", False), 202, None, ("POST", "instances/w__1/raiseEvent/go", '"false"')),
        (lambda c: c.terminate("w__1", "oh no"), 202, None, ("POST", "instances/w__1/terminate?reason=oh%20no", "")),
        (lambda c: c.suspend("w__1", "why?"), 202, None, ("POST", "instances/w__1/suspend?reason=why%3F", "")),
        (lambda c: c.resume("w__1", "a&b"), 202, None, ("POST", "instances/w__1/resume?reason=a%26b", "")),
        (
            lambda c: c.rewind("w__1", "x y", "Hub", "Storage"),
            202,
            None,
            ("POST", "instances/w__1/rewind?reason=x%20y&taskHub=Hub&connection=Storage", ""),
        ),
        (
            lambda c: c.restart("w__1"),
            202,
            {"id": "w"},
            ("POST", "instances/w__1/restart?restartWithNewInstanceId=true", ""),
        ),
        (
            lambda c: c.restart("w__1", restart_with_new_instance_id=False),
            202,
            {"id": "w"},
            ("POST", "instances/w__1/restart?restartWithNewInstanceId=false", ""),
        ),
        (lambda c: c.read_entity_state(EntityId("Counter", "a b")), 404, None, ("GET", "entities/Counter/a%20b", "")),
        (
            lambda c: c.signal_entity(EntityId("Counter", "a"), "add", 0, "Hub", "Storage"),
            202,
            None,
            ("POST", "entities/Counter/a?op=add&taskHub=Hub&connection=Storage", '"0"'),
        ),
        (
            lambda c: c.signal_entity(EntityId("Counter", "a"), "reset"),
            202,
            None,
            ("POST", "entities/Counter/a?op=reset", ""),
        ),
    ],
)
async def test_a_call_is_one_request(
    host: FakeHost,
    client: DurableOrchestrationClient,
    call: Call,
    status: int,
    answer: Any,
    expected: tuple[str, str, str],
) -> None:
    host.answers(status, answer)
    await call(client)
    assert asked(host) == [expected]


async def test_a_request_carries_the_invocation_and_says_that_its_body_is_json(
    host: FakeHost, client: DurableOrchestrationClient
) -> None:
    host.answers(202)
    await client.raise_event("w__1", "go", 1)
    assert {name: host.headers[0].get(name) for name in ("content-type", "x-azure-functions-invocationid")} == {
        "content-type": "application/json",
        "x-azure-functions-invocationid": "0d6ff2ac-0b1b-4d3e-a2f6-3f1f6b2c0001",
    }


async def test_starting_carries_the_trace_of_the_caller(host: FakeHost, client: DurableOrchestrationClient) -> None:
    trace = pytest.importorskip("opentelemetry.trace")
    context = trace.SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, trace.TraceFlags(1))
    host.answers(202, {"id": "w"})
    with trace.use_span(trace.NonRecordingSpan(context)):
        await client.start_new("Orch")
    assert host.headers[0]["traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_listing_is_followed_to_its_last_page(host: FakeHost, client: DurableOrchestrationClient) -> None:
    for page, token in enumerate(["2", "4", ""]):
        host.answers(200, [RUNNING | {"instanceId": f"w__{page}"}], {"x-ms-continuation-token": token})
    statuses = await client.get_status_by(instance_id_prefix="w")
    assert [status.instance_id for status in statuses] == ["w__0", "w__1", "w__2"]
    assert asked(host) == [("GET", "instances/?instanceIdPrefix=w", "")] * 3
    assert [headers.get("x-ms-continuation-token") for headers in host.headers] == [None, "2", "4"]


async def test_without_the_local_address_the_public_one_is_asked_with_its_key(host: FakeHost) -> None:
    client = DurableOrchestrationClient(client_payload(None, baseUrl=host.base.removesuffix("/")))
    host.answers(202, RUNNING)
    host.answers(202)
    await client.get_status("w__1")
    await client.terminate("w__1", "x")
    assert asked(host) == [
        ("GET", "instances/w__1?code=K", ""),
        ("POST", "instances/w__1/terminate?reason=x&code=K", ""),
    ]


# ---------------------------------------------------------------- what comes back


async def test_starting_gives_the_instances_id(host: FakeHost, client: DurableOrchestrationClient) -> None:
    host.answers(202, {"id": "fe0d6c82866e4712b6852ea7db68b743", "statusQueryGetUri": "http://x"})
    assert await client.start_new("Orch") == "fe0d6c82866e4712b6852ea7db68b743"


async def test_an_orchestrator_is_started_by_reference(host: FakeHost, client: DurableOrchestrationClient) -> None:
    app = DFApp()

    @app.orchestration_trigger(context_name="context", orchestration="Ship")
    def ship(context: DurableOrchestrationContext[str]) -> None:
        raise NotImplementedError

    @app.activity_trigger(input_name="box")
    def pack(box: DurableOrchestrationContext) -> None:
        raise NotImplementedError

    host.answers(202, {"id": "w"})
    assert await client.start_new(ship, client_input="box") == "w"
    assert asked(host) == [("POST", "orchestrators/Ship", '"\\"box\\""')]
    with pytest.raises(ValueError, match="pack has a activityTrigger, expected a orchestrationTrigger"):
        await client.start_new(pack)


@pytest.mark.parametrize("status,body", [(202, RUNNING), (200, COMPLETED), (200, FAILED), (500, FAILED), (400, FAILED)])
async def test_a_status_is_read_whatever_the_instance_has_come_to(
    host: FakeHost, client: DurableOrchestrationClient, status: int, body: dict[str, Any]
) -> None:
    host.answers(status, body)
    found = await client.get_status("w__1")
    assert bool(found)
    assert found.to_json() == {
        "name": "Orch",
        "instanceId": "w__1",
        "createdTime": "2026-11-21T04:26:33.000000Z",
        "lastUpdatedTime": "2026-11-21T04:26:34.000000Z",
        "output": body["output"],
        "input": '{"n":1}',
        "runtimeStatus": body["runtimeStatus"],
        "customStatus": {"s": 1},
        "history": None,
    }


async def test_an_instance_that_does_not_exist_has_a_false_status(
    host: FakeHost, client: DurableOrchestrationClient
) -> None:
    host.answers(404)
    status = await client.get_status("nosuch")
    assert (bool(status), status.runtime_status, status.instance_id) == (False, None, None)


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    "body,members", [({"Message": WRONG}, {"Message": WRONG}), ("words", {"message": "words"}), (None, {"message": ""})]
)
async def test_a_refused_look_has_a_false_status_with_the_hosts_words(
    host: FakeHost, client: DurableOrchestrationClient, status: int, body: Any, members: dict[str, str]
) -> None:
    """As in 1.7.0, where apps poll with `while not status`."""
    host.answers(status, body)
    found = await client.get_status("w__1")
    assert (bool(found), vars(found) | members) == (False, vars(found))


async def test_the_history_is_shown_under_both_names(host: FakeHost, client: DurableOrchestrationClient) -> None:
    events = [{"EventType": "ExecutionStarted", "FunctionName": "Orch"}]
    host.answers(200, COMPLETED | {"historyEvents": events})
    status = await client.get_status("w__1", show_history=True)
    assert (status.history, vars(status)["historyEvents"]) == (events, events)


@pytest.mark.parametrize("status,body,deleted", [(200, {"instancesDeleted": 7}, 7), (404, None, 0)])
@pytest.mark.parametrize(
    "call", [lambda c: c.purge_instance_history("w"), lambda c: c.purge_instance_history_by(datetime(2020, 1, 1))]
)
async def test_a_purge_says_how_much_it_deleted(
    host: FakeHost, client: DurableOrchestrationClient, call: Call, status: int, body: Any, deleted: int
) -> None:
    host.answers(status, body)
    assert (await call(client)).instances_deleted == deleted


@pytest.mark.parametrize(
    "status,body,expected", [(202, {"id": "new"}, {"id": "new"}), (202, "new", "new"), (410, None, "w__1")]
)
async def test_a_restart_gives_what_the_host_answers(
    host: FakeHost, client: DurableOrchestrationClient, status: int, body: Any, expected: Any
) -> None:
    host.answers(status, body)
    assert await client.restart("w__1") == expected


@pytest.mark.parametrize(
    "status,body,expected", [(200, [1], (True, [1])), (200, 0, (True, 0)), (404, None, (False, None))]
)
async def test_an_entitys_state_is_read(
    host: FakeHost, client: DurableOrchestrationClient, status: int, body: Any, expected: tuple[bool, Any]
) -> None:
    host.answers(status, body)
    state = await client.read_entity_state(EntityId("Counter", "a"))
    assert (state.entity_exists, state.entity_state) == expected


@pytest.mark.parametrize(
    "call",
    [lambda c: c.terminate("w", "x"), lambda c: c.suspend("w", "x"), lambda c: c.resume("w", "x")],
)
async def test_an_instance_that_has_ended_stays_so_without_an_error(
    host: FakeHost, client: DurableOrchestrationClient, call: Call
) -> None:
    host.answers(410)
    assert await call(client) is None


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "call,status,body,instance_id,message",
    [
        (
            lambda c: c.start_new("NoSuch", "w"),
            400,
            {"Message": "One or more of the arguments submitted is incorrect", "ExceptionMessage": "No 'NoSuch'."},
            "w",
            "No 'NoSuch'.",
        ),
        (
            lambda c: c.start_new("Orch", "w"),
            409,
            {"Message": "An orchestration with id 'w' already exists. It is in state Running"},
            "w",
            "An orchestration with id 'w' already exists. It is in state Running",
        ),
        (lambda c: c.start_new("Orch"), 202, None, None, "expected a JSON object in the answer, found nothing"),
        (lambda c: c.get_status("w"), 503, {"Message": WRONG}, "w", WRONG),
        (lambda c: c.get_status("w"), 401, None, "w", "the answer is empty"),
        (lambda c: c.get_status_all(), 500, {"Message": WRONG}, None, WRONG),
        (lambda c: c.get_status_all(), 200, {"n": 1}, None, "expected a JSON array, found {'n': 1}"),
        (lambda c: c.raise_event("w", "go"), 404, None, "w", "there is no such instance"),
        (lambda c: c.raise_event("w", "go"), 410, None, "w", "the instance has ended and takes no events"),
        (lambda c: c.terminate("w", "x"), 404, None, "w", "there is no such instance"),
        (
            lambda c: c.suspend("w", "x"),
            500,
            {"Message": WRONG, "ExceptionMessage": "Cannot suspend the orchestration instance w"},
            "w",
            "Cannot suspend the orchestration instance w",
        ),
        (lambda c: c.resume("w", "x"), 404, None, "w", "there is no such instance"),
        (lambda c: c.rewind("w", "x"), 410, None, "w", "only failed instances can be rewound"),
        (lambda c: c.rewind("w", "x"), 412, "It has status Running", "w", "It has status Running"),
        (
            lambda c: c.restart("w"),
            400,
            {"Message": "m", "ExceptionMessage": "No instance with ID 'w' was found."},
            "w",
            "No instance with ID 'w' was found.",
        ),
        (lambda c: c.purge_instance_history("w"), 412, "w has status Running", "w", "w has status Running"),
        (
            lambda c: c.signal_entity(EntityId("Nope", "a"), "x"),
            400,
            {"Message": "The function 'nope' doesn't exist"},
            "@nope@a",
            "The function 'nope' doesn't exist",
        ),
        (lambda c: c.read_entity_state(EntityId("Nope", "a")), 500, {"odd": 1}, "@nope@a", '{"odd":1}'),
    ],
)
async def test_a_refusal_is_told_in_the_hosts_words(
    host: FakeHost,
    client: DurableOrchestrationClient,
    call: Call,
    status: int,
    body: Any,
    instance_id: str | None,
    message: str,
) -> None:
    host.answers(status, body)
    with pytest.raises(ClientError) as refusal:
        await call(client)
    error = refusal.value
    assert (error.status, error.instance_id, error.message) == (status, instance_id, message)


PAGE = "<!doctype html><html><head><title>Welcome &amp; hello</title></head><body>It works</body></html>"
CALLS: list[tuple[Call, str]] = [
    (lambda c: c.start_new("Orch", "w"), "orchestrators/Orch/w"),
    (lambda c: c.get_status("w"), "instances/w"),
    (lambda c: c.get_status_all(), "instances/"),
    (lambda c: c.purge_instance_history("w"), "instances/w"),
    (lambda c: c.raise_event("w", "go"), "instances/w/raiseEvent/go"),
    (lambda c: c.send_event("w", "go"), "instances/w/raiseEvent/go"),
    (lambda c: c.terminate("w", "x"), "instances/w/terminate"),
    (lambda c: c.restart("w"), "instances/w/restart"),
    (lambda c: c.rewind("w", "x"), "instances/w/rewind"),
    (lambda c: c.read_entity_state(EntityId("E", "k")), "entities/E/k"),
    (lambda c: c.signal_entity(EntityId("E", "k"), "x"), "entities/E/k"),
]


@pytest.mark.parametrize("call,path", CALLS)
@pytest.mark.parametrize("status", [200, 202, 403, 404, 502])
async def test_the_page_of_another_server_is_told_in_a_line(host: FakeHost, call: Call, path: str, status: int) -> None:
    client = DurableOrchestrationClient(client_payload(None, baseUrl=host.base.removesuffix("/")))
    host.answers_with(web.Response(status=status, text=PAGE, content_type="text/html"))
    with pytest.raises(ClientError) as refusal:
        await call(client)
    assert refusal.value.message == (
        f"{status} from {host.base}{path}: not a Durable management API (a page with the title 'Welcome & hello')"
    )


@pytest.mark.parametrize(
    "call,path",
    [(lambda c: c.start_new("Orch", "w"), "orchestrators/Orch/w"), (lambda c: c.get_status_all(), "instances/")],
)
@pytest.mark.parametrize("text", [None, "404: Not Found"])
async def test_a_404_that_names_nothing_is_about_the_address(
    host: FakeHost, client: DurableOrchestrationClient, call: Call, path: str, text: str | None
) -> None:
    host.answers_with(web.Response(status=404, text=text))
    with pytest.raises(ClientError) as refusal:
        await call(client)
    assert (refusal.value.instance_id, refusal.value.message) == (
        None,
        f"404 from {host.base}{path}: not a Durable management API",
    )


async def test_plain_words_with_an_error_are_the_hosts(host: FakeHost, client: DurableOrchestrationClient) -> None:
    host.answers_with(web.Response(status=503, text="Function host is not running."))
    with pytest.raises(ClientError) as refusal:
        await client.get_status("w")
    assert refusal.value.message == "Function host is not running."


@pytest.mark.parametrize("name", ["", ".", "..", None])
@pytest.mark.parametrize(
    "call",
    [
        lambda c, name: c.get_status(name),
        lambda c, name: c.purge_instance_history(name),
        lambda c, name: c.terminate(name, "x"),
        lambda c, name: c.raise_event(name, "go"),
        lambda c, name: c.send_event("w", name),
        lambda c, name: c.restart(name),
        lambda c, name: c.start_new(name),
    ],
)
async def test_what_is_no_id_is_not_sent(
    host: FakeHost, client: DurableOrchestrationClient, call: Callable[..., Awaitable[Any]], name: str
) -> None:
    with pytest.raises(ValueError, match=r"expected an ID or a name, found|must be a non-empty string|not registered"):
        await call(client, name)
    assert asked(host) == []


@pytest.mark.parametrize("given,sent", [(17, "17"), (UUID(int=17), "00000000-0000-0000-0000-000000000011")])
async def test_an_id_may_be_what_ids_are_made_of(
    host: FakeHost, client: DurableOrchestrationClient, given: Any, sent: str
) -> None:
    """They are put into an address, as by 1.7.0."""
    for _ in range(4):
        host.answers(202, {"id": sent})
    await client.start_new("Orch", given)
    await client.get_status(given)
    await client.raise_event(given, "go")
    await client.signal_entity(EntityId("Counter", given), "add")
    assert [path for _, path, _ in asked(host)] == [
        f"orchestrators/Orch/{sent}",
        f"instances/{sent}",
        f"instances/{sent}/raiseEvent/go",
        f"entities/Counter/{sent}?op=add",
    ]


async def test_an_empty_id_starts_an_instance_with_an_id_of_the_hosts(
    host: FakeHost, client: DurableOrchestrationClient
) -> None:
    host.answers(202, {"id": "made"})
    assert (await client.start_new("Orch", ""), asked(host)) == ("made", [("POST", "orchestrators/Orch", "")])


@pytest.mark.parametrize(
    "call,status,body,text",
    [
        (lambda c: c.start_new("Orch"), 400, {"ExceptionMessage": "No such."}, "No such."),
        (lambda c: c.raise_event("w", "go"), 404, None, "No instance with ID w found."),
        (
            lambda c: c.raise_event("w", "go"),
            410,
            None,
            "Instance with ID w is gone: either completed or failed",
        ),
        (
            lambda c: c.raise_event("w", "go"),
            400,
            {"Message": "Only json"},
            "Only application/json request content is supported: Only json",
        ),
        (lambda c: c.raise_event("w", "go"), 500, None, "Webhook returned unrecognized status code 500"),
        (lambda c: c.get_status("w"), 503, None, "The operation failed with an unexpected status code 503"),
        (
            lambda c: c.get_status_all(),
            500,
            {"Message": WRONG},
            f"The operation failed with an unexpected status code 500: {WRONG}",
        ),
        (lambda c: c.terminate("w", "x"), 404, None, "No instance with ID 'w' found."),
        (lambda c: c.suspend("w", "x"), 404, None, "No instance with ID 'w' found."),
        (lambda c: c.resume("w", "x"), 500, None, "The operation failed with an unexpected status code 500"),
        (lambda c: c.restart("w"), 404, None, "No instance with ID 'w' found."),
        (lambda c: c.rewind("w", "x"), 404, None, "No instance with ID w found."),
        (
            lambda c: c.rewind("w", "x"),
            410,
            None,
            "The rewind operation is only supported on failed orchestration instances.",
        ),
        (lambda c: c.rewind("w", "x"), 501, "not here", "not here"),
        (lambda c: c.purge_instance_history("w"), 400, None, "The operation failed with an unexpected status code 400"),
        (
            lambda c: c.read_entity_state(EntityId("E", "k")),
            500,
            None,
            "The operation failed with an unexpected status code 500",
        ),
        (
            lambda c: c.signal_entity(EntityId("E", "k"), "x"),
            400,
            None,
            "The operation failed with an unexpected status code 400",
        ),
    ],
)
async def test_the_text_of_a_refusal_begins_as_in_1_7_0(
    host: FakeHost, client: DurableOrchestrationClient, call: Call, status: int, body: Any, text: str
) -> None:
    """Apps of 1.7.0, where every error is a bare Exception, tell them apart by it."""
    host.answers(status, body)
    with pytest.raises(ClientError) as refusal:
        await call(client)
    assert str(refusal.value) == text


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda c: c.raise_event("w", ""), "event_name must be a non-empty string."),
        (lambda c: c.purge_instance_history_by(), "created_time_from is required"),
        (
            lambda c: c.purge_instance_history_by(datetime(2020, 1, 1), None, [OrchestrationRuntimeStatus.Running]),
            "runtime_status=Running names no state whose instances can be purged",
        ),
        (lambda c: c.get_status_by(runtime_status=["running"]), "'running' is not a valid OrchestrationRuntimeStatus"),
        (
            lambda c: c.wait_for_completion_or_create_check_status_response(None, "w", 10, 20),
            r"Total timeout 10 \(ms\) should be bigger than retry timeout 20 \(ms\)",
        ),
    ],
)
async def test_an_argument_that_cannot_be_meant_is_refused_before_anything_is_sent(
    host: FakeHost, client: DurableOrchestrationClient, call: Call, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        await call(client)
    assert host.seen == []


async def test_an_input_that_is_no_json_is_refused(host: FakeHost, client: DurableOrchestrationClient) -> None:
    with pytest.raises(TypeError, match=r"builtins\.object cannot be written as JSON"):
        await client.start_new("Orch", client_input=object())
    assert host.seen == []


@pytest.mark.parametrize(
    "text,message",
    [
        ("", "durableClient"),
        ("[]", "durableClient"),
        (client_payload(None, managementUrls={}), r"durableClient \$\.managementUrls: .*`id`"),
        (client_payload(None, baseUrl=None), "expected an object with `rpcBaseUrl` or `baseUrl`, found neither"),
    ],
)
def test_a_text_that_is_no_client_binding_is_refused(text: str, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        DurableOrchestrationClient(text)


# ---------------------------------------------------------------- links and HTTP answers


@pytest.mark.parametrize(
    "url,origin",
    [
        ("http://localhost:7071/api/orchestrators/Orch", "http://localhost:7071"),
        ("https://contoso.azurewebsites.net/api/start?x=1", "https://contoso.azurewebsites.net"),
        ("https://front.door:8443/", "https://front.door:8443"),
        ("/api/start", "http://localhost:7071"),
        ("", "http://localhost:7071"),
    ],
)
def test_links_lead_to_the_host_that_was_called(url: str, origin: str) -> None:
    client = DurableOrchestrationClient(client_payload(LOCAL))
    links = client.get_client_response_links(http_request(url), "w__1")
    assert links == {
        name: value.replace("http://localhost:7071", origin).replace("INSTANCEID", "w__1")
        for name, value in MANAGEMENT_URLS.items()
    }


def test_an_id_is_quoted_in_links_and_stays_as_it_is_beside_them() -> None:
    client = DurableOrchestrationClient(client_payload(LOCAL))
    links = client.create_http_management_payload("a#b")
    assert (links["id"], links["statusQueryGetUri"]) == ("a#b", f"{WEBHOOK}/instances/a%23b?{KEY}")


def test_links_of_newer_hosts_come_along() -> None:
    newer = MANAGEMENT_URLS | {"exportGetUri": f"{WEBHOOK}/instances/INSTANCEID/export"}
    client = DurableOrchestrationClient(client_payload(LOCAL, managementUrls=newer))
    assert client.create_http_management_payload("w")["exportGetUri"] == f"{WEBHOOK}/instances/w/export"


def test_the_check_status_response_tells_where_to_ask() -> None:
    client = DurableOrchestrationClient(client_payload(LOCAL))
    request = http_request("https://contoso.net/api/start")
    response = client.create_check_status_response(request, "w__1")
    links = client.get_client_response_links(request, "w__1")
    assert (response.status_code, json.loads(response.get_body()), dict(response.headers)) == (
        202,
        links,
        {"Content-Type": "application/json", "Location": links["statusQueryGetUri"], "Retry-After": "10"},
    )


@pytest.mark.parametrize(
    "status,expected_code,expected_body",
    [
        (COMPLETED, 200, '{"ok": true}'),
        (COMPLETED | {"output": ["Hello Tokyo!", "Hello Seattle!"]}, 200, '["Hello Tokyo!", "Hello Seattle!"]'),
        (COMPLETED | {"output": "done"}, 200, "done"),
        (COMPLETED | {"output": 0}, 200, "0"),
        (COMPLETED | {"output": None}, 200, "null"),
        (TERMINATED, 200, None),
        (FAILED, 500, None),
    ],
)
async def test_waiting_answers_with_what_the_instance_came_to(
    host: FakeHost,
    client: DurableOrchestrationClient,
    status: dict[str, Any],
    expected_code: int,
    expected_body: str | None,
) -> None:
    for body in (RUNNING, status):
        host.answers(200, body)
    response = await client.wait_for_completion_or_create_check_status_response(
        http_request("http://x/"), "w__1", retry_interval_in_milliseconds=1
    )
    assert (response.status_code, response.mimetype) == (expected_code, "application/json")
    if expected_body is None:
        answered = json.loads(response.get_body())
        assert (answered["runtimeStatus"], answered["output"]) == (status["runtimeStatus"], status["output"])
    else:
        assert response.get_body().decode() == expected_body


async def test_waiting_too_long_answers_with_the_links(host: FakeHost, client: DurableOrchestrationClient) -> None:
    for _ in range(3):
        host.answers(202, RUNNING)
    request = http_request("http://x/")
    response = await client.wait_for_completion_or_create_check_status_response(request, "w__1", 0, 0)
    assert response.get_body() == client.create_check_status_response(request, "w__1").get_body()


# ---------------------------------------------------------------- transports


async def test_a_transport_of_ones_own_is_one_method() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.requests: list[Request] = []

        async def send(self, request: Request) -> Response:
            self.requests.append(request)
            return Response(202, b'{"id":"w"}')

    recorder = Recorder()
    client = DurableOrchestrationClient(client_payload(LOCAL), transport=recorder)
    assert await client.start_new("Orch", client_input=1) == "w"
    assert recorder.requests == [
        Request(
            "POST",
            f"{LOCAL}orchestrators/Orch",
            b'"1"',
            {"Content-Type": "application/json"},
        )
    ]


async def test_calls_may_go_side_by_side(host: FakeHost, client: DurableOrchestrationClient) -> None:
    for _ in range(50):
        host.answers(202, RUNNING)
    statuses = await asyncio.gather(*(client.get_status("w__1") for _ in range(50)))
    assert all(statuses)
