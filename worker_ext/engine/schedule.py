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

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from worker_ext.engine.items import NEVER, START, Element, Item, Node, Template, has_retry, leaf_actions, leaf_element
from worker_ext.engine.locks import CriticalSection, LockTask
from worker_ext.engine.retries import RetryTask, SteppedTask
from worker_ext.engine.tasks import (
    CompoundTask,
    Leaf,
    LongTimerTask,
    Task,
    TimerTask,
    WaitTask,
    WhenAnyTask,
)
from worker_ext.errors import OrchestratorError
from worker_ext.protocol.actions import AnyAction, ReleaseEntities
from worker_ext.protocol.codec import parse_timestamp
from worker_ext.protocol.orchestrator import ReplaySchema

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
        position: The position in history of the event being delivered.
        leaves: Every leaf by its id.
        ended: Whether the code has ended.
        section: The critical section the code is in, or None.
        on_new_wait: Asked before a wait is listed; whether it was answered without the extension.
        on_wait: Told of a wait that was listed.
        has_locked: Whether anything was ever locked, so that the list needs schema V4.
    """

    def __init__(self, instance_id: str, begin: str, schema: ReplaySchema, limits: TimerLimits) -> None:
        self.instance_id = instance_id
        self.position = START
        self.ended = False
        self.section: CriticalSection | None = None
        self.has_locked = False
        self.schema = schema
        self.limits = limits
        self.leaves: list[Leaf] = []
        self.on_new_wait: Callable[[WaitTask], bool] = lambda wait: False
        self.on_wait: Callable[[WaitTask], None] = lambda wait: None
        self._batches = [(START, begin)]
        self._starts: list[tuple[int, datetime]] = []
        self._now = datetime.min.replace(tzinfo=UTC)
        self._frozen: list[Leaf | Item] = []
        self._last: Leaf | Item | None = None
        self._barrier = START
        self._syncs: list[TimerTask] = []
        self._repeats_by_host = not limits.exist or limits.maximum >= HOST_MAX_RETRY_INTERVAL

    def begin_batch(self, timestamp: str) -> None:
        """Moves the clock; the orchestrator's never goes back, the extension's is whatever the batch says."""
        self._batches.append((self.position, timestamp))

    @property
    def now(self) -> datetime:
        """The orchestrator's clock: the latest time of all batches so far."""
        if self._batches:
            self._read_clock()
        return self._now

    def _read_clock(self) -> None:
        """Parses the times of batches; code that never asks for the time does not pay for them."""
        for position, timestamp in self._batches:
            time = parse_timestamp(timestamp)
            self._starts.append((position, time))
            self._now = max(self._now, time)
        self._batches.clear()

    def end(self) -> None:
        """The code has ended: its open timers are cancelled, and nothing waits for what else it left open."""
        self.ended = True
        for leaf in self.leaves:
            if type(leaf) is TimerTask and not leaf.through and not leaf.hidden:
                leaf.cancel()
        last = self._last
        if isinstance(last, Leaf) and not last.through:
            self._last = last = Item(last, [last], [])
        if isinstance(last, Item):
            last.end()

    # -- listing -----------------------------------------------------------------------------------------------------

    def list_task(self, task: Task) -> None:
        """Lists what a yielded task consists of, as far as it is not listed yet."""
        if type(task) is Leaf and self.section is None:
            if task.id < 0:
                if self._last is not None:
                    self._freeze()
                task.id = len(self.leaves)
                self.leaves.append(task)
                self._last = task
            return
        leaves: list[Leaf] = []
        waits: list[WaitTask] = []
        node = self._template(task, leaves, waits)
        if node is None:
            return
        concerns_lock = self.section is not None and self.section.enter(leaves)
        self._freeze()
        if concerns_lock:
            self._wait_for(self.section)
        if any(isinstance(leaf, TimerTask) and self._needs_sync(leaf) for leaf in leaves):
            self._add_sync()
        for leaf in leaves:
            self._number(leaf)
            if isinstance(leaf, LockTask):
                self.section = CriticalSection(leaf)
                self.has_locked = True
        item = Item(node if self._may_be_p(node) else None, leaves, waits)
        self._last = item
        self._own_retries(node, item)
        for wait in waits:
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
        if isinstance(leaf, TimerTask) and self._needs_sync(leaf):
            self._add_sync()
        self._number(leaf)
        self._last = leaf

    def is_long(self, end: datetime) -> bool:
        """Whether a timer until then is longer than the extension's store takes in one piece."""
        return self.limits.exist and self.schema >= ReplaySchema.V3 and end > self.now + self.limits.maximum

    def consume(self, wait: WaitTask) -> None:
        """Lists a wait where its event was handed to the code."""
        last = self._last
        if not isinstance(last, Item):
            last = Item(last, [last], []) if last is not None else Item(None, [], [])
            self._last = last
        last.consume(wait)

    def _number(self, leaf: Leaf) -> None:
        leaf.id = len(self.leaves)
        self.leaves.append(leaf)

    def _template(self, task: Task, leaves: list[Leaf], waits: list[WaitTask]) -> Node | None:
        """The template of a task without what was listed before; None if nothing is new. Collects leaves and waits."""
        if isinstance(task, Leaf):
            return self._new_leaf(task, leaves)
        if isinstance(task, WaitTask):
            if task.entered or self.on_new_wait(task):
                return None
            task.entered = True
            waits.append(task)
            return task
        if isinstance(task, RetryTask):
            return task if self._new_leaf(task.first, leaves) is not None else None
        if isinstance(task, LongTimerTask):
            return Template([task.first], any=False) if self._new_leaf(task.first, leaves) is not None else None
        if isinstance(task, SteppedTask):
            return self._new_leaf(task.first, leaves)
        assert isinstance(task, CompoundTask)
        nodes = [self._template(member, leaves, waits) for member in task.members]
        new = [node for node in nodes if node is not None]
        return Template(new, any=isinstance(task, WhenAnyTask)) if new else None

    def _new_leaf(self, leaf: Leaf, leaves: list[Leaf]) -> Leaf | None:
        if leaf.id >= 0 or leaf in leaves:
            return None
        leaves.append(leaf)
        return leaf

    def _may_be_p(self, node: Node) -> bool:
        """Whether the extension takes the template: it refuses retries where timers may be shorter than its delays."""
        return self._repeats_by_host or not has_retry(node)

    def _own_retries(self, node: Node, item: Item) -> None:
        if isinstance(node, RetryTask):
            node.item = item
            node.started = self.now
        elif isinstance(node, Template):
            for member in node.members:
                self._own_retries(member, item)

    # -- freezing ----------------------------------------------------------------------------------------------------

    def _freeze(self) -> None:
        """Fixes the form of the last item; something is about to be listed behind it."""
        last = self._last
        if last is None:
            return
        self._last = None
        if isinstance(last, Leaf):
            if last.through:
                if last.at is not None and last.at > self._barrier:
                    self._barrier = last.at
                self._frozen.append(last)
                return
            last = Item(last, [last], [])
        last.freeze(self.barrier)
        self._barrier = max(self._barrier, last.passed_at())
        self._frozen.append(last)

    @property
    def barrier(self) -> int:
        """Where the extension has passed everything frozen."""
        return max([self._barrier, *(NEVER if sync.at is None else sync.at for sync in self._syncs)])

    def clock(self, position: int) -> datetime:
        """The extension's time at a position: that of the last batch that began at or before it."""
        now = self.now
        if position >= NEVER:
            return now
        batch = bisect_right(self._starts, position, key=lambda start: start[0]) - 1
        return self._starts[max(batch, 0)][1]

    def _needs_sync(self, timer: TimerTask) -> bool:
        if not self.limits.exist or self.schema < ReplaySchema.V2:
            return False
        return timer.fire_at - self.clock(self.barrier) > self.limits.maximum

    def _add_sync(self) -> None:
        """Lists a timer the code does not see, which holds the extension back until its clock has caught up."""
        sync = TimerTask(self, self.clock(START), hidden=True)
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
            if isinstance(item, Leaf):
                actions.append(item.action)
            else:
                actions.extend(element.action for element in item.elements(ending=ending))
        return [actions]

    def _items(self) -> Iterator[Leaf | Item]:
        yield from self._frozen
        last = self._last
        if isinstance(last, Leaf) and not last.through:
            yield Item(last, [last], [])
        elif last is not None:
            yield last

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
        return [
            element
            for item in self._items()
            for element in (item.elements(ending=True) if isinstance(item, Item) else leaf_element(item))
        ]

    def _uncover_consumed(self) -> None:
        """Takes items with waits out of P form until the extension passes the list behind the last consumed event."""
        consumed = [
            wait.at
            for item in self._items()
            if isinstance(item, Item)
            for wait in [*item.waits, *(wait for _, wait in item.consumed)]
            if wait.at is not None
        ]
        if not consumed:
            return
        for item in reversed([item for item in self._items() if isinstance(item, Item) and item.has_waits]):
            if self._passed() >= max(consumed):
                return
            item.form = "B"
            for group in item.groups:
                group.close()

    def _passed(self) -> int:
        ends = [
            element.passed_at
            for item in self._items()
            for element in (item.elements(ending=True) if isinstance(item, Item) else leaf_element(item))
        ]
        return max(ends, default=START)
