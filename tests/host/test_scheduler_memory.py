"""What the scheduler keeps in memory: histories up to a size, activities up to a number."""

from __future__ import annotations

import gc
import sqlite3
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from running_scheduler import running
from scripted_gateway import ScriptedGateway

from worker_ext.host.activity_queue import ActivityQueue
from worker_ext.host.instance_cache import InstanceCache, KnownInstance
from worker_ext.host.queries import InstanceQuery
from worker_ext.host.records import OVER, Activity, Claim, NewActivity, NewInstance, TurnRecord
from worker_ext.host.rendering import parse_events
from worker_ext.host.store import StaleTurnError, Store
from worker_ext.protocol.history import OrchestrationStatus

MARKER = '{"EventType":13,"EventId":-1,"IsPlayed":false,"Timestamp":"2026-01-02T03:04:05Z"}'
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def known(key: int, turns: int = 1) -> KnownInstance:
    instance = KnownInstance(key, "e1")
    for _ in range(turns):
        instance.append(parse_events([MARKER]), MARKER)
    return instance


def claim(key: int, execution_id: str = "e1", batches: list[str] | None = None) -> Claim:
    return Claim(instance_key=key, execution_id=execution_id, is_over=False, messages=[], batches=batches)


def test_the_instances_that_ran_longest_ago_make_room() -> None:
    cache = InstanceCache(2 * known(1).size)
    for key in (1, 2, 3):
        cache.put(str(key), known(key))
    assert [cache.key_of(name) for name in ("1", "2", "3")] == [None, 2, 3]


def test_one_instance_stays_whatever_its_size() -> None:
    cache = InstanceCache(1)
    cache.put("1", known(1, turns=100))
    assert (cache.key_of("1"), len(cache)) == (1, 1)


def test_an_instance_that_grows_is_counted_as_it_is() -> None:
    cache = InstanceCache(1 << 20)
    cache.put("1", known(1))
    for _ in range(5):
        taken = cache.take("1", claim(1))
        taken.append(parse_events([MARKER]), MARKER)
        cache.put("1", taken)
    assert cache.size == known(1, turns=6).size
    cache.forget("1")
    assert (cache.size, len(cache)) == (0, 0)


def test_a_history_that_is_not_known_is_read_from_the_claim() -> None:
    taken = InstanceCache(1).take("1", claim(1, batches=[MARKER, MARKER]))
    assert (taken.events, taken.turns) == (parse_events([MARKER, MARKER]), 2)


@pytest.mark.parametrize("key, execution_id", [(2, "e1"), (1, "e2")])
def test_what_is_known_of_another_execution_is_not_used(key: int, execution_id: str) -> None:
    cache = InstanceCache(1 << 20)
    cache.put("1", known(1))
    with pytest.raises(StaleTurnError):
        cache.take("1", claim(key, execution_id))
    assert cache.key_of("1") is None


# ---------------------------------------------------------------- activities


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "app.db", "Hub")
    yield store
    store.close()


async def scheduled(store: Store, count: int) -> list[Activity]:
    """Activities of one turn, as they are stored."""
    new = NewInstance(instance_id="i", execution_id="e1", name="O", version=None, input=None, started="s")
    await store.create(new, OVER, NOW)
    (found,) = await store.claim([("i", None)])
    assert found is not None
    turn = TurnRecord(
        instance_key=found.instance_key,
        execution_id="e1",
        consumed=[message.message_id for message in found.messages],
        events="batch",
        status=OrchestrationStatus.RUNNING,
        at=NOW,
        activities=[NewActivity(number, "A", None) for number in range(count)],
    )
    return (await store.commit(turn)).activities


def drain(queue: ActivityQueue) -> list[int]:
    taken = []
    while (activity := queue.take()) is not None:
        taken.append(activity.task_id)
    return taken


async def test_at_first_everything_is_in_the_store(store: Store) -> None:
    await scheduled(store, 3)
    queue = ActivityQueue(store, 10)
    assert (drain(queue), queue.wants_refill) == ([], True)
    await queue.refill()
    assert (drain(queue), queue.wants_refill) == ([0, 1, 2], False)


async def test_what_does_not_fit_is_read_later_in_its_order(store: Store) -> None:
    activities = await scheduled(store, 10)
    queue = ActivityQueue(store, 4)
    await queue.refill()
    queue.add(activities)
    seen = drain(queue)
    while queue.wants_refill:
        await queue.refill()
        seen += drain(queue)
    assert seen == list(range(10))


async def test_an_activity_is_never_in_memory_twice(store: Store) -> None:
    activities = await scheduled(store, 3)
    queue = ActivityQueue(store, 10)
    queue.add(activities)
    await queue.refill()
    queue.add(activities)
    assert drain(queue) == [0, 1, 2]


async def test_an_activity_that_is_put_back_comes_again(store: Store) -> None:
    activities = await scheduled(store, 2)
    queue = ActivityQueue(store, 10)
    queue.add(activities)
    first = queue.take()
    assert first is not None
    queue.put_back(first)
    assert drain(queue) == [1, 0]


async def test_a_store_that_cannot_be_read_is_asked_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await scheduled(store, 2)
    queue = ActivityQueue(store, 10)

    async def refuses(after: int, limit: int) -> list[Activity]:
        raise OSError("no")

    monkeypatch.setattr(store, "pending_activities", refuses)
    with pytest.raises(OSError, match="no"):
        await queue.refill()
    monkeypatch.undo()
    assert queue.wants_refill is True
    await queue.refill()
    assert drain(queue) == [0, 1]


# ---------------------------------------------------------------- instances on file

FILL = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO instances (hub_key, instance_id, execution_id, name, status, created_at, updated_at)
    SELECT 1, 'i' || n, 'e' || n, 'Ship', 1, n, n FROM numbers
"""


def filled(path: Path, count: int) -> None:
    """A file with finished instances, each with 4 kB of input and history."""
    Store(path, "Hub").close()
    with sqlite3.connect(path) as connection:
        connection.execute(FILL, (count,))
        connection.execute(
            "INSERT INTO payloads SELECT instance_key, hex(zeroblob(1000)), hex(zeroblob(1000)) FROM instances"
        )
    connection.close()


async def used(path: Path) -> int:
    """The most bytes that Python holds while a host starts on a file, is asked for an instance and for a page."""
    gc.collect()
    tracemalloc.start()
    try:
        async with running(path, ScriptedGateway({}, {})) as scheduler:
            assert await scheduler.get("i7") is not None
            page = await scheduler._store.queries.page(InstanceQuery(), top=10, token="")
            assert len(page.instances) == 10
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_memory_does_not_grow_with_the_instances_on_file(tmp_path: Path) -> None:
    filled(few := tmp_path / "few.db", 50)
    filled(many := tmp_path / "many.db", 5000)
    await used(few)  # what is imported and cached once is not counted
    assert await used(many) < await used(few) + 100_000


async def test_what_is_purged_is_given_back_to_the_disk(tmp_path: Path) -> None:
    filled(path := tmp_path / "hub.db", 2000)
    before = path.stat().st_size
    store = Store(path, "Hub")
    query = InstanceQuery(created_from=datetime(1970, 1, 1, tzinfo=UTC))
    assert await store.queries.purge_many(query) == 2000
    store.close()
    assert path.stat().st_size < before / 10
