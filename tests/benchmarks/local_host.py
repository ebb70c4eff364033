"""The local host as a process: activity steps a second, and how soon it answers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from host_process import HostProcess, wait_until

from .report import Row

APP = Path(__file__).parent / "app"


def measure(rounds: int, chains: int, steps: int, memory: bool) -> Iterator[Row]:
    """Starts a host a round, and on it `chains` chains of `steps` activities side by side."""
    answers, rates, latencies = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            host = HostProcess(APP, Path(":memory:") if memory else Path(folder, "benchmark.db"))
            try:
                answers.append(_first_answer(host))
                latencies.append(_alone(host, steps))
                rates.append(_side_by_side(host, chains, steps))
            finally:
                host.stop()
    where = "in memory" if memory else "on a file"
    yield Row.of("start to first answer", "local host", "s", answers)
    yield Row.of(f"one chain of {steps} alone, {where}", "local host", "steps/s", latencies)
    yield Row.of(f"{chains} chains of {steps} side by side, {where}", "local host", "steps/s", rates)


def _first_answer(host: HostProcess) -> float:
    start = time.perf_counter()
    host.launch()
    wait_until(lambda: _pings(host), "the first answer", host.log, poll=0.005)
    return time.perf_counter() - start


def _pings(host: HostProcess) -> bool:
    try:
        return host.get("/api/ping").text == "pong"
    except OSError:
        return False


def _alone(host: HostProcess, steps: int) -> float:
    _run(host, "warm-up", steps)
    start = time.perf_counter()
    _run(host, "alone", steps)
    return steps / (time.perf_counter() - start)


def _side_by_side(host: HostProcess, chains: int, steps: int) -> float:
    names = [f"chain-{i}" for i in range(chains)]
    start = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: _begin(host, name, steps), names))
    for name in names:
        _finish(host, name, steps)
    return chains * steps / (time.perf_counter() - start)


def _run(host: HostProcess, name: str, steps: int) -> None:
    _begin(host, name, steps)
    _finish(host, name, steps)


def _begin(host: HostProcess, name: str, steps: int) -> None:
    answer = host.post(f"{host.webhook}/orchestrators/chain/{name}", steps)
    if answer.status != 202:
        raise SystemExit(f"the host did not start {name}: {answer.status} {answer.text}\n{host.log()}")


def _finish(host: HostProcess, name: str, steps: int) -> None:
    wait_until(lambda: host.get(f"{host.webhook}/instances/{name}").status != 202, name, host.log, poll=0.01)
    status = host.status(name)
    if status["output"] != steps:
        raise SystemExit(f"{name} gave {status}\n{host.log()}")
