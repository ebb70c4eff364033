"""Random `async def` programs on the local host's kernel, in virtual time: they do what asyncio itself does with them.

After every turn: what the code saw begins with what it saw the turn before, and so do the leaves of the list. In the
end: the instance has ended, no activity ran twice, no event was seen twice, and every lock was released.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from random_branches import EVENTS, Node, Run, Writer, directly
from virtual_host import LATENCY, Outcome, VirtualHost

import worker_ext as df
from worker_ext.handlers import run_orchestrator
from worker_ext.host.turns import EngineOptions, KnownFunctions, TimerLimits, Waiting
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import EventRaised, OrchestrationStatus

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHORT_TIMERS = TimerLimits(maximum_short=timedelta(seconds=2), long_interval=timedelta(seconds=1))
PROGRAMS = int(os.environ.get("RANDOM_PROGRAMS", "60"))


class World(VirtualHost):
    """Runs one program, with entities that answer, and checks every turn."""

    def __init__(self, program: list[Node], options: EngineOptions, generations: int = 1) -> None:
        super().__init__(self.checked, {"Work": self.work}, options, START)
        self.faults: list[BaseException] = []
        self.program = program
        self.generations = generations
        self.seen: list[Any] = []
        self.leaves: list[str] = []
        self.execution = ""
        self.worked: Counter[int] = Counter()
        self.held: set[str] = set()
        self.requests: list[tuple[dict[str, Any], set[str]]] = []

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
            self.execution, self.seen, self.leaves = execution, [], []
        runs: list[Run] = []

        async def orchestrator(context: df.DurableOrchestrationContext) -> Any:
            run = Run(context, lambda: context.executor.is_running)
            runs.append(run)
            await run.safely(self.program)
            generation = context.get_input() or 0
            if generation + 1 < self.generations:
                context.continue_as_new(generation + 1)
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
        for waiting in instance.waiting:
            self.entity(instance_id, waiting.event)
        instance.waiting = []

    def entity(self, entity: str, event: EventRaised) -> None:
        """A message comes to an entity."""
        message = json.loads(event.input or "{}")
        if event.name == "release":
            self.held.remove(entity)
        elif "lockset" in message:
            locks = {f"@{lock['name']}@{lock['key']}" for lock in message["lockset"]}
            assert entity == min(locks)
            self.requests.append((message, locks))
        elif not message.get("signal"):
            self.reply_to(message, "1")
        for request, locks in list(self.requests):
            if not locks & self.held:
                self.requests.remove((request, locks))
                self.held |= locks
                self.reply_to(request, "Lock Acquisition Completed")

    def reply_to(self, message: dict[str, Any], result: str) -> None:
        """Answers a request of an orchestration."""
        answer = EventRaised(
            name=message["id"], input=json.dumps({"result": result}), timestamp=format_timestamp(self.now)
        )
        self._post(message["parent"], Waiting(answer, message.get("parentExecution")), self.now + LATENCY)

    def run_program(self, raised: list[tuple[float, str, Any]]) -> Outcome:
        """Runs it to its end."""
        self.start(["Main", "Child"], "Main", "main", None)
        self._functions = KnownFunctions(["Main", "Child"], ["Work"], ["counter"])
        for seconds, name, value in raised:
            event = EventRaised(name=name, input=json.dumps(value), timestamp=format_timestamp(START))
            self.raise_event("main", event, timedelta(seconds=seconds))
        return self.run("main")


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
    assert world.held == set()
    assert world.requests == []
    seen: list[Any] = json.loads(outcome.output or "null")
    assert seen == world.seen
    taken = seen_events(seen)
    assert len(taken) == len(set(taken))
    return seen


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_a_program_sees_what_asyncio_itself_shows_it(seed: int) -> None:
    program = Writer(seed).program()
    world = World(program, EngineOptions())
    outcome, expected = world.run_program(events(seed)), directly(program, events(seed), LATENCY)
    if expected is None:
        assert "cancelled itself" in str(outcome.output)
        return
    assert sorted(map(json.dumps, check_end(world, outcome))) == sorted(map(json.dumps, expected))
    assert set(world.worked.values()) <= {1, 2}  # an attempt, and that of a retry


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_a_program_with_entities_locks_and_children_ends_well(seed: int) -> None:
    world = World(Writer(seed, entities=True).program(), EngineOptions())
    check_end(world, world.run_program(events(seed)))


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_a_program_ends_well_where_every_timer_is_long_and_the_clock_lags(seed: int) -> None:
    world = World(Writer(seed, entities=True).program(), EngineOptions(timers=SHORT_TIMERS))
    check_end(world, world.run_program(events(seed)))


@pytest.mark.parametrize("seed", range(PROGRAMS // 2))
def test_generations_end_well_and_give_no_event_to_two_of_them(seed: int) -> None:
    world = World(Writer(seed, entities=True).program(2), EngineOptions(), generations=3)
    taken: list[str] = []
    answer = world.checked

    def noting(name: str, payload: str, turn: int) -> str:
        before, execution = world.seen, world.execution
        reply = answer(name, payload, turn)
        if world.execution != execution:
            taken.extend(seen_events(before))
        return reply

    world._worker = noting
    seen = check_end(world, world.run_program(events(seed)))
    taken.extend(seen_events(seen))
    assert len(taken) == len(set(taken))


REPLAYED = """
import sys
sys.path[:0] = sys.argv[1:]
from engine.test_loop_random import EngineOptions, Writer, World, events
for seed in range(12):
    world = World(Writer(seed, entities=True).program(), EngineOptions())
    print(world.run_program(events(seed)), world.leaves)
"""


def test_the_seed_of_hashes_changes_nothing(repository: Path) -> None:
    paths = [str(repository / "tests"), *(path for path in sys.path if path)]
    outputs = {
        subprocess.run(
            [sys.executable, "-W", "error", "-c", REPLAYED, *paths],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "4711")
    }
    assert len(outputs) == 1
    assert outputs.pop().count("COMPLETED") == 12
