"""The client beside that of azure-functions-durable 1.7.0, both over real HTTP: the same requests, the same outcomes.

What differs is listed with its reason, and must differ.
"""

import importlib
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import azure.functions as func
import pytest
from management_host import FakeHost, client_payload

import worker_ext

# 1.7.0 asks aiohttp for what newer Pythons do by themselves.
pytestmark = pytest.mark.filterwarnings("ignore:enable_cleanup_closed ignored:DeprecationWarning")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip("azure.durable_functions", reason="azure-functions-durable 1.7.0 is not installed")
    http_utils = importlib.import_module("azure.durable_functions.models.utils.http_utils")

STATUS = {
    "name": "Orch",
    "instanceId": "w",
    "runtimeStatus": "Running",
    "input": '{"n": 1}',
    "customStatus": 0,
    "output": None,
    "createdTime": "2026-11-21T04:26:33Z",
    "lastUpdatedTime": "2026-11-21T04:26:34Z",
}
ENDED = STATUS | {"runtimeStatus": "Completed", "output": "done"}
FAILED = STATUS | {"runtimeStatus": "Failed", "output": "boom"}
WRONG = {"Message": "Something went wrong while processing your request", "ExceptionMessage": "It is locked"}
REQUEST = func.HttpRequest(method="POST", url="https://shop.example/api/start?x=1", body=b"")
NAIVE = datetime(2026, 1, 2, 3, 4, 5, 600000)
ROME = timezone(timedelta(hours=2))


class Parcel:
    """A custom object."""

    @staticmethod
    def to_json(parcel: "Parcel") -> dict[str, int]:
        return {"weight": 3}


def entity(sdk: Any, key: str = "a") -> Any:
    return sdk.EntityId("Counter", key)


def case(call: Any, *answers: tuple[int, Any], id: str) -> Any:  # noqa: A002 - pytest's word
    """A call of a client, given the SDK it belongs to, and what the host answers."""
    return pytest.param(call, answers or ((202, {"id": "w"}),), id=id)


