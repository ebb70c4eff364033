"""The traps of the protocol that no other test here is named after; source: durable-functions JSON protocol, 10.

The numbers are those of the section. Traps of the other side, the extension's, are tested with the local host.
"""

import json
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

import worker_ext as df
from worker_ext.protocol.actions import AnyAction, CallActivity, ContinueAsNew, SignalEntity
from worker_ext.protocol.orchestrator import OrchestratorState
from worker_ext.testing import HistoryBuilder, Turn, replay

Context = df.DurableOrchestrationContext
Steps = Generator[Any, Any, Any]


def begun(**options: Any) -> HistoryBuilder:
    return HistoryBuilder(**options).started()


def changed(history: HistoryBuilder, **members: Any) -> str:
    """The payload with other members."""
    return json.dumps({**json.loads(history.payload()), **members})


def with_events(history: HistoryBuilder, kind: int, **members: Any) -> str:
    """The payload with other members in every event of a kind."""
    payload = json.loads(history.payload())
    for event in payload["history"]:
        if event["EventType"] == kind:
            event.update(members)
    return json.dumps(payload)


def call_a(context: Context) -> Steps:
    return (yield context.call_activity("A", {"x": 1}))


def test_1_inputs_of_activities_are_json_inside_a_json_string() -> None:
    text = replay(call_a, begun()).state.encode()
    assert json.loads(text)["actions"] == [[{"actionType": 0, "functionName": "A", "input": '{"x":1}'}]]


@pytest.mark.parametrize("given", [{"n": 1}, [1, 2], 5, 1.5, True, "plain text", ""])
def test_2_input_that_curl_started_is_read_whatever_json_it_is(given: Any) -> None:
    assert replay(lambda context: [context.get_input()], changed(begun(), input=given)).output == [given]


def test_3_an_event_of_the_python_client_is_json_text_and_one_of_curl_the_value() -> None:
    def orchestrator(context: Context) -> Steps:
        return [(yield context.wait_for_external_event("go")), (yield context.wait_for_external_event("go"))]

    history = begun().batch().raised("go", '{"n":1}').raised("go", {"n": 1})
    assert replay(orchestrator, history).output == ['{"n":1}', {"n": 1}]


def test_4_the_list_is_cumulative_and_empty_as_one_empty_row() -> None:
    done = replay(call_a, begun().scheduled("A", 0).batch().completed(0))
    assert len(done.actions) == 1
    assert replay(lambda context: None, begun()).state.actions == [[]]


def test_8_a_sent_signal_is_no_call_that_waits_for_an_answer() -> None:
    def orchestrator(context: Context) -> Steps:
        context.signal_entity(df.EntityId("Counter", "k"), "add", 1)
        return (yield context.call_entity(df.EntityId("Counter", "k"), "get"))

    history = begun().sent(0, "@counter@k", "add", "signal-id").sent(1, "@counter@k", "get", "call-id").batch()
    assert not replay(orchestrator, history.answered("signal-id", 1)).is_done
    assert replay(orchestrator, history.answered("call-id", 2)).output == 2


def test_13_the_first_payload_after_continue_as_new_may_end_a_batch_before_its_decisions() -> None:
    history = begun().batch(timedelta(0)).scheduled("A", 0).batch().completed(0, "done")
    assert replay(call_a, history).output == "done"


def test_14_carried_events_are_delivered_though_they_say_they_were_played() -> None:
    def orchestrator(context: Context) -> Steps:
        return (yield context.wait_for_external_event("go"))

    assert replay(orchestrator, with_events(begun().raised("go", 7), 15, IsPlayed=True)).output == 7


def test_15_only_the_start_of_a_batch_tells_the_time() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.create_timer(timedelta(hours=1))
        return context.current_utc_datetime.hour

    history = begun().timer_created(0).batch(timedelta(hours=1)).timer_fired(0)
    assert replay(orchestrator, with_events(history, 11, Timestamp="2030-01-01T00:00:00Z")).output == 4


