"""Activities that wait for a free place: the oldest in memory, the rest in the store until there is room.

Every activity that was scheduled is in the store until its result is; this queue only says which of them to run next,
and sees to it that none is in memory twice.
"""

from __future__ import annotations

from collections import deque

from worker_ext.host.records import Activity
from worker_ext.host.store import Store


class ActivityQueue:
    """The activities of one task hub.

    Args:
        store: Where they are kept.
        limit: How many may wait in memory.
    """

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._waiting: deque[Activity] = deque()
        self._in_memory: set[int] = set()
        # Activities with a higher id were left in the store; at first that is all there are.
        self._stored_after: int | None = 0
        self._loading = False

    def add(self, activities: list[Activity]) -> None:
        """Queues activities that are not in memory yet; beyond the limit they stay in the store."""
        for activity in activities:
            if activity.activity_id in self._in_memory:
                continue
            if len(self._waiting) < self._limit:
                self._in_memory.add(activity.activity_id)
                self._waiting.append(activity)
            else:
                self._leave_in_store(activity.activity_id - 1)

    def take(self) -> Activity | None:
        """The activity to run next, if one is in memory."""
        return self._waiting.popleft() if self._waiting else None

    def put_back(self, activity: Activity) -> None:
        """Queues an activity again that was taken and not done."""
        self._waiting.append(activity)

    def done(self, activity: Activity) -> None:
        """Forgets an activity whose result is stored."""
        self._in_memory.discard(activity.activity_id)

    @property
    def wants_refill(self) -> bool:
        """Whether there is room for what was left in the store."""
        return self._stored_after is not None and not self._loading and len(self._waiting) <= self._limit // 2

    async def refill(self) -> None:
        """Fills up from the store.

        Raises:
            DatabaseError: The store cannot be read; the queue is as it was.
        """
        after, limit = self._stored_after or 0, max(self._limit // 2, 1)
        self._stored_after, self._loading = None, True
        try:
            found = await self._store.pending_activities(after, limit)
        except BaseException:
            self._leave_in_store(after)
            raise
        finally:
            self._loading = False
        if len(found) == limit:
            self._leave_in_store(found[-1].activity_id)
        self.add(found)

    def _leave_in_store(self, after: int) -> None:
        self._stored_after = after if self._stored_after is None else min(after, self._stored_after)
