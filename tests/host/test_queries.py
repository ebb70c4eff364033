"""Pages of instances and their purge, on a real file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from worker_ext.host.queries import BadTokenError, InstanceQuery
from worker_ext.host.records import OVER, NewActivity, NewInstance, NewTimer, TurnRecord
from worker_ext.host.store import Store
from worker_ext.protocol.history import OrchestrationStatus

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
RUNNING, COMPLETED = OrchestrationStatus.RUNNING, OrchestrationStatus.COMPLETED
FAILED, PENDING = OrchestrationStatus.FAILED, OrchestrationStatus.PENDING


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path, "Hub")
    yield store
    store.close()


async def make(store: Store, instance_id: str, minute: int = 0, status: OrchestrationStatus = PENDING) -> None:
    """An instance created at a minute, in a state, with a history, a timer and an activity unless it is pending."""
    at = NOW + timedelta(minutes=minute)
    new = NewInstance(
        instance_id=instance_id, execution_id="e", name="Orch", version=None, input='"in"', started="start"
    )
    await store.create(new, OVER, at)
    if status == PENDING:
        return
    (claim,) = await store.claim([(instance_id, None)])
    assert claim is not None
    turn = TurnRecord(
        instance_key=claim.instance_key,
        execution_id="e",
        consumed=[message.message_id for message in claim.messages],
        events="batch" * 1000,
        status=status,
        at=at,
    )
    if status == RUNNING:
        turn.timers, turn.activities = [NewTimer(at, "fired")], [NewActivity(0, "A", None)]
    await store.commit(turn)


async def listed(store: Store, query: InstanceQuery, top: int = 100) -> list[list[str]]:
    """The ids of every page."""
    pages, token = [], ""
    while True:
        page = await store.queries.page(query, top, token)
        pages.append([instance.instance_id for instance in page.instances])
        token = page.token
        if not token:
            return pages


@pytest.fixture
async def five(store: Store) -> Store:
    """Ids in another order than the times, and one state twice."""
    for minute, (instance_id, status) in enumerate(
        [("q-3", COMPLETED), ("q-1", RUNNING), ("w-2", COMPLETED), ("q-2", FAILED), ("Q-1", PENDING)]
    ):
        await make(store, instance_id, minute, status)
    return store


@pytest.mark.parametrize(
    "query, expected",
    [
        (InstanceQuery(), ["q-3", "q-1", "w-2", "q-2", "Q-1"]),
        (InstanceQuery(statuses=frozenset({COMPLETED})), ["q-3", "w-2"]),
        (InstanceQuery(statuses=frozenset({FAILED, COMPLETED})), ["q-3", "w-2", "q-2"]),
        (InstanceQuery(prefix="q-"), ["q-1", "q-2", "q-3"]),
        (InstanceQuery(prefix="q-", statuses=frozenset({COMPLETED, RUNNING})), ["q-1", "q-3"]),
        (InstanceQuery(created_from=NOW + timedelta(minutes=3)), ["q-2", "Q-1"]),
        (InstanceQuery(created_to=NOW + timedelta(minutes=1)), ["q-3", "q-1"]),
        (InstanceQuery(prefix="q-", created_from=NOW + timedelta(minutes=1)), ["q-1", "q-2"]),
        (InstanceQuery(statuses=frozenset({COMPLETED}), created_from=NOW + timedelta(minutes=1)), ["w-2"]),
        (InstanceQuery(prefix="nobody"), []),
    ],
)
class TestAFilter:
    async def test_lets_through_what_fits_in_order(
        self, five: Store, query: InstanceQuery, expected: list[str]
    ) -> None:
        assert await listed(five, query) == [expected]

    async def test_gives_the_same_page_by_page(self, five: Store, query: InstanceQuery, expected: list[str]) -> None:
        pages = await listed(five, query, top=1)
        assert pages == ([[instance_id] for instance_id in expected] or [[]])


async def test_instances_of_one_instant_are_each_on_one_page(store: Store) -> None:
    for number in range(7):
        await make(store, f"i{number}", 0, COMPLETED)
    expected = [["i0", "i1", "i2"], ["i3", "i4", "i5"], ["i6"]]
    assert await listed(store, InstanceQuery(), 3) == expected
    assert await listed(store, InstanceQuery(statuses=frozenset({COMPLETED})), 3) == expected


async def test_a_page_shows_what_the_instance_itself_shows(five: Store) -> None:
    (found,) = (await five.queries.page(InstanceQuery(prefix="q-1"))).instances
    assert found == await five.get("q-1")
    (bare,) = (await five.queries.page(InstanceQuery(prefix="q-1"), show_input=False)).instances
    assert (bare.input, bare.name, found.input) == (None, "Orch", '"in"')


@pytest.mark.parametrize("prefix", ["\ud7ff", "\U0010ffff", "a\U0010ffff", "ä", "100%", "a_"])
async def test_a_prefix_is_taken_letter_by_letter(store: Store, prefix: str) -> None:
    for instance_id in (prefix, f"{prefix}x", "b", "abc", "100x", chr(ord(prefix[0]) - 1)):
        await make(store, instance_id)
    assert await listed(store, InstanceQuery(prefix=prefix)) == [[prefix, f"{prefix}x"]]


async def test_another_hubs_instances_are_not_seen(store: Store, path: Path) -> None:
    await make(store, "i", 0, COMPLETED)
    store.close()
    other = Store(path, "Other")
    try:
        await make(other, "j", 0, COMPLETED)
        assert await listed(other, InstanceQuery()) == [["j"]]
        assert await listed(other, InstanceQuery(prefix="i")) == [[]]
        assert (await other.queries.purge_one("i"), await other.queries.purge_many(InstanceQuery())) == (None, 1)
    finally:
        other.close()
    again = Store(path, "Hub")
    assert await again.get("i") is not None
    again.close()


@pytest.mark.parametrize("token", ["2", "zz", "5b5d", b"[1]".hex(), b'["a","b"]'.hex(), "💥"])
async def test_a_token_from_elsewhere_is_refused(five: Store, token: str) -> None:
    with pytest.raises(BadTokenError, match="expected the continuation token of a page"):
        await five.queries.page(InstanceQuery(), token=token)


@pytest.mark.parametrize("query", [InstanceQuery(), InstanceQuery(prefix="i"), InstanceQuery(statuses=OVER)])
async def test_a_page_costs_no_scan_and_no_sort_of_all(store: Store, path: Path, query: InstanceQuery) -> None:
    statement, values = store.queries._keys(query, [], 101)
    store.close()
    with sqlite3.connect(path) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    connection.close()
    assert not [step for step in plan if "instances" in step and "SEARCH" not in step], plan
    # What is taken of several ranges is sorted once more.
    assert ("TEMP B-TREE" in str(plan)) == bool(query.statuses), plan


class TestPurge:
    async def test_of_one_takes_all_it_had(self, five: Store, path: Path) -> None:
        assert await five.queries.purge_one("q-3") == "Completed"
        assert await five.get("q-3") is None
        assert await five.history("q-3") == []

    async def test_of_one_that_runs_leaves_it(self, five: Store) -> None:
        assert await five.queries.purge_one("q-1") == "Running"
        assert await five.get("q-1") is not None

    async def test_of_one_that_is_not_there_says_so(self, five: Store) -> None:
        assert await five.queries.purge_one("nobody") is None

    @pytest.mark.parametrize(
        "query, left",
        [
            (InstanceQuery(), ["q-1", "Q-1"]),
            (InstanceQuery(statuses=frozenset({FAILED, RUNNING})), ["q-3", "q-1", "w-2", "Q-1"]),
            (InstanceQuery(statuses=frozenset({RUNNING})), ["q-3", "q-1", "w-2", "q-2", "Q-1"]),
            (InstanceQuery(prefix="q-"), ["q-1", "w-2", "Q-1"]),
            (InstanceQuery(created_from=NOW + timedelta(minutes=2)), ["q-3", "q-1", "Q-1"]),
        ],
    )
    async def test_of_many_takes_those_that_have_ended(
        self, five: Store, query: InstanceQuery, left: list[str]
    ) -> None:
        assert await five.queries.purge_many(query) == 5 - len(left)
        assert await listed(five, InstanceQuery()) == [left]

    async def test_of_many_goes_on_group_after_group(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("worker_ext.host.queries.PURGE_GROUP", 2)
        for number in range(5):
            await make(store, f"i{number}", 0, COMPLETED)
        assert await store.queries.purge_many(InstanceQuery()) == 5
        assert await listed(store, InstanceQuery()) == [[]]

    async def test_gives_the_space_back(self, store: Store, path: Path) -> None:
        for number in range(100):
            await make(store, f"i{number}", 0, COMPLETED)
        await store.queries.purge_many(InstanceQuery())
        store.close()
        with sqlite3.connect(path) as connection:
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.close()
        assert (free, pages < 40) == (0, True)
