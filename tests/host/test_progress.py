"""A turn goes on where the replay of the last one stood, and from the beginning where it cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kernel_driver import Execution, activity, all_of, wait

from worker_ext.host.gateway import Reply
from worker_ext.host.replies import read_decision
from worker_ext.host.turns import KnownFunctions
from worker_ext.protocol.history import ExecutionSuspended, TaskCompleted

FIRST = [activity("A"), activity("B", "1")]
STAMP = "2026-01-02T03:04:05Z"


def waiting() -> Execution:
    """An execution that has done the first of its activities, and waits for the second."""
    execution = Execution()
    execution.start(*FIRST)
    execution.deliver(TaskCompleted(task_scheduled_id=0, result="1", timestamp=STAMP)).reply(*FIRST)
    return execution


def events_passed_over(execution: Execution, *actions: dict[str, Any], schema: int = 2, **changes: Any) -> int:
    """How many events the next turn does not replay, given its list."""
    reply = Reply(json.dumps({"isDone": False, "actions": [list(actions)], "schemaVersion": schema}))
    functions = changes.get("functions", execution.functions)
    _, seen = execution.progress.take(read_decision(reply), execution.instance_id, functions, execution.options)
    return seen


def test_a_list_that_goes_on_costs_what_has_come_since() -> None:
    execution = waiting()
    # All but what the last turn itself has added: the second activity, and the end of its batch.
    assert events_passed_over(execution, *FIRST, activity("C")) == len(execution.history) - 2


@pytest.mark.parametrize(
    "actions, changes",
    [
        pytest.param([activity("A"), activity("B", "2"), activity("C")], {}, id="the item it waits for is another"),
        pytest.param([activity("C"), activity("B", "1")], {}, id="an earlier item is another"),
        pytest.param([activity("A")], {}, id="the list is shorter"),
        pytest.param(FIRST, {"schema": 1}, id="the list is of another shape"),
        pytest.param(FIRST, {"functions": KnownFunctions({"Orch"}, {"A", "B"}, set())}, id="the app has changed"),
    ],
)
def test_another_list_is_replayed_from_the_beginning(actions: list[dict[str, Any]], changes: dict[str, Any]) -> None:
    assert events_passed_over(waiting(), *actions, **changes) == 0


def test_what_was_taken_is_gone_until_a_turn_has_kept_it_again() -> None:
    execution = waiting()
    assert (events_passed_over(execution, *FIRST) > 0, events_passed_over(execution, *FIRST)) == (True, 0)


def test_a_list_that_waits_for_nothing_is_not_gone_on_with() -> None:
    execution = Execution()
    execution.start(all_of())
    assert events_passed_over(execution, all_of(), wait("go")) == 0


def test_a_suspended_instance_is_replayed_from_the_beginning() -> None:
    execution = waiting()
    execution.deliver(ExecutionSuspended(reason="r", timestamp=STAMP)).reply(*FIRST)
    assert events_passed_over(execution, *FIRST) == 0
