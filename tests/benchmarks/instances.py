"""A database file with as many instances as one wants, written by the store itself.

`python -m tests.benchmarks.instances million.db 1000000` makes one to try things on.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from worker_ext.host.records import NewInstance, TurnRecord
from worker_ext.host.rendering import render, render_batch
from worker_ext.host.store import Store
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import (
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    OrchestrationStatus,
    OrchestratorCompleted,
    OrchestratorStarted,
    TaskCompleted,
    TaskScheduled,
)

HUB = "TestHubName"
ORCHESTRATOR, ACTIVITY = "chain", "add_one"
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_TOGETHER = 256
_STATUSES = {0: OrchestrationStatus.RUNNING, 1: OrchestrationStatus.FAILED}


def name_of(number: int) -> str:
    """The id of an instance."""
    return f"instance-{number:08}"


def fill(path: Path, count: int, tell: Callable[[int], None] = lambda done: None, *, hub: str = HUB) -> None:
    """Writes `count` instances of a chain of one activity: one in 20 waits for something, one in 20 has failed.

    Args:
        path: The database file.
        count: How many.
        tell: Told now and then how many there are.
        hub: The task hub they belong to.
    """
    asyncio.run(_fill(path, count, tell, hub))


async def _fill(path: Path, count: int, tell: Callable[[int], None], hub: str) -> None:
    store = Store(path, hub)
    try:
        for numbers in _batched(count):
            await asyncio.gather(*(_create(store, number) for number in numbers))
            claims = await store.claim([(name_of(number), None) for number in numbers])
            turns = []
            for number, claim in zip(numbers, claims, strict=True):
                assert claim is not None
                consumed = [message.message_id for message in claim.messages]
                turns.append(_turn(number, claim.instance_key, claim.execution_id, consumed))
            await asyncio.gather(*(store.commit(turn) for turn in turns))
            tell(numbers[-1] + 1)
    finally:
        store.close()


def _batched(count: int) -> Iterable[range]:
    return (range(start, min(start + _TOGETHER, count)) for start in range(0, count, _TOGETHER))


def _started(number: int) -> ExecutionStarted:
    return ExecutionStarted(
        orchestration_instance=OrchestrationInstance(name_of(number), f"{number:032x}"),
        name=ORCHESTRATOR,
        input="1",
        timestamp=format_timestamp(_time(number)),
    )


def _time(number: int) -> datetime:
    return _FIRST + timedelta(seconds=number)


async def _create(store: Store, number: int) -> None:
    new = NewInstance(
        instance_id=name_of(number),
        execution_id=f"{number:032x}",
        name=ORCHESTRATOR,
        version=None,
        input="1",
        started=render(_started(number)),
    )
    await store.create(new, (), _time(number))


def _turn(number: int, key: int, execution_id: str, consumed: list[int]) -> TurnRecord:
    status = _STATUSES.get(number % 20, OrchestrationStatus.COMPLETED)
    stamp = format_timestamp(_time(number))
    done: list[HistoryEvent] = [TaskScheduled(event_id=0, name=ACTIVITY, input="[0]", timestamp=stamp)]
    done.append(OrchestratorCompleted(timestamp=stamp))
    if status is not OrchestrationStatus.RUNNING:
        end = ExecutionCompleted(event_id=1, orchestration_status=status, result="1", timestamp=stamp)
        result = TaskCompleted(task_scheduled_id=0, result="1", timestamp=stamp)
        done += [OrchestratorStarted(timestamp=stamp), result, end, OrchestratorCompleted(timestamp=stamp)]
    return TurnRecord(
        instance_key=key,
        execution_id=execution_id,
        consumed=consumed,
        events=render_batch([OrchestratorStarted(timestamp=stamp), _started(number)], done),
        status=status,
        output=None if status is OrchestrationStatus.RUNNING else "1",
        at=_time(number),
    )


def main() -> None:
    """Fills the file that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.instances", description=__doc__)
    parser.add_argument("path", type=Path, help="the database file; made if it is not there")
    parser.add_argument("count", type=int, help="how many instances")
    parser.add_argument("--hub", default=HUB, help=f"the task hub (default {HUB})")
    options = parser.parse_args()
    start = time.perf_counter()

    def tell(done: int) -> None:
        print(f"\r{done:,} instances, {done / (time.perf_counter() - start):,.0f} a second", end="", flush=True)

    fill(options.path, options.count, tell, hub=options.hub)
    print()


if __name__ == "__main__":
    main()
