"""Sets of asyncio's own making: asyncio.as_completed of coroutines, started in the order in which they were given.

`as_completed` puts what it is given into a set before it starts anything. Durable tasks and asyncio's tasks have
numbers here and come out of a set in the same order on every replay; coroutines hash by their address and do not. So
when `as_completed` asks the loop for its first task, the loop starts all of them, in the order of the caller's list,
which it finds in the frame of `as_completed`.

`wait` gives sets of what it was given. Futures that code makes past the loop (`asyncio.Future()`) hash by their address
too, and a set of them is refused.
"""

from __future__ import annotations

import asyncio
from asyncio import tasks as asyncio_tasks
from collections.abc import Collection, Set
from types import CodeType, FrameType
from typing import Any

from worker_ext.engine.tasks import Task
from worker_ext.errors import OrchestratorError


def _code(*path: str) -> CodeType | None:
    found: Any = asyncio_tasks
    for name in path:
        found = getattr(found, name, None)
    code = getattr(found, "__code__", None)
    return code if isinstance(code, CodeType) else None


STARTS = _code("_ensure_future") or _code("ensure_future")
"""What calls the loop's create_task for gather, as_completed and others."""

GATHER = _code("gather")
"""What most often does, and starts everything in the order of its arguments."""

WAITS = _code("_wait")
"""What asks for a future on behalf of asyncio.wait."""

_CALLER = _code("_AsCompletedIterator", "__init__") or _code("as_completed")
"""What runs as_completed: a generator before Python 3.13, an iterator since."""

_DEPTH = 3
"""How far up the stack it can be: ensure_future has two frames, and the set's comprehension one, before Python 3.12."""


_BY_ADDRESS: Any = object.__hash__


class StartOrder:
    """Starts what is given to `as_completed` in order."""

    def __init__(self) -> None:
        self._frame: FrameType | None = None
        self._started: dict[int, Any] = {}

    def task_for(self, awaitable: object, frame: FrameType, loop: asyncio.AbstractEventLoop) -> Any:
        """The task of something that `as_completed` asks to be started now; None where it is to be started as usual.

        Args:
            awaitable: What is to be started.
            frame: Who asks asyncio to start it, by way of `STARTS`.
            loop: The loop to start it on.

        Raises:
            OrchestratorError: Coroutines were given in an order that nobody knows any more.
        """
        caller = _caller(frame)
        if caller is None:
            return None
        if caller is not self._frame:
            given = caller.f_locals.get("fs", caller.f_locals.get("aws"))
            if not isinstance(given, Collection) or isinstance(given, Set):
                if isinstance(awaitable, Task):
                    return None  # it has a number
                raise _unordered(f"a {type(given).__name__}")
            self._frame = caller
            self._started = {id(member): loop.create_task(member) for member in given if not asyncio.isfuture(member)}
        task = self._started.pop(id(awaitable), None)
        if task is None:
            raise _unordered("awaitables that are neither coroutines nor tasks")
        if not self._started:
            self._frame = None
        return task

    def forget(self) -> None:
        """Lets go of the last call of `as_completed`."""
        self._frame = None
        self._started.clear()


def check_order(frame: FrameType) -> None:
    """Looks at the set that `asyncio.wait` waits for.

    Args:
        frame: The frame of `WAITS`.

    Raises:
        OrchestratorError: It has members that hash by their address.
    """
    given = frame.f_locals["fs"]
    if len(given) > 1 and any(type(member).__hash__ is _BY_ADDRESS for member in given):
        raise OrchestratorError(
            "asyncio.wait was given futures that were made past the loop, and would give sets of them whose order "
            "differs from replay to replay. Make futures with `asyncio.get_running_loop().create_future()`, and tasks "
            "with `asyncio.create_task(...)`"
        )


def _caller(frame: FrameType | None) -> FrameType | None:
    for _ in range(_DEPTH):
        if frame is None or frame.f_code is _CALLER:
            return frame
        frame = frame.f_back
    return None


def _unordered(what: str) -> OrchestratorError:
    return OrchestratorError(
        f"asyncio.as_completed was given {what}, and would start its members in an order that differs from replay to "
        "replay. Give it a list of coroutines, or of tasks: `[asyncio.create_task(work(i)) for i in items]`"
    )
