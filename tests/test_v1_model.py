"""`Orchestrator` and `Entity`: what `create` gives workers, and running one turn by hand."""

import inspect
import json
import os
from collections.abc import Generator
from typing import Any

import pytest

import worker_ext as df
from worker_ext.errors import AppError, PayloadError
from worker_ext.testing import HistoryBuilder


def orchestrator(context: "df.DurableOrchestrationContext") -> Generator[Any, Any, "NoSuchName"]:  # type: ignore[name-defined]  # noqa: F821
    return (yield context.call_activity("Greet", context.get_input()))


def entity(context: "df.DurableEntityContext") -> None:
    context.set_state((context.get_state() or 0) + context.get_input())
    context.set_result(context.get_state())


CREATED = [
    pytest.param(df.Orchestrator.create(orchestrator), orchestrator, "orchestrator_function", id="orchestrator"),
    pytest.param(df.Entity.create(entity), entity, "entity_function", id="entity"),
]

PAYLOAD = HistoryBuilder().started("hello", "Ada").payload()
BATCH = json.dumps(
    {
        "self": {"name": "counter", "key": "k"},
        "exists": True,
        "state": "5",
        "batch": [{"name": "add", "input": '"2"', "isSignal": False, "id": "r1"}, {"name": "add", "input": '"x"'}],
    }
)


@pytest.mark.parametrize("created,user,attribute", CREATED)
def test_what_workers_get_has_one_parameter_and_no_annotations(created: Any, user: Any, attribute: str) -> None:
    """They look at both, and refuse what they cannot check; annotations that exist for type checkers only among it."""
    assert list(inspect.signature(created).parameters) == ["context"]
    assert created.__annotations__ == {}
    assert getattr(created, "__annotate__", None) is None
    assert not hasattr(created, "__wrapped__")
    assert not inspect.iscoroutinefunction(created)


@pytest.mark.parametrize("created,user,attribute", CREATED)
def test_what_workers_get_lies_in_the_users_file_and_leads_to_the_users_function(
    created: Any, user: Any, attribute: str
) -> None:
    assert (inspect.getfile(created), os.path.basename(inspect.getfile(created))) == (__file__, "test_v1_model.py")
    assert getattr(created, attribute) is user
    assert created.__name__ == user.__name__


def test_a_turn_can_be_run_by_hand() -> None:
    context = df.DurableOrchestrationContext.from_json(PAYLOAD)
    reply = df.Orchestrator(orchestrator).handle(context)
    assert reply == df.Orchestrator.create(orchestrator)(PAYLOAD)
    assert json.loads(reply)["actions"] == [[{"actionType": 0, "functionName": "Greet", "input": '"Ada"'}]]


def test_a_batch_can_be_run_by_hand() -> None:
    context, batch = df.DurableEntityContext.from_json(BATCH)
    assert batch == [
        {"name": "add", "input": '"2"', "isSignal": False, "id": "r1"},
        {"name": "add", "input": '"x"', "isSignal": False, "id": None},
    ]
    reply = json.loads(df.Entity(entity).handle(context, batch))
    assert (reply["entityState"], [result["isError"] for result in reply["results"]]) == ("7", [False, True])


def test_an_operation_that_is_none_is_refused() -> None:
    context, _ = df.DurableEntityContext.from_json(BATCH)
    with pytest.raises(PayloadError, match=r"\$\.batch\[0\]: Object missing required field `name`"):
        df.Entity(entity).handle(context, [{"op": "add"}])


@pytest.mark.parametrize("kind", [df.Orchestrator, df.Entity])
def test_what_is_no_function_is_refused(kind: Any) -> None:
    with pytest.raises(AppError, match="which is no function with a name"):
        kind.create("main")
