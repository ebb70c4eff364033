"""What a worker costs: invocations of a function that does nothing, orchestrator turns, and its start.

Three workers on Python 3.13, each a process on a stream of its own, take turns within a round: ours; ours with
Microsoft's request handlers in the place of our own; those handlers in the process that the tests with real workers
have for them. The ratios are to the second: same stream, other handlers. Times hold the host's side too, which is the
same for all.

Environments are those of the tests with real workers; without them there is nothing to measure, and the reason is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from real_workers.cases import HANDLERS, Case, load_all, prepare, turn
from real_workers.environments import Environments, copy_of_worker_ext
from worker.driver import WorkerDriver, worker

from worker_ext.host.settings import load_settings
from worker_ext.host.worker_config import read_worker_config
from worker_ext.rpc import pb

from .report import Row

VERSION = "3.13"
OURS, FLOOR, PROXY = "worker_ext", "worker_ext, Microsoft's handlers", "Microsoft's handlers, bare process"
CASES = {
    OURS: Case("v2", "own", VERSION),
    FLOOR: Case("v2", "own", VERSION, more=HANDLERS),
    PROXY: Case("v2", "proxy", VERSION),
}
SEQUENTIAL, AT_ONCE, TURNS = 300, 100, 100
Measurement = Callable[[WorkerDriver], Awaitable[float]]


def measure(rounds: int) -> Iterator[Row]:
    """Measures the three workers; nothing, where they cannot be had."""
    root = Path(__file__).resolve().parents[2] / ".pytest_cache" / "d" / "real_workers"
    with tempfile.TemporaryDirectory() as folder:
        code = copy_of_worker_ext(Path(folder, "code"))
        try:
            prepared = {
                who: _prepare(case, Environments(root, Path(folder)), code, Path(folder, str(number)))
                for number, (who, case) in enumerate(CASES.items())
            }
        except pytest.skip.Exception as reason:
            print(f"workers are not measured: {reason}")
            return
        yield from asyncio.run(_measure(prepared, rounds))


@dataclass(frozen=True)
class _Prepared:
    case: Case
    app: Path
    command: tuple[str, ...]
    environment: dict[str, str]


def _prepare(case: Case, environments: Environments, code: Path, folder: Path) -> _Prepared:
    app = prepare(case, environments, code, folder)
    config = read_worker_config(load_settings(app, environ={}).environment)
    environment = {
        "AzureWebJobsScriptRoot": str(app),
        "FUNCTIONS_WORKER_DIRECTORY": str(config.directory or ""),
        "PYTHON_THREADPOOL_THREAD_COUNT": "1000",
    }
    return _Prepared(case, app, config.command, environment)


async def _measure(prepared: dict[str, _Prepared], rounds: int) -> list[Row]:
    rows = []
    starts: dict[str, list[float]] = {who: [] for who in prepared}
    async with contextlib.AsyncExitStack() as stack:
        drivers: dict[str, WorkerDriver] = {}
        for _ in range(max(3, rounds // 2)):
            for who, what in prepared.items():
                started = time.perf_counter()
                driver = await stack.enter_async_context(_worker(what))
                starts[who].append((time.perf_counter() - started) * 1000)
                drivers[who] = driver
        rows += _rows("worker start to ready", starts, "ms")
        for name, measurement in MEASUREMENTS.items():
            times: dict[str, list[float]] = {who: [] for who in prepared}
            for _ in range(rounds + 1):
                for who, driver in drivers.items():
                    times[who].append(await measurement(driver))
            rows += _rows(name, {who: values[1:] for who, values in times.items()}, "us")
    return rows


@contextlib.asynccontextmanager
async def _worker(what: _Prepared) -> AsyncIterator[WorkerDriver]:
    async with worker(what.app, what.environment, command=what.command) as driver:
        await driver.started()
        result = (await driver.init(what.app)).result
        assert result.status == pb.StatusResult.Success, result.exception.message
        await load_all(driver, what.case, what.app)
        yield driver


def _rows(name: str, times: dict[str, list[float]], unit: str) -> list[Row]:
    floor = times[FLOOR]
    rows = [Row.of(name, FLOOR, unit, floor)]
    for who, values in times.items():
        if who != FLOOR:
            rows.append(Row.of(name, who, "x", [value / least for value, least in zip(values, floor, strict=True)]))
    return rows


def _one_by_one(function: str) -> Measurement:
    async def measurement(driver: WorkerDriver) -> float:
        started = time.perf_counter()
        for _ in range(SEQUENTIAL):
            await driver.call(function, {"value": pb.TypedData(string="1")})
        return (time.perf_counter() - started) / SEQUENTIAL * 1e6

    return measurement


def _at_once(function: str) -> Measurement:
    async def measurement(driver: WorkerDriver) -> float:
        started = time.perf_counter()
        calls = (driver.call(function, {"value": pb.TypedData(string="1")}) for _ in range(AT_ONCE))
        await asyncio.gather(*calls)
        return (time.perf_counter() - started) / AT_ONCE * 1e6

    return measurement


async def _turns_at_once(driver: WorkerDriver) -> float:
    payload = turn("everything", json.dumps({"id": 1}))
    started = time.perf_counter()
    await asyncio.gather(*(driver.call("everything", {"context": payload}) for _ in range(TURNS)))
    return (time.perf_counter() - started) / TURNS * 1e6


MEASUREMENTS: dict[str, Measurement] = {
    "an activity, one by one": _one_by_one("nothing"),
    f"{AT_ONCE} activities at once": _at_once("nothing"),
    f"{AT_ONCE} async activities at once": _at_once("on_loop"),
    f"{TURNS} orchestrator turns at once": _turns_at_once,
}
