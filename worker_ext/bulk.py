"""The same for many instances: several requests at a time, with progress, and nothing lost when one is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable

from msgspec import Struct

from worker_ext.errors import ClientError

AT_ONCE = 10
"""How many requests run at the same time."""

Progress = Callable[[int], None]
"""Called with how many instances have had their turn, done or refused, after each."""


class BulkResult(Struct, frozen=True):
    """What became of many instances.

    Attributes:
        done: How many were done.
        refused: The instances that the host refused, with its reasons.
    """

    done: int
    refused: dict[str, ClientError]


async def for_each(
    instance_ids: AsyncIterable[str] | Iterable[str],
    action: Callable[[str], Awaitable[object]],
    progress: Progress | None = None,
    at_once: int = AT_ONCE,
) -> BulkResult:
    """Does something to each instance.

    A refusal (ClientError) is noted and the others go on; another error, such as a lost connection, ends it all.
    """
    refused: dict[str, ClientError] = {}
    done = 0
    source = aiter(instance_ids if isinstance(instance_ids, AsyncIterable) else _each(instance_ids))

    async def work() -> None:
        nonlocal done
        while True:
            async with lock:
                instance_id = await anext(source, None)
            if instance_id is None:
                return
            try:
                await action(instance_id)
                done += 1
            except ClientError as error:
                refused[instance_id] = error
            if progress is not None:
                progress(done + len(refused))

    lock = asyncio.Lock()
    workers = [asyncio.create_task(work()) for _ in range(at_once)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return BulkResult(done, refused)


async def _each(items: Iterable[str]) -> AsyncIterator[str]:
    for item in items:
        yield item
