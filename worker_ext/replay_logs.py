"""Logging from orchestrators: `logging` is silent while code runs that has run in an earlier turn.

A turn replays everything from the start, so that what an orchestrator logs would be seen again with every turn. While a
turn runs, records that are made by its thread are given a level below that of every handler when the code is replaying:
whatever the logger and wherever its handlers are, nothing takes them. Threads of other functions are not concerned.

An app that wants to see replays sets WORKER_EXT_LOG_REPLAYS to `true`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker_ext.engine.orchestration import OrchestrationExecutor

SETTING = "WORKER_EXT_LOG_REPLAYS"
"""The app setting that lets records through while an orchestrator replays."""

_TRUE = frozenset({"1", "true", "t", "yes", "y"})
_UNSEEN = -1
"""A level that no handler takes: theirs is 0 or more."""

_log = logging.getLogger("worker_ext.orchestrator")


class _Turns(threading.local):
    """The turn that runs in this thread."""

    executor: OrchestrationExecutor | None = None


_turns = _Turns()


class _RecordFactory:
    """Makes records as the app's own factory does, and hides those of code that replays.

    Args:
        inner: The factory that was there before.
    """

    def __init__(self, inner: Callable[..., logging.LogRecord]) -> None:
        self._inner = inner

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._inner(*args, **kwargs)
        executor = _turns.executor
        if executor is not None and not executor.is_news:
            record.levelno = _UNSEEN
        return record


@contextmanager
def quiet_while_replaying(executor: OrchestrationExecutor) -> Iterator[None]:
    """Runs a turn: what its code logs while it replays is dropped. Errors that nobody awaited are logged in the end."""
    unhandled: list[tuple[str, BaseException]] = []
    executor.on_unhandled = lambda message, error: unhandled.append((message, error))
    before = _turns.executor
    _turns.executor = None if os.environ.get(SETTING, "").lower() in _TRUE else executor
    factory = logging.getLogRecordFactory()
    if not isinstance(factory, _RecordFactory):  # another library may have put its own there since
        logging.setLogRecordFactory(_RecordFactory(factory))
    try:
        yield
    finally:
        _turns.executor = before
        executor.on_unhandled = None
    for message, error in unhandled:
        _log.error(_UNHANDLED, executor.request.instance_id, message, exc_info=error)


_UNHANDLED = (
    "orchestration instance %r: %s. The orchestration goes on without it; to let it fail as well, await what "
    "create_task returns"
)
