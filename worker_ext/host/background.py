"""Work that goes on by itself: tasks and delayed actions that end together, and steps that are done whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class Background:
    """Tasks and delayed actions; nothing begins before `start`, and nothing new after `stop` was called.

    Attributes:
        is_running: It has started and is not stopping.
        is_stopping: `stop` was called.
    """

    def __init__(self) -> None:
        self.is_running = False
        self.is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._endless: set[asyncio.Task[None]] = set()
        self._handles: set[asyncio.TimerHandle] = set()

    def start(self) -> None:
        """Work may begin."""
        self.is_running = True

    async def stop(self, grace: float) -> None:
        """Waits up to `grace` seconds for the tasks that run, and cancels what is left."""
        self.is_running, self.is_stopping = False, True
        for handle in self._handles:
            handle.cancel()
        for task in self._endless:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._endless, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work as a task of its own."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # a system call on Python 3.11
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def run_until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work that does not end by itself; a stop does not wait for it."""
        self._endless.add(asyncio.get_running_loop().create_task(work))

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Does something in `delay` seconds, unless a stop comes first."""
        if self.is_stopping:
            return

        def run() -> None:
            self._handles.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(delay, run)
        self._handles.add(handle)


async def uninterrupted(work: Coroutine[Any, Any, _T]) -> _T:
    """Does work to its end, also where whoever waits for it is cancelled meanwhile; that is told when it is done.

    What starts or ends sockets and processes must not stop half-way: what it had begun would belong to nobody.
    """
    task = asyncio.get_running_loop().create_task(work)
    interruption: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            interruption = error
    if interruption is not None:
        if not task.cancelled():
            task.exception()  # looked at: the interruption is what is told
        raise interruption
    return task.result()
