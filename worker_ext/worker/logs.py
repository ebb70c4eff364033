"""`logging` to RpcLog.

Records wait in the outbox until the stream is open and replies have left, apart from those of what logged them. What
cannot go to the host any more goes to stderr, with the prefix by which hosts know a worker's own lines.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from typing import TextIO

from worker_ext.rpc import pb
from worker_ext.worker.context import current_invocation_id
from worker_ext.worker.failures import clean
from worker_ext.worker.outbox import Outbox

DEBUG_SETTING = "PYTHON_ENABLE_DEBUG_LOGGING"
CONSOLE_PREFIX = "LanguageWorkerConsoleLog"
_TRUE = frozenset({"1", "true", "t", "yes", "y"})
_SYSTEM = ("azure_functions_worker", "azure.functions", "worker_ext.worker")
_LEVELS = (
    (logging.CRITICAL, pb.RpcLog.Critical),
    (logging.ERROR, pb.RpcLog.Error),
    (logging.WARNING, pb.RpcLog.Warning),
    (logging.INFO, pb.RpcLog.Information),
    (logging.DEBUG, pb.RpcLog.Debug),
)


_NO_LEVEL = pb.RpcLog.Level.Value("None")


class RpcLogHandler(logging.Handler):
    """Sends every record to the host, with the invocation it belongs to."""

    def __init__(self, outbox: Outbox, request_id: str) -> None:
        super().__init__()
        self._outbox = outbox
        self._request_id = request_id

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record; never waits."""
        try:
            text = clean(self.format(record))
        except Exception:  # noqa: BLE001 - logging's own way: a bad format string is told on stderr, not to the caller
            self.handleError(record)
            return
        invocation_id = current_invocation_id()
        make = partial(_message, self._request_id, invocation_id, record.name, record.levelno, text)
        self._outbox.put_log(make, text, invocation_id, is_grave=record.levelno >= logging.WARNING)


def _message(request_id: str, invocation_id: str, name: str, level: int, text: str) -> pb.StreamingMessage:
    is_system = name.startswith(_SYSTEM)
    log = pb.RpcLog(
        invocation_id=invocation_id,
        category=clean(name),
        level=rpc_level(level),
        message=text,
        log_category=pb.RpcLog.System if is_system else pb.RpcLog.User,
    )
    return pb.StreamingMessage(request_id=request_id, rpc_log=log)


def rpc_level(level: int) -> pb.RpcLog.Level:
    """Return the host's name for a level of `logging`."""
    return next((number for least, number in _LEVELS if level >= least), _NO_LEVEL)


def install(outbox: Outbox, request_id: str) -> None:
    """Send what the process logs to the host."""
    root = logging.getLogger()
    root.addHandler(RpcLogHandler(outbox, request_id))
    set_level()


def set_level() -> None:
    """Set the level that the settings ask for."""
    wants_debug = os.environ.get(DEBUG_SETTING, "").lower() in _TRUE
    logging.getLogger().setLevel(logging.DEBUG if wants_debug else logging.INFO)


def print_unsent(outbox: Outbox, stream: TextIO | None = None) -> None:
    """Print the log records that the host never got."""
    while (message := outbox.take()) is not None:
        if message.HasField("rpc_log"):
            console(message.rpc_log.message, stream)


def console(text: str, stream: TextIO | None = None) -> None:
    """Print a line that the host takes for the worker's, not for the app's."""
    out = stream or sys.stderr
    for line in text.splitlines():
        print(CONSOLE_PREFIX + line, file=out)
    out.flush()
