"""Instances that 1.7.0 began; source: durable-functions JSON protocol, section 4.11.2."""

from collections.abc import Generator
from typing import Any

import pytest

import worker_ext as df
from worker_ext.engine import in_flight
from worker_ext.engine.in_flight import request_id
from worker_ext.protocol.actions import CallActivity, CallEntity, WhenAll, WhenAny
from worker_ext.testing import HistoryBuilder, replay

Context = df.DurableOrchestrationContext
A, B = (CallActivity(function_name=name, input="null") for name in "AB")
CALL = CallEntity(instance_id="@counter@k", operation="get", input="null")


def not_waiting(action: CallActivity) -> WhenAny:
    return WhenAny(compound_actions=(action, WhenAll(compound_actions=())))


@pytest.mark.parametrize(
    "instance_id, timestamp, counter, expected",
    [
        ("abc", "2026-01-02T03:04:05Z", 0, "3d10a611-e1f6-5c7c-9d29-170a624fd622"),
        ("lock__1", "2026-11-21T04:23:14.5989783Z", 0, "b8826673-086c-5559-a450-d2d029df3021"),
        ("lock_emptykey__1", "2026-11-21T04:40:31.847414Z", 0, "a3078b51-a39d-532b-9f07-d94fe49e583e"),
    ],
)
def test_request_ids_are_the_recorded_ones(instance_id: str, timestamp: str, counter: int, expected: str) -> None:
    assert request_id(instance_id, timestamp, counter) == expected


def orchestrator(context: Context) -> Generator[Any, Any, Any]:
    try:
        yield context.task_all([context.call_activity("A"), context.call_activity("B")])
    except df.TaskFailedError:
        value = yield context.call_entity(df.EntityId("Counter", "k"), "get")
    return value


def failed_with_a_survivor() -> HistoryBuilder:
    """A has failed at 03:04:06, B is still running."""
    return HistoryBuilder().started().scheduled("A", 0).scheduled("B", 1).batch().failed(0)


def test_a_call_of_our_own_list_leaves_the_survivor_behind() -> None:
    ours = request_id("abc", "2026-01-02T03:04:06Z", 0)
    history = failed_with_a_survivor().sent(2, "@counter@k", "get", ours).batch().answered(ours, 5)
    turn = replay(orchestrator, history)
    assert turn.actions == [WhenAll(compound_actions=(A, not_waiting(B))), CALL]
    assert turn.output == 5


def test_a_call_that_1_7_0_had_held_back_keeps_its_list_and_finds_its_answer() -> None:
    theirs = request_id("abc", "2026-01-02T03:04:07Z", 0)
    history = failed_with_a_survivor().batch().completed(1).sent(2, "@counter@k", "get", theirs)
    history.batch().answered(theirs, 5)
    turn = replay(orchestrator, history)
    assert turn.actions == [WhenAll(compound_actions=(A, B)), CALL]
    assert turn.output == 5


def test_an_id_that_no_list_explains_changes_nothing() -> None:
    history = (
        failed_with_a_survivor().batch().completed(1).sent(2, "@counter@k", "get", "r-1").batch().answered("r-1", 5)
    )
    assert replay(orchestrator, history).actions == [WhenAll(compound_actions=(A, not_waiting(B))), CALL]


class Counted(type):
    """The type of actions that are counted, and how often it was asked whether one is of it."""

    asked = 0

    def __instancecheck__(cls, action: object) -> bool:
        Counted.asked += 1
        return isinstance(action, CallEntity)


def test_what_calls_of_entities_come_after_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counted, "asked", 0)
    monkeypatch.setattr(in_flight, "_COUNTED", Counted("Actions", (), {}))

    def calls(context: Context) -> Generator[Any, Any, Any]:
        total = 0
        for _ in range(50):
            total += yield context.call_entity(df.EntityId("Counter", "k"), "get")
        return total

    history = HistoryBuilder().started()
    for number in range(50):
        request = request_id("abc", f"2026-01-02T03:04:{5 + number:02d}Z", number)
        history = history.sent(number, "@counter@k", "get", request).batch().answered(request, number)
    assert replay(calls, history).output == sum(range(50))
    assert Counted.asked == 49
