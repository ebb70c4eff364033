"""The local host as a process: how soon it answers, what a step takes, and how many it does; DBOS beside it."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from host_process import HostProcess, wait_until

from .dbos import NAME as DBOS
from .dbos import Dbos
from .dbos import started as dbos_started
from .peers import PeerError
from .report import Row

APP = Path(__file__).parent / "app"
HOST = "local host"
LATENCY_STEPS = 300
WRITTEN_THROUGH = {"AzureFunctionsJobHost__extensions__durableTask__storageProvider__synchronous": "FULL"}
"""As DBOS has it, and SQLite where nothing is set."""

DBOS_ROUNDS = 2
"""At most so many: one takes DBOS as long as twenty of ours."""


def measure(rounds: int, chains: int, steps: int, memory: bool) -> Iterator[Row]:
    """Starts a host a round, and on it `chains` chains of `steps` activities side by side."""
    kinds = {"in memory": {}} if memory else {"on a file": {}, "on a file, each commit to the disk": WRITTEN_THROUGH}
    ours = {kind: Samples(chains, steps) for kind in kinds}
    theirs = Samples(chains, steps)
    with dbos_started() as found:
        peer = Contender(found)
        for number in range(rounds):
            for kind, environment in kinds.items():
                _measure_host(ours[kind], environment, memory)
            if number < DBOS_ROUNDS:
                peer.measure(theirs)
    yield Row.of(
        "start to first answer", HOST, "s", [answer for samples in ours.values() for answer in samples.answers]
    )
    for kind, samples in ours.items():
        yield from samples.rows(f"{HOST}, {kind}")
    if theirs.seconds:
        yield from theirs.rows(DBOS)
    else:
        yield Row.missing(theirs.side_by_side, DBOS, peer.reason)


def _measure_host(samples: Samples, environment: dict[str, str], memory: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(":memory:") if memory else Path(folder, "benchmark.db")
        host = HostProcess(APP, path, environment=environment)
        try:
            samples.answers.append(first_answer(host))
            samples.latencies.append(_latencies(host, LATENCY_STEPS))
            samples.seconds.append(_side_by_side(host, samples.chains, samples.steps))
        finally:
            host.stop()


class Samples:
    """What was measured of one engine."""

    def __init__(self, chains: int, steps: int) -> None:
        self.chains, self.steps = chains, steps
        self.side_by_side = f"{chains} chains of {steps} side by side"
        self.answers: list[float] = []
        self.latencies: list[list[float]] = []
        self.seconds: list[float] = []

    def rows(self, who: str) -> Iterator[Row]:
        """The figures."""
        yield Row.of("one activity step at rest, median", who, "ms", [_percentile(s, 50) for s in self.latencies])
        yield Row.of(
            "one activity step at rest, 99th percentile", who, "ms", [_percentile(s, 99) for s in self.latencies]
        )
        yield Row.of(self.side_by_side, who, "steps/s", [self.chains * self.steps / spent for spent in self.seconds])
        yield Row.of(self.side_by_side, who, "chains/s", [self.chains / spent for spent in self.seconds])


class Contender:
    """DBOS, for as long as it can be measured.

    Attributes:
        reason: Why it cannot, if it cannot.
    """

    def __init__(self, found: Dbos | PeerError) -> None:
        self._dbos = found if isinstance(found, Dbos) else None
        self.reason = "" if isinstance(found, Dbos) else str(found)

    def measure(self, samples: Samples) -> None:
        """Adds a round's samples."""
        if self._dbos is None:
            return
        try:
            latencies = self._dbos.latencies(LATENCY_STEPS)
            seconds = self._dbos.seconds(samples.chains, samples.steps)
        except PeerError as reason:
            self._dbos, self.reason = None, str(reason)
            return
        samples.latencies.append(latencies)
        samples.seconds.append(seconds)


def _percentile(seconds: list[float], percent: int) -> float:
    return 1e3 * statistics.quantiles(seconds, n=100)[percent - 1]


def first_answer(host: HostProcess) -> float:
    """Starts a host; the seconds until a function of the app has answered a request."""
    start = time.perf_counter()
    host.launch()
    wait_until(lambda: _pings(host), "the first answer", host.log, poll=0.005)
    return time.perf_counter() - start


def _pings(host: HostProcess) -> bool:
    try:
        return host.get("/api/ping").text == "pong"
    except OSError:
        return False


def _latencies(host: HostProcess, steps: int) -> list[float]:
    """The seconds from the end of each activity of a chain to the end of the next, as its history tells."""
    _run(host, "warm-up", 20)
    _run(host, "alone", steps)
    events = host.status("alone", "?showHistory=true")["historyEvents"]
    ends = [datetime.fromisoformat(item["Timestamp"]) for item in events if item["EventType"] == "TaskCompleted"]
    return [(later - earlier).total_seconds() for earlier, later in pairwise(ends)]


def _side_by_side(host: HostProcess, chains: int, steps: int) -> float:
    names = [f"chain-{i}" for i in range(chains)]
    running = f"{host.webhook}/instances?runtimeStatus=Running,Pending&top=1&showInput=false"
    start = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: begin(host, "chain", name, steps), names))
    wait_until(lambda: host.get(running).json == [], "the chains to end", host.log, poll=0.01)
    spent = time.perf_counter() - start
    for name in names:
        _check(host, name, steps)
    return spent


def _run(host: HostProcess, name: str, steps: int) -> None:
    begin(host, "chain", name, steps)
    host.result(name)
    _check(host, name, steps)


def begin(host: HostProcess, orchestrator: str, name: str, input_: object) -> None:
    """Starts an instance of that name."""
    answer = host.post(f"{host.webhook}/orchestrators/{orchestrator}/{name}", input_)
    if answer.status != 202:
        raise SystemExit(f"the host did not start {name}: {answer.status} {answer.text}\n{host.log()}")


def _check(host: HostProcess, name: str, steps: int) -> None:
    status = host.status(name)
    if status["output"] != steps:
        raise SystemExit(f"{name} gave {status}\n{host.log()}")
