"""The traps of the protocol as an orchestrator and an entity meet them; source: durable-functions JSON protocol, 10.

The numbers are those of the section. The client's are in tests/client, those of the other side, the extension's, in
tests/host.
"""

import asyncio
import json
from collections.abc import Generator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import worker_ext as df
from worker_ext.errors import NonDeterminismError, OrchestrationFailedError
from worker_ext.protocol.actions import (
    AnyAction,
    CallActivity,
    CallActivityWithRetry,
    CallHttp,
    ContinueAsNew,
    CreateTimer,
    ReleaseEntities,
    RetryOptions,
    SignalEntity,
    WaitForExternalEvent,
    WhenAll,
    WhenAny,
)
from worker_ext.protocol.orchestrator import OrchestratorState
from worker_ext.testing import HistoryBuilder, Turn, replay

Context = df.DurableOrchestrationContext
Steps = Generator[Any, Any, Any]
COUNTER = df.EntityId("Counter", "k")
RETRIED = CallActivityWithRetry(function_name="A", input="null", retry_options=RetryOptions(1000, 1))


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


def activity(name: str) -> CallActivity:
    return CallActivity(function_name=name, input="null")


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


def test_5_ids_are_taken_when_a_task_is_yielded_not_when_it_is_made() -> None:
    def orchestrator(context: Context) -> Steps:
        made_first = context.call_activity("B")
        a = yield context.call_activity("A")
        return [a, (yield made_first)]

    history = begun().scheduled("A", 0).batch().completed(0, "a").scheduled("B", 1).batch().completed(1, "b")
    turn = replay(orchestrator, history)
    assert (turn.actions, turn.output) == ([activity("A"), activity("B")], ["a", "b"])


def test_6_waits_take_no_id_and_signals_do() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.wait_for_external_event("go")
        context.signal_entity(COUNTER, "add", 1)
        return (yield context.call_activity("A"))

    history = begun().batch().raised("go").sent(0, "@counter@k", "add").scheduled("A", 1).batch().completed(1, "a")
    assert replay(orchestrator, history).output == "a"


def test_7_a_timer_is_known_by_its_id_an_event_by_its_name_an_answer_by_its_request() -> None:
    def orchestrator(context: Context) -> Steps:
        timer, event = context.create_timer(timedelta(seconds=1)), context.wait_for_external_event("go")
        answer = context.call_entity(COUNTER, "get")
        return (yield context.task_all([timer, event, answer]))

    history = begun().timer_created(0).sent(1, "@counter@k", "get", "asked").batch()
    history.timer_fired(9).raised("come", 1).answered("unasked", 1)
    assert not replay(orchestrator, history).is_done
    assert replay(orchestrator, history.timer_fired(0).raised("go", 2).answered("asked", 3)).output == [None, 2, 3]


def test_8_a_sent_signal_is_no_call_that_waits_for_an_answer() -> None:
    def orchestrator(context: Context) -> Steps:
        context.signal_entity(df.EntityId("Counter", "k"), "add", 1)
        return (yield context.call_entity(df.EntityId("Counter", "k"), "get"))

    history = begun().sent(0, "@counter@k", "add", "signal-id").sent(1, "@counter@k", "get", "call-id").batch()
    assert not replay(orchestrator, history.answered("signal-id", 1)).is_done
    assert replay(orchestrator, history.answered("call-id", 2)).output == 2


def test_9_a_failed_retry_of_the_host_ends_with_one_more_timer_even_after_one_attempt() -> None:
    def orchestrator(context: Context) -> Steps:
        try:
            yield context.call_activity_with_retry("A", df.RetryOptions(1000, 1))
        except df.TaskFailedError:
            return (yield context.call_activity("B"))

    history = begun().scheduled("A", 0).batch().failed(0).timer_created(1, timedelta(0)).batch().timer_fired(1)
    retried = replay(orchestrator, begun()).actions
    assert retried == [WhenAll(compound_actions=(RETRIED,))]
    assert replay(orchestrator, history).actions == [*retried, activity("B")]
    assert replay(orchestrator, history.scheduled("B", 2).batch().completed(2, "b")).output == "b"


