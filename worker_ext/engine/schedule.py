"""Schedule: the leaves of an orchestration in id order, and the action list they become.

The extension works the action list item by item and numbers leaves as it meets them, so the k-th leaf of the flattened
list must be the k-th that was scheduled; which compounds stand around the leaves is free. Each yield makes an item
(see `items`), so that an app sees 1.7.0's list wherever that list works, and no hang and no swapped value where it
does not.

The *barrier* is the position in history at which the extension, replaying the current list, has passed everything
frozen; its clock there decides whether a timer is long, and a `sync` timer is put in front of one that it would
otherwise cut.

Source: durable-functions JSON protocol, sections 4.10 and 4.11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker_ext.engine.clock import START, ReplayClock
from worker_ext.engine.in_flight import InFlight
from worker_ext.engine.items import NEVER, Element, Item, leaf_actions, single_element
from worker_ext.engine.listing import Listing
from worker_ext.engine.locks import CriticalSection, LockTask
from worker_ext.engine.retries import RetryTask
from worker_ext.engine.tasks import (
    Leaf,
    Task,
    TimerTask,
    WaitTask,
)
from worker_ext.errors import OrchestratorError
from worker_ext.protocol.actions import AnyAction, CallEntity, ReleaseEntities
from worker_ext.protocol.orchestrator import ReplaySchema

_SINGLE = frozenset({Leaf, TimerTask, WaitTask})
"""Tasks that may stand for themselves in the list."""

HOST_MAX_RETRY_INTERVAL = timedelta(days=6)
"""The extension's default for the longest retry delay; it refuses retries where its timers are shorter."""


@dataclass(frozen=True, slots=True)
class TimerLimits:
    """What the extension's store takes: timers longer than `maximum` are cut into pieces of `interval`."""

    maximum: timedelta
    interval: timedelta

    @property
    def exist(self) -> bool:
        """Whether there are limits at all; some stores have none and say zero."""
        return self.maximum > timedelta(0) and self.interval > timedelta(0)


