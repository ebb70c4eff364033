"""Finds out which work kills its worker, and keeps it from taking everything else along.

A worker's end says nothing about the functions it ran, so all of them are run again. What has lost its worker several
times is a suspect: suspects are run one at a time, with nothing beside them, so that the innocent get done and a loss
that is left tells who is to blame. Only work that has lost its worker alone, several times, is given up.

What takes longer than functionTimeout is known to be to blame, so it is not run alone.

Nothing may stand still for good because a suspect takes long: after a while others are let in beside it. A loss in
company blames nobody, and the next run of the suspect has twice the time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from worker_ext.host.gateway import FunctionTimeoutError, WorkerLostError

SUSPECT_AFTER = 3
"""How often work loses its worker before it is run alone."""

GIVEN_UP_AFTER = 3
"""How often work loses its worker while it runs alone before it is given up."""

TIMEOUTS_GIVEN_UP_AFTER = 6
"""How often work takes longer than functionTimeout before it is given up."""

_HOLD, _MOST_DOUBLINGS = 60.0, 10


class Suspects:
    """What the workers run at the moment, and how often each piece of work has lost its worker; keys name the work."""

    def __init__(self) -> None:
        self._losses: Counter[str] = Counter()
        self._losses_alone: Counter[str] = Counter()
        self._timeouts: Counter[str] = Counter()
        self._inside = 0
        self._entries = 0
        self._empty = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._one_at_a_time = asyncio.Lock()

    def has(self, key: str) -> bool:
        """Whether this work is run alone."""
        return self._losses.get(key, 0) >= SUSPECT_AFTER

    def is_troubled(self, key: str) -> bool:
        """Whether this work is a suspect, or took too long when it was run last."""
        return self.has(key) or key in self._timeouts

    def verdict(self, key: str) -> str | None:
        """Why this work is given up, or None if it is to be run."""
        timeouts = self._timeouts.get(key, 0)
        if timeouts >= TIMEOUTS_GIVEN_UP_AFTER:
            return (
                f"it took longer than functionTimeout, {timeouts} times, and each time its worker had to be replaced."
                " Look for what it waits for, such as time.sleep, a request or a lock, and move that to an activity"
            )
        alone = self._losses_alone.get(key, 0)
        if alone < GIVEN_UP_AFTER:
            return None
        return (
            f"the worker process ended while it ran, {self._losses[key]} times, {alone} of them while nothing else ran."
            " Look for what ends the process, such as os._exit, a crash in native code, or too little memory"
        )

    def forget(self, key: str) -> None:
        """Clears work that was done or is not wanted any more."""
        self._losses.pop(key, None)
        self._losses_alone.pop(key, None)
        self._timeouts.pop(key, None)

    def run(self, key: str) -> contextlib.AbstractAsyncContextManager[None]:
        """Around a run in a worker: waits until it may begin, and takes note of how it ends."""
        return self._run_alone(key) if self.has(key) else _Run(self, key)

    @contextlib.asynccontextmanager
    async def _run_alone(self, key: str) -> AsyncIterator[None]:
        async with self._alone(key), _Run(self, key, is_suspect=True):
            yield

    async def enter(self, run: _Run) -> None:
        """Lets a run begin."""
        if not run.is_suspect:
            await self._open.wait()
        self._entries += 1
        run.entry, run.had_company = self._entries, self._inside > 0
        self._inside += 1
        self._empty.clear()

    def leave(self, run: _Run, error: BaseException | None) -> None:
        """Takes note of how a run ended."""
        self._inside -= 1
        if not self._inside:
            self._empty.set()
        if isinstance(error, FunctionTimeoutError):
            self._timeouts[run.key] += 1
        elif isinstance(error, WorkerLostError) and error.while_running:
            had_company = run.had_company or run.entry != self._entries
            self._losses_alone[run.key] += self.has(run.key) and not had_company
            self._losses[run.key] += 1

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


class _Run:
    """Around one run in a worker.

    Attributes:
        entry: How many runs had begun when this one did.
        had_company: Whether one was going on then.
    """

    __slots__ = ("_suspects", "entry", "had_company", "is_suspect", "key")

    def __init__(self, suspects: Suspects, key: str, *, is_suspect: bool = False) -> None:
        self._suspects = suspects
        self.key = key
        self.is_suspect = is_suspect
        self.entry = 0
        self.had_company = False

    async def __aenter__(self) -> None:
        await self._suspects.enter(self)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._suspects.leave(self, error)