def test_10_a_repeated_attempt_of_the_host_has_an_id_of_its_own() -> None:
    def orchestrator(context: Context) -> Steps:
        first = yield context.call_activity_with_retry("A", df.RetryOptions(1000, 3))
        return [first, (yield context.call_activity("B"))]

    history = begun().scheduled("A", 0).batch().failed(0).timer_created(1).batch().timer_fired(1).scheduled("A", 2)
    history.batch().completed(2, "a").scheduled("B", 3).batch().completed(3, "b")
    assert replay(orchestrator, history).output == ["a", "b"]


def test_11_the_timers_that_an_orchestrator_leaves_open_are_cancelled() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.task_any([context.create_timer(timedelta(hours=1)), context.wait_for_external_event("go")])

    first = replay(orchestrator, begun()).actions
    open_timer = CreateTimer(fire_at="2026-01-02T04:04:05.000000Z")
    assert first == [WhenAny(compound_actions=(open_timer, WaitForExternalEvent(external_event_name="go")))]
    turn = replay(orchestrator, begun().timer_created(0, timedelta(hours=1)).batch().raised("go"))
    assert turn.is_done
    assert first != turn.actions
    assert '"isCanceled":true' in turn.state.encode()


def test_12_a_cancelled_timer_fires_all_the_same_and_is_ignored() -> None:
    def orchestrator(context: Context) -> Steps:
        timer = context.create_timer(timedelta(seconds=1))
        yield context.task_any([timer, context.wait_for_external_event("go")])
        timer.cancel()
        return (yield context.call_activity("A"))

    history = begun().timer_created(0).batch().raised("go").scheduled("A", 1).batch().timer_fired(0)
    assert not replay(orchestrator, history).is_done
    assert replay(orchestrator, history.completed(1, "a")).output == "a"


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


@pytest.mark.parametrize("history", [begun(), begun().batch()])
def test_17_the_reply_of_a_turn_without_output_is_an_object_never_null(history: HistoryBuilder) -> None:
    waiting = json.loads(replay(call_a, history).state.encode())
    assert waiting["isDone"] is False
    assert json.loads(replay(lambda context: None, history).state.encode())["isDone"] is True


def test_18_continue_as_new_says_that_it_is_done() -> None:
    def orchestrator(context: Context) -> None:
        context.continue_as_new(1)

    turn = replay(orchestrator, begun())
    assert (turn.is_done, turn.actions) == (True, [ContinueAsNew(input="1")])


def test_19_errors_are_raised_with_the_marker_and_all_actions_and_are_not_done() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.call_activity("A")
        raise ValueError

    payload = begun().scheduled("A", 0).batch().completed(0).payload()
    with pytest.raises(OrchestrationFailedError) as raised:
        df.Orchestrator.create(orchestrator)(payload)
    _, marker, state = str(raised.value).partition("\n\n$OutOfProcData$:")
    assert marker
    assert json.loads(state) == {
        "isDone": False,
        "actions": [[{"actionType": 0, "functionName": "A", "input": "null"}]],
        "error": "ValueError",
        "schemaVersion": 2,
    }


def test_20_what_the_host_masks_is_not_in_the_state_and_the_message_stays_one_line() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.call_activity("A", "Password=a@b;key=c?code=d")
        raise ValueError("Password=x\nStack: y")

    turn = replay(orchestrator, begun().scheduled("A", 0).batch().completed(0))
    assert turn.actions == [CallActivity(function_name="A", input='"Password=a@b;key=c?code=d"')]
    assert turn.state.error == "Password=x\nStack: y"


def entity_reply(entity: Any, *operations: str) -> Any:
    batch = [{"name": name, "input": None, "isSignal": False} for name in operations]
    payload = {"self": {"name": "counter", "key": "k"}, "exists": False, "state": None, "batch": batch}
    return json.loads(df.Entity.create(entity)(json.dumps(payload)))


def test_21_a_batch_is_answered_by_an_object_with_a_result_for_each_operation() -> None:
    def entity(context: df.DurableEntityContext) -> None:
        if context.operation_name == "fail":
            raise ValueError("no")

    assert entity_reply(entity)["results"] == []
    results = entity_reply(entity, "a", "fail", "b")["results"]
    assert [result["isError"] for result in results] == [False, True, False]


