"""The orchestration trigger's payload, its reply, and the failure that carries a reply."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from strategies import history_events, orchestrator_requests, orchestrator_states, states, texts

from worker_ext.errors import PayloadError
from worker_ext.protocol import history
from worker_ext.protocol.actions import CallActivity
from worker_ext.protocol.orchestrator import (
    FAILURE_MARKER,
    OrchestratorRequest,
    OrchestratorState,
    ReplaySchema,
    failure_message,
    parse_failure,
)

STARTED = {"EventType": 12, "EventId": -1, "IsPlayed": False, "Timestamp": "2026-01-02T03:04:05Z"}
EXECUTION = {
    "OrchestrationInstance": {"InstanceId": "abc", "ExecutionId": "e1"},
    "EventType": 0,
    "ParentInstance": None,
    "Name": "Ship",
    "Version": None,
    "Input": '"{\\"n\\": 1}"',
    "Tags": None,
    "Correlation": None,
    "ParentTraceContext": None,
    "ScheduledStartTime": None,
    "Generation": 0,
    "GenerateNewTrace": False,
    "EventId": -1,
    "IsPlayed": False,
    "Timestamp": "2026-01-02T03:04:04.9Z",
}


def payload(*events: Any, **members: Any) -> dict[str, Any]:
    """A payload in the extension's form, with members of ours instead of its own."""
    return {
        "history": [STARTED, EXECUTION, *events],
        "input": '{"n": 1}',
        "instanceId": "abc",
        "isReplaying": False,
        "parentInstanceId": None,
        "sourceInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 3,
        "longRunningTimerIntervalDuration": "3.00:00:00",
        "maximumShortTimerDuration": "6.00:00:00",
        "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
        **members,
    }


# ---------------------------------------------------------------- the payload


def test_a_payload_of_the_extension_is_read_whole() -> None:
    assert OrchestratorRequest.decode(json.dumps(payload(), indent=2)) == OrchestratorRequest(
        history=[
            history.OrchestratorStarted(timestamp="2026-01-02T03:04:05Z"),
            history.ExecutionStarted(
                timestamp="2026-01-02T03:04:04.9Z",
                orchestration_instance=history.OrchestrationInstance("abc", "e1"),
                name="Ship",
                input='"{\\"n\\": 1}"',
                generation=0,
            ),
        ],
        input='{"n": 1}',
        instance_id="abc",
        upper_schema_version=1,
        upper_schema_version_new=3,
        long_running_timer_interval_duration="3.00:00:00",
        maximum_short_timer_duration="6.00:00:00",
    )


def test_the_smallest_payload_there_is_has_defaults() -> None:
    """Old extensions send neither timer limits nor the newer schema version."""
    read = OrchestratorRequest.decode(json.dumps({"history": [STARTED], "instanceId": "abc"}))
    assert read == OrchestratorRequest(
        history=[history.OrchestratorStarted(timestamp="2026-01-02T03:04:05Z")], instance_id="abc"
    )


@given(orchestrator_requests)
def test_a_request_survives_the_wire(request: OrchestratorRequest) -> None:
    """What a host encodes is what the worker decodes."""
    assert OrchestratorRequest.decode(msgspec.json.encode(request)) == request


@given(st.lists(history_events, min_size=1, max_size=4))
def test_an_unknown_kind_of_event_is_left_out_and_the_rest_is_kept(events: list[history.HistoryEvent]) -> None:
    """The slow path, taken for payloads of newer extensions, reads what the fast one does."""
    wire = msgspec.json.decode(msgspec.json.encode(events))
    newer = {"EventType": 99, "News": {"a": 1}, "Timestamp": "2026-01-02T03:04:05Z"}
    text = json.dumps({"history": [newer, *wire, newer], "instanceId": "abc"})
    assert OrchestratorRequest.decode(text).history == events


