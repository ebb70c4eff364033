"""A scheduler over a database file, for the tests of one module: functions are scripted, all else is real."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from worker_ext.host.gateway import WorkerGateway
from worker_ext.host.scheduler import Scheduler
from worker_ext.host.settings import DurableSettings
from worker_ext.host.store import Store

LIMIT = 20.0


@asynccontextmanager
async def running(path: Path, gateway: WorkerGateway, **settings: Any) -> AsyncIterator[Scheduler]:
    store = Store(path, "Hub")
    scheduler = Scheduler(store, gateway, DurableSettings(**settings))
    try:
        await scheduler.start()
        yield scheduler
        await scheduler.stop(LIMIT)
    finally:
        await scheduler.stop(0)
        store.close()


async def until(condition: Callable[[], Any]) -> None:
    """Waits for something that nobody tells of."""
    async with asyncio.timeout(LIMIT):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            await asyncio.sleep(0.001)


async def outcome(scheduler: Scheduler, instance_id: str) -> tuple[str, Any]:
    """The status and the output of an instance that comes to an end."""
    found = await scheduler.wait_for_completion(instance_id, LIMIT)
    assert found is not None
    try:
        return found.status, json.loads(found.output or "null")
    except ValueError:
        return found.status, found.output