def test_22_an_empty_result_of_an_entity_is_the_text_null() -> None:
    assert [result["result"] for result in entity_reply(lambda context: None, "a")["results"]] == ["null"]


def test_23_signals_name_entities_in_lower_case_as_ids_do() -> None:
    def entity(context: df.DurableEntityContext) -> None:
        context.signal_entity(df.EntityId("Counter", "Key"), "add", 1)

    assert [sent["target"] for sent in entity_reply(entity, "a")["signals"]] == [{"name": "counter", "key": "Key"}]
    assert str(df.EntityId("Counter", "Key")) == "@counter@Key"


def test_24_names_of_events_and_functions_ignore_case_and_ids_of_instances_and_entities_do_not() -> None:
    def orchestrator(context: Context) -> Steps:
        event = yield context.wait_for_external_event("Approved")
        return [event, (yield context.call_activity("charge"))]

    history = begun().batch().raised("APPROVED", 1).scheduled("Charge", 0).batch().completed(0, 2)
    assert replay(orchestrator, history).output == [1, 2]
    assert str(df.EntityId("COUNTER", "A")) == "@counter@A"
    assert not replay(orchestrator, begun().batch().raised("Approved", 1).scheduled("Charge", 0).batch()).is_done


def test_25_waits_of_one_name_are_served_newest_first_and_events_oldest_first() -> None:
    def generator(context: Context) -> Steps:
        first, second = context.wait_for_external_event("go"), context.wait_for_external_event("go")
        return (yield context.task_all([first, second]))

    async def coroutine(context: Context) -> list[Any]:
        return [await context.wait_for_external_event("go"), await context.wait_for_external_event("go")]

    history = begun().batch().raised("go", 1).raised("go", 2)
    assert replay(generator, history).output == [2, 1]
    assert replay(coroutine, history).output == [1, 2]


def test_26_any_gives_the_task_and_all_of_nothing_an_empty_list() -> None:
    def orchestrator(context: Context) -> Steps:
        nothing = yield context.task_all([])
        tasks = [context.wait_for_external_event("go"), context.call_activity("A")]
        winner = yield context.task_any(tasks)
        return [nothing, winner is tasks[0], winner.result]

    assert replay(orchestrator, begun().scheduled("A", 0).batch().raised("go", 7)).output == [[], True, 7]


def test_27_a_function_that_the_host_did_not_know_took_no_id_so_that_names_are_compared() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.task_all([context.call_activity("Missing"), context.call_activity("B")])

    turn = replay(orchestrator, begun().scheduled("B", 0).batch().completed(0))
    assert isinstance(turn.error, NonDeterminismError)
    assert turn.error.event_id == 0
    assert "'B'" in str(turn.error)
    assert "'Missing'" in str(turn.error)


def test_28_durable_http_does_not_ask_the_host_to_poll() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.call_http("GET", "https://example.com/job", poll=True)

    [action] = replay(orchestrator, begun()).actions
    assert isinstance(action, CallHttp)
    assert action.http_request == {
        "method": "GET",
        "uri": "https://example.com/job",
        "content": None,
        "headers": None,
    }


@pytest.mark.parametrize("headers", [{"retry-after": "5"}, {"RETRY-AFTER": ["5"]}])
def test_29_headers_are_read_by_any_case_and_as_text_or_list(headers: dict[str, Any]) -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.call_http("GET", "https://example.com/job", poll=True)

    answer = {"statusCode": 202, "headers": {**headers, "LOCATION": ["https://example.com/at"]}, "content": ""}
    history = begun().scheduled("BuiltIn::HttpActivity", 0).batch().completed(0, answer)
    assert replay(orchestrator, history).actions[1] == CreateTimer(fire_at="2026-01-02T03:04:11.000000Z")


def test_30_a_timer_is_sent_in_utc_with_z_whatever_zone_it_was_given_in() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.create_timer(datetime(2026, 1, 2, 6, tzinfo=timezone(timedelta(hours=2))))

    assert replay(orchestrator, begun()).actions == [CreateTimer(fire_at="2026-01-02T04:00:00.000000Z")]


