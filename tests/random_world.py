"""Random `async def` programs on the local host's kernel, in virtual time, with a check after every turn.

After every turn: what the code saw begins with what it saw the turn before, and so do the leaves of the list. In the
end: the instance has ended, no activity ran twice, no event was seen twice, and every lock was released.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from direct_branches import directly
from random_branches import EVENTS, Node, Run, Writer
from virtual_host import LATENCY, Outcome, VirtualHost

import worker_ext as df
from worker_ext.handlers import run_entity, run_orchestrator
from worker_ext.host import entities
from worker_ext.host.gateway import Reply
from worker_ext.host.turns import EngineOptions, KnownFunctions, TimerLimits, Waiting
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import EventRaised, OrchestrationStatus

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHORT_TIMERS = TimerLimits(maximum_short=timedelta(seconds=2), long_interval=timedelta(seconds=1))


class World(VirtualHost):
    """Runs one program, with entities that answer, and checks every turn."""

    def __init__(self, program: list[Node], options: EngineOptions, generations: int = 1) -> None:
        super().__init__(self.checked, {"Work": self.work}, options, START)
        self.faults: list[BaseException] = []
        self.program = program
        self.generations = generations
        self.seen: list[Any] = []
        self.earlier: list[list[Any]] = []
        self.leaves: list[str] = []
        self.execution = ""
        self.worked: Counter[int] = Counter()
        self.records: dict[str, str] = {}

    def work(self, work: Any) -> int:
        """The activity."""
        arguments = json.loads(work) if isinstance(work, str) else work
        self.worked[arguments["number"]] += 1
        __import__("time").sleep(arguments["sleep"])
        if arguments["fail"]:
            raise ValueError("no")
        return int(arguments["number"])

    def checked(self, name: str, payload: str, turn: int) -> str:
        """The worker; the host takes every error of its for an answer, so it is kept."""
        try:
            return self.answer(name, payload, turn)
        except Exception as fault:
            self.faults.append(fault)
            raise

    def answer(self, name: str, payload: str, turn: int) -> str:
        """The worker: the program for the root, nothing much for children."""
        if name == "Child":
            return run_orchestrator(payload, lambda context: context.get_input())
        request = json.loads(payload)
        execution = request["history"][1]["OrchestrationInstance"]["ExecutionId"]
        if execution != self.execution:
            self.earlier += [self.seen] if self.execution else []
            self.execution, self.seen, self.leaves = execution, [], []
        runs: list[Run] = []

        async def orchestrator(context: df.DurableOrchestrationContext) -> Any:
            run = Run(context, lambda: context.executor.is_running)
            runs.append(run)
            await run.safely(self.program)
            generation = context.get_input() or 0
            if generation + 1 < self.generations:
                context.continue_as_new(generation + 1, preserve_unprocessed_events=True)
            return run.seen

        reply = run_orchestrator(payload, orchestrator)
        assert run_orchestrator(payload, orchestrator) == reply
        seen = json.loads(json.dumps(runs[0].seen))
        assert seen[: len(self.seen)] == self.seen
        leaves = list(leaves_of(json.loads(reply)["actions"][0]))
        assert leaves[: len(self.leaves)] == self.leaves
        self.seen, self.leaves = seen, leaves
        return reply

    def _turn(self, instance_id: str, instance: Any) -> None:
        if not instance_id.startswith("@"):
            super()._turn(instance_id, instance)
            return
        events, instance.waiting = [waiting.event for waiting in instance.waiting], []
        batch = entities.open_batch(self.records.get(instance_id), events, 50, self.now)
        reply = None
        if batch.operations:
            reply = entities.read_reply(batch, Reply(run_entity(entities.payload(instance_id, batch), counter)))
        turn = entities.decide(
            instance_id,
            batch,
            reply,
            functions=self._functions,
            now=self.now,
            new_id=lambda: f"{next(self._numbers):032x}",
        )
        self.records[instance_id] = turn.record
        for message in turn.messages:
            self._post(message.instance_id, Waiting(message.event, message.execution_id), self.now + LATENCY)

    def counts(self) -> dict[str, int]:
        """What the counters have come to; no lock of theirs may be left."""
        counts = {}
        for entity, text in self.records.items():
            record = entities.EntityRecord.decode(text)
            assert (record.locked_by, record.queue) == (None, []), entity
            counts[entity.rpartition("@")[2]] = json.loads(record.state or "null") or 0
        return counts

    def run_program(self, raised: list[tuple[float, str, Any]]) -> Outcome:
        """Runs it to its end."""
        self.start(["Main", "Child"], "Main", "main", None)
        self._functions = KnownFunctions(["Main", "Child"], ["Work"], ["counter"])
        for seconds, name, value in raised:
            event = EventRaised(name=name, input=json.dumps(value), timestamp=format_timestamp(START))
            self.raise_event("main", event, timedelta(seconds=seconds))
        return self.run("main")


def counter(context: df.DurableEntityContext) -> None:
    """The entity."""
    value = context.get_state(lambda: 0)
    match context.operation_name:
        case "get":
            context.set_result(value)
        case "add":
            context.set_state(value + 1)
        case "set":
            context.set_state(context.get_input())


def leaves_of(actions: list[dict[str, Any]]) -> Any:
    """The leaves of an action list: what may never change from one reply to the next."""
    for action in actions:
        if "compoundActions" in action:
            yield from leaves_of(action["compoundActions"])
        elif action["actionType"] not in (4, 6):  # neither takes an id
            yield json.dumps({key: value for key, value in action.items() if key != "isCanceled"}, sort_keys=True)


def events(seed: int) -> list[tuple[float, str, Any]]:
    chance = random.Random(seed)
    return [(round(chance.uniform(0.2, 30), 3) + i * 1e-5, chance.choice(EVENTS), f"event {i}") for i in range(8)]


def seen_events(seen: Any) -> list[str]:
    """The payloads of events that operations gave, one for each operation."""
    return [outcome for _, name, outcome in seen if name == "event" and str(outcome).startswith("event ")]


def check_end(world: World, outcome: Outcome) -> list[Any]:
    for fault in world.faults:
        raise fault
    assert outcome.status is OrchestrationStatus.COMPLETED, outcome.output
    world.counts()
    seen: list[Any] = json.loads(outcome.output or "null")
    assert seen == world.seen
    taken = seen_events(seen)
    assert len(taken) == len(set(taken))
    return seen


# ---------------------------------------------------------------- what is checked


def as_on_asyncio(seed: int) -> None:
    """A program sees what asyncio itself shows it."""
    program = Writer(seed).program()
    _compare(World(program, EngineOptions()), seed)


def as_on_asyncio_with_entities(seed: int) -> None:
    """So does one that calls and signals entities, and starts children."""
    program = Writer(seed, entities=True).program()
    _compare(World(program, EngineOptions()), seed)


def as_on_asyncio_through_generations(seed: int) -> None:
    """So does each generation of one that continues as new."""
    program = Writer(seed, entities=True, events=False).program(2)
    _compare(World(program, EngineOptions(), generations=3), seed)


def gives_no_event_to_two_generations(seed: int) -> None:
    """Events that nobody waited for go on to the next generation, and each is given once."""
    world = World(Writer(seed, entities=True).program(2), EngineOptions(), generations=3)
    check_end(world, world.run_program(events(seed)))
    taken = seen_events([entry for seen in [*world.earlier, world.seen] for entry in seen])
    assert len(taken) == len(set(taken))


def keeps_counts_under_locks(seed: int) -> None:
    """What branches read, change and write under locks is never lost, and everything in the program is run."""
    program = Writer(seed, entities=True, locks=True, steady=True).program(4)
    world = World(program, EngineOptions())
    seen = check_end(world, world.run_program([]))
    assert sorted(number for number, *_ in seen) == sorted(node[0] for node in nodes_of(program))
    expected = Counter[str]()
    for _, name, *arguments in nodes_of(program):
        if name in ("step_up", "signal") or (name == "entity" and arguments[1] == "add"):
            expected[arguments[0]] += 1
    assert Counter(world.counts()) == expected


def ends_well(seed: int) -> None:
    """A program of everything, locks and races together, ends, with every lock released."""
    world = World(Writer(seed, entities=True, locks=True).program(), EngineOptions())
    check_end(world, world.run_program(events(seed)))


def ends_well_with_long_timers(seed: int) -> None:
    """So does one where every timer is long and the clock lags behind."""
    world = World(Writer(seed, entities=True, locks=True).program(), EngineOptions(timers=SHORT_TIMERS))
    check_end(world, world.run_program(events(seed)))


CHECKS = (
    as_on_asyncio,
    as_on_asyncio_with_entities,
    as_on_asyncio_through_generations,
    gives_no_event_to_two_generations,
    keeps_counts_under_locks,
    ends_well,
    ends_well_with_long_timers,
)


def _compare(world: World, seed: int) -> None:
    outcome = world.run_program(events(seed))
    expected = directly(world.program, events(seed), LATENCY, world.generations)
    if "cancelled itself" in str(outcome.output):
        assert expected is None
        return
    check_end(world, outcome)
    if expected is None:
        assert world.generations > 1
        return
    for found, wanted in zip([*world.earlier, world.seen], expected, strict=True):
        more, less = list(_entries(found) - _entries(wanted)), list(_entries(wanted) - _entries(found))
        assert (more, less) == ([], []), f"seen and not expected: {more}; expected and not seen: {less}"
    assert set(world.worked.values()) <= set(range(1, 2 * world.generations + 1))  # an attempt, and that of a retry


def _entries(seen: list[Any]) -> Counter[str]:
    return Counter(map(json.dumps, seen))


def nodes_of(part: Any) -> list[Node]:
    """Every operation of a program, those within others too."""
    if not isinstance(part, list):
        return []
    own = [part] if len(part) > 1 and isinstance(part[0], int) and isinstance(part[1], str) else []
    return own + [node for inner in part for node in nodes_of(inner)]
