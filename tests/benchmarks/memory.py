"""What a turn with many open tasks holds in memory while its code waits."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

from worker_ext.context import DurableOrchestrationContext
from worker_ext.testing import HistoryBuilder, replay

from .report import Row

TASKS = 1_000

Orchestrator = Callable[[DurableOrchestrationContext], Any]


def measure(rounds: int) -> Iterator[Row]:
    """Measures each way to have a thousand tasks open."""
    for name, orchestrator in (("generator, task_all", _all), ("gather", _gather), ("TaskGroup", _group)):
        samples = [_peak(orchestrator) for _ in range(max(rounds, 3))]
        yield Row.of(f"memory of {TASKS:,} pending tasks: {name}", "worker_ext", "KiB", samples)


def _peak(orchestrator: Orchestrator) -> float:
    """The most that a turn holds at a time, beyond its payload."""
    history = HistoryBuilder().started()
    for task_id in range(TASKS):
        history.scheduled("A", task_id)
    payload = history.batch().payload()
    assert len(replay(orchestrator, payload).actions) == 1  # what is made once is made now
    gc.collect()
    tracemalloc.start()
    try:
        replay(orchestrator, payload)
        return tracemalloc.get_traced_memory()[1] / 1024
    finally:
        tracemalloc.stop()


def _all(context: DurableOrchestrationContext) -> Any:
    yield context.task_all([context.call_activity("A") for _ in range(TASKS)])


async def _gather(context: DurableOrchestrationContext) -> None:
    await asyncio.gather(*(context.call_activity("A") for _ in range(TASKS)))


async def _group(context: DurableOrchestrationContext) -> None:
    async def work() -> None:
        await context.call_activity("A")

    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(work())