def test_16_replaying_is_told_without_the_played_flags() -> None:
    def orchestrator(context: Context) -> Steps:
        seen = [context.is_replaying]
        yield context.call_activity("A")
        return [*seen, context.is_replaying]

    history = begun().scheduled("A", 0).batch().completed(0)
    assert replay(orchestrator, history).output == [True, False]


def test_18_continue_as_new_says_that_it_is_done() -> None:
    def orchestrator(context: Context) -> None:
        context.continue_as_new(1)

    turn = replay(orchestrator, begun())
    assert (turn.is_done, turn.actions) == (True, [ContinueAsNew(input="1")])


def test_20_what_the_host_masks_is_not_in_the_state_and_the_message_stays_one_line() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.call_activity("A", "Password=a@b;key=c?code=d")
        raise ValueError("Password=x\nStack: y")

    turn = replay(orchestrator, begun().scheduled("A", 0).batch().completed(0))
    assert turn.actions == [CallActivity(function_name="A", input='"Password=a@b;key=c?code=d"')]
    assert turn.state.error == "Password=x\nStack: y"


@pytest.mark.parametrize(
    "members, version",
    [({"upperSchemaVersionNew": 99}, 2), ({"upperSchemaVersionNew": None}, 1), ({"upperSchemaVersion": -1}, 2)],
)
def test_32_unknown_schemas_are_clamped_to_what_is_known(members: dict[str, Any], version: int) -> None:
    assert replay(call_a, changed(begun(), **members)).state.schema_version == version


def test_41_events_while_suspended_are_seen_at_once() -> None:
    history = begun().scheduled("A", 0).batch().suspended().batch().completed(0, 1)
    assert replay(call_a, history).output == 1


def test_42_the_custom_status_is_that_of_this_replay() -> None:
    def orchestrator(context: Context) -> Steps:
        context.set_custom_status("before")
        yield context.call_activity("A")
        context.set_custom_status(None)

    history = begun()
    assert replay(orchestrator, history).custom_status == "before"
    assert "customStatus" not in replay(orchestrator, history.scheduled("A", 0).batch().completed(0)).state.encode()


def test_44_type_members_of_dotnet_in_messages_are_ignored() -> None:
    def orchestrator(context: Context) -> Steps:
        return (yield context.call_entity(df.EntityId("Counter", "k"), "get"))

    history = begun().sent(0, "@counter@k", "get", "c1").batch().answered("c1", 5)
    answer = json.dumps({"$type": "DurableTask.ResponseMessage, DurableTask", "result": "5"})
    assert replay(orchestrator, with_events(history, 15, Input=answer)).output == 5


def test_45_retry_options_are_left_out_and_a_missing_instance_id_is_null() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.call_sub_orchestrator("Child")

    [action] = json.loads(replay(orchestrator, begun()).state.encode())["actions"][0]
    assert action == {
        "actionType": 2,
        "functionName": "Child",
        "input": "null",
        "instanceId": None,
        "version": None,
    }


def test_unknown_events_and_members_are_ignored() -> None:
    payload = json.loads(begun().scheduled("A", 0).batch().completed(0, 1).payload())
    payload["history"].insert(2, {"EventType": 99, "EventId": -1, "IsPlayed": False, "Timestamp": "x", "New": {}})
    payload["brandNew"] = [1]
    assert replay(call_a, json.dumps(payload)).output == 1


def test_replies_read_back_as_they_were_written() -> None:
    def orchestrator(context: Context) -> Steps:
        context.signal_entity(df.EntityId("Counter", "k"), "add", 1)
        yield context.task_any([context.call_activity("A"), context.wait_for_external_event("go")])

    turn: Turn = replay(orchestrator, begun())
    first: AnyAction = turn.actions[0]
    assert first == SignalEntity(instance_id="@counter@k", operation="add", input="1")
    assert OrchestratorState.decode(turn.state.encode()) == turn.state
