"""What is left of a host that was killed: everything.

Each test draws its kill points from a seed that it prints; WORKER_EXT_KILL_SEED=<n> runs it with another one.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import sysconfig
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from host_process import HostProcess, wait_until

STEPS = 20
"""Activities of the chain; each child of the family has as many."""

TOTAL = sum(range(STEPS))
KILLS = 4
SEEDS = [int(os.environ["WORKER_EXT_KILL_SEED"])] if "WORKER_EXT_KILL_SEED" in os.environ else [1, 2]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of real files, few enough to be backed up again and again."""
    library = Path(sysconfig.get_path("stdlib"))
    for package in ("asyncio", "email", "json"):
        shutil.copytree(library / package, tmp_path / "source" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "source"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Load:
    """The work that is under way while the host is killed, and the check that all of it was done."""

    def __init__(self, host: HostProcess, log: Path, source: Path, seed: int) -> None:
        self.host = host
        self.log = log
        self.source = source
        self.backups: list[tuple[str, Path]] = []
        self._random = random.Random(seed)
        print(f"kill points drawn from seed {seed}")

    def start(self, orchestrator: str, input_: Any, instance_id: str) -> None:
        """Starts an instance without the help of a worker."""
        answer = self.host.post(f"{self.host.webhook}/orchestrators/{orchestrator}/{instance_id}", input_)
        assert answer.status == 202, f"{answer.status} {answer.text}\n{self.host.log()}"

    def begin(self) -> None:
        """Starts a chain, a family, and the event that the family waits for."""
        job = {"log": str(self.log), "steps": STEPS}
        self.start("chain", job, "chain")
        self.start("family", job, "family")
        answer = self.host.post(f"{self.host.webhook}/instances/family/raiseEvent/go", {"said": "yes"})
        assert answer.status == 202, f"{answer.status} {answer.text}\n{self.host.log()}"

    def begin_backup(self) -> None:
        """Starts a backup to a folder of its own."""
        name = f"backup-{len(self.backups)}"
        destination = self.log.parent / name
        self.start("cloud_backup", {"source": str(self.source), "destination": str(destination)}, name)
        self.backups.append((name, destination))

    def runs(self) -> list[tuple[str, int]]:
        """Every run of an activity of the chains so far: instance and step."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(instance, int(step)) for instance, step in map(str.split, lines)]

    def kill_points(self) -> list[int]:
        """After how many runs to kill; the first as soon as everything is started."""
        return [0, *sorted(self._random.sample(range(1, 3 * STEPS - 5), KILLS - 1))]

    def kill_at_each_point(self, kill: Callable[[], object]) -> None:
        """Starts a backup and kills, at each of the points."""
        for point in self.kill_points():
            wait_until(lambda least=point: len(self.runs()) >= least, f"{point} runs", self.host.log, poll=0.005)
            self.begin_backup()
            # Often as soon as the start is answered: what was answered must be safe by then.
            delay = self._random.choice([0.0, self._random.uniform(0, 0.2)])
            print(f"killed {delay:.3f} s after run {len(self.runs())}")
            time.sleep(delay)
            kill()

    def check_results(self) -> None:
        """Every instance has the output that an undisturbed run gives, every copy is whole."""
        chain, family = self.host.output_of("chain"), self.host.output_of("family")
        assert (chain, family) == (TOTAL, {"children": [TOTAL, TOTAL], "event": {"said": "yes"}})
        tree = contents(self.source)
        for name, destination in self.backups:
            output = self.host.output_of(name)
            counted = {"files": len(tree), "bytes": sum(map(len, tree.values()))}
            assert {**output, "sha256": None} == {**counted, "sha256": None}, name
            assert contents(destination) == tree, name

    def check_runs(self) -> None:
        """No chain lost a step, ran twice or went back; a step ran again only where a kill can be the reason."""
        for instance in ("chain", "family-first", "family-second"):
            steps = [step for name, step in self.runs() if name == instance]
            assert sorted(set(steps)) == list(range(STEPS)), (instance, steps)
            assert all(later - earlier in (0, 1) for earlier, later in itertools.pairwise(steps)), (instance, steps)
            assert len(steps) <= STEPS + KILLS, (instance, steps)
        assert {name for name, _ in self.runs()} == {"chain", "family-first", "family-second"}

    def check_histories(self) -> None:
        """Each instance has one execution, with one completion an activity."""
        for instance in ("chain", "family-first", "family-second"):
            events = self.host.status(instance, "?showHistory=true")["historyEvents"]
            kinds = Counter(event["EventType"] for event in events)
            assert kinds == {"ExecutionStarted": 1, "TaskCompleted": STEPS, "ExecutionCompleted": 1}, instance
        events = self.host.status("family", "?showHistory=true")["historyEvents"]
        assert Counter(event["EventType"] for event in events) == {
            "ExecutionStarted": 1,
            "SubOrchestrationInstanceCompleted": 2,
            "TimerCreated": 1,
            "TimerFired": 1,
            "EventRaised": 1,
            "ExecutionCompleted": 1,
        }


@pytest.mark.parametrize("seed", SEEDS)
def test_kill_9_of_host_and_worker_loses_nothing(make_host: Any, source: Path, tmp_path: Path, seed: int) -> None:
    host = make_host("apps_for_tests/durability").start()
    load = Load(host, tmp_path / "runs", source, seed)
    load.begin()

    def kill_and_start_again() -> None:
        host.kill()
        host.start()

    load.kill_at_each_point(kill_and_start_again)
    load.check_results()
    load.check_runs()
    load.check_histories()


@pytest.mark.parametrize("seed", SEEDS)
def test_kill_9_of_the_worker_alone_loses_nothing(make_host: Any, source: Path, tmp_path: Path, seed: int) -> None:
    """The host starts another worker by itself."""
    host = make_host("apps_for_tests/durability").start()
    load = Load(host, tmp_path / "runs", source, seed)
    load.begin()

    def kill_worker() -> None:
        killed = host.kill_workers()
        assert killed
        wait_until(lambda: bool(host.workers()), "another worker", host.log)

    load.kill_at_each_point(kill_worker)
    load.check_results()
    load.check_runs()
    load.check_histories()


def test_a_killed_host_goes_on_without_being_asked(make_host: Any, tmp_path: Path) -> None:
    """Work that nobody looks at is taken up when the host starts, not when somebody asks for it."""
    host = make_host("apps_for_tests/durability").start()
    log = tmp_path / "runs"
    answer = host.post(f"{host.webhook}/orchestrators/chain/alone", {"log": str(log), "steps": STEPS})
    assert answer.status == 202
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) >= 3, "3 runs", host.log, poll=0.005)
    host.kill()
    before = len(log.read_text().splitlines())
    host.launch()
    wait_until(lambda: f"alone {STEPS - 1}\n" in log.read_text(), "the last step", host.log)
    assert before < STEPS


@pytest.mark.local_host("what Core Tools do with a signal is theirs")
def test_ctrl_c_in_the_middle_leaves_work_that_goes_on_later(make_host: Any, tmp_path: Path) -> None:
    host = make_host("apps_for_tests/durability").start()
    log = tmp_path / "runs"
    host.post(f"{host.webhook}/orchestrators/chain/stopped", {"log": str(log), "steps": STEPS})
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) >= 3, "3 runs", host.log, poll=0.005)
    code = host.interrupt()
    runs = len(log.read_text().splitlines())
    assert (code, runs < STEPS, [line for line in host.output if "Traceback" in line]) == (0, True, []), host.log()
    host.start()
    assert host.output_of("stopped") == TOTAL
