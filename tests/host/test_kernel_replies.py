"""What a worker's reply means: decisions, the extension's texts for what it refuses, results of activities."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from kernel_driver import STATUS, Execution, activity

from worker_ext.host.activity_results import activity_result
from worker_ext.host.gateway import Reply
from worker_ext.host.replies import read_decision
from worker_ext.protocol.history import FailureDetails, TaskCompleted, TaskFailed

AT = "2026-01-02T03:04:05Z"
FAILED = "Orchestrator function 'Orch' failed: "
NULL_REFERENCE = "Object reference not set to an instance of an object."


def output(value: Any) -> str | None:
    """What an instance fails with whose first reply is a JSON value."""
    run = Execution()
    turn = run.deliver(run.started).answer(value)
    assert turn.status is STATUS.FAILED
    return turn.output


def state(**members: Any) -> dict[str, Any]:
    return {"isDone": False, "actions": [[]], "schemaVersion": 2, **members}


@pytest.mark.parametrize(
    "value, text",
    [
        (
            state(actions=[]),
            "With OOProc schema V3, expected actions array to be of length 1 in outer layer but got size: 0",
        ),
        (
            state(actions=[[], []]),
            "With OOProc schema V3, expected actions array to be of length 1 in outer layer but got size: 2",
        ),
        (
            state(schemaVersion=9),
            'The OOProc schema of of version "9" is unsupported by this durable-extension version.',
        ),
        (state(actions=None), NULL_REFERENCE),
        ({"isDone": True}, NULL_REFERENCE),
        (state(error="boom"), NULL_REFERENCE),
        (
            state(actions=[[{"actionType": 99}]]),
            "Received an unexpected action type from the out-of-proc function: '$99'.",
        ),
        (
            state(actions=[[{"actionType": 5, "fireAt": "not a date", "isCanceled": False}]]),
            "Could not convert string to DateTime: not a date. Path 'actions[0][0].fireAt'.",
        ),
        (
            state(actions=[[{"actionType": 12, "compoundActions": [activity("A"), {"actionType": 5, "fireAt": "x"}]}]]),
            "Could not convert string to DateTime: x. Path 'actions[0][0].compoundActions[1].fireAt'.",
        ),
        (
            state(actions=[[{"actionType": 1, "functionName": "A", "retryOptions": {"maxNumberOfAttempts": 2}}]]),
            "Invalid JSON. Must contain field firstRetryIntervalInMilliseconds (Parameter 'reader')",
        ),
        (
            state(actions=[[{"actionType": 1, "functionName": "A", "retryOptions": None}]]),
            "Invalid JSON. Must contain field firstRetryIntervalInMilliseconds (Parameter 'reader')",
        ),
        (
            state(actions=[[{"actionType": 11, "compoundActions": []}]]),
            "The tasks argument contains no tasks. (Parameter 'tasks')",
        ),
        (state(actions=[[{"actionType": 12}]]), "Value cannot be null. (Parameter 'source')"),
        (
            state(actions=[[{"actionType": 0}]]),
            "Invalid JSON. Object missing required field `functionName`. Path 'actions[0][0]'.",
        ),
        (
            state(actions=[[activity("A"), {"actionType": 0, "functionName": 5}]]),
            "Invalid JSON. Expected `str`, got `int`. Path 'actions[0][1].functionName'.",
        ),
        (state(actions=[{}]), "Invalid JSON. Expected actions to be an array of arrays of actions."),
        (state(actions=[[5]]), "Invalid JSON. Expected an action with an actionType. Path 'actions[0][0]'."),
        (
            state(customStatus="y" * 9000),
            "The UTF-16 size of the JSON-serialized payload must not exceed 16 KB. The current payload size is 17 KB.",
        ),
        (5, "The data returned by the out-of-process function execution was not valid json."),
        ([], "The data returned by the out-of-process function execution was not valid json."),
        ("not json", "Out of proc orchestrators must return a valid JSON schema"),
        ("5", "Out of proc orchestrators must return a valid JSON schema"),
    ],
)
def test_a_reply_that_is_refused_fails_the_instance_with_the_extensions_text(value: Any, text: str) -> None:
    assert output(value) == FAILED + text


def test_a_value_that_is_no_json_fails_the_instance() -> None:
    decision = read_decision(Reply("{oops"))
    assert decision.fault == "The data returned by the out-of-process function execution was not valid json."


def test_a_fault_is_reported_also_where_history_has_tasks() -> None:
    run = Execution()
    run.start(activity("A"))
    turn = run.deliver(TaskCompleted(task_scheduled_id=0, timestamp=AT)).answer(state(schemaVersion=9))
    text = 'The OOProc schema of of version "9" is unsupported by this durable-extension version.'
    assert turn.output == FAILED + text


def test_custom_status_of_just_under_17_kb_passes() -> None:
    turn = Execution().start(customStatus="y" * (17 * 512 - 3))
    assert turn.status is STATUS.RUNNING


@pytest.mark.parametrize("value", [None, "null"])
def test_no_reply_completes_the_instance(value: str | None) -> None:
    run = Execution()
    turn = run.deliver(run.started).turn(Reply(value))
    assert (turn.status, turn.output) == (STATUS.COMPLETED, None)


def test_a_reply_in_a_string_is_read_too() -> None:
    run = Execution()
    text = json.dumps(state(isDone=True, output={"d": "2026-01-02T03:04:05.1234567Z"}))
    turn = run.deliver(run.started).answer(text)
    assert (turn.status, turn.output) == (STATUS.COMPLETED, '{"d":"2026-01-02T03:04:05.1234567Z"}')


def test_members_are_read_in_any_case_and_enums_by_name() -> None:
    action = {"ActionType": "CallActivity", "FUNCTIONNAME": "A", "Input": "x"}
    run = Execution()
    turn = run.deliver(run.started).answer({"IsDone": False, "Actions": [[action]], "SchemaVersion": "V3"})
    assert [(item.name, item.input) for item in turn.activities] == [("A", "x")]


def test_the_text_of_numbers_in_an_output_is_kept() -> None:
    decision = read_decision(
        Reply('{"isDone":true,"actions":[[]],"schemaVersion":2,"output":{"n": 1.50, "é": "\\u00e9"}}')
    )
    assert decision.output == '{"n":1.50,"é":"é"}'


# ---------------------------------------------------------------- failures of orchestrators

MARKER = "\n\n$OutOfProcData$:"


def marked(**members: Any) -> str:
    return MARKER + json.dumps({"isDone": False, "actions": [[]], "schemaVersion": 2, "error": "boom", **members})


@pytest.mark.parametrize(
    "message, text",
    [
        ("ValueError: x" + marked(), "boom"),
        ("ValueError: x\nStack: fake" + marked(), "boom"),
        (f"ValueError: x{MARKER}{{}} more" + marked(error="last"), "last"),
    ],
)
def test_a_failure_is_the_error_behind_the_last_marker(message: str, text: str) -> None:
    assert read_decision(Reply(None, message, "trace")).error == text


@pytest.mark.parametrize(
    "message",
    [
        "ValueError: boom",
        "ValueError: x" + marked(isDone=True),
        "ValueError: x" + marked(error=""),
        "ValueError: x" + marked(error=5),
        "ValueError: x" + marked(actions=None),
        "ValueError: x" + marked(actions=[5]),
        "ValueError: x" + MARKER + '{"isDone":false,"ISDONE":false,"actions":[[]],"error":"boom"}',
        "ValueError: x" + MARKER + "[]",
        "ValueError: x" + MARKER + "{",
    ],
)
def test_what_is_no_marker_leaves_the_hosts_whole_message(message: str) -> None:
    decision = read_decision(Reply(None, message, "  File x.py, line 1"))
    whole = f"Result: Failure\nException: {message}\nStack:   File x.py, line 1"
    assert decision.error == f"One or more errors occurred. ({whole})"
    assert decision.items == []


def test_a_failure_keeps_the_actions_and_the_custom_status_of_its_state() -> None:
    run = Execution()
    run.start(activity("A"))
    run.deliver(TaskCompleted(task_scheduled_id=0, timestamp=AT))
    turn = run.fail("boom", activity("A"), customStatus={"n": 1})
    assert (turn.status, turn.output, turn.custom_status) == (STATUS.FAILED, FAILED + "boom", '{"n":1}')


# ---------------------------------------------------------------- activities


@pytest.mark.parametrize(
    "value, result",
    [
        (None, None),
        ("null", None),
        ("5", "5"),
        ('"text"', '"text"'),
        ('{"x": [1, 2.50, null]}', '{"x":[1,2.50,null]}'),
        ("[NaN]", "[NaN]"),
        ('"gr\\u00f6\\u00dfer \\ud83d\\ude00 \\/ \\n\\u0007\\""', '"größer \U0001f600 / \\n\\u0007\\""'),
        ('{"\\u00e9": "\\\\u00e9"}', '{"é":"\\\\u00e9"}'),
        ('"half a pair: \\ud83d"', '"half a pair: \\ud83d"'),
        ('"a\x85b\u2028c\u2029d"', '"a\\u0085b\\u2028c\\u2029d"'),
        ('"a\\u2028b"', '"a\\u2028b"'),
        ('["\\u00e9", NaN]', '["é",NaN]'),
    ],
)
def test_a_result_is_kept_as_compact_json_in_dotnets_spelling(value: str | None, result: str | None) -> None:
    event = activity_result("A", 3, Reply(value), AT)
    assert event == TaskCompleted(task_scheduled_id=3, result=result, timestamp=AT)


@pytest.mark.parametrize("text", ["x" * 1_000_000, '\\"a' * 300_000], ids=["plain", "escaped"])
def test_a_great_result_with_escapes_costs_a_few_times_its_size(text: str) -> None:
    value = f'"\\/{text}"'
    tracemalloc.start()
    try:
        event = activity_result("A", 3, Reply(value), AT)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert event == TaskCompleted(task_scheduled_id=3, result=f'"/{text}"', timestamp=AT)
    assert most < 15 * len(value)


def test_a_failed_activity_says_which_and_why() -> None:
    event = activity_result("A", 3, Reply(None, 'ValueError: "bad"', "the trace"), AT)
    assert isinstance(event, TaskFailed)
    assert event.reason == "Activity function 'A' failed: ValueError: \"bad\""
    assert event.failure_details is None
    assert json.loads(event.details or "") == {
        "$type": "System.Exception, System.Private.CoreLib",
        "ClassName": "System.Exception",
        "Message": 'ValueError: "bad"',
        "Data": None,
        "InnerException": {
            "$type": "Microsoft.Azure.WebJobs.Script.Workers.Rpc.RpcException, Microsoft.Azure.WebJobs.Script",
            "IsUserException": False,
            "RemoteStackTrace": "the trace",
            "RemoteMessage": 'ValueError: "bad"',
            "RemoteTypeName": None,
            "Message": 'Result: Failure\nException: ValueError: "bad"\nStack: the trace',
            "Data": {"$type": "System.Collections.ListDictionaryInternal, System.Private.CoreLib"},
            "InnerException": None,
            "HelpLink": None,
            "Source": "Microsoft.Azure.WebJobs.Script",
            "HResult": -2146233088,
            "StackTrace": "",
        },
        "HelpURL": None,
        "StackTraceString": None,
        "RemoteStackTraceString": None,
        "RemoteStackIndex": 0,
        "ExceptionMethod": None,
        "HResult": -2146233088,
        "Source": None,
        "WatsonBuckets": None,
    }


def test_a_result_that_is_no_json_fails_the_activity() -> None:
    event = activity_result("A", 3, Reply("{oops"), AT)
    assert isinstance(event, TaskFailed)
    assert event.reason is not None
    assert event.reason.startswith("Activity function 'A' failed: the activity's result is not JSON: ")


@pytest.mark.parametrize("prefix", ["", "ActivityMiddleware.StructuredActivityFailure: "])
def test_a_failure_that_describes_itself_is_structured(prefix: str) -> None:
    inner = {"errorType": "KeyError", "errorMessage": "k"}
    details = {
        "errorType": "ValueError",
        "errorMessage": "bad",
        "stackTrace": "tb",
        "innerFailure": inner,
        "isNonRetriable": True,
        "properties": {"k": 1, "flag": True, "list": [2]},
    }
    event = activity_result("A", 3, Reply(None, prefix + json.dumps(details) + "\nmore"), AT)
    assert event == TaskFailed(
        task_scheduled_id=3,
        reason="Activity function 'A' failed with an unhandled exception.",
        failure_details=FailureDetails(
            error_type="ValueError",
            error_message="bad",
            stack_trace="tb",
            inner_failure=FailureDetails(error_type="KeyError", error_message="k"),
            is_non_retriable=True,
            properties={"k": 1.0, "flag": True, "list": [2.0]},
        ),
        timestamp=AT,
    )


@pytest.mark.parametrize("message", ['{"errorType": "E", "other": 1}', "{not json", 'E: {"errorType": "E"}'])
def test_what_does_not_describe_a_failure_is_its_text(message: str) -> None:
    event = activity_result("A", 3, Reply(None, message), AT)
    assert isinstance(event, TaskFailed)
    assert (event.reason, event.failure_details) == (f"Activity function 'A' failed: {message}", None)
    assert json.loads(event.details or "")["Message"] == message
