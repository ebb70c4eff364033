"""One round: a fresh host, all the orchestrations at once, kills until all have ended, and the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from host_process import HostProcess

from . import journal
from .client import Client, client_of
from .jobs import Job, counters, draw
from .killer import Killer

APP = Path(__file__).parent / "app"
SETTLE_SECONDS = 60.0
"""How long entities may take for the signals that are left when all orchestrations have ended."""

STUCK_SECONDS = 120.0
"""After how long without an end of any orchestration the round is given up."""

_EVERY = 20
_POLL = 1.0
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What a round is made of.

    Attributes:
        orchestrations: How many are started.
        pause: The longest time in seconds that an activity takes.
        kill_every: The shortest and the longest time in seconds from a kill to the next.
        workers: How many worker processes the host runs.
    """

    orchestrations: int
    pause: float
    kill_every: tuple[float, float]
    workers: int


@dataclass
class Outcome:
    """What came of a round, or of several.

    Attributes:
        counts: Everything that was counted, by name.
        largest: Of what the largest counts, by name.
        faults: What must not have happened.
        kept: Folders with the files of the rounds that had faults.
    """

    counts: Counter[str] = field(default_factory=Counter)
    largest: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Adds what came of another round."""
        self.counts.update(other.counts)
        self.largest |= {name: max(value, self.largest.get(name, 0.0)) for name, value in other.largest.items()}
        self.faults += other.faults
        self.kept += other.kept


async def run_round(plan: Plan, seed: int, number: int, tell: Tell) -> Outcome:
    """Runs one round.

    Args:
        plan: What it is made of.
        seed: What the orchestrations and the kills are drawn from.
        number: The number of the round, from 1.
        tell: Told how far it is.
    """
    chance = random.Random(f"{seed}/{number}")
    jobs = draw(plan.orchestrations, chance, f"r{number}", plan.pause)
    with _folder() as (folder, keep):
        path = folder / "journal"
        environment = {"FAULTS_JOURNAL": str(path), "FUNCTIONS_WORKER_PROCESS_COUNT": str(plan.workers)}
        host = HostProcess(APP, folder / "host.db", environment=environment)
        host.start()
        try:
            killer = Killer(host, chance, plan.kill_every)
            async with client_of(host.webhook, killer) as client:
                await _run_all(client, killer, jobs, chance, tell)
                tell("every outcome is looked at")
                outcome = await _verdict(client, jobs)
            code = host.interrupt()
            if code:
                outcome.faults.append(f"the host ended with exit code {code}")
        finally:
            host.stop()
        outcome.faults += _damage(host.db)
        _judge_runs(outcome, path, jobs, killer)
        if outcome.faults:
            keep()
            (folder / "host.log").write_text("\n".join(host.output))
            (folder / "kills").write_text("".join(f"{kill}\n" for kill in killer.kills))
            outcome.kept.append(str(folder))
        return outcome


@contextlib.contextmanager
def _folder() -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder that goes when it is not needed any more, and what to call if it must stay."""
    folder = Path(tempfile.mkdtemp(prefix="worker-ext-faults-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)

        def keep() -> None:
            stack.pop_all()

        yield folder, keep


async def _run_all(client: Client, killer: Killer, jobs: list[Job], chance: random.Random, tell: Tell) -> None:
    """Starts everything, kills until nothing is left to do, or nothing goes on any more."""
    async with _killing(killer):
        working = asyncio.gather(*(_work(client, job, index, chance) for index, job in enumerate(jobs)))
        left, moved = -1, time.monotonic()
        while left or not working.done():
            await asyncio.sleep(_POLL)
            before, left = left, await client.open_instances()
            more = "" if working.done() else ", more to start or to tell"
            tell(f"{left} orchestrations under way{more}; {len(killer.kills)} kills")
            moved = time.monotonic() if left != before else moved
            if time.monotonic() - moved > STUCK_SECONDS:
                client.faults.append(f"{left} orchestrations have not gone on for {STUCK_SECONDS:g} s{more}")
                working.cancel()
                break
        await asyncio.wait([working])
    if not working.cancelled():
        await working


@contextlib.asynccontextmanager
async def _killing(killer: Killer) -> AsyncIterator[None]:
    task = asyncio.create_task(killer.run())
    try:
        yield
        if task.done():
            await task
    finally:
        killer.stop()
        await task


async def _work(client: Client, job: Job, index: int, chance: random.Random) -> None:
    await client.start(job)
    if index % _EVERY == 0:
        await client.put(job.instance_id)
    if job.name == "events":
        await client.tell(job, lambda: chance.uniform(0, 1))


async def _verdict(client: Client, jobs: list[Job]) -> Outcome:
    outcome = Outcome(faults=client.faults)
    outcome.counts["requests cut off by a kill"] = client.cut_off
    everything = [one for job in jobs for one in (job, *job.children)]
    async for job, status in client.outcomes(everything):
        outcome.counts[f"ended: {job.name}"] += status is not None
        if status is None:
            outcome.faults.append(f"{job.instance_id} was lost")
            continue
        outcome.faults += job.faults(status)
        outcome.counts["events sent"] += len(job.sent)
        outcome.counts["events confirmed"] += len(job.confirmed)
        outcome.counts["events heard"] += len(status["output"] or []) if job.name == "events" else 0
    outcome.counts["orchestrations"] = len(everything)
    await _count_entities(client, jobs, outcome)
    return outcome


async def _count_entities(client: Client, jobs: list[Job], outcome: Outcome) -> None:
    expected = counters(jobs)
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = {key: await client.state_of(key) for key in expected}
        ledger = await client.ledger_faults()
        if (found == expected and not ledger) or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    wrong = {key: (found[key], total) for key, total in expected.items() if found[key] != total}
    outcome.faults += [f"counter {key} is {value}, not {total}" for key, (value, total) in wrong.items()]
    outcome.faults += ledger
    outcome.counts["entity counters"] = len(expected)
    outcome.counts["operations on counters"] = sum(2 * job.size for job in jobs if job.name == "count")
    outcome.counts["transfers under locks"] = sum(job.name == "transfer" for job in jobs)
    outcome.counts["signals of clients confirmed"] = len(client.confirmed)


def _damage(db: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(db)) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    return [] if found == ["ok"] else [f"the database is damaged: {line}" for line in found[:5]]


def _judge_runs(outcome: Outcome, path: Path, jobs: list[Job], killer: Killer) -> None:
    expected = [key for job in jobs for one in (job, *job.children) for key in one.activities]
    repeats = journal.judge(journal.read(path), expected, killer.kills)
    outcome.faults += repeats.faults
    outcome.counts["activities"] = len(expected)
    outcome.counts["runs of activities"] = repeats.runs
    outcome.counts["runs repeated"] = repeats.repeats
    outcome.counts["repeats matched to a kill"] = repeats.matched
    for kill in killer.kills:
        outcome.counts[f"kills: {kill.what}"] += 1
    outcome.largest["seconds from the end of a run to the kill that undid it"] = repeats.longest_gap
    outcome.largest["seconds from a kill of the host until it served again"] = killer.longest_start
