"""How long work waits before it is done again, and what the log says of it.

A worker that is lost is the platform's fault, not a function's: its work comes back with a growing delay. So does work
whose commit the store refuses (a full disk). Only what ends its worker again and again while it runs alone fails, and
what takes longer than functionTimeout each time.
"""

from __future__ import annotations

import logging

from worker_ext.errors import HostError
from worker_ext.host.background import Background
from worker_ext.host.gateway import WorkerLostError
from worker_ext.host.loss_log import Loss, LossLog
from worker_ext.host.suspects import Suspects
from worker_ext.host.versions import VersionRejectedError

_log = logging.getLogger(__name__)

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 30.0


class Redelivery:
    """The delays of work that failed, by keys that name the work.

    Attributes:
        suspects: Which work kills its worker.
    """

    def __init__(self, background: Background) -> None:
        self.suspects = Suspects()
        self._background = background
        self._delays: dict[str, float] = {}
        self._losses = LossLog(_log)

    def done(self, key: str) -> None:
        """The work was done, or nobody waits for it any more."""
        self._delays.pop(key, None)
        self.suspects.forget(key)

    def failed(self, kind: str, name: str, key: str, error: Exception) -> float:
        """Takes note of a failure; in how many seconds the work is to be done again."""
        delay = self._delays.get(key, _FIRST_DELAY)
        self._delays[key] = min(2 * delay, _LONGEST_DELAY)
        what = f"{kind} {name}"
        if isinstance(error, WorkerLostError):
            if self._background.is_stopping:
                return delay  # it is taken up by the next start, which says nothing of it either
            if self.suspects.verdict(key) is not None:
                return 0.0  # it fails next, which is told then
            self._losses.add(Loss(kind, what, delay, self.suspects.has(key)), str(error))
        elif isinstance(error, VersionRejectedError):
            _log.warning("%s is looked at again in %.1f s: %s", what, delay, error)
        elif isinstance(error, HostError):
            _log.error("%s is delivered again in %.1f s: %s", what, delay, error)
            _log.debug("where it failed", exc_info=error)
        else:
            _log.error("%s is delivered again in %.1f s", what, delay, exc_info=error)
        return delay
