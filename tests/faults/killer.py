"""Sends SIGKILL to a running host and its workers, at moments drawn at random, and starts the host again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterable

from host_process import HostProcess

from .journal import Kill

WEIGHTS = {"host and workers": 4, "host": 2, "workers": 2, "one worker": 2}
"""How often each is drawn. A host that is killed alone leaves workers behind, which end by themselves."""


class Killer:
    """Kills until it is stopped.

    Attributes:
        kills: What was killed so far.
        host_up: Set while the host is believed to serve.
        longest_start: How long in seconds the slowest start of the host took.
    """

    def __init__(self, host: HostProcess, chance: random.Random, pauses: tuple[float, float]) -> None:
        self.kills: list[Kill] = []
        self.host_up = asyncio.Event()
        self.host_up.set()
        self.longest_start = 0.0
        self._host = host
        self._chance = chance
        self._pauses = pauses
        self._host_kills = 0
        self._is_stopping = asyncio.Event()

    @property
    def host_kills(self) -> int:
        """How often the host was killed, the one that is under way included."""
        return self._host_kills

    async def run(self) -> None:
        """Kills, over and over; every kill is over when this returns."""
        while True:
            try:
                async with asyncio.timeout(self._chance.uniform(*self._pauses)):
                    await self._is_stopping.wait()
                return
            except TimeoutError:
                await self._kill(self._chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])

    def stop(self) -> None:
        """Has it end before the next kill."""
        self._is_stopping.set()

    async def _kill(self, what: str) -> None:
        workers = await asyncio.to_thread(self._host.workers)
        if what == "one worker":
            workers = workers[:1]
        is_host = what.startswith("host")
        if is_host:
            self.host_up.clear()
            self._host_kills += 1
        victims = [self._host.pid] if is_host else []
        # The host first: alive it would see its workers die and start new ones.
        victims += [] if what == "host" else workers
        _kill(victims)
        self.kills.append(Kill(what, time.monotonic_ns(), frozenset(workers), is_host))
        if is_host:
            await asyncio.to_thread(self._host.wait)
            start = time.monotonic()
            await asyncio.to_thread(self._host.start)
            self.longest_start = max(self.longest_start, time.monotonic() - start)
            self.host_up.set()


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
