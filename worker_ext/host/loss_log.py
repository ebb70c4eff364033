"""One line of log for everything that was lost together, however much it was."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from msgspec import Struct

_PLURALS = {"activity": "activities", "instance": "instances"}


class Loss(Struct, frozen=True):
    """Work that lost its worker.

    Attributes:
        kind: `activity` or `instance`.
        name: Which one, as the log says it.
        delay: In how many seconds it is delivered again.
        is_suspect: Whether it is run alone from now on.
    """

    kind: str
    name: str
    delay: float
    is_suspect: bool


class LossLog:
    """Collects what is lost in one step of the event loop, in which the end of a worker reaches all that it ran.

    Args:
        log: Where the lines go.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._losses: dict[str, list[Loss]] = {}

    def add(self, loss: Loss, reason: str) -> None:
        """Notes a loss; what is lost for the same reason is told together."""
        if not self._losses:
            asyncio.get_running_loop().call_soon(self._tell)
        self._losses.setdefault(reason, []).append(loss)

    def _tell(self) -> None:
        told, self._losses = self._losses, {}
        for reason, losses in told.items():
            self._log.warning("%s: %s%s", _what(losses), reason, _suspects(losses))


def _what(losses: list[Loss]) -> str:
    delays = [f"{loss.delay:.1f}" for loss in losses]
    if len(losses) == 1:
        return f"{losses[0].name} is delivered again in {delays[0]} s"
    kinds = Counter(loss.kind for loss in losses)
    counted = " and ".join(f"{count} {kind if count == 1 else _PLURALS[kind]}" for kind, count in kinds.items())
    when = delays[0] if len(set(delays)) == 1 else f"{min(delays, key=float)} to {max(delays, key=float)}"
    return f"{counted} are delivered again in {when} s"


def _suspects(losses: list[Loss]) -> str:
    count = sum(loss.is_suspect for loss in losses)
    if not count:
        return ""
    if len(losses) == 1:
        return " (it runs alone, to find out what ends the worker)"
    return f" ({count} of them run one at a time, alone, to find out what ends the worker)"