CASES = [
    case(lambda c, sdk: c.start_new("Orch"), id="start"),
    case(lambda c, sdk: c.start_new("Orch", "w"), id="start with an id"),
    case(lambda c, sdk: c.start_new("Orch", None, {"n": [1, "é"]}), id="start with an input"),
    case(lambda c, sdk: c.start_new("Orch", client_input=Parcel()), id="start with a custom object"),
    case(lambda c, sdk: c.start_new("Orch", client_input=""), id="start with empty text"),
    case(lambda c, sdk: c.start_new("Orch", client_input=0, version="1 b"), id="start with a version"),
    case(lambda c, sdk: c.start_new("Orch", "a b"), id="start with a space in the id"),
    case(lambda c, sdk: c.start_new("Orch", "a/b#c"), id="start with a path in the id"),
    case(lambda c, sdk: c.start_new("Orch"), (400, WRONG), id="start refused"),
    case(lambda c, sdk: c.start_new("Orch"), (409, WRONG), id="start in conflict"),
    case(lambda c, sdk: c.get_status("w"), (202, STATUS), id="status"),
    case(lambda c, sdk: c.get_status("w", True, True, True), (200, ENDED), id="status with all"),
    case(
        lambda c, sdk: c.get_status("w", show_history=True),
        (200, ENDED | {"historyEvents": [{"EventType": "ExecutionStarted"}]}),
        id="status with history",
    ),
    case(lambda c, sdk: c.get_status("w"), (404, None), id="status of nothing"),
    case(lambda c, sdk: c.get_status("w"), (500, FAILED), id="status of a failed instance"),
    case(lambda c, sdk: c.get_status("w"), (400, WRONG), id="status refused"),
    case(lambda c, sdk: c.get_status("w"), (500, "words"), id="status refused in words"),
    case(lambda c, sdk: c.get_status("w"), (401, None), id="status unauthorized"),
    case(lambda c, sdk: c.get_status_all(), (200, [STATUS, ENDED]), id="all"),
    case(lambda c, sdk: c.get_status_all(), (500, None), id="all refused"),
    case(
        lambda c, sdk: c.get_status_by(NAIVE, NAIVE, [sdk.OrchestrationRuntimeStatus.Failed], "q"), (200, []), id="some"
    ),
    case(lambda c, sdk: c.get_status_by(NAIVE.replace(tzinfo=UTC)), (200, []), id="some since a UTC time"),
    case(lambda c, sdk: c.get_status_by(NAIVE.replace(tzinfo=ROME)), (200, []), id="some since a time elsewhere"),
    case(lambda c, sdk: c.purge_instance_history("w"), (200, {"instancesDeleted": 1}), id="purge"),
    case(lambda c, sdk: c.purge_instance_history("w"), (404, None), id="purge of nothing"),
    case(lambda c, sdk: c.purge_instance_history("w"), (412, None), id="purge refused"),
    case(
        lambda c, sdk: c.purge_instance_history_by(NAIVE, runtime_status=[sdk.OrchestrationRuntimeStatus.Failed]),
        (200, {"instancesDeleted": 2}),
        id="purge some",
    ),
    case(lambda c, sdk: c.purge_instance_history_by(NAIVE), (200, {"instancesDeleted": 2}), id="purge all"),
    case(
        lambda c, sdk: c.purge_instance_history_by(NAIVE, runtime_status=[sdk.OrchestrationRuntimeStatus.Running]),
        (200, {"instancesDeleted": 9}),
        id="purge what runs",
    ),
    case(lambda c, sdk: c.raise_event("w", "go"), (202, None), id="raise"),
    case(lambda c, sdk: c.raise_event("w", "go", {"a": [1, "é"]}), (202, None), id="raise with data"),
    case(lambda c, sdk: c.raise_event("w", "go", False, "Hub", "Storage"), (202, None), id="raise in a hub"),
    case(lambda c, sdk: c.raise_event("w", "go", Parcel()), (202, None), id="raise with a custom object"),
    case(lambda c, sdk: c.raise_event("w", "go"), (404, None), id="raise to nothing"),
    case(lambda c, sdk: c.raise_event("w", "go"), (410, None), id="raise too late"),
    case(lambda c, sdk: c.raise_event("w", "go"), (400, None), id="raise refused"),
    case(lambda c, sdk: c.terminate("w", "oh no & so on"), (202, None), id="terminate"),
    case(lambda c, sdk: c.terminate("w", "x"), (410, None), id="terminate too late"),
    case(lambda c, sdk: c.terminate("w", "x"), (404, None), id="terminate nothing"),
    case(lambda c, sdk: c.suspend("w", "x"), (202, None), id="suspend"),
    case(lambda c, sdk: c.suspend("w", "x"), (500, None), id="suspend refused"),
    case(lambda c, sdk: c.resume("w", "x"), (202, None), id="resume"),
    case(lambda c, sdk: c.resume("w", "x"), (404, None), id="resume nothing"),
    case(lambda c, sdk: c.rewind("w", "x", "Hub", "Storage"), (202, None), id="rewind"),
    case(lambda c, sdk: c.rewind("w", "x&taskHub=y"), (202, None), id="rewind for a reason with an ampersand"),
    case(lambda c, sdk: c.rewind("w", "x"), (410, None), id="rewind what has not failed"),
    case(lambda c, sdk: c.rewind("w", "x"), (501, "not in this store"), id="rewind refused"),
    case(lambda c, sdk: c.restart("w"), (202, {"id": "n", "statusQueryGetUri": "http://x"}), id="restart"),
    case(lambda c, sdk: c.restart("w", False), (202, {"id": "w"}), id="restart in place"),
    case(lambda c, sdk: c.restart("w"), (410, None), id="restart that says nothing"),
    case(lambda c, sdk: c.restart("w"), (404, None), id="restart nothing"),
    case(lambda c, sdk: c.read_entity_state(entity(sdk)), (200, {"n": [0]}), id="read an entity"),
    case(lambda c, sdk: c.read_entity_state(entity(sdk)), (404, None), id="read no entity"),
    case(lambda c, sdk: c.read_entity_state(entity(sdk), "Hub", "Storage"), (200, 0), id="read an entity in a hub"),
    case(lambda c, sdk: c.signal_entity(entity(sdk), "add", 5), (202, None), id="signal"),
    case(lambda c, sdk: c.signal_entity(entity(sdk), "add", 0), (202, None), id="signal with a falsy input"),
    case(lambda c, sdk: c.signal_entity(entity(sdk), "reset"), (202, None), id="signal without input"),
    case(lambda c, sdk: c.signal_entity(entity(sdk), "add", {"a": "é"}), (202, None), id="signal with a dict"),
    case(lambda c, sdk: c.signal_entity(entity(sdk, "a/b"), "add", 5), (202, None), id="signal to a path"),
    case(
        lambda c, sdk: c.wait_for_completion_or_create_check_status_response(REQUEST, "w", 20, 10),
        (200, ENDED),
        id="wait",
    ),
    case(
        lambda c, sdk: c.wait_for_completion_or_create_check_status_response(REQUEST, "w", 20, 10),
        (200, FAILED),
        id="wait for a failure",
    ),
    case(
        lambda c, sdk: c.wait_for_completion_or_create_check_status_response(REQUEST, "w", 0, 0),
        (202, STATUS),
        id="wait in vain",
    ),
    case(lambda c, sdk: made(c.create_check_status_response(REQUEST, "w")), (200, None), id="check status"),
    case(lambda c, sdk: made(c.create_check_status_response(REQUEST, "a b")), (200, None), id="check status, quoted"),
    case(lambda c, sdk: made(c.create_http_management_payload("w")), (200, None), id="management payload"),
]

