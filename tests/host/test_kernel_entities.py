"""What orchestrations do with entities, one rule a test: calls, signals, locks and their ends."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from kernel_driver import START, STATUS, Execution, activity, all_of, child, nb, timer, wait

from worker_ext.host.entity_messages import answer, request_id
from worker_ext.host.turns import Message, Turn
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorCompleted,
)

T0 = format_timestamp(START)
NO_ENTITY = (
    "The function 'nosuch' doesn't exist, is disabled, or is not an entity function. "
    "Additional info: The following are the known entity functions: 'Counter'."
)


def call(key: str, operation: str = "get", name: str = "counter") -> dict[str, Any]:
    return {"actionType": 7, "instanceId": f"@{name}@{key}", "operation": operation, "input": "null"}


def signal(key: str, operation: str = "add", name: str = "counter", **members: Any) -> dict[str, Any]:
    return {"actionType": 9, "instanceId": f"@{name}@{key}", "operation": operation, "input": "1", **members}


def lock(*keys: str, name: str = "counter") -> dict[str, Any]:
    return {"actionType": 13, "lockSet": [{"name": name, "key": key} for key in keys]}


RELEASE = {"actionType": 14}


def id_of(counter: int, instance_id: str = "abc") -> str:
    return request_id(instance_id, T0, counter)


def answered(counter: int, result: str = "5") -> EventRaised:
    return EventRaised(name=id_of(counter), input=answer(result), timestamp=T0)


def granted(counter: int = 0) -> EventRaised:
    return answered(counter, "Lock Acquisition Completed")


def sent(turn: Turn) -> list[tuple[int, str | None, str | None]]:
    """The messages to entities in a turn's events."""
    return [(event.event_id, event.name, event.instance_id) for event in turn.events if isinstance(event, EventSent)]


def kinds(turn: Turn) -> list[str]:
    return [type(event).__name__ for event in turn.events]


def content(event: HistoryEvent) -> dict[str, Any]:
    assert isinstance(event, EventSent)
    members: dict[str, Any] = json.loads(event.input or "")
    return members


# ---------------------------------------------------------------- calls and signals


def test_a_call_is_written_and_sent_with_the_same_text() -> None:
    turn = Execution().start(call("k"))
    event = turn.events[0]
    assert content(event) == {
        "$type": "Microsoft.Azure.WebJobs.Extensions.DurableTask.RequestMessage,"
        " Microsoft.Azure.WebJobs.Extensions.DurableTask",
        "op": "get",
        "input": '"null"',
        "id": id_of(0),
        "parent": "abc",
        "parentExecution": "e1",
        "Timestamp": T0,
        "Predecessor": "0001-01-01T00:00:00",
        "requestTime": T0.removesuffix("Z") + "+00:00",
    }
    assert isinstance(event, EventSent)
    raised = EventRaised(name="op", input=event.input, timestamp=T0)
    assert (sent(turn), turn.messages) == ([(0, "op", "@counter@k")], [Message("@counter@k", raised)])


def test_the_answer_completes_the_call() -> None:
    run = Execution()
    run.start(call("k"))
    turn = run.deliver(answered(0)).reply(call("k"), activity("A"))
    assert kinds(turn) == ["TaskScheduled", "OrchestratorCompleted"]


def test_an_open_call_does_not_hold_the_end_back() -> None:
    turn = Execution().start(nb(call("k")), done=True)
    assert (kinds(turn), turn.status) == (
        ["EventSent", "ExecutionCompleted", "OrchestratorCompleted"],
        STATUS.COMPLETED,
    )


def test_an_event_with_another_name_is_no_answer() -> None:
    run = Execution()
    run.start(call("k"))
    stray = EventRaised(name=id_of(7), input=answer("5"), timestamp=T0)
    assert kinds(run.deliver(stray).reply(call("k"), activity("A"))) == ["OrchestratorCompleted"]


def test_the_stored_id_of_a_request_counts_where_the_clock_gives_another() -> None:
    run = Execution()
    run.start(wait("go"), call("k"))
    later = format_timestamp(run.now)
    run.deliver(EventRaised(name="go", timestamp=later)).reply(wait("go"), call("k"))
    stored = request_id("abc", later, 0)
    run.deliver(EventRaised(name=stored, input=answer("5"), timestamp=later))
    # The list now starts the call at once: under another id, had it not been sent already.
    turn = run.reply(nb(wait("go")), call("k"), activity("A"))
    assert kinds(turn) == ["TaskScheduled", "OrchestratorCompleted"]


def test_a_signal_is_complete_at_once() -> None:
    turn = Execution().start(signal("k"), activity("A"))
    assert (sent(turn), kinds(turn)) == (
        [(0, "op", "@counter@k")],
        ["EventSent", "TaskScheduled", "OrchestratorCompleted"],
    )
    assert (content(turn.events[0])["signal"], content(turn.events[0])["id"]) == (True, id_of(0))


