"""The store: what each transaction takes, writes and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from worker_ext.host.records import (
    OVER,
    Activity,
    Claim,
    Instance,
    NewActivity,
    NewInstance,
    NewMessage,
    NewTimer,
    TurnRecord,
    TurnResult,
)
from worker_ext.host.store import InstanceExistsError, StaleTurnError, Store
from worker_ext.protocol.history import OrchestrationStatus

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
RUNNING, COMPLETED = OrchestrationStatus.RUNNING, OrchestrationStatus.COMPLETED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path, "Hub")
    yield store
    store.close()


def new(instance_id: str = "i", execution_id: str = "e1", parent_id: str | None = None) -> NewInstance:
    return NewInstance(
        instance_id=instance_id,
        execution_id=execution_id,
        name="Orch",
        version="1.0",
        input='{"n":1}',
        parent_id=parent_id,
        started=f"start of {instance_id}",
    )


async def claim(store: Store, instance_id: str = "i") -> Claim:
    (found,) = await store.claim([(instance_id, None)])
    assert found is not None
    return found


async def begin(store: Store, instance_id: str = "i") -> TurnRecord:
    """A turn that delivers what waits for an instance."""
    found = await claim(store, instance_id)
    assert found.batches is not None
    return TurnRecord(
        instance_key=found.instance_key,
        execution_id=found.execution_id,
        consumed=[message.message_id for message in found.messages],
        turn=len(found.batches),
        events="batch",
        status=RUNNING,
        at=LATER,
    )


async def texts(store: Store, instance_id: str = "i") -> list[str]:
    return [message.event for message in (await claim(store, instance_id)).messages]


# ---------------------------------------------------------------- instances


async def test_a_new_instance_is_pending_with_its_start_waiting(store: Store) -> None:
    await store.create(new(parent_id="p"), OVER, NOW)
    assert await store.get("i") == Instance(
        instance_id="i",
        execution_id="e1",
        name="Orch",
        version="1.0",
        status="Pending",
        input='{"n":1}',
        output=None,
        custom_status=None,
        parent_id="p",
        created=NOW,
        updated=NOW,
    )
    assert await store.waiting_instances() == ["i"]
    found = await claim(store)
    assert [(item.execution_id, item.event) for item in found.messages] == [("e1", "start of i")]
    assert (found.execution_id, found.is_over, found.batches) == ("e1", False, [])


async def test_an_instance_that_runs_is_not_replaced(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    with pytest.raises(InstanceExistsError) as refusal:
        await store.create(new(execution_id="e2"), OVER, NOW)
    assert str(refusal.value) == "An orchestration with id 'i' already exists. It is in state Pending"
    assert (refusal.value.instance_id, refusal.value.status) == ("i", "Pending")


async def test_an_instance_that_is_over_is_replaced_with_all_it_had(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    turn = await begin(store)
    turn.status, turn.output = COMPLETED, '"done"'
    turn.activities = [NewActivity(0, "A", None)]
    await store.commit(turn)
    await store.create(new(execution_id="e2"), OVER, LATER)
    found = await store.get("i")
    assert found is not None
    assert (found.execution_id, found.status, found.output, found.created) == ("e2", "Pending", None, LATER)
    assert await store.history("i") == []
    assert await store.pending_activities(0, 10) == []
    assert await texts(store) == ["start of i"]


async def test_an_instance_that_is_gone_gives_nothing(store: Store) -> None:
    assert await store.get("nobody") is None
    assert await store.history("nobody") == []
    assert await store.claim([("nobody", None)]) == [None]


async def test_ids_of_instances_are_compared_with_case(store: Store) -> None:
    await store.create(new("i"), OVER, NOW)
    await store.create(new("I"), OVER, NOW)
    assert await store.waiting_instances() == ["i", "I"]


# ---------------------------------------------------------------- messages


async def test_messages_wait_in_the_order_they_came(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    assert await store.post(NewMessage("i", "first")) is True
    assert await store.post(NewMessage("i", "second", "e1")) is True
    found = await claim(store)
    assert [(item.execution_id, item.event) for item in found.messages] == [
        ("e1", "start of i"),
        (None, "first"),
        ("e1", "second"),
    ]


async def test_a_message_for_nobody_is_dropped(store: Store) -> None:
    assert await store.post(NewMessage("nobody", "x")) is False


async def test_a_message_for_an_instance_that_is_over_is_dropped(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    turn = await begin(store)
    turn.status = COMPLETED
    await store.commit(turn)
    assert await store.post(NewMessage("i", "x")) is False
    assert await store.waiting_instances() == []


async def test_a_claim_changes_nothing(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    assert await claim(store) == await claim(store)


async def test_a_history_that_is_known_is_not_read_again(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    found = await claim(store)
    (again,) = await store.claim([("i", found.instance_key)])
    assert again == structs.replace(found, batches=None)


# ---------------------------------------------------------------- turns


async def test_a_turn_writes_everything_at_once(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    turn = await begin(store)
    turn.custom_status = '"half"'
    turn.activities = [NewActivity(0, "A", "x", "00-trace"), NewActivity(1, "B", None)]
    turn.timers = [NewTimer(LATER, "fired")]
    turn.children = [(new("child", "c1", "i"), "taken")]
    turn.messages = [NewMessage("i", "to itself", "e1"), NewMessage("nobody", "lost")]
    result = await store.commit(turn)
    activities = await store.pending_activities(0, 10)
    assert [(item.instance_id, item.task_id, item.name, item.input, item.trace_parent) for item in activities] == [
        ("i", 0, "A", "x", "00-trace"),
        ("i", 1, "B", None, None),
    ]
    assert result == TurnResult(activities, ["child", "i"])
    assert (await store.history("i"), await texts(store), await texts(store, "child")) == (
        ["batch"],
        ["to itself"],
        ["start of child"],
    )
    assert await store.next_due() == LATER
    found = await store.get("i")
    assert found is not None
    assert (found.status, found.custom_status, found.updated) == ("Running", '"half"', LATER)


async def test_a_turn_whose_messages_are_gone_writes_nothing(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    turn = await begin(store)
    await store.commit(turn)
    again = structs.replace(turn, turn=1, activities=[NewActivity(0, "A", None)])
    with pytest.raises(StaleTurnError):
        await store.commit(again)
    assert (await store.history("i"), await store.pending_activities(0, 10)) == (["batch"], [])


async def test_a_turn_of_an_execution_that_was_replaced_writes_nothing(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    turn = await begin(store)
    await store.create(new(execution_id="e2"), frozenset(OrchestrationStatus), NOW)
    with pytest.raises(StaleTurnError):
        await store.commit(turn)
    assert (await store.history("i"), await texts(store)) == ([], ["start of i"])


async def test_a_turn_that_delivers_nothing_only_takes_its_messages(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    turn = structs.replace(await begin(store), status=None, events=None)
    assert await store.commit(turn) == TurnResult([], [])
    assert (await store.history("i"), await texts(store)) == ([], [])


async def test_the_end_of_an_instance_drops_what_still_waits_for_it(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    first = await begin(store)
    first.timers = [NewTimer(LATER, "fired")]
    await store.commit(first)
    await store.post(NewMessage("i", "go"))
    last = await begin(store)
    await store.post(NewMessage("i", "too late"))
    last.status, last.output = COMPLETED, '"done"'
    last.activities = [NewActivity(7, "Still", None)]
    await store.commit(last)
    found = await store.get("i")
    assert found is not None
    assert (found.status, found.output, found.is_over) == ("Completed", '"done"', True)
    assert (await store.next_due(), await store.waiting_instances()) == (None, [])
    assert [item.name for item in await store.pending_activities(0, 10)] == ["Still"]


async def test_a_new_generation_replaces_history_input_and_what_the_old_one_waited_for(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    first = await begin(store)
    first.timers = [NewTimer(LATER, "fired")]
    await store.commit(first)
    await store.post(NewMessage("i", "for the old one", "e1"))
    await store.post(NewMessage("i", "for any"))
    turn = await begin(store)
    turn.consumed = []
    turn.new_execution_id, turn.new_input, turn.turn, turn.events = "e2", '{"n":2}', 0, "fresh"
    turn.activities = [NewActivity(0, "A", None)]
    await store.commit(turn)
    found = await store.get("i")
    assert found is not None
    assert (found.execution_id, found.input) == ("e2", '{"n":2}')
    assert (await store.history("i"), await texts(store), await store.next_due()) == (["fresh"], ["for any"], None)
    (activity,) = await store.pending_activities(0, 10)
    assert await store.complete_activity(activity.activity_id, "result", NOW) == "i"


async def test_a_child_whose_id_is_running_answers_its_parent(store: Store) -> None:
    await store.create(new("child"), OVER, NOW)
    await store.create(new(), OVER, NOW)
    turn = await begin(store)
    turn.children = [(new("child", "c2", "i"), "taken")]
    assert await store.commit(turn) == TurnResult([], ["i"])
    found = await store.get("child")
    assert found is not None
    assert (found.execution_id, await texts(store)) == ("e1", ["taken"])


async def test_a_child_replaces_an_instance_that_is_over(store: Store) -> None:
    await store.create(new("child"), OVER, NOW)
    end = await begin(store, "child")
    end.status = COMPLETED
    await store.commit(end)
    await store.create(new(), OVER, NOW)
    turn = await begin(store)
    turn.children = [(new("child", "c2", "i"), "taken")]
    assert await store.commit(turn) == TurnResult([], ["child"])
    found = await store.get("child")
    assert found is not None
    assert (found.execution_id, found.status, await texts(store)) == ("c2", "Pending", [])


# ---------------------------------------------------------------- activities


async def scheduled(store: Store) -> Activity:
    await store.create(new(), OVER, NOW)
    turn = await begin(store)
    turn.activities = [NewActivity(0, "A", None)]
    (activity,) = (await store.commit(turn)).activities
    return activity


async def test_a_result_takes_the_place_of_its_activity(store: Store) -> None:
    activity = await scheduled(store)
    assert await store.complete_activity(activity.activity_id, "result", NOW) == "i"
    assert (await store.pending_activities(0, 10), await texts(store)) == ([], ["result"])


async def test_a_claim_has_what_was_asked_of_the_store_before_it(store: Store) -> None:
    activity = await scheduled(store)
    stored = store.complete_activity(activity.activity_id, "result", NOW)
    (claim,) = await store.claim([("i", None)])
    assert claim is not None
    assert ([message.event for message in claim.messages], await stored) == (["result"], "i")


async def test_when_it_began_is_kept_for_its_execution(store: Store) -> None:
    activity = await scheduled(store)
    await store.complete_activity(activity.activity_id, "result", NOW)
    assert await store.starts("i") == {0: NOW}
    turn = await begin(store)
    turn.new_execution_id, turn.new_input, turn.turn, turn.events = "e2", None, 0, "fresh"
    await store.commit(turn)
    assert await store.starts("i") == {}


async def test_a_second_result_of_an_activity_is_dropped(store: Store) -> None:
    activity = await scheduled(store)
    await store.complete_activity(activity.activity_id, "result", NOW)
    assert await store.complete_activity(activity.activity_id, "again", NOW) is None
    assert await texts(store) == ["result"]


async def test_a_result_for_an_instance_that_is_over_is_dropped(store: Store) -> None:
    activity = await scheduled(store)
    await store.post(NewMessage("i", "terminate"))
    turn = await begin(store)
    turn.status = OrchestrationStatus.TERMINATED
    await store.commit(turn)
    assert await store.complete_activity(activity.activity_id, "result", NOW) is None
    assert (await store.pending_activities(0, 10), await store.waiting_instances()) == ([], [])


async def test_activities_are_read_in_pages(store: Store) -> None:
    await store.create(new(), OVER, NOW)
    turn = await begin(store)
    turn.activities = [NewActivity(number, "A", None) for number in range(5)]
    all_of_them = (await store.commit(turn)).activities
    first = await store.pending_activities(0, 3)
    assert [first, await store.pending_activities(first[-1].activity_id, 3)] == [all_of_them[:3], all_of_them[3:]]


# ---------------------------------------------------------------- timers


async def test_timers_that_are_due_become_messages_in_their_order(store: Store) -> None:
    for name in ("i", "j"):
        await store.create(new(name), OVER, NOW)
        turn = await begin(store, name)
        seconds = {"i": (2, 9), "j": (1, 5)}[name]
        turn.timers = [NewTimer(NOW + timedelta(seconds=after), f"{name} after {after}") for after in seconds]
        await store.commit(turn)
    due = NOW + timedelta(seconds=2)
    assert await store.deliver_due(due) == (["j", "i"], NOW + timedelta(seconds=5))
    assert (await texts(store, "i"), await texts(store, "j")) == (["i after 2"], ["j after 1"])
    assert await store.deliver_due(due) == ([], NOW + timedelta(seconds=5))
    assert await store.deliver_due(NOW + timedelta(days=1)) == (["j", "i"], None)


# ---------------------------------------------------------------- hubs and restarts


async def test_hubs_in_one_file_do_not_see_each_other(path: Path) -> None:
    first = Store(path, "One")
    await first.create(new(), OVER, NOW)
    turn = await begin(first)
    turn.activities, turn.timers = [NewActivity(0, "A", None)], [NewTimer(NOW, "fired")]
    await first.commit(turn)
    await first.post(NewMessage("i", "go"))
    first.close()
    second = Store(path, "Two")
    await second.create(new("i", "e9"), OVER, NOW)
    mine = (
        await second.waiting_instances(),
        await second.pending_activities(0, 10),
        await second.deliver_due(LATER),
        (await claim(second)).execution_id,
    )
    second.close()
    assert mine == (["i"], [], ([], None), "e9")


async def test_everything_is_there_after_a_restart_and_new_ids_follow_the_old(path: Path) -> None:
    before = Store(path, "Hub")
    await before.create(new(), OVER, NOW)
    await before.post(NewMessage("i", "first"))
    before.close()
    after = Store(path, "hub")
    await after.post(NewMessage("i", "second"))
    seen = (await after.waiting_instances(), await texts(after))
    after.close()
    assert seen == (["i"], ["start of i", "first", "second"])