QUOTED = "what is put into an address is quoted, so that no part of it can be taken for another"

DIFFERENT = {
    "start with a path in the id": QUOTED,
    "signal to a path": QUOTED,
    "rewind for a reason with an ampersand": QUOTED,
    "check status, quoted": QUOTED,
    "some since a time elsewhere": "the time is converted to UTC; 1.7.0 sends the local one as if it were UTC",
    "purge what runs": "the host drops a filter that names no ended state and purges everything: it is refused instead",
    "raise with a custom object": "custom objects can be event data, as they can be any other value",
    "signal with a falsy input": "0 and its like are sent; 1.7.0 sends nothing for them",
    "read an entity in a hub": "the connection is sent under the name that the host reads; 1.7.0 sends another",
    "status with history": "the host's `historyEvents` are `history` too, which 1.7.0 leaves empty",
}
"""Cases in which the request or the outcome is another than that of 1.7.0."""


async def made(value: Any) -> Any:
    return value


@pytest.fixture
async def theirs(host: FakeHost) -> AsyncIterator[Any]:
    """A client of 1.7.0; its session is one for all loops, so it is closed with the test's."""
    yield peer.DurableOrchestrationClient(client_payload(host.base))
    await http_utils._close_session()


def readable(value: Any) -> Any:
    """An outcome as values that can be compared."""
    if isinstance(value, func.HttpResponse):
        return value.status_code, value.mimetype, sorted(value.headers.items()), value.get_body()
    if isinstance(value, list):
        return [readable(item) for item in value]
    if hasattr(value, "to_json"):  # the status of an instance
        known = value.to_json() if value else {}
        return bool(value), known, {name: item for name, item in vars(value).items() if not name.startswith("_")}
    properties = [name for name in dir(type(value)) if isinstance(getattr(type(value), name), property)]
    plain = isinstance(value, str | dict | int | None)
    return value if plain else {name: getattr(value, name) for name in properties}


async def outcome(call: Any, client: Any, sdk: Any, host: FakeHost, answers: Any) -> tuple[Any, Any]:
    """The requests of a call, and its result or the text of its error."""
    host.seen.clear()
    host._answers.clear()
    for status, body in answers:
        host.answers(status, body)
    try:
        result = readable(await call(client, sdk))
    except Exception as error:  # noqa: BLE001 - 1.7.0 raises nothing more precise
        result = error
    return [(seen.method, *in_any_order(seen.target), seen.body) for seen in host.seen], result


def in_any_order(target: str) -> tuple[str, list[str]]:
    """A path, and its query parameters, whose order says nothing."""
    path, _, query = target.partition("?")
    return path, sorted(query.split("&"))


@pytest.mark.parametrize("call,answers", CASES)
async def test_the_client_does_what_that_of_1_7_0_does(
    call: Any, answers: Any, host: FakeHost, theirs: Any, request: pytest.FixtureRequest
) -> None:
    """Errors begin with its text; what else they say is the host's."""
    ours = worker_ext.DurableOrchestrationClient(client_payload(host.base))
    their_requests, their_result = await outcome(call, theirs, peer, host, answers)
    our_requests, our_result = await outcome(call, ours, worker_ext, host, answers)
    same = our_requests == their_requests
    if isinstance(our_result, Exception) and isinstance(their_result, Exception):
        text = their_result.args[0]
        same = same and str(our_result).startswith(text["ExceptionMessage"] if isinstance(text, dict) else text)
    else:
        same = same and our_result == their_result
    assert same is not (request.node.callspec.id in DIFFERENT), (their_requests, their_result, our_requests, our_result)


def test_every_listed_difference_is_one_of_a_case() -> None:
    assert DIFFERENT.keys() <= {parameter.id for parameter in CASES}
