"""DurableEntityContext: what an entity function may ask for."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import worker_ext as df
from worker_ext.errors import OrchestratorError
from worker_ext.protocol.codec import encode_value

LOG = df.EntityId("Log", "Main")


def run(entity: Callable[[df.DurableEntityContext], Any], *operations: tuple[str, Any]) -> dict[str, Any]:
    """The reply to a batch of operations as another orchestration sends them."""
    batch = [{"name": name, "input": json.dumps(json.dumps(value)), "isSignal": True} for name, value in operations]
    payload = {"self": {"name": "counter", "key": "k"}, "exists": False, "state": None, "batch": batch}
    reply: dict[str, Any] = json.loads(df.Entity.create(entity)(json.dumps(payload)))
    return reply


def signal(name: str, value: Any) -> dict[str, Any]:
    return {"target": {"name": "log", "key": "Main"}, "name": name, "input": json.dumps(encode_value(value))}


def note_or_fail(context: df.DurableEntityContext) -> None:
    given = context.get_input()
    context.signal_entity(LOG, "note", given)
    if given == "fail":
        raise ValueError("failed")


def test_an_entity_signals_another_under_its_name_in_lower_case() -> None:
    assert run(note_or_fail, ("a", {"n": 1}))["signals"] == [signal("note", {"n": 1})]


def test_signals_are_sent_in_order_but_those_of_failed_operations() -> None:
    reply = run(note_or_fail, ("a", 1), ("b", "fail"), ("c", 3))
    assert reply["signals"] == [signal("note", 1), signal("note", 3)]
    assert [result["isError"] for result in reply["results"]] == [False, True, False]


def test_what_an_entity_sends_is_what_an_entity_reads() -> None:
    [sent] = run(note_or_fail, ("a", [1, None]))["signals"]
    received: list[Any] = []
    payload = {"self": sent["target"], "exists": False, "state": None, "batch": [{**sent, "isSignal": True}]}
    df.Entity.create(lambda context: received.append(context.get_input()))(json.dumps(payload))
    assert received == [[1, None]]


def test_a_context_is_of_no_use_between_operations() -> None:
    kept: list[df.DurableEntityContext] = []
    run(kept.append, ("a", 1))
    with pytest.raises(OrchestratorError, match="was used while no operation was running"):
        kept[0].signal_entity(LOG, "note")


async def tell_later(context: df.DurableEntityContext) -> None:
    """Waits as ordinary asyncio does before it counts."""
    await asyncio.sleep(0)
    if context.operation_name == "fail":
        raise ValueError("not today")
    context.set_state(context.get_state(lambda: 0) + context.get_input())
    context.set_result(context.get_state())


def test_an_async_entity_runs_each_operation_to_its_end_in_order() -> None:
    reply = run(tell_later, ("add", 1), ("fail", None), ("add", 2))
    assert [(result["isError"], json.loads(result["result"])) for result in reply["results"]] == [
        (False, 1),
        (True, "not today"),
        (False, 3),
    ]
    assert reply["entityState"] == "3"


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError("3")])
@pytest.mark.parametrize("is_async", [False, True])
def test_an_operation_that_raises_what_is_no_exception_fails_alone(is_async: bool, error: BaseException) -> None:
    def entity(context: df.DurableEntityContext) -> None:
        context.set_result("went on")
        if context.operation_name == "leave":
            raise error

    async def async_entity(context: df.DurableEntityContext) -> None:
        entity(context)

    reply = run(async_entity if is_async else entity, ("go", None), ("leave", None), ("go", None))
    assert [(result["isError"], json.loads(result["result"])) for result in reply["results"]] == [
        (False, "went on"),
        (True, "3"),
        (False, "went on"),
    ]


def test_an_entity_that_yields_is_told_that_nothing_would_run_it() -> None:
    def generator(context: df.DurableEntityContext) -> Iterator[None]:
        context.set_state(1)
        yield

    async def async_generator(context: df.DurableEntityContext) -> AsyncIterator[None]:
        context.set_state(1)
        yield

    for entity in generator, async_generator:
        [result] = run(entity, ("go", None))["results"]
        assert result["isError"]
        assert "it yields, so nothing of it was run" in result["result"]
