"""Who waits for the end of an instance."""

from __future__ import annotations

import asyncio
import contextlib

from worker_ext.host.records import Instance
from worker_ext.host.store import Store


class CompletionWaiters:
    """Those that wait, by instance."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, instance_id: str, timeout: float | None) -> Instance | None:
        """An instance's status once it is over, after `timeout` seconds, or when nothing more will happen."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault(instance_id, [])
        waiters.append(waiter)
        try:
            found = await self._store.get(instance_id)
            if found is None or found.is_over or self._is_closed:
                return found
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(waiter, timeout)
            return await self._store.get(instance_id)
        finally:
            waiters.remove(waiter)
            if not waiters:
                self._waiting.pop(instance_id, None)

    def release(self, instance_id: str) -> None:
        """An instance is over."""
        for waiter in self._waiting.get(instance_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    def release_all(self) -> None:
        """Nothing more will happen, and nobody is to wait from now on."""
        self._is_closed = True
        for instance_id in self._waiting:
            self.release(instance_id)
