"""Histories of instances that ran lately, typed and laid out, so that a turn reads and renders what is new only.

The store is the truth: whatever is not here, or belongs to another execution, is read again.
"""

from __future__ import annotations

from collections import OrderedDict

from worker_ext.host.progress import Progress
from worker_ext.host.records import Claim
from worker_ext.host.rendering import layout, parse_events
from worker_ext.host.store import StaleTurnError
from worker_ext.protocol.history import HistoryEvent

# Beside its layout an instance has its events and the actions of its replay as objects, which take about three times
# as much.
_BYTES_A_CHARACTER = 4


class KnownInstance:
    """One execution of an instance.

    Attributes:
        key: The instance's key in the store.
        execution_id: The execution.
        events: The history's events.
        layouts: Its batches as they stand in a payload.
        turns: How many batches it has.
        progress: Where its replay stands.
        size: About how many bytes all this takes.
    """

    __slots__ = ("events", "execution_id", "key", "layouts", "progress", "size", "turns")

    def __init__(self, key: int, execution_id: str) -> None:
        self.key = key
        self.execution_id = execution_id
        self.events: list[HistoryEvent] = []
        self.layouts: list[str] = []
        self.turns = 0
        self.progress = Progress()
        self.size = 0

    def append(self, events: list[HistoryEvent], text: str) -> None:
        """Adds a batch: its events, and its text as it is stored."""
        self.events += events
        self.layouts.append(layout(text))
        self.turns += 1
        self.size += _BYTES_A_CHARACTER * len(self.layouts[-1])


class InstanceCache:
    """The instances that ran last, as many as fit.

    Args:
        limit: How many bytes they may take; the last one stays, whatever its size.

    Attributes:
        size: About how many bytes they take.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.size = 0
        self._instances: OrderedDict[str, KnownInstance] = OrderedDict()

    def __len__(self) -> int:
        return len(self._instances)

    def key_of(self, instance_id: str) -> int | None:
        """The store's key of an instance that is known."""
        known = self._instances.get(instance_id)
        return None if known is None else known.key

    def take(self, instance_id: str, claim: Claim) -> KnownInstance:
        """Takes an instance that was claimed out of the cache, or reads its history again.

        Raises:
            StaleTurnError: What is known is outdated, and the claim has no history; it must be claimed again.
        """
        known = self._instances.get(instance_id)
        self.forget(instance_id)
        if known is not None and known.key == claim.instance_key and known.execution_id == claim.execution_id:
            return known
        if claim.batches is None:
            raise StaleTurnError(f"instance {instance_id} was replaced")
        known = KnownInstance(claim.instance_key, claim.execution_id)
        for text in claim.batches:
            known.append(parse_events([text]), text)
        return known

    def put(self, instance_id: str, known: KnownInstance) -> None:
        """Keeps an instance as the one that ran last; those that ran longest ago make room."""
        self.forget(instance_id)
        self._instances[instance_id] = known
        self.size += known.size
        while self.size > self._limit and len(self._instances) > 1:
            self.forget(next(iter(self._instances)))

    def forget(self, instance_id: str) -> None:
        """Drops an instance, if it is known."""
        known = self._instances.pop(instance_id, None)
        if known is not None:
            self.size -= known.size