class Schedule:
    """Everything an orchestrator has scheduled in this execution, in order.

    Args:
        instance_id: The instance it belongs to.
        begin: The timestamp of the first batch.
        schema: The shape of the action list.
        limits: How long a timer may be.

    Attributes:
        clock: The times of the batches so far.
        position: The position in history of the event being delivered.
        leaves: Every leaf by its id.
        ended: Whether the code has ended.
        section: The critical section the code is in, or None.
        on_new_wait: Asked before a wait is listed; whether it was answered without the extension. None: it never is.
        on_wait: Told of a wait that was listed.
        in_flight: What history knows of calls to entities, where another engine may have begun the instance.
        has_locked: Whether anything was ever locked, so that the list needs schema V4.
    """

    def __init__(self, instance_id: str, begin: str, schema: ReplaySchema, limits: TimerLimits) -> None:
        self.instance_id = instance_id
        self.position = START
        self.ended = False
        self.section: CriticalSection | None = None
        self.in_flight: InFlight | None = None
        self.has_locked = False
        self.schema = schema
        self.limits = limits
        self.leaves: list[Leaf] = []
        self.on_new_wait: Callable[[WaitTask], bool] | None = None
        self.on_wait: Callable[[WaitTask], None] = lambda wait: None
        self.clock = ReplayClock(begin)
        self._frozen: list[Leaf | WaitTask | Item] = []
        self._last: Leaf | WaitTask | Item | None = None
        self._barrier = START
        self._syncs: list[TimerTask] = []
        self._has_limits = limits.exist and schema >= ReplaySchema.V2
        self._cuts_timers = limits.exist and schema >= ReplaySchema.V3
        self._repeats_by_host = not limits.exist or limits.maximum >= HOST_MAX_RETRY_INTERVAL

    @property
    def now(self) -> datetime:
        """The orchestrator's time."""
        return self.clock.now

    def end(self) -> None:
        """The code has ended: its open timers are cancelled, and nothing waits for what else it left open."""
        self.ended = True
        for leaf in self.leaves:
            if type(leaf) is TimerTask and not leaf.through and not leaf.hidden:
                leaf.cancel()
        last = self._last
        if isinstance(last, WaitTask) and not last.through:
            self._last = None
        elif isinstance(last, Leaf) and not last.through:
            self._last = last = Item(last, [last], [])
        if isinstance(last, Item):
            last.end()

    # -- listing -----------------------------------------------------------------------------------------------------

    def list_task(self, task: Task) -> None:
        """Lists what a yielded task consists of, as far as it is not listed yet."""
        if type(task) in _SINGLE and self.section is None:
            if not task.listed:
                self._list_single(task)  # type: ignore[arg-type]  # type(task) does not narrow
        else:
            self._list_item(task)

    def _list_single(self, task: Leaf | WaitTask) -> None:
        """Lists a task that stands for itself; what most yields are."""
        if isinstance(task, WaitTask):
            if self.on_new_wait is not None and self.on_new_wait(task):
                return
            if self._last is not None:
                self._freeze()
            task.entered = True
            self._last = task
            self.on_wait(task)
            return
        if self._last is not None:
            self._freeze()
        if self._has_limits and isinstance(task, TimerTask) and self._needs_sync(task):
            self._add_sync()
        task.id = len(self.leaves)
        if self.in_flight is not None and isinstance(task.action, CallEntity):
            self.in_flight.fit(self, task)
        self.leaves.append(task)
        self._last = task

    def _list_item(self, task: Task) -> None:
        new = Listing(self.on_new_wait)
        node = new.template(task)
        if node is None:
            return
        concerns_lock = self.section is not None and self.section.enter(new.leaves)
        self._freeze()
        if concerns_lock:
            self._wait_for(self.section)
        if self._has_limits and any(self._needs_sync(leaf) for leaf in new.leaves if isinstance(leaf, TimerTask)):
            self._add_sync()
        for leaf in new.leaves:
            self._number(leaf)
            if self.in_flight is not None and isinstance(leaf.action, CallEntity):
                self.in_flight.fit(self, leaf)
            if isinstance(leaf, LockTask):
                self.section = CriticalSection(leaf)
                self.has_locked = True
        # The extension refuses retries where its timers may be shorter than their delays: then their parts are listed.
        self._last = item = Item(None if new.retries and not self._repeats_by_host else node, [*new.leaves], new.waits)
        for retry in new.retries:
            retry.begin(item)
        for wait in new.waits:
            self.on_wait(wait)

    def list_signal(self, leaf: Leaf) -> None:
        """Lists a leaf that nothing waits for: it is through the moment it is sent."""
        if self.section is not None:
            self.section.enter([leaf])
        self._freeze()
        self._number(leaf)
        leaf.settled = leaf.through = True
        self._frozen.append(leaf)
        self._last = None

    def release(self, ids: tuple[str, ...]) -> None:
        """Lists the release of everything locked, which takes an id for each entity.

        Raises:
            OrchestratorError: A call to one of the entities is open.
        """
        section = self.section
        if section is None or section.ids != ids:
            return
        if section.busy:
            raise OrchestratorError(
                f"the lock of {', '.join(ids)} was released while a call to one of them was open. Await the call first"
            )
        self._freeze()
        self._wait_for(section)
        self.section = None
        leaf = Leaf(self, ReleaseEntities())
        leaf.id = len(self.leaves)
        leaf.settled = leaf.through = True
        self.leaves.extend([leaf] * len(ids))
        self._frozen.append(leaf)

    def _wait_for(self, section: CriticalSection | None) -> None:
        """Holds the extension back until it has seen the section's last answer: before, it would do nothing."""
        if section is not None and section.position > self.barrier:
            self._add_sync()

    def add_hidden(self, retry: RetryTask, leaf: Leaf) -> None:
        """Lists the next delay or attempt of a retry."""
        last = self._last
        if isinstance(last, Item) and (last.template is None or last is retry.item):
            last.add_hidden(leaf, self.position)
        else:
            self._freeze()
            self._last = item = Item(None, [leaf], [])
            item.hidden_at.append(self.position)
        self._number(leaf)

    def add_step(self, leaf: Leaf) -> None:
        """Lists the next leaf of a task that the worker makes of several."""
        self._freeze()
        if self._has_limits and isinstance(leaf, TimerTask) and self._needs_sync(leaf):
            self._add_sync()
        self._number(leaf)
        self._last = leaf

    def is_long(self, end: datetime) -> bool:
        """Whether a timer until then is longer than the extension's store takes in one piece."""
        return self._cuts_timers and end - self.clock.now > self.limits.maximum

    def consume(self, wait: WaitTask) -> None:
        """Lists a wait where its event was handed to the code."""
        last = self._last
        if last is wait:
            return
        if isinstance(last, WaitTask):
            last = self._last = Item(last, [], [last])
        elif not isinstance(last, Item):
            last = Item(last, [last], []) if last is not None else Item(None, [], [])
            self._last = last
        last.consume(wait)

    def _number(self, leaf: Leaf) -> None:
        leaf.id = len(self.leaves)
        self.leaves.append(leaf)

    # -- freezing ----------------------------------------------------------------------------------------------------

    def _freeze(self) -> None:
        """Fixes the form of the last item; something is about to be listed behind it."""
        last = self._last
        if last is None:
            return
        self._last = None
        if not isinstance(last, Item):
            if last.through:
                if last.at is not None and last.at > self._barrier:
                    self._barrier = last.at
                self._frozen.append(last)
                return
            if isinstance(last, WaitTask):
                return  # an open wait holds the extension up for nothing; it is listed where its event is consumed
            last = Item(last, [last], [])
        last.freeze(self.barrier)
        self._barrier = max(self._barrier, last.passed_at())
        self._frozen.append(last)

    @property
    def barrier(self) -> int:
        """Where the extension has passed everything frozen."""
        if not self._syncs:
            return self._barrier
        return max([self._barrier, *(NEVER if sync.at is None else sync.at for sync in self._syncs)])

    @property
    def frozen_items(self) -> list[Item]:
        """The items whose form is decided, in order."""
        return [item for item in self._frozen if isinstance(item, Item)]

    def recount_barrier(self) -> None:
        """Works the barrier out anew from everything frozen."""
        ends = [item.passed_at() if isinstance(item, Item) else item.at for item in self._frozen]
        self._barrier = max((end for end in ends if end is not None), default=START)

    def _needs_sync(self, timer: TimerTask) -> bool:
        """Whether the extension's clock, where it starts the timer, is so far behind that it would cut it."""
        longest = self.limits.maximum
        if timer.fire_at - self.clock.first <= longest:
            return False
        barrier = self.barrier
        return timer.fire_at - (self.now if barrier == NEVER else self.clock.at(barrier)) > longest

    def _add_sync(self) -> None:
        """Lists a timer the code does not see, which holds the extension back until its clock has caught up."""
        sync = TimerTask(self, self.clock.first, hidden=True)
        self._number(sync)
        self._frozen.append(sync)
        self._syncs.append(sync)

    # -- the list ----------------------------------------------------------------------------------------------------

    def actions(self, *, ending: bool) -> list[list[AnyAction]]:
        """The action list, in the shape of the schema."""
        if self.schema < ReplaySchema.V2:
            return self._rows()
        actions: list[AnyAction] = []
        for item in self._items():
            if isinstance(item, Item):
                actions.extend(element.action for element in item.elements(ending=ending))
            else:
                actions.append(item.action)
        return [actions]

    def _items(self) -> Iterator[Leaf | WaitTask | Item]:
        yield from self._frozen
        if self._last is not None:
            yield self._last

    def _rows(self) -> list[list[AnyAction]]:
        """Schema V1: one row a yield, without compounds."""
        rows = []
        for item in self._items():
            node = item.template if isinstance(item, Item) else item
            if node is not None:
                rows.append(list(leaf_actions(node)))
        return rows

    def last_elements(self) -> list[Element]:
        """The list of an orchestrator that continues as new, in a form that leads past every consumed event."""
        self._uncover_consumed()
        return list(self._last_elements())

    def _last_elements(self) -> Iterator[Element]:
        for item in self._items():
            if isinstance(item, Item):
                yield from item.elements(ending=True)
            else:
                yield single_element(item)

    def _uncover_consumed(self) -> None:
        """Takes items with waits out of P form until the extension passes the list behind the last consumed event."""
        items = list(self._items())
        waits = [wait for item in items for wait in (item.all_waits if isinstance(item, Item) else [item])]
        last = max((wait.at for wait in waits if isinstance(wait, WaitTask) and wait.at is not None), default=START)
        for item in reversed(items):
            if max((element.passed_at for element in self._last_elements()), default=START) >= last:
                return
            if isinstance(item, Item) and item.all_waits:
                item.uncover()
