"""Finds out which work kills its worker, and keeps it from taking everything else along.

A worker's end says nothing about the functions it ran, so all of them are run again. What has lost its worker several
times is a suspect: suspects are run one at a time, with nothing beside them, so that the innocent get done and a loss
that is left tells who is to blame. Only work that has lost its worker alone, several times, is given up.

Nothing may stand still for good because a suspect takes long: after a while others are let in beside it. A loss in
company blames nobody, and the next run of the suspect has twice the time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from worker_ext.host.gateway import WorkerLostError

SUSPECT_AFTER = 3
"""How often work loses its worker before it is run alone."""

GIVEN_UP_AFTER = 3
"""How often work loses its worker while it runs alone before it is given up."""

_HOLD, _MOST_DOUBLINGS = 60.0, 10


class _Run:
    __slots__ = ("had_company",)

    def __init__(self, had_company: bool) -> None:
        self.had_company = had_company


class Suspects:
    """What the workers run at the moment, and how often each piece of work has lost its worker; keys name the work."""

    def __init__(self) -> None:
        self._losses: Counter[str] = Counter()
        self._losses_alone: Counter[str] = Counter()
        self._inside: set[_Run] = set()
        self._empty = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._one_at_a_time = asyncio.Lock()

    def has(self, key: str) -> bool:
        """Whether this work is run alone."""
        return self._losses[key] >= SUSPECT_AFTER

    def verdict(self, key: str) -> str | None:
        """Why this work is given up, or None if it is to be run."""
        alone = self._losses_alone[key]
        if alone < GIVEN_UP_AFTER:
            return None
        return (
            f"the worker process ended while it ran, {self._losses[key]} times, {alone} of them while nothing else ran."
            " Look for what ends the process, such as os._exit, a crash in native code, too little memory, or"
            " functionTimeout"
        )

    def forget(self, key: str) -> None:
        """Clears work that was done or is not wanted any more."""
        self._losses.pop(key, None)
        self._losses_alone.pop(key, None)

    @contextlib.asynccontextmanager
    async def run(self, key: str) -> AsyncIterator[None]:
        """Around a run in a worker: waits until it may begin, and takes note of how it ends."""
        async with self._alone(key) if self.has(key) else self._beside_others():
            run = _Run(had_company=bool(self._inside))
            for other in self._inside:
                other.had_company = True
            self._inside.add(run)
            self._empty.clear()
            try:
                yield
            except WorkerLostError as error:
                if error.while_running:
                    self._take_note(key, run)
                raise
            finally:
                self._inside.discard(run)
                if not self._inside:
                    self._empty.set()

    def _take_note(self, key: str, run: _Run) -> None:
        self._losses_alone[key] += self.has(key) and not run.had_company
        self._losses[key] += 1

    @contextlib.asynccontextmanager
    async def _beside_others(self) -> AsyncIterator[None]:
        await self._open.wait()
        yield

    @contextlib.asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        async with self._one_at_a_time:
            hold = _HOLD * 2 ** min(self._losses[key] - SUSPECT_AFTER, _MOST_DOUBLINGS)
            self._open.clear()
            timer = asyncio.get_running_loop().call_later(hold, self._open.set)
            try:
                if self._inside:
                    # What runs already may take longer than others can wait, or may even wait for one of them.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._empty.wait(), hold)
                yield
            finally:
                timer.cancel()
                # Before the next suspect has its turn, those that waited begin.
                self._open.set()