def test_a_signal_for_later_has_its_time_in_its_name() -> None:
    action = signal("k") | {"actionType": 10, "fireAt": "2026-01-02T03:04:09.5Z"}
    turn = Execution().start(action)
    members = content(turn.events[0])
    assert (sent(turn), members["due"], members["Timestamp"]) == (
        [(0, "op@2026-01-02T03:04:09.5000000Z", "@counter@k")],
        "2026-01-02T03:04:09.5Z",
        "0001-01-01T00:00:00",
    )


def test_messages_to_one_entity_are_stamped_one_after_the_other() -> None:
    turn = Execution().start(signal("k"), signal("other"), signal("k"), signal("k"))
    stamps = [(content(event)["Timestamp"], content(event)["Predecessor"]) for event in turn.events[:4]]
    never = "0001-01-01T00:00:00"
    second, third = "2026-01-02T03:04:05.0000001", "2026-01-02T03:04:05.0000002"
    assert stamps == [(T0, never), (T0, never), (second, T0), (third, second)]


def test_names_of_entities_are_sent_in_lower_case() -> None:
    assert sent(Execution().start(signal("Key", name="COUNTER"))) == [(0, "op", "@counter@Key")]


def test_a_call_of_an_entity_without_a_function_is_answered_with_an_error() -> None:
    run = Execution()
    turn = run.start(call("k", name="nosuch"), activity("A"))
    fault = EventRaised(name=id_of(0), input=answer(json.dumps(NO_ENTITY), is_error=True), timestamp=T0)
    assert (sent(turn), turn.messages) == ([(0, "op", "@nosuch@k")], [Message("abc", fault, "e1")])
    turn = run.deliver(fault).reply(call("k", name="nosuch"), activity("A"))
    assert kinds(turn) == ["TaskScheduled", "OrchestratorCompleted"]


@pytest.mark.parametrize(
    "action, text",
    [
        (signal("k", name="nosuch"), NO_ENTITY),
        (lock("k", name="nosuch"), NO_ENTITY),
        (lock(), "LockEntities action requires a non-empty LockSet."),
        (
            lock("k", name=""),
            "LockEntities action requires each LockSet entry to have a non-empty name and a non-null key.",
        ),
        (
            signal("k") | {"instanceId": "counter"},
            "expected the instance ID of an entity, @name@key, found 'counter'",
        ),
    ],
)
def test_what_cannot_be_sent_fails_the_instance(action: dict[str, Any], text: str) -> None:
    turn = Execution().start(action, schema=3)
    assert (turn.status, turn.output) == (STATUS.FAILED, f"Orchestrator function 'Orch' failed: {text}")


@pytest.mark.parametrize(
    "actions, instead",
    [
        ([], "but the current replay execution hasn't (yet?) scheduled this task."),
        (
            [activity("A")],
            "but the current orchestration replay instead produced a ScheduleTaskOrchestratorAction action with this "
            "sequence number.",
        ),
        (
            [signal("k") | {"actionType": 10, "fireAt": "2026-01-02T03:04:09Z"}],
            "but the current orchestration replay instead sent an event named 'op@2026-01-02T03:04:09.0000000Z' with "
            "this sequence number. ",
        ),
    ],
)
def test_a_message_that_history_has_must_come_up_again(actions: list[dict[str, Any]], instead: str) -> None:
    run = Execution()
    run.start(call("k"))
    turn = run.deliver(answered(0)).reply(*actions)
    assert turn.output == (
        "Non-Deterministic workflow detected: A previous execution of this orchestration sent an event with sequence "
        f"ID 0 and name 'op' to instance '@counter@k', {instead} Was a change made to the orchestrator code after this "
        "instance had already started running?"
    )


def test_where_a_message_goes_may_change() -> None:
    run = Execution()
    run.start(signal("k"), wait("go"))
    turn = run.deliver(EventRaised(name="go", timestamp=T0)).reply(signal("other"), wait("go"), done=True)
    assert turn.status is STATUS.COMPLETED


# ---------------------------------------------------------------- locks


def locked(*keys: str) -> Execution:
    """An execution that is about to be told that it has its lock."""
    run = Execution()
    run.start(lock(*keys), schema=3)
    return run.deliver(granted())


def test_a_lock_is_asked_for_at_the_first_entity_of_the_sorted_set() -> None:
    turn = Execution().start(lock("b", "a", "b"), schema=3)
    members = content(turn.events[0])
    assert sent(turn) == [(0, "op", "@counter@a")]
    assert [entity["key"] for entity in members["lockset"]] == ["a", "b"]
    assert (members["op"], "requestTime" in members, "pos" in members) == (None, False, False)


def test_a_release_goes_to_every_locked_entity() -> None:
    turn = locked("a", "b").reply(lock("a", "b"), RELEASE, activity("A"), schema=3)
    assert sent(turn) == [(1, "release", "@counter@a"), (2, "release", "@counter@b")]
    assert (content(turn.events[0])["parent"], content(turn.events[0])["id"]) == ("abc", id_of(0))
    assert turn.activities[0].task_id == 3


