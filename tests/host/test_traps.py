"""The traps of the protocol that the host's side has to know, by their numbers.

Those of the worker's side are in `tests/engine/test_traps.py`, those of clients in `tests/client/test_traps.py`.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from kernel_driver import START, Execution, activity, all_of, any_of, child, continue_as_new, nb, timer, wait

from worker_ext.host.activity_results import activity_result
from worker_ext.host.durable_http import activity_request, next_poll
from worker_ext.host.entities import BadEntityReplyError, client_signal, open_batch, read_reply
from worker_ext.host.entity_messages import read_request
from worker_ext.host.gateway import Reply
from worker_ext.host.instance_status import shown_value
from worker_ext.host.turns import EngineOptions, TimerLimits, Turn
from worker_ext.protocol.codec import encode_value
from worker_ext.protocol.history import (
    EventRaised,
    EventSent,
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    OrchestrationStatus,
    SubOrchestrationInstanceCreated,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerFired,
)

STATUS = OrchestrationStatus
WHEN = "2026-01-02T03:04:05Z"


def decided(turn: Turn) -> list[str]:
    """What a turn wrote, without its markers, each with its id."""
    texts = [f"{type(event).__name__}#{event.event_id}" for event in turn.events]
    return [text for text in texts if text != "OrchestratorCompleted#-1"]


def completed(number: int, result: str | None = None) -> TaskCompleted:
    return TaskCompleted(task_scheduled_id=number, result=result, timestamp=WHEN)


def failed(number: int) -> TaskFailed:
    return TaskFailed(task_scheduled_id=number, reason="bad", timestamp=WHEN)


def fired(number: int) -> TimerFired:
    return TimerFired(timer_id=number, fire_at=WHEN, timestamp=WHEN)


def raised(name: str, text: str | None = None) -> EventRaised:
    return EventRaised(name=name, input=text, timestamp=WHEN)


def retried(attempts: int) -> dict[str, Any]:
    options = {"firstRetryIntervalInMilliseconds": 1000, "maxNumberOfAttempts": attempts}
    return {"actionType": 1, "functionName": "A", "input": "null", "retryOptions": options}


def signal(name: str = "Counter", key: str = "k") -> dict[str, Any]:
    return {"actionType": 9, "instanceId": f"@{name}@{key}", "operation": "add", "input": "1"}


def call() -> dict[str, Any]:
    return {"actionType": 7, "instanceId": "@Counter@k", "operation": "get", "input": "null"}


def test_1_an_activity_gets_what_is_in_the_json_string_of_its_input() -> None:
    turn = Execution().start(activity("A", '{"x": 1}'))
    assert [item.input for item in turn.activities] == ['{"x": 1}']


@pytest.mark.parametrize("actions", [[], [[], []]])
def test_4_a_list_of_another_outer_length_than_one_fails_the_instance(actions: list[Any]) -> None:
    run = Execution()
    turn = run.deliver(run.started).answer({"isDone": False, "actions": actions, "schemaVersion": 2})
    text = f"expected actions array to be of length 1 in outer layer but got size: {len(actions)}"
    assert turn.output == f"Orchestrator function 'Orch' failed: With OOProc schema V3, {text}"


def test_5_ids_are_taken_in_the_order_in_which_the_list_starts_its_leaves() -> None:
    turn = Execution().start(signal(), all_of(activity("B"), any_of(activity("A"), timer(timedelta(seconds=9)))))
    assert decided(turn) == ["EventSent#0", "TaskScheduled#1", "TaskScheduled#2", "TimerCreated#3"]


def test_6_waits_and_continue_as_new_take_no_id_and_messages_to_entities_do() -> None:
    turn = Execution().start(nb(wait("go")), nb(call()), signal(), activity("A"))
    assert decided(turn) == ["EventSent#0", "EventSent#1", "TaskScheduled#2"]


def test_7_an_answer_of_an_entity_is_named_by_the_id_of_its_request() -> None:
    run = Execution()
    sent = run.start(call(), activity("A")).events[0]
    assert isinstance(sent, EventSent)
    assert decided(run.deliver(raised("get", "{}")).reply(call(), activity("A"))) == []
    answer = raised(read_request(sent.input).id, '{"result":"5"}')
    assert decided(run.deliver(answer).reply(call(), activity("A"))) == ["TaskScheduled#1"]


def test_9_and_10_the_last_failed_attempt_is_followed_by_one_more_timer_and_each_attempt_has_an_id() -> None:
    run = Execution()
    actions = [retried(2), activity("B")]
    turns = [run.start(*actions)]
    turns += [run.deliver(event).reply(*actions) for event in (failed(0), fired(1), failed(2), fired(3))]
    assert [decided(turn) for turn in turns] == [
        ["TaskScheduled#0"],
        ["TimerCreated#1"],
        ["TaskScheduled#2"],
        ["TimerCreated#3"],
        ["TaskScheduled#4"],
    ]


@pytest.mark.parametrize(
    "open_leaf, is_held",
    [
        (activity("A"), True),
        (timer(timedelta(seconds=9)), True),
        (child("Child"), True),
        (call(), False),
        (wait("go"), False),
        (timer(timedelta(seconds=9), canceled=True), False),
    ],
)
@pytest.mark.parametrize("end", [{"output": 1}, {"error": "x"}, None], ids=["done", "failed", "continued"])
def test_11_an_instance_ends_only_when_no_activity_timer_or_child_is_open(
    open_leaf: dict[str, Any], is_held: bool, end: dict[str, Any] | None
) -> None:
    run = Execution().deliver(Execution().started)
    if end is None:
        turn = run.reply(nb(open_leaf), continue_as_new(), done=True)
    elif "error" in end:
        turn = run.fail("x", nb(open_leaf))
    else:
        turn = run.reply(nb(open_leaf), done=True, **end)
    has_ended = turn.next is not None or turn.status is not STATUS.RUNNING
    assert has_ended is not is_held


def test_12_a_cancelled_timer_is_written_and_its_firing_changes_nothing() -> None:
    run = Execution()
    actions = [timer(timedelta(seconds=9), canceled=True), activity("A")]
    assert decided(run.start(*actions)) == ["TimerCreated#0", "TaskScheduled#1"]
    assert decided(run.deliver(fired(0)).reply(*actions)) == []


def test_13_and_14_a_new_generation_begins_with_a_whole_batch_in_which_carried_events_are_played() -> None:
    run = Execution()
    run.start(continue_as_new("1"), done=True)
    assert run.batch is not None
    assert [type(event).__name__ for event in run.batch.events][-1] == "OrchestratorCompleted"
    run = Execution()
    turn = run.deliver(run.started, raised("x")).reply(continue_as_new("1"), done=True)
    assert turn.next is not None
    assert [(event.name, event.is_played) for event in turn.next.events if isinstance(event, EventRaised)] == [
        ("x", True)
    ]


def test_15_the_firing_of_a_timer_has_the_time_at_which_it_was_made() -> None:
    turn = Execution().start(timer(timedelta(days=2)))
    assert isinstance(event := turn.timers[0].event, TimerFired)
    assert event.timestamp == turn.events[0].timestamp
    assert event.fire_at == "2026-01-04T03:04:05Z"


def test_17_no_reply_completes_the_instance_with_no_output() -> None:
    run = Execution()
    turn = run.deliver(run.started).turn(Reply(None))
    assert (turn.status, turn.output) == (STATUS.COMPLETED, None)


def test_18_continue_as_new_without_done_waits_for_ever() -> None:
    turn = Execution().start(continue_as_new())
    assert (turn.next, turn.status) == (None, STATUS.RUNNING)


@pytest.mark.parametrize(
    "value, found",
    [
        ('"text"', "expected the state of an entity as a JSON object"),
        ('{"entityExists":true,"entityState":null,"results":[]}', "expected 1 results, found 0"),
        (None, "expected the state of an entity as a JSON object"),
    ],
)
def test_21_a_batch_answered_by_other_than_an_object_with_all_results_is_no_answer(
    value: str | None, found: str
) -> None:
    batch = open_batch(None, [client_signal("add", "1", "f" * 32, START)], 10, START)
    with pytest.raises(BadEntityReplyError, match=found):
        read_reply(batch, Reply(value))


def test_23_and_24_names_of_entities_are_lower_case_in_ids_and_keys_keep_theirs() -> None:
    turn = Execution().start(signal("COUNTER", "Key"))
    assert [message.instance_id for message in turn.messages] == ["@counter@Key"]


def test_24_names_of_functions_and_events_ignore_case() -> None:
    run = Execution()
    run.start(activity("a"), wait("GO"), activity("B"))
    run.deliver(completed(0)).reply(activity("A"), wait("GO"), activity("B"))
    assert decided(run.deliver(raised("go")).reply(activity("A"), wait("Go"), activity("b"))) == ["TaskScheduled#1"]


def test_25_the_newest_waiter_gets_the_event_and_early_events_come_oldest_first() -> None:
    run = Execution()
    group = all_of(any_of(wait("x"), activity("A")), wait("x"))
    run.start(group, activity("B"))
    assert decided(run.deliver(raised("x")).reply(group, activity("B"))) == []
    assert decided(run.deliver(completed(0)).reply(group, activity("B"))) == ["TaskScheduled#1"]


@pytest.mark.parametrize("action", [activity("NoSuch"), child("NoSuch")])
def test_27_an_unknown_function_fails_its_task_loudly_and_takes_its_id(action: dict[str, Any]) -> None:
    run = Execution()
    turn = run.start(all_of(action, activity("A")))
    assert decided(turn)[1] == "TaskScheduled#1"
    assert "The function 'NoSuch' doesn't exist" in str([message.event for message in turn.messages])


@pytest.mark.parametrize("member, polls", [({}, False), ({"asynchronousPatternEnabled": True}, True)])
def test_28_an_accepted_request_is_polled_only_where_the_action_says_so(member: dict[str, Any], polls: bool) -> None:
    request = activity_request({"uri": "http://x/", **member})
    answer = json.dumps({"statusCode": 202, "headers": {"Location": "http://x/poll"}, "content": ""})
    assert (next_poll(request, answer, timedelta(seconds=1)) is not None) is polls


def test_31_a_timer_longer_than_the_longest_takes_an_id_for_each_piece() -> None:
    options = EngineOptions(timers=TimerLimits(timedelta(seconds=2), timedelta(seconds=1)))
    run = Execution(options=options)
    actions = [timer(timedelta(seconds=3)), activity("A")]
    turns = [run.start(*actions), *(run.deliver(fired(number)).reply(*actions) for number in range(3))]
    assert [decided(turn) for turn in turns] == [
        ["TimerCreated#0"],
        ["TimerCreated#1"],
        ["TimerCreated#2"],
        ["TaskScheduled#3"],
    ]


def test_33_a_child_without_an_id_is_named_after_the_execution_and_its_number() -> None:
    created = Execution().start(child("Child")).events[0]
    assert isinstance(created, SubOrchestrationInstanceCreated)
    assert created.instance_id == "e1:0"


@pytest.mark.parametrize("text, value", [("stop", "stop"), ("123", 123), ('{"a":1}', {"a": 1}), ("", "")])
def test_39_reasons_are_kept_as_they_are_and_shown_as_what_they_read_as(text: str, value: Any) -> None:
    run = Execution()
    run.start(wait("go"))
    turn = run.deliver(ExecutionTerminated(input=text, timestamp=WHEN)).reply(wait("go"))
    assert (turn.status, turn.output) == (STATUS.TERMINATED, text)
    assert json.loads(encode_value(shown_value(text))) == value


@pytest.mark.parametrize("stores", [True, False])
def test_40_history_has_the_inputs_of_activities_only_where_the_setting_says_so(stores: bool) -> None:
    scheduled = Execution(options=EngineOptions(store_inputs=stores)).start(activity("A", "1")).events[0]
    assert isinstance(scheduled, TaskScheduled)
    assert scheduled.input == ('["1"]' if stores else None)


def test_41_a_suspended_instance_is_invoked_and_its_effects_are_held_back() -> None:
    run = Execution()
    run.start(wait("go"), activity("A"))
    run.deliver(ExecutionSuspended(reason="r", timestamp=WHEN)).reply(wait("go"), activity("A"))
    held = run.deliver(raised("go")).reply(wait("go"), activity("A"))
    assert (held.status, decided(held)) == (STATUS.SUSPENDED, [])
    freed = run.deliver(ExecutionResumed(reason="r", timestamp=WHEN)).reply(wait("go"), activity("A"))
    assert (freed.status, decided(freed)) == (STATUS.RUNNING, ["TaskScheduled#0"])


def test_42_a_custom_status_that_is_not_set_again_is_gone() -> None:
    run = Execution()
    assert run.start(wait("go"), customStatus=0).custom_status == "0"
    assert run.deliver(raised("x")).reply(wait("go")).custom_status is None


def test_44_and_46_messages_to_entities_carry_their_type_and_their_times() -> None:
    sent = Execution().start(call()).events[0]
    assert isinstance(sent, EventSent)
    message = json.loads(sent.input or "")
    assert next(iter(message)) == "$type"
    assert (message["Timestamp"][-1], message["requestTime"][-6:]) == ("Z", "+00:00")


def test_45_an_action_without_retry_options_fails_the_instance_and_a_null_id_is_none() -> None:
    action = {"actionType": 1, "functionName": "A", "input": "null", "retryOptions": None}
    assert Execution().start(action).status is STATUS.FAILED
    assert Execution().start(child("Child", None)).status is STATUS.RUNNING


def test_48_the_reason_of_a_failed_activity_has_one_space_behind_its_colon() -> None:
    event = activity_result("A", 0, Reply(None, "ValueError: bad", "trace"), WHEN)
    assert isinstance(event, TaskFailed)
    assert event.reason == "Activity function 'A' failed: ValueError: bad"
