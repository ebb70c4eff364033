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
from collections.abc import Callable
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


def _are_shown() -> bool:
    """Whether the app wants to see what is logged while replaying."""
    return os.environ.get(SETTING, "").lower() in _TRUE


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
        if executor is not None and not executor.is_news and not _are_shown():
            record.levelno = _UNSEEN
        return record


class quiet_while_replaying:  # noqa: N801 - used as a function, which costs each turn more
    """Runs a turn: what its code logs while it replays is dropped. Errors that nobody awaited are logged in the end."""

    __slots__ = ("_before", "_executor", "_unhandled")

    def __init__(self, executor: OrchestrationExecutor) -> None:
        self._executor = executor
        self._unhandled: list[tuple[str, BaseException]] = []

    def __enter__(self) -> None:
        executor = self._executor
        executor.on_unhandled = self._keep
        self._before = _turns.executor
        _turns.executor = executor
        factory = logging.getLogRecordFactory()
        if not isinstance(factory, _RecordFactory):  # another library may have put its own there since
            logging.setLogRecordFactory(_RecordFactory(factory))

    def __exit__(self, kind: object, *error: object) -> None:
        _turns.executor = self._before
        self._executor.on_unhandled = None
        if kind is None:
            for message, unhandled in self._unhandled:
                _log.error(_UNHANDLED, self._executor.request.instance_id, message, exc_info=unhandled)

    def _keep(self, message: str, error: BaseException) -> None:
        self._unhandled.append((message, error))


_UNHANDLED = (
    "orchestration instance %r: %s. The orchestration goes on without it; to let it fail as well, await what "
    "create_task returns"
)