def test_31_a_timer_longer_than_the_store_takes_is_sent_in_pieces_of_our_own() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.create_timer(timedelta(days=7))

    first, rest = (CreateTimer(fire_at=f"2026-01-{day:02}T03:04:05.000000Z") for day in (5, 9))
    history = begun()
    assert replay(orchestrator, history).actions == [WhenAll(compound_actions=(first,))]
    history.timer_created(0, timedelta(days=3)).batch(timedelta(days=3)).timer_fired(0)
    assert replay(orchestrator, history).actions == [WhenAll(compound_actions=(first,)), rest]
    history.timer_created(1, timedelta(days=4)).batch(timedelta(days=4))
    assert replay(orchestrator, history.timer_fired(1)).is_done


@pytest.mark.parametrize(
    "members, version",
    [({"upperSchemaVersionNew": 99}, 2), ({"upperSchemaVersionNew": None}, 1), ({"upperSchemaVersion": -1}, 2)],
)
def test_32_unknown_schemas_are_clamped_to_what_is_known(members: dict[str, Any], version: int) -> None:
    assert replay(call_a, changed(begun(), **members)).state.schema_version == version


@pytest.mark.parametrize("given", ["e1:0", "0f4b7d0f-6c5a-4a2f-9a39-c5b1a4f3f5d2:0", "e2:0"])
def test_33_the_id_of_a_child_that_the_host_named_may_be_any(given: str) -> None:
    def orchestrator(context: Context) -> Steps:
        return (yield context.call_sub_orchestrator("Child"))

    history = begun().child_created("Child", 0, given).batch().child_completed(0, "done")
    assert replay(orchestrator, history).output == "done"


def test_40_inputs_in_history_are_not_compared_as_hosts_leave_them_out() -> None:
    history = begun().scheduled("A", 0).batch().completed(0, 1)
    for text in (None, '"other"'):
        assert replay(call_a, with_events(history, 4, Input=text)).output == 1


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


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05", "2026-01-02T03:04:05.0000000Z", "2026-01-02T03:04:05+00:00"])
def test_46_times_may_lack_the_z_or_name_the_offset(text: str) -> None:
    def orchestrator(context: Context) -> str:
        return context.current_utc_datetime.isoformat()

    assert replay(orchestrator, with_events(begun(), 12, Timestamp=text)).output == "2026-01-02T03:04:05+00:00"


def test_47_what_takes_hidden_ids_is_leaves_of_our_own_once_another_may_follow() -> None:
    def orchestrator(context: Context) -> Steps:
        retried = context.call_activity_with_retry("A", df.RetryOptions(1000, 1))
        yield context.task_any([retried, context.wait_for_external_event("go")])
        yield context.call_activity("B")

    first = replay(orchestrator, begun()).actions
    waiting = WaitForExternalEvent(external_event_name="go")
    assert first == [WhenAny(compound_actions=(WhenAll(compound_actions=(RETRIED,)), waiting))]
    goes_on = WhenAny(compound_actions=(activity("A"), WhenAll(compound_actions=())))
    later = replay(orchestrator, begun().scheduled("A", 0).batch().raised("go")).actions
    assert later == [goes_on, waiting, activity("B")]


def test_47_a_release_is_never_inside_an_any() -> None:
    async def orchestrator(context: Context) -> None:
        slow = asyncio.ensure_future(context.call_activity("Slow"))
        async with context.lock(COUNTER):
            pass
        await slow

    history = begun().sent(0, "@counter@k", "op", "l").scheduled("Slow", 1).batch()
    assert replay(orchestrator, history.answered("l", "Lock Acquisition Completed")).actions[-1] == ReleaseEntities()


@pytest.mark.parametrize("space", [" ", "  "])
def test_48_the_reason_of_a_failure_is_read_with_one_space_or_two(space: str) -> None:
    def orchestrator(context: Context) -> Steps:
        try:
            yield context.call_activity("A")
        except df.TaskFailedError as error:
            return error.name

    history = begun().scheduled("A", 0).batch().failed(0, f"Activity function 'A' failed:{space}ValueError: bad")
    assert replay(orchestrator, history).output == "A"


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
