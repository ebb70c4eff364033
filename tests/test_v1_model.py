"""`Orchestrator` and `Entity`: what `create` gives workers, and running one turn by hand."""

import asyncio
import inspect
import json
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

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


def greet_for(greeting: str, context: "df.DurableOrchestrationContext[str]") -> Generator[Any, Any, Any]:
    return (yield context.call_activity(greeting, context.get_input()))


class Greeter:
    """An orchestrator, and an entity, with settings of its own."""

    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def __call__(self, context: Any) -> Any:
        if isinstance(context, df.DurableEntityContext):
            return entity(context)
        return greet_for(self.greeting, context)


@pytest.mark.parametrize(
    "called",
    [
        partial(greet_for, "Greet"),
        partial(Greeter.__call__, Greeter("Greet")),
        Greeter("Greet"),
        partial(Greeter("Greet")),
    ],
    ids=["partial", "partial of a method", "object", "partial of an object"],
)
def test_what_can_be_called_is_an_orchestrator_too(called: Any) -> None:
    """The folder of function.json has the name, so that the code needs none."""
    created = df.Orchestrator.create(called)
    assert json.loads(created(PAYLOAD)) == json.loads(df.Orchestrator.create(orchestrator)(PAYLOAD))
    assert (inspect.getfile(created), list(inspect.signature(created).parameters)) == (__file__, ["context"])


def test_what_can_be_called_is_an_entity_too() -> None:
    reply = json.loads(df.Entity.create(Greeter("Greet"))(BATCH))
    assert (reply["entityState"], [result["isError"] for result in reply["results"]]) == ("7", [False, True])


def test_what_is_called_with_more_than_the_context_is_refused() -> None:
    with pytest.raises(AppError, match="'greet_for' is called with one argument, the context, but is written as"):
        df.Orchestrator.create(partial(greet_for))


@pytest.mark.parametrize("kind", [df.Orchestrator, df.Entity])
def test_what_is_no_function_is_refused(kind: Any) -> None:
    with pytest.raises(AppError, match="which is no function"):
        kind.create("main")


# ---------------------------------------------------------------- activities


@dataclass
class Order:
    items: list[str]
    due: date | None = None


def pack(order: Order, context: Any = None) -> Order:
    assert isinstance(order, Order)
    return Order(sorted(order.items), order.due)


async def pack_later(order: Order) -> Order:
    return pack(order)


def main(order: Order) -> int:
    return len(order.items)


class TestActivities:
    """`Activity.create` gives an activity of the v1 model what the decorator gives one of the v2 model."""

    def test_the_input_is_read_as_its_annotation_says(self) -> None:
        created: Any = df.Activity.create(pack)
        made = created(order={"items": ["b", "a"], "due": "2026-01-02"}, context=None)
        assert made == Order(["a", "b"], date(2026, 1, 2))

    def test_so_is_that_of_a_coroutine_function(self) -> None:
        created: Any = df.Activity.create(pack_later)
        assert inspect.iscoroutinefunction(created)
        assert asyncio.run(created(order={"items": ["b", "a"]})) == Order(["a", "b"])

    def test_what_is_no_such_value_is_refused_with_its_place(self) -> None:
        created: Any = df.Activity.create(pack)
        with pytest.raises(PayloadError, match=r"\$\.items\[1\]: Expected `str`, got `int`"):
            created(order={"items": ["a", 1]})

    def test_a_test_calls_it_with_a_value_of_the_type(self) -> None:
        assert df.Activity.create(pack)(Order(["b", "a"])) == Order(["a", "b"])

    def test_the_annotation_of_its_input_is_hidden_from_workers_and_no_other(self) -> None:
        created = df.Activity.create(pack)
        assert list(inspect.signature(created).parameters) == ["order", "context"]
        assert created.__annotations__ == {"context": Any}
        assert inspect.getfile(created) == __file__

    def test_the_parameter_of_the_input_can_be_named(self) -> None:
        def weigh(context: Any, order: Order) -> int:
            return len(order.items)

        created: Any = df.Activity.create(weigh, input_name="order")
        assert created(context=None, order={"items": ["a"]}) == 1

    @pytest.mark.parametrize(
        "function, options, name",
        [(pack, {}, "pack"), (main, {}, "tests"), (main, {"name": "weigh_order"}, "weigh_order")],
    )
    def test_its_runs_have_a_span_of_its_name(
        self, function: Any, options: Any, name: str, exporter: InMemorySpanExporter
    ) -> None:
        created: Any = df.Activity.create(function, **options)
        created(order={"items": []})
        assert [span.name for span in exporter.get_finished_spans()] == [f"activity:{name}"]

    @pytest.mark.parametrize(
        "make, message",
        [
            (lambda: df.Activity.create("pack"), "Activity.create was given 'pack', which is no function with a name"),  # type: ignore[arg-type]
            (lambda: df.Activity.create(lambda: 1), "'<lambda>', which takes no argument"),
            (lambda: df.Activity.create(pack, input_name="item"), "the parameters of 'pack' are (order, context)"),
        ],
    )
    def test_misuse_says_what_was_expected(self, make: Callable[[], Any], message: str) -> None:
        with pytest.raises(AppError) as caught:
            make()
        assert message in str(caught.value)