def test_nan_in_an_input_does_not_break_the_payload() -> None:
    """JSON text of Python workers may hold NaN, and the extension passes it on."""
    plain = OrchestratorRequest.decode(json.dumps(payload(input=None)))
    infinite = OrchestratorRequest.decode(json.dumps(payload(input=[float("inf"), 1])))
    assert infinite == msgspec.structs.replace(plain, input=[float("inf"), 1])


@pytest.mark.parametrize(
    "old, new, schema",
    [
        (0, None, ReplaySchema.V1),
        (1, None, ReplaySchema.V2),
        (1, 2, ReplaySchema.V3),
        (1, 3, ReplaySchema.V4),
        (1, 9, ReplaySchema.V4),
        (-1, None, ReplaySchema.V1),
    ],
)
def test_the_schema_is_the_highest_that_both_sides_know(old: int, new: int | None, schema: ReplaySchema) -> None:
    text = json.dumps(payload(upperSchemaVersion=old, upperSchemaVersionNew=new))
    assert OrchestratorRequest.decode(text).schema is schema


@pytest.mark.parametrize(
    "text, where, what",
    [
        ("", "$", "expected JSON, found ''"),
        ("nonsense", "$", "expected JSON, found 'nonsense'"),
        ("null", "$", "expected an object with history and instanceId, found None"),
        ("[]", "$", r"expected an object with history and instanceId, found \[\]"),
        ("{}", "$.history", "expected an array of events, found None"),
        ({"history": {}}, "$.history", "expected an array of events, found {}"),
        ({"history": []}, "$", "missing required field `instanceId`"),
        ({"history": [], "instanceId": "a"}, "$.history", "expected the events of an execution, found none"),
        (payload(history=[STARTED, 7]), "$.history[1]", "expected an event with an integer EventType, found 7"),
        (payload({}), "$.history[2]", "expected an event with an integer EventType, found {}"),
        (payload({**STARTED, "EventType": "12"}), "$.history[2]", "integer EventType, found .*'12'"),
        (payload({**STARTED, "EventType": True}), "$.history[2]", "integer EventType, found .*True"),
        (payload({"EventType": 12}), "$.history[2]", "missing required field `Timestamp`"),
        (payload({**STARTED, "Timestamp": 5}), "$.history[2].Timestamp", "Expected `str`, got `int`"),
        (payload({**STARTED, "EventType": 5}), "$.history[2]", "missing required field `TaskScheduledId`"),
        (
            payload({**STARTED, "EventType": 5, "TaskScheduledId": "0"}),
            "$.history[2].TaskScheduledId",
            "Expected `int`, got `str`",
        ),
        (
            payload({**STARTED, "EventType": 5, "TaskScheduledId": 0, "Result": {}}),
            "$.history[2].Result",
            r"Expected `str \| null`, got `object`",
        ),
        (payload({**STARTED, "EventType": 15}), "$.history[2]", "missing required field `Name`"),
        (payload({**STARTED, "EventType": 10}), "$.history[2]", "missing required field `FireAt`"),
        (payload({**STARTED, "EventType": 11}), "$.history[2]", "missing required field `TimerId`"),
        (
            payload({**EXECUTION, "OrchestrationInstance": None}),
            "$.history[2].OrchestrationInstance",
            "Expected `object`, got `null`",
        ),
        (payload(instanceId=None), "$.instanceId", "Expected `str`, got `null`"),
        (payload(upperSchemaVersionNew="V3"), "$.upperSchemaVersionNew", r"Expected `int \| null`, got `str`"),
        (payload(maximumShortTimerDuration=6), "$.maximumShortTimerDuration", r"Expected `str \| null`, got `int`"),
    ],
)
def test_a_payload_that_breaks_the_contract_is_refused_at_its_place(text: Any, where: str, what: str) -> None:
    with pytest.raises(PayloadError) as refused:
        OrchestratorRequest.decode(text if isinstance(text, str) else json.dumps(text))
    assert (refused.value.where, bool(re.search(what, refused.value.what))) == (where, True), str(refused.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"history": [' + '{"a":' * 100_000], ids=["array", "object"])
def test_a_payload_nested_beyond_measure_is_refused(text: str) -> None:
    with pytest.raises(PayloadError) as refused:
        OrchestratorRequest.decode(text)
    assert refused.value.where == "$"


@pytest.mark.parametrize("data", [b"\xff\xfe", b'{"history": "\xff"}'])
def test_bytes_that_are_not_text_are_refused(data: bytes) -> None:
    with pytest.raises(PayloadError) as refused:
        OrchestratorRequest.decode(data)
    assert refused.value.where == "$"


KINDS = """
ExecutionStarted ExecutionCompleted ExecutionFailed ExecutionTerminated TaskScheduled TaskCompleted TaskFailed
SubOrchestrationInstanceCreated SubOrchestrationInstanceCompleted SubOrchestrationInstanceFailed TimerCreated TimerFired
OrchestratorStarted OrchestratorCompleted EventSent EventRaised ContinueAsNew GenericEvent HistoryState
ExecutionSuspended ExecutionResumed ExecutionRewound
"""


def test_every_event_kind_has_its_number() -> None:
    assert {number: kind.__name__ for number, kind in history.EVENTS.items()} == dict(enumerate(KINDS.split()))


# ---------------------------------------------------------------- the reply


def members(state: OrchestratorState) -> Any:
    """What a reader of the reply sees, however its strings are escaped."""
    return json.loads(state.encode())


@given(orchestrator_states)
def test_state_survives_the_wire(state: OrchestratorState) -> None:
    """What the worker encodes is what the host decodes."""
    assert OrchestratorState.decode(state.encode()) == state


@given(orchestrator_states)
def test_a_reply_is_one_line(state: OrchestratorState) -> None:
    assert "\n" not in state.encode()


def test_half_a_surrogate_pair_is_sent_as_its_escape() -> None:
    """Only an escape can spell it. 1.7.0 escapes all text; what reads it may put another character there."""
    call = CallActivity(function_name="a\ud800", input='"b\\ud800"')
    state = OrchestratorState(
        is_done=False, actions=[[call]], output=Raw(b"NaN"), error="c\udfff", custom_status=Raw(b'{"d": 1e3}')
    )
    assert state.encode() == (
        '{"isDone":false,"actions":[[{"actionType":0,"functionName":"a\\ud800","input":"\\"b\\\\ud800\\""}]],'
        '"error":"c\\udfff","output":NaN,"customStatus":{"d":1000.0}}'
    )


def test_members_that_are_not_set_are_left_out() -> None:
    assert OrchestratorState(is_done=False, actions=[[]]).encode() == '{"isDone":false,"actions":[[]]}'


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}], ids=repr)
def test_falsy_values_are_sent(value: Any) -> None:
    """Absent is what is not set, not what is false."""
    raw = msgspec.Raw(msgspec.json.encode(value))
    state = OrchestratorState(is_done=True, actions=[[]], output=raw, custom_status=raw)
    assert members(state) == {"isDone": True, "actions": [[]], "output": value, "customStatus": value}


