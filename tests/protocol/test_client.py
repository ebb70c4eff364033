"""The client binding's payload and the bodies of the management API."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from worker_ext.errors import PayloadError
from worker_ext.protocol.client import CreationUrls, DurableClientPayload, InstanceStatus, ManagementUrls

BASE = "http://localhost:7071/runtime/webhooks/durabletask"
INSTANCE = f"{BASE}/instances/INSTANCEID"
PAYLOAD: dict[str, Any] = {
    "taskHubName": "DevHub",
    "connectionName": None,
    "creationUrls": {
        "createNewInstancePostUri": f"{BASE}/orchestrators/{{functionName}}[/{{instanceId}}]?code=K",
        "createAndWaitOnNewInstancePostUri": f"{BASE}/orchestrators/{{functionName}}[/{{instanceId}}]"
        "?timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}&code=K",
    },
    "managementUrls": {
        "id": "INSTANCEID",
        "statusQueryGetUri": f"{INSTANCE}?taskHub=DevHub&connection=Storage&code=K",
        "sendEventPostUri": f"{INSTANCE}/raiseEvent/{{eventName}}?taskHub=DevHub&connection=Storage&code=K",
        "terminatePostUri": f"{INSTANCE}/terminate?reason={{text}}&taskHub=DevHub&connection=Storage&code=K",
        "rewindPostUri": f"{INSTANCE}/rewind?reason={{text}}&taskHub=DevHub&connection=Storage&code=K",
        "purgeHistoryDeleteUri": f"{INSTANCE}?taskHub=DevHub&connection=Storage&code=K",
        "restartPostUri": f"{INSTANCE}/restart?taskHub=DevHub&connection=Storage&code=K",
        "suspendPostUri": f"{INSTANCE}/suspend?reason={{text}}&taskHub=DevHub&connection=Storage&code=K",
        "resumePostUri": f"{INSTANCE}/resume?reason={{text}}&taskHub=DevHub&connection=Storage&code=K",
    },
    "baseUrl": BASE,
    "requiredQueryStringParameters": "code=K",
    "rpcBaseUrl": "http://127.0.0.1:17071/durabletask/",
    "httpBaseUrl": None,
    "maxGrpcMessageSizeInBytes": None,
    "grpcHttpClientTimeout": None,
}
"""The text of extension 3.19, members in its order."""


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def test_the_extensions_payload_is_read_and_written_to_the_letter() -> None:
    assert DurableClientPayload.decode(compact(PAYLOAD)).encode() == compact(PAYLOAD)


def test_a_payload_of_an_older_extension_has_defaults() -> None:
    """2.13 sends no gRPC members, and a host without local RPC no `rpcBaseUrl`."""
    needed = {"taskHubName", "creationUrls", "managementUrls"}
    older = {name: value for name, value in PAYLOAD.items() if name in needed}
    assert DurableClientPayload.decode(compact(older)) == DurableClientPayload(
        task_hub_name="DevHub",
        creation_urls=msgspec.convert(PAYLOAD["creationUrls"], CreationUrls),
        management_urls=msgspec.convert(PAYLOAD["managementUrls"], ManagementUrls),
    )


@pytest.mark.parametrize(
    "change, where, what",
    [
        ({"taskHubName": None}, "$.taskHubName", "Expected `str`, got `null`"),
        ({"creationUrls": {}}, "$.creationUrls", "missing required field `createNewInstancePostUri`"),
        ({"managementUrls": "x"}, "$.managementUrls", "Expected `object`, got `str`"),
        ({"rpcBaseUrl": 17071}, "$.rpcBaseUrl", r"Expected `str \| null`, got `int`"),
    ],
)
def test_a_payload_that_breaks_the_contract_is_refused_at_its_place(
    change: dict[str, Any], where: str, what: str
) -> None:
    with pytest.raises(PayloadError) as refused:
        DurableClientPayload.decode(compact({**PAYLOAD, **change}))
    assert (refused.value.where, bool(re.search(what, refused.value.what))) == (f"durableClient {where}", True)


def test_text_that_is_no_payload_is_refused() -> None:
    with pytest.raises(PayloadError, match=r"^durableClient \$: JSON is malformed"):
        DurableClientPayload.decode("hello")


def test_links_of_a_started_instance_have_no_rewind() -> None:
    """The answer to a start leaves it out; the binding's payload has it."""
    urls = {name: url for name, url in PAYLOAD["managementUrls"].items() if name != "rewindPostUri"}
    assert msgspec.to_builtins(msgspec.convert(urls, ManagementUrls)) == urls


def test_a_status_has_history_only_when_it_was_asked_for() -> None:
    status = InstanceStatus(name="Ship", instance_id="abc", runtime_status="Completed", output=[1])
    plain = {
        "name": "Ship",
        "instanceId": "abc",
        "runtimeStatus": "Completed",
        "input": None,
        "customStatus": None,
        "output": [1],
        "createdTime": None,
        "lastUpdatedTime": None,
    }
    asked = msgspec.structs.replace(status, history_events=[])
    assert (msgspec.to_builtins(status), msgspec.to_builtins(asked)) == (plain, {**plain, "historyEvents": []})
