"""Entities over a real database file: batches, order, locks, limits, restarts. Functions are scripted."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from running_scheduler import outcome, running, until
from scripted_gateway import Entity, Orchestrator, ScriptedGateway, counter, state

from worker_ext.host import redelivery
from worker_ext.host.entity_queries import EntityPage, EntityStatus
from worker_ext.host.queries import BadTokenError
from worker_ext.host.scheduler import Scheduler, UnknownEntityError
from worker_ext.host.settings import DurableSettings
from worker_ext.host.store import Store
from worker_ext.protocol.codec import format_timestamp

A, B = "@counter@a", "@counter@b"
ONE, TWO = '"1"', '"2"'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redelivery, "_FIRST_DELAY", 0.001)


def app(entity: Entity = counter, **orchestrators: Orchestrator) -> ScriptedGateway:
    return ScriptedGateway(orchestrators, {}, {"Counter": entity})


def call(instance_id: str, operation: str, value: Any = None) -> dict[str, Any]:
    text = json.dumps(value)
    return {"actionType": 7, "instanceId": instance_id, "operation": operation, "input": text}


def signal(instance_id: str, operation: str, value: Any = None) -> dict[str, Any]:
    return call(instance_id, operation, value) | {"actionType": 9}


def lock(*keys: str) -> dict[str, Any]:
    return {"actionType": 13, "lockSet": [{"name": "counter", "key": key} for key in keys]}


def answers(context: dict[str, Any]) -> list[dict[str, Any]]:
    """What entities have answered, in the order of the requests."""
    events = context["history"]
    came = {event["Name"]: json.loads(event["Input"]) for event in events if event["EventType"] == 15}
    requests = [json.loads(event["Input"]) for event in events if event["EventType"] == 14]
    return [came[request["id"]] for request in requests if request["id"] in came and "op" in request]


def steps(*actions: dict[str, Any]) -> Orchestrator:
    """An orchestrator that does one thing after the other and returns what entities answered."""

    def run(context: dict[str, Any]) -> dict[str, Any]:
        found = [(answer["result"], answer.get("exceptionType")) for answer in answers(context)]
        return state(*actions, done=True, output=found, schemaVersion=3)

    return run


async def total(scheduler: Scheduler, key: str, name: str = "counter") -> Any:
    """The state of a counter."""
    found = await scheduler.read_entity(name, key)
    return None if found is None or found.state is None else json.loads(found.state)


async def until_total(scheduler: Scheduler, key: str, expected: Any, name: str = "counter") -> None:
    async def is_there() -> bool:
        return bool(await total(scheduler, key, name) == expected)

    await until(is_there)


# ---------------------------------------------------------------- operations


async def test_an_orchestration_signals_and_calls_a_counter(path: Path) -> None:
    gateway = app(Main=steps(signal(A, "add", 1), signal(A, "add", 2), call(A, "get"), call(A, "fail")))
    async with running(path, gateway) as scheduler:
        instance_id = await scheduler.start_instance("Main", None)
        assert await outcome(scheduler, instance_id) == ("Completed", [["3", None], ['"bad op"', "Error"]])
        assert await total(scheduler, "a") == 3


async def test_a_call_of_an_entity_without_a_function_fails(path: Path) -> None:
    gateway = app(Main=steps(call("@nosuch@a", "get")))
    async with running(path, gateway) as scheduler:
        text = (
            "The function 'nosuch' doesn't exist, is disabled, or is not an entity function. "
            "Additional info: The following are the known entity functions: 'Counter'."
        )
        expected = [[json.dumps(text), "Error"]]
        assert await outcome(scheduler, await scheduler.start_instance("Main", None)) == ("Completed", expected)


async def test_signals_of_a_client_run_in_order_and_in_few_batches(path: Path) -> None:
    gateway = app()
    gateway.turn_may_end.clear()
    async with running(path, gateway) as scheduler:
        for number in range(30):
            await scheduler.signal_entity("Counter", "a", "add", json.dumps(str(number)))
        gateway.turn_may_end.set()
        await until_total(scheduler, "a", sum(range(30)))
        inputs = [item["input"] for batch in gateway.batches[A] for item in batch["batch"]]
        assert inputs == [json.dumps(str(number)) for number in range(30)]
        assert len(gateway.batches[A]) <= 3


async def test_a_batch_has_at_most_as_many_operations_as_the_setting_says(path: Path) -> None:
    gateway = app()
    gateway.turn_may_end.clear()
    async with running(path, gateway, max_entity_operation_batch_size=4) as scheduler:
        for _ in range(30):
            await scheduler.signal_entity("counter", "a", "add", ONE)
        gateway.turn_may_end.set()
        await until_total(scheduler, "a", 30)
        sizes = [len(batch["batch"]) for batch in gateway.batches[A]]
        assert (sum(sizes), max(sizes)) == (30, 4)


async def test_so_many_entities_run_at_once_as_the_setting_says(path: Path) -> None:
    gateway = app()
    gateway.turn_may_end.clear()
    async with running(path, gateway, max_concurrent_entity_functions=3) as scheduler:
        for number in range(12):
            await scheduler.signal_entity("counter", str(number), "add", ONE)
        await until(lambda: gateway.most_entities == 3)
        gateway.turn_may_end.set()
        for number in range(12):
            await until_total(scheduler, str(number), 1)
        assert gateway.most_entities == 3


async def test_entities_do_not_wait_for_places_of_orchestrations(path: Path) -> None:
    gateway = app(Main=steps(call(A, "get")))
    async with running(path, gateway, max_concurrent_orchestrator_functions=1) as scheduler:
        ids = [await scheduler.start_instance("Main", None) for _ in range(5)]
        assert {(await outcome(scheduler, name))[0] for name in ids} == {"Completed"}


async def test_an_entity_signals_another(path: Path) -> None:
    async with running(path, app()) as scheduler:
        await scheduler.signal_entity("counter", "a", "forward", json.dumps('"b"'))
        await until_total(scheduler, "b", 1)


async def test_a_deleted_entity_is_gone_and_starts_anew(path: Path) -> None:
    gateway = app()
    async with running(path, gateway) as scheduler:
        await scheduler.signal_entity("counter", "a", "add", TWO)
        await until_total(scheduler, "a", 2)
        await scheduler.signal_entity("counter", "a", "delete", None)
        await until_total(scheduler, "a", None)
        assert await scheduler.list_entities() == EntityPage([], "")
        await scheduler.signal_entity("counter", "a", "add", ONE)
        await until_total(scheduler, "a", 1)
        assert [batch["exists"] for batch in gateway.batches[A]] == [False, True, False]


async def test_a_signal_for_later_comes_at_its_time_also_after_a_restart(path: Path) -> None:
    due = datetime.now(UTC) + timedelta(seconds=0.5)
    later = signal(A, "add", 5) | {"actionType": 10, "fireAt": format_timestamp(due)}
    gateway = app(Main=steps(later))
    async with running(path, gateway) as scheduler:
        await outcome(scheduler, await scheduler.start_instance("Main", None))
        assert await total(scheduler, "a") is None
    async with running(path, gateway) as scheduler:
        await until_total(scheduler, "a", 5)
        found = await scheduler.read_entity("counter", "a")
        assert found is not None
        assert found.last_operation > due - timedelta(seconds=0.1)


async def test_a_failed_batch_comes_again_with_the_same_ids(path: Path) -> None:
    seen: list[dict[str, Any]] = []

    def fails_twice(payload: dict[str, Any]) -> Any:
        seen.append(payload)
        if len(seen) == 1:
            raise ValueError("not now")
        return {"entityExists": True, "results": []} if len(seen) == 2 else counter(payload)

    gateway = app(fails_twice, Main=steps(call(A, "add", 1), call(A, "get")))
    async with running(path, gateway) as scheduler:
        instance_id = await scheduler.start_instance("Main", None)
        assert await outcome(scheduler, instance_id) == ("Completed", [["null", None], ["1", None]])
    assert seen[0] == seen[1] == seen[2]


async def test_a_batch_of_a_lost_worker_comes_again(path: Path) -> None:
    gateway = app()
    gateway.lost = 2
    async with running(path, gateway) as scheduler:
        await scheduler.signal_entity("counter", "a", "add", ONE)
        await until_total(scheduler, "a", 1)
    assert len(gateway.batches[A]) == 1


async def test_what_waits_at_the_end_is_done_after_the_next_start(path: Path) -> None:
    gateway = app()
    gateway.turn_may_end.clear()
    store = Store(path, "Hub")
    scheduler = Scheduler(store, gateway, DurableSettings())
    await scheduler.start()
    for _ in range(3):
        await scheduler.signal_entity("counter", "a", "add", ONE)
    await scheduler.stop(0)
    store.close()
    gateway.turn_may_end.set()
    async with running(path, gateway) as scheduler:
        await until_total(scheduler, "a", 3)


async def test_operations_of_a_removed_function_fail_and_the_state_stays(path: Path) -> None:
    gateway = app(Main=steps(call(A, "get")))
    async with running(path, gateway) as scheduler:
        await scheduler.signal_entity("counter", "a", "add", TWO)
        await until_total(scheduler, "a", 2)
        gateway.entities = {}
        status, _ = await outcome(scheduler, await scheduler.start_instance("Main", None))
        assert (status, await total(scheduler, "a")) == ("Completed", 2)


# ---------------------------------------------------------------- locks


def transfer(source: str, target: str, amount: int) -> Orchestrator:
    """Moves money between two counters, with both of them locked."""
    first, second = call(f"@counter@{source}", "add", -amount), call(f"@counter@{target}", "add", amount)
    return steps(lock(source, target), first, second, {"actionType": 14})


async def test_transfers_between_locked_counters_leave_the_sum_as_it_was(path: Path) -> None:
    gateway = app(Forth=transfer("a", "b", 3), Back=transfer("b", "a", 1))
    async with running(path, gateway) as scheduler:
        ids = [await scheduler.start_instance(name, None) for _ in range(10) for name in ("Forth", "Back")]
        assert {(await outcome(scheduler, name))[0] for name in ids} == {"Completed"}
        await until_total(scheduler, "a", -20)
        await until_total(scheduler, "b", 20)
        for name in (A, B):
            instance = await scheduler.get(name)
            assert instance is not None
            assert "lockedBy" not in (instance.custom_status or "")


async def test_others_wait_while_an_entity_is_locked(path: Path) -> None:
    wait = {"actionType": 6, "externalEventName": "go"}
    gateway = app(
        Holder=steps(lock("a", "b"), wait, call(A, "add", 1), {"actionType": 14}),
        Other=steps(call(A, "get")),
    )
    async with running(path, gateway) as scheduler:
        holder = await scheduler.start_instance("Holder", None)

        async def is_locked() -> bool:
            found = await scheduler.get(B)
            return found is not None and "lockedBy" in (found.custom_status or "")

        await until(is_locked)
        other = await scheduler.start_instance("Other", None)

        async def waits() -> bool:
            found = await scheduler.get(A)
            return found is not None and '"queueSize":1' in (found.custom_status or "")

        await until(waits)
        await scheduler.raise_event(holder, "go", "1")
        assert (await outcome(scheduler, holder))[0] == "Completed"
        assert await outcome(scheduler, other) == ("Completed", [["1", None]])


@pytest.mark.parametrize("is_granted", [True, False], ids=["after the grant", "before the grant"])
async def test_a_terminated_owner_leaves_nothing_locked(path: Path, is_granted: bool) -> None:
    wait = {"actionType": 6, "externalEventName": "never"}
    gateway = app(
        Holder=steps(lock("b"), {"actionType": 6, "externalEventName": "go"}),
        Ended=steps(lock("a", "b"), wait),
        After=steps(call(A, "get"), call(B, "get")),
    )
    async with running(path, gateway) as scheduler:
        holder = await scheduler.start_instance("Holder", None)

        async def is_locked(name: str, owner: str) -> bool:
            found = await scheduler.get(name)
            return found is not None and f'"lockedBy":"{owner}"' in (found.custom_status or "")

        await until(lambda: is_locked(B, holder))
        ended = await scheduler.start_instance("Ended", None)
        await until(lambda: is_locked(A, ended))
        if is_granted:
            await scheduler.raise_event(holder, "go", "1")
            await until(lambda: is_locked(B, ended))
        await scheduler.terminate(ended, "enough")
        assert await outcome(scheduler, ended) == ("Terminated", "enough")
        await scheduler.raise_event(holder, "go", "1")
        after = await scheduler.start_instance("After", None)
        assert await outcome(scheduler, after) == ("Completed", [["0", None], ["0", None]])


# ---------------------------------------------------------------- clients


async def test_an_unknown_entity_cannot_be_signalled(path: Path) -> None:
    async with running(path, app()) as scheduler:
        with pytest.raises(UnknownEntityError) as caught:
            await scheduler.signal_entity("Nope", "a", "x", None)
    assert str(caught.value) == (
        "The function 'nope' doesn't exist, is disabled, or is not an entity function. "
        "Additional info: The following are the known entity functions: 'Counter'."
    )


async def test_an_entity_is_an_instance_with_its_record_as_input(path: Path) -> None:
    async with running(path, app()) as scheduler:
        await scheduler.signal_entity("counter", "a", "add", ONE)
        await until_total(scheduler, "a", 1)
        found = await scheduler.get(A)
        assert found is not None
        assert (found.name, found.status, json.loads(found.input or ""), found.custom_status) == (
            A,
            "Running",
            {"exists": True, "state": "1", "sorter": {}},
            '{"entityExists":true}',
        )
        assert (await scheduler.history(A), await scheduler.terminate(A, "x")) == ([], True)
        await scheduler.signal_entity("counter", "a", "add", ONE)
        await until_total(scheduler, "a", 2)


async def test_entities_are_listed_page_by_page(path: Path) -> None:
    gateway = app()
    gateway.entities["Log"] = counter
    async with running(path, gateway) as scheduler:
        for name, key in (("counter", "b"), ("counter", "a"), ("log", "a"), ("counter", "")):
            await scheduler.signal_entity(name, key, "add", ONE)
            await until_total(scheduler, key, 1, name)
        everything = (await scheduler.list_entities()).entities
        names = [(entity.name, entity.key, entity.state) for entity in everything]
        assert names == [("counter", "", "1"), ("counter", "a", "1"), ("counter", "b", "1"), ("log", "a", "1")]
        first = await scheduler.list_entities("Counter", top=2)
        second = await scheduler.list_entities("Counter", top=2, token=first.token)
        assert (first.entities, second) == (everything[:2], EntityPage(everything[2:3], ""))
        since = everything[2].last_operation
        late = await scheduler.list_entities(last_from=since, last_to=datetime.max.replace(tzinfo=UTC))
        assert {(entity.name, entity.key) for entity in late.entities} <= {
            (entity.name, entity.key) for entity in everything if entity.last_operation >= since
        }
        with pytest.raises(BadTokenError):
            await scheduler.list_entities(token="xyz")


async def test_an_entity_that_was_only_locked_does_not_exist(path: Path) -> None:
    gateway = app(Main=steps(lock("a"), {"actionType": 14}))
    async with running(path, gateway) as scheduler:
        assert (await outcome(scheduler, await scheduler.start_instance("Main", None)))[0] == "Completed"
        assert (await scheduler.read_entity("counter", "a"), gateway.batches) == (None, {})


async def test_an_orchestration_whose_id_looks_like_an_entitys_is_one(path: Path) -> None:
    async with running(path, app(Main=steps())) as scheduler:
        await scheduler.start_instance("Main", None, "@x@y")
        await scheduler.start_instance("Main", None, "Main")
        assert await outcome(scheduler, "@x@y") == ("Completed", [])
        assert await outcome(scheduler, "Main") == ("Completed", [])
        assert (await scheduler.list_entities()).entities == []


async def test_many_orchestrations_count_without_losing_one(path: Path) -> None:
    gateway = app(Main=steps(*(signal(A, "add", 1) for _ in range(5)), call(A, "add", 1), call(A, "get")))
    async with running(path, gateway) as scheduler:
        ids = [await scheduler.start_instance("Main", None) for _ in range(40)]
        results = await asyncio.gather(*(outcome(scheduler, name) for name in ids))
        assert {status for status, _ in results} == {"Completed"}
        assert await total(scheduler, "a") == 240
        found = await scheduler.read_entity("counter", "a")
        assert isinstance(found, EntityStatus)


async def test_only_signals_make_an_entity(path: Path) -> None:
    async with running(path, app()) as scheduler:
        told = [await scheduler.terminate(A, "x"), await scheduler.raise_event(A, "op", "1")]
        assert (told, await scheduler.get(A)) == ([False, False], None)