@pytest.mark.parametrize(
    "text, where, what",
    [
        ("", "$", "truncated"),
        ("7", "$", "Expected `object`, got `int`"),
        ('{"isDone":true}', "$", "missing required field `actions`"),
        ('{"actions":[[]]}', "$", "missing required field `isDone`"),
        ('{"isDone":1,"actions":[[]]}', "$.isDone", "Expected `bool`, got `int`"),
        ('{"isDone":true,"actions":null}', "$.actions", "Expected `array`, got `null`"),
        ('{"isDone":true,"actions":[[{"actionType":99}]]}', "$.actions[0][0].actionType", "Invalid value 99"),
        ('{"isDone":true,"actions":[[{}]]}', "$.actions[0][0]", "missing required field `actionType`"),
        (
            '{"isDone":true,"actions":[[{"actionType":12,"compoundActions":[{"actionType":0}]}]]}',
            "$.actions[0][0].compoundActions[0]",
            "missing required field `functionName`",
        ),
        (
            '{"isDone":true,"actions":[[{"actionType":1,"functionName":"A","retryOptions":{"maxNumberOfAttempts":3}}]]}',
            "$.actions[0][0].retryOptions",
            "missing required field `firstRetryIntervalInMilliseconds`",
        ),
    ],
)
def test_a_reply_that_breaks_the_contract_is_refused_at_its_place(text: str, where: str, what: str) -> None:
    with pytest.raises(PayloadError) as refused:
        OrchestratorState.decode(text)
    assert (refused.value.where, what in refused.value.what) == (where, True), str(refused.value)