def test_an_entity_is_released_last_that_was_called_last() -> None:
    run = locked("a", "b")
    run.reply(lock("a", "b"), call("a"), schema=3)
    later = request_id("abc", format_timestamp(START + timedelta(seconds=1)), 1)
    event = EventRaised(name=later, input=answer("5"), timestamp=T0)
    turn = run.deliver(event).reply(lock("a", "b"), call("a"), RELEASE, schema=3)
    assert sent(turn) == [(2, "release", "@counter@b"), (3, "release", "@counter@a")]


@pytest.mark.parametrize(
    "action",
    [
        call("b"),
        lock("b"),
        child("Child"),
        {
            **child("Child"),
            "actionType": 3,
            "retryOptions": {"firstRetryIntervalInMilliseconds": 1, "maxNumberOfAttempts": 2},
        },
    ],
    ids=["a call of another entity", "a second lock", "a child", "a child with retries"],
)
def test_what_a_lock_forbids_is_passed_over_and_takes_no_id(action: dict[str, Any]) -> None:
    turn = locked("a").reply(lock("a"), action, activity("A"), schema=3)
    assert (kinds(turn), turn.activities[0].task_id) == (["TaskScheduled", "OrchestratorCompleted"], 1)


def test_two_calls_at_once_to_a_locked_entity_are_one() -> None:
    turn = locked("a").reply(lock("a"), all_of(call("a"), call("a")), schema=3)
    assert sent(turn) == [(1, "op", "@counter@a")]


def test_a_signal_to_a_locked_entity_fails_the_instance_and_releases_it() -> None:
    turn = locked("a").reply(lock("a"), signal("a"), schema=3)
    assert (turn.output, sent(turn)) == (
        "Orchestrator function 'Orch' failed: The orchestrator must not signal the entity @counter@a while it has it "
        "locked.",
        [(1, "release", "@counter@a")],
    )


@pytest.mark.parametrize("members", [{"done": True}, {"error": "bad"}], ids=["it returns", "it fails"])
def test_what_is_still_locked_at_the_end_is_released(members: dict[str, Any]) -> None:
    run = locked("a", "b")
    if "error" in members:
        turn = run.fail("bad", lock("a", "b"), schemaVersion=3)
    else:
        turn = run.reply(lock("a", "b"), schema=3, done=True)
    assert sent(turn) == [(1, "release", "@counter@a"), (2, "release", "@counter@b")]
    assert isinstance(turn.events[-2], ExecutionCompleted)
    assert turn.events[-2].event_id == 3


def test_a_terminated_instance_releases_what_it_had_locked() -> None:
    run = locked("a", "b")
    run.reply(lock("a", "b"), wait("go"), schema=3)
    run.deliver(ExecutionTerminated(input="enough", timestamp=T0))
    turn = run.reply(lock("a", "b"), wait("go"), schema=3)
    assert [(message.instance_id, getattr(message.event, "name", "")) for message in turn.messages] == [
        ("@counter@a", "release"),
        ("@counter@b", "release"),
    ]
    assert kinds(turn) == ["ExecutionCompleted", "OrchestratorCompleted"]


def test_an_instance_without_its_function_releases_what_it_had_locked() -> None:
    run = locked("a")
    run.reply(lock("a"), wait("go"), schema=3)
    turn = run.deliver(EventRaised(name="go", timestamp=T0)).answer("no state at all")
    assert [(message.instance_id, getattr(message.event, "name", "")) for message in turn.messages] == [
        ("@counter@a", "release")
    ]


def test_what_was_released_before_is_not_released_at_the_end() -> None:
    run = locked("a")
    run.reply(lock("a"), RELEASE, wait("go"), schema=3)
    turn = run.deliver(ExecutionTerminated(input="enough", timestamp=T0)).reply(
        lock("a"), RELEASE, wait("go"), schema=3
    )
    assert turn.messages == []


def test_a_release_while_nothing_is_locked_does_nothing() -> None:
    turn = Execution().start(RELEASE, activity("A"), schema=3)
    assert (kinds(turn), turn.activities[0].task_id) == (["TaskScheduled", "OrchestratorCompleted"], 0)


def test_timers_and_activities_go_on_while_entities_are_locked() -> None:
    turn = locked("a").reply(lock("a"), nb(timer(timedelta(seconds=5))), nb(activity("A")), schema=3)
    assert kinds(turn) == ["TimerCreated", "TaskScheduled", "OrchestratorCompleted"]


def test_a_turn_with_entities_may_be_worked_again() -> None:
    turns = [locked("a").reply(lock("a"), call("a"), schema=3) for _ in range(2)]
    assert turns[0] == turns[1]
    assert isinstance(turns[0].events[-1], OrchestratorCompleted)
