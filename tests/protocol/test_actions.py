"""Actions as the extension reads them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from strategies import any_action

from worker_ext.protocol import actions
from worker_ext.protocol.actions import AnyAction, RetryOptions

CALL = actions.CallActivity(function_name="A", input="null")
RETRY = RetryOptions(5000, 3)


@pytest.mark.parametrize(
    "action, wire",
    [
        (
            actions.CallActivity(function_name="A", input='{"x": 1}'),
            {"actionType": 0, "functionName": "A", "input": '{"x": 1}'},
        ),
        (
            actions.CallActivityWithRetry(function_name="A", input="1", retry_options=RETRY),
            {
                "actionType": 1,
                "functionName": "A",
                "input": "1",
                "retryOptions": {"firstRetryIntervalInMilliseconds": 5000, "maxNumberOfAttempts": 3},
            },
        ),
        (
            actions.CallSubOrchestrator(function_name="S", input='{"q": 1}'),
            {"actionType": 2, "functionName": "S", "input": '{"q": 1}', "instanceId": None, "version": None},
        ),
        (
            actions.CallSubOrchestratorWithRetry(function_name="S", instance_id="s1", retry_options=RETRY),
            {
                "actionType": 3,
                "functionName": "S",
                "input": None,
                "instanceId": "s1",
                "version": None,
                "retryOptions": {"firstRetryIntervalInMilliseconds": 5000, "maxNumberOfAttempts": 3},
            },
        ),
        (actions.ContinueAsNew(input='{"n": 2}'), {"actionType": 4, "input": '{"n": 2}'}),
        (
            actions.CreateTimer(fire_at="2026-01-02T03:04:05Z"),
            {"actionType": 5, "fireAt": "2026-01-02T03:04:05Z", "isCanceled": False},
        ),
        (
            actions.WaitForExternalEvent(external_event_name="go"),
            {"actionType": 6, "externalEventName": "go", "reason": "ExternalEvent"},
        ),
        (
            actions.CallEntity(instance_id="@counter@k", operation="get", input="null"),
            {"actionType": 7, "instanceId": "@counter@k", "operation": "get", "input": "null"},
        ),
        (
            actions.CallHttp(http_request={"method": "GET", "uri": "http://x/", "content": None, "headers": None}),
            {"actionType": 8, "httpRequest": {"method": "GET", "uri": "http://x/", "content": None, "headers": None}},
        ),
        (
            actions.SignalEntity(instance_id="@counter@k", operation="add", input="1"),
            {"actionType": 9, "instanceId": "@counter@k", "operation": "add", "input": "1"},
        ),
        (
            actions.ScheduledSignalEntity(
                instance_id="@c@k", operation="add", input="1", fire_at="2026-01-02T03:04:05Z"
            ),
            {
                "actionType": 10,
                "instanceId": "@c@k",
                "operation": "add",
                "input": "1",
                "fireAt": "2026-01-02T03:04:05Z",
            },
        ),
        (
            actions.WhenAny(compound_actions=(CALL,)),
            {"actionType": 11, "compoundActions": [{"actionType": 0, "functionName": "A", "input": "null"}]},
        ),
        (
            actions.WhenAll(compound_actions=(CALL, actions.WhenAny(compound_actions=(CALL,)))),
            {
                "actionType": 12,
                "compoundActions": [
                    {"actionType": 0, "functionName": "A", "input": "null"},
                    {"actionType": 11, "compoundActions": [{"actionType": 0, "functionName": "A", "input": "null"}]},
                ],
            },
        ),
        (
            actions.LockEntities(lock_set=(actions.EntityLock("A", "1"),), lock_request_id="r"),
            {"actionType": 13, "lockSet": [{"name": "A", "key": "1"}], "lockRequestId": "r"},
        ),
        (actions.ReleaseEntities(), {"actionType": 14}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, actions.Action) else "",
)
def test_each_action_has_its_wire_form(action: AnyAction, wire: dict[str, Any]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(action)) == wire


@given(any_action)
def test_an_action_survives_the_wire(action: AnyAction) -> None:
    text = msgspec.json.encode(action)
    assert msgspec.json.decode(text, type=AnyAction) == action


@pytest.mark.parametrize("value", [None, 1, "text", [1], {"a": 1}], ids=repr)
def test_an_input_may_be_any_json(value: Any) -> None:
    """Workers of other languages send the value itself instead of its JSON text."""
    read = msgspec.convert({"actionType": 0, "functionName": "A", "input": value}, AnyAction)
    assert read == actions.CallActivity(function_name="A", input=value)