# ---------------------------------------------------------------- the failure

CREDENTIALS = [
    "Token=", "DefaultEndpointsProtocol=http", "AccountKey=", "Data Source=", "Server=", "Password=", "pwd=", "&sig=",
    "?sig=", "SharedAccessKey=", "&code=", "?code=", "key=",
]  # fmt: skip


def mask(message: str) -> str:
    """What the Functions host does to messages of exceptions: a credential is hidden up to the next `<`, `"` or `'`."""
    starts = "|".join(map(re.escape, CREDENTIALS))
    hidden = re.sub(rf"""(?:{starts})[^<"']*""", "[Hidden Credential]", message, flags=re.IGNORECASE)
    return re.sub(r"""(://)[^\s:@/"'<]*:[^\s@"'<]*@[^<"'\s]*""", r"\1[Hidden Credential]", hidden)


failed_states = states(is_done=st.just(False), error=st.text(min_size=1, max_size=20))
secrets = st.builds("{}{}{}".format, texts, st.sampled_from([*CREDENTIALS, "https://me:pw@host/"]), texts)
states_with_secrets = states(is_done=st.just(False), error=secrets)


@given(failed_states)
def test_the_state_is_found_in_the_message_of_a_failure(state: OrchestratorState) -> None:
    found = parse_failure(f"ValueError: {failure_message(state)}")
    assert found is not None
    assert members(found) == members(state)


@given(states_with_secrets)
def test_the_state_survives_what_the_host_hides(state: OrchestratorState) -> None:
    """A connection string in an error, or in an action's input, must not cut the state short."""
    found = parse_failure(mask(f"ValueError: {failure_message(state)}"))
    assert found is not None
    assert members(found) == members(state)


def test_a_message_starts_with_the_error_for_people() -> None:
    state = OrchestratorState(is_done=False, actions=[[]], error="boom", schema_version=2)
    assert failure_message(state) == (
        'boom\n\n$OutOfProcData$:{"isDone":false,"actions":[[]],"error":"boom","schemaVersion":2}'
    )


def test_the_last_marker_counts() -> None:
    """An error may quote another failure, marker and all."""
    quoted = f'child said{FAILURE_MARKER}{{"isDone":false,"actions":[],"error":"not this"}}'
    state = OrchestratorState(is_done=False, actions=[[]], error=quoted)
    assert parse_failure(failure_message(state)) == state


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("ValueError: boom", id="no marker"),
        pytest.param(f"boom{FAILURE_MARKER}", id="nothing behind it"),
        pytest.param(f'boom{FAILURE_MARKER}{{"isDone":false,"actions":[[', id="cut short"),
        pytest.param(f'boom{FAILURE_MARKER}{{"isDone":true,"actions":[[]],"error":"x"}}', id="done"),
        pytest.param(f'boom{FAILURE_MARKER}{{"isDone":false,"actions":[[]]}}', id="no error"),
        pytest.param(f'boom{FAILURE_MARKER}{{"isDone":false,"actions":[[]],"error":""}}', id="empty error"),
        pytest.param(f'boom{FAILURE_MARKER}{{"isDone":false,"actions":[[]],"error":null}}', id="null error"),
        pytest.param(f'boom{FAILURE_MARKER}{{"isDone":false,"error":"x"}}', id="no actions"),
        pytest.param(f'boom{FAILURE_MARKER}"text"', id="no object"),
    ],
)
def test_what_is_no_failure_of_an_orchestrator_is_not_taken_for_one(message: str) -> None:
    assert parse_failure(message) is None
