"""Instances that are ready to be worked, and how many of a kind may be at once."""

from __future__ import annotations

from collections import OrderedDict


class Lane:
    """Instances of one kind that wait for a free place.

    Attributes:
        ready: Those that have something to do.
        running: How many are being worked.
    """

    __slots__ = ("limit", "ready", "running")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.ready: OrderedDict[str, None] = OrderedDict()
        self.running = 0

    @property
    def has_work(self) -> bool:
        """Whether an instance is ready and there is a place for it."""
        return bool(self.ready) and self.running < self.limit

    def take(self) -> list[str]:
        """The instances that get the free places."""
        taken = []
        while self.has_work:
            taken.append(self.ready.popitem(last=False)[0])
            self.running += 1
        return taken
