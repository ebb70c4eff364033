"""The traps of the protocol as a client meets them; source: durable-functions JSON protocol, 10.

The numbers are those of the section.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import pytest
from management_host import FakeHost, client_payload

from worker_ext.client import DurableOrchestrationClient
from worker_ext.errors import ClientError, PayloadError
from worker_ext.protocol.client import OrchestrationRuntimeStatus

Call = Callable[[DurableOrchestrationClient], Awaitable[Any]]

STATUS = {
    "name": "Orch",
    "instanceId": "w",
    "runtimeStatus": "Terminated",
    "input": None,
    "customStatus": None,
    "output": 123,
    "createdTime": "2026-11-21T04:26:33Z",
    "lastUpdatedTime": "2026-11-21T04:26:34Z",
}


@pytest.mark.parametrize("statuses", [[], [OrchestrationRuntimeStatus.Running]])
async def test_34_a_purge_that_would_take_running_instances_is_not_sent(
    host: FakeHost, client: DurableOrchestrationClient, statuses: list[OrchestrationRuntimeStatus]
) -> None:
    host.answers(200, {"instancesDeleted": 1})
    purge = client.purge_instance_history_by(datetime(2020, 1, 1, tzinfo=UTC), None, statuses or None)
    if statuses:
        with pytest.raises(ValueError, match="Running"):
            await purge
        assert host.seen == []
    else:  # what 1.7.0 sends too, and what its users rely on: everything of that time
        assert (await purge).instances_deleted == 1


@pytest.mark.parametrize("call", [lambda c: c.terminate("w", "x"), lambda c: c.suspend("w", "x")])
async def test_34_what_has_ended_is_left_alone_and_a_wrong_state_is_an_error(
    host: FakeHost, client: DurableOrchestrationClient, call: Call
) -> None:
    host.answers(410)
    assert await call(client) is None
    host.answers(500, {"Message": "Something went wrong", "ExceptionMessage": "w is in the Running state."})
    with pytest.raises(ClientError, match="w is in the Running state"):
        await call(client)


async def test_35_history_is_read_from_history_events(host: FakeHost, client: DurableOrchestrationClient) -> None:
    host.answers(200, STATUS | {"historyEvents": [{"EventType": "ExecutionTerminated"}]})
    status = await client.get_status("w", show_history=True)
    assert status.history == [{"EventType": "ExecutionTerminated"}]


@pytest.mark.parametrize(
    "body", [{"Message": "short"}, {"Message": "long", "ExceptionMessage": "short", "ExceptionType": "T"}]
)
async def test_36_a_400_is_told_with_and_without_the_message_of_an_exception(
    host: FakeHost, client: DurableOrchestrationClient, body: Any
) -> None:
    host.answers(400, body)
    with pytest.raises(ClientError) as refusal:
        await client.start_new("Orch")
    assert refusal.value.message == "short"


@pytest.mark.parametrize("slash", ["", "/"])
async def test_37_addresses_may_end_with_a_slash_or_not(host: FakeHost, slash: str) -> None:
    for members in ({"rpcBaseUrl": host.base.removesuffix("/") + slash}, {"rpcBaseUrl": None, "baseUrl": host.base}):
        host.answers(200, STATUS)
        await DurableOrchestrationClient(client_payload("http://unused/", **members)).get_status("w")
    assert [seen.target.partition("?")[0] for seen in host.seen] == ["/durabletask/instances/w"] * 2


@pytest.mark.parametrize("member", ["creationUrls", "managementUrls"])
def test_37_a_payload_without_its_links_says_which(member: str) -> None:
    payload = json.loads(client_payload("http://localhost/"))
    del payload[member]
    with pytest.raises(PayloadError, match=member):
        DurableOrchestrationClient(json.dumps(payload))


def test_38_the_links_of_a_client_hold_rewind_which_those_over_http_lack(client: DurableOrchestrationClient) -> None:
    request = func.HttpRequest(method="POST", url="http://localhost:7071/api/start", body=b"")
    assert "rewindPostUri" in client.get_client_response_links(request, "w")


@pytest.mark.parametrize("output", [123, "a reason", {"a": 1}])
async def test_39_the_reason_of_a_termination_comes_back_as_what_it_reads_as(
    host: FakeHost, client: DurableOrchestrationClient, output: Any
) -> None:
    host.answers(200, STATUS | {"output": output})
    assert (await client.get_status("w")).output == output
