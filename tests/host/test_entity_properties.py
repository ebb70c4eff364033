"""Random orchestrations over a few entities, through random interleavings and crashes: nothing is lost, run twice or
left locked, and nobody waits for ever.

The world below does what the scheduler and the store do, in memory: every instance has its messages in the order they
were sent; some of them are delivered, a turn is worked and lost or worked and kept.
"""

from __future__ import annotations

import copy
import itertools
import json
import random
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kernel_driver import START, STATUS, Execution
from scripted_gateway import counter

from worker_ext.host import entities, kernel
from worker_ext.host.entity_messages import is_entity
from worker_ext.host.gateway import Reply
from worker_ext.host.turns import KnownFunctions, Message, Waiting
from worker_ext.protocol.history import HistoryEvent

FUNCTIONS = KnownFunctions({"Orch"}, (), {"Counter"})
KEYS = ("a", "b", "c")
RELEASE = {"actionType": 14}

keys = st.sampled_from(KEYS)
amounts = st.integers(1, 9)


def add(kind: int, key: str, amount: int) -> dict[str, Any]:
    return {"actionType": kind, "instanceId": f"@counter@{key}", "operation": "add", "input": json.dumps(amount)}


def section(locked: set[str], amount: int, has_release: bool) -> list[dict[str, Any]]:
    """A critical section that calls what it has locked; the end of the orchestration may be its end."""
    request = {"actionType": 13, "lockSet": [{"name": "counter", "key": key} for key in sorted(locked, reverse=True)]}
    calls = [add(7, key, amount) for key in sorted(locked)]
    return [request, *calls, *([RELEASE] if has_release else [])]


plain = st.builds(lambda kind, key, amount: [add(kind, key, amount)], st.sampled_from([7, 9]), keys, amounts)
sections = st.builds(section, st.sets(keys, min_size=1), amounts, st.just(True))
tails = st.one_of(st.just([]), st.builds(section, st.sets(keys, min_size=1), amounts, st.just(False)))
programs = st.builds(
    lambda parts, tail: [*itertools.chain(*parts), *tail], st.lists(st.one_of(plain, sections), max_size=4), tails
)


class World:
    """Instances, their messages, and a clock that stands still for entities."""

    def __init__(self, programs: list[list[dict[str, Any]]]) -> None:
        self.programs = {f"o{number}": program for number, program in enumerate(programs)}
        self.runs = {name: Execution("Orch", name, functions=FUNCTIONS) for name in self.programs}
        self.records: dict[str, str | None] = {}
        self.inbox: dict[str, list[HistoryEvent]] = {name: [run.started] for name, run in self.runs.items()}
        self.over: set[str] = set()
        self.operations: Counter[str] = Counter()
        self._ids = itertools.count()

    def work(self, instance_id: str, count: int, is_kept: bool) -> None:
        """Delivers the oldest messages of an instance; a turn that is not kept leaves everything as it was."""
        events = self.inbox[instance_id][:count]
        worked = (
            self._entity(instance_id, events) if is_entity(instance_id) else self._orchestration(instance_id, events)
        )
        if is_kept:
            del self.inbox[instance_id][:count]
            worked()

    def _entity(self, instance_id: str, events: list[HistoryEvent]) -> Any:
        batch = entities.open_batch(self.records.get(instance_id), events, 3, START)
        ids = [item.id for item in batch.operations]
        reply = None
        if ids:
            payload = json.loads(entities.payload(instance_id, batch))
            reply = entities.read_reply(batch, Reply(json.dumps(counter(payload))))
        turn = entities.decide(
            instance_id, batch, reply, functions=FUNCTIONS, now=START, new_id=lambda: str(next(self._ids))
        )

        def keep() -> None:
            self.records[instance_id] = turn.record
            self.operations.update(ids)
            self._send(turn.messages)

        return keep

    def _orchestration(self, name: str, events: list[HistoryEvent]) -> Any:
        run = copy.copy(self.runs[name])
        run.history = list(run.history)
        batch = kernel.open_batch(run.history, [Waiting(event) for event in events], run.now)
        assert batch is not None
        run.batch = batch
        turn = run.reply(*self.programs[name], done=True, schema=3)

        def keep() -> None:
            self.runs[name] = run
            if turn.status is not STATUS.RUNNING:
                assert turn.status is STATUS.COMPLETED, turn.output
                self.over.add(name)
            self._send(turn.messages)

        return keep

    def _send(self, messages: list[Message]) -> None:
        for message in messages:
            if message.instance_id in self.over:
                self._send(list(message.if_gone))
            else:
                self.inbox.setdefault(message.instance_id, []).append(message.event)

    @property
    def waiting(self) -> list[str]:
        """The instances that have messages."""
        return [name for name, events in self.inbox.items() if events and name not in self.over]


@given(st.lists(programs, min_size=1, max_size=4), st.integers(0, 1 << 32))
def test_whatever_the_order_and_the_crashes_all_is_counted_once_and_nothing_stays_locked(
    given_programs: list[list[dict[str, Any]]], seed: int
) -> None:
    world = World(given_programs)
    chance = random.Random(seed)
    while world.waiting:
        name = chance.choice(world.waiting)
        world.work(name, chance.randint(1, len(world.inbox[name])), chance.random() > 0.3)
    assert world.over == set(world.programs)
    sent = [action for program in given_programs for action in program if action["actionType"] in {7, 9}]
    expected = Counter(dict.fromkeys(KEYS, 0))
    for action in sent:
        expected[action["instanceId"].rpartition("@")[2]] += int(action["input"])
    records = {key: json.loads(world.records.get(f"@counter@{key}") or "{}") for key in KEYS}
    assert {key: int(record.get("state", 0)) for key, record in records.items()} == dict(expected)
    assert all("lockedBy" not in record and "queue" not in record for record in records.values())
    assert set(world.operations.values()) <= {1}
    assert len(world.operations) == len(sent)
