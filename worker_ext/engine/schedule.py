"""Leaves in id order, the items they form, and the action list they become.

The extension works the action list item by item and numbers leaves as it meets them, so the k-th leaf of the flattened
list must be the k-th that was scheduled; which compounds stand around the leaves is free. What is listed here:

* *P form*: the list of azure-functions-durable 1.7.0, the classic one: one item a yield, compounds as the code wrote
  them. The extension waits for an item before it goes on to the next.
* *B form*: every leaf on its own. A leaf that is still open when something else is listed behind it is wrapped so that
  the list does not wait for it: `WhenAny[leaf, WhenAll[]]`. External events are listed where they were consumed.

An item keeps P form while it is the last. When the next is listed its form is *frozen*: P if nothing in it was left
open, else B. So an app sees 1.7.0's list wherever that list works, and no hang and no swapped value where it does not.

Positions are indexes into the history. `at` of a task is the position of the event that settled it. The *barrier* is
the position at which the extension, replaying the current list, has passed everything frozen; its clock there decides
whether a timer is long, and a `sync` timer is put in front of one that it would otherwise cut.

Source: durable-functions JSON protocol, sections 4.10 and 4.11. Left out: critical sections (locks).
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from worker_ext.engine.tasks import (
    CompoundTask,
    Leaf,
    LongTimerTask,
    RetryTask,
    Task,
    TimerTask,
    WaitTask,
    WhenAnyTask,
)
from worker_ext.protocol.actions import (
    AnyAction,
    CallEntity,
    ContinueAsNew,
    LockEntities,
    ReleaseEntities,
    WhenAll,
    WhenAny,
)
from worker_ext.protocol.codec import parse_timestamp
from worker_ext.protocol.history import EventRaised
from worker_ext.protocol.orchestrator import ReplaySchema

START = -1
"""The position before the first event: a list that waits for nothing is passed there."""

NEVER = sys.maxsize
"""The position of what has not happened yet."""

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


@dataclass(slots=True)
class Template:
    """What 1.7.0 lists for one yield: a compound of templates, leaves, retries and waits not listed before."""

    members: list[Node]
    any: bool

    def action(self) -> AnyAction:
        """The compound action."""
        members = tuple(action_of(member) for member in self.members)
        return WhenAny(compound_actions=members) if self.any else WhenAll(compound_actions=members)


Node = Template | Leaf | RetryTask | WaitTask


def action_of(node: Node) -> AnyAction:
    """The action of one node in P form."""
    if isinstance(node, Template):
        return node.action()
    if isinstance(node, RetryTask):
        return WhenAll(compound_actions=(node.action,))
    return node.action


def leaf_actions(node: Node) -> Iterator[AnyAction]:
    """The actions of a node without its compounds, as schema V1 wants them."""
    if isinstance(node, Template):
        for member in node.members:
            yield from leaf_actions(member)
    else:
        yield node.action


def passed_at(node: Node) -> int:
    """Where the extension goes on behind a node in P form that it started at the start of the execution."""
    if isinstance(node, Template):
        ends = [passed_at(member) for member in node.members]
        return (min(ends) if node.any else max(ends)) if ends else START
    if isinstance(node, TimerTask) and not node.settled and node.cancelled:
        return START
    return NEVER if node.at is None else node.at


def not_waiting(action: AnyAction) -> AnyAction:
    """Wraps an action so that the extension starts it and goes on at once."""
    return WhenAny(compound_actions=(action, WhenAll(compound_actions=())))


class Group:
    """Leaves that stand inside one WhenAll. Once closed, each is for ever waited for (`bare`) or not."""

    __slots__ = ("_closed", "bare", "leaves")

    def __init__(self, leaves: list[Leaf]) -> None:
        self.leaves = leaves
        self.bare: list[bool] | None = None
        self._closed = False

    def close(self, *, for_good: bool = True) -> None:
        """Fixes the shape of each leaf; until something follows (`for_good`) it may still be fixed anew."""
        if not self._closed:
            self.bare = [leaf.through for leaf in self.leaves]
            self._closed = for_good

    def action(self, *, ending: bool) -> AnyAction:
        """The group as one action; an open group waits for its leaves unless the orchestrator is ending."""
        shapes = self.bare if self.bare is not None else [leaf.through or not ending for leaf in self.leaves]
        actions = tuple(
            leaf.action if bare else not_waiting(leaf.action) for leaf, bare in zip(self.leaves, shapes, strict=True)
        )
        return actions[0] if len(actions) == 1 else WhenAll(compound_actions=actions)

    def passed_at(self, *, ending: bool) -> int:
        """Where the extension goes on behind the group."""
        if self.bare is None and not ending and not all(leaf.through for leaf in self.leaves):
            return NEVER
        shapes = self.bare if self.bare is not None else [True] * len(self.leaves)
        return max(
            (leaf.at for leaf, bare in zip(self.leaves, shapes, strict=True) if bare and leaf.at is not None),
            default=START,
        )

    @property
    def pinned(self) -> bool:
        """Whether continue-as-new must stand behind this group."""
        shapes = self.bare if self.bare is not None else [True] * len(self.leaves)
        return any(
            isinstance(leaf.action, LockEntities | ReleaseEntities) or (bare and isinstance(leaf.action, CallEntity))
            for leaf, bare in zip(self.leaves, shapes, strict=True)
        )


class Element:
    """One top-level entry of the action list, with what the place of continue-as-new depends on."""

    __slots__ = ("action", "passed_at", "pinned")

    def __init__(self, action: AnyAction, passed_at: int, *, pinned: bool) -> None:
        self.action = action
        self.passed_at = passed_at
        self.pinned = pinned


class Item:
    """What one yield (or one hidden leaf nobody's item could take) lists."""

    __slots__ = ("consumed", "form", "groups", "hidden_at", "template", "waits")

    def __init__(self, template: Node | None, leaves: list[Leaf], waits: list[WaitTask]) -> None:
        self.template = template
        self.groups = [Group(leaves)] if leaves else []
        self.waits = waits
        self.consumed: list[tuple[int, WaitTask]] = []
        self.hidden_at: list[int] = []
        self.form = ""

    def consume(self, wait: WaitTask) -> None:
        """Takes note that a wait, of whichever item, got its event while this item was the last."""
        self.consumed.append((len(self.groups), wait))

    def add_hidden(self, leaf: Leaf, position: int) -> None:
        """Adds a leaf the code does not see."""
        if self.groups:
            self.groups[-1].close()
        self.groups.append(Group([leaf]))
        self.hidden_at.append(position)

    def freeze(self, barrier: int) -> None:
        """Decides the form for good. `barrier` is where the extension has passed everything before this item."""
        if self.groups:
            self.groups[-1].close()
        self.form = "P" if self._fits_p_form(barrier) else "B"

    def end(self) -> None:
        """Decides the form of the last item when the code has ended. A retry may still add leaves to it."""
        self.form = "P" if self.template is not None and self.is_through else "B"
        if self.groups:
            self.groups[-1].close(for_good=False)

    def _fits_p_form(self, barrier: int) -> bool:
        if self.template is None or not self.is_through:
            return False
        if not self.hidden_at:
            return True
        return max(barrier, self._passed_in_p_form()) >= max(self.hidden_at)

    @property
    def is_through(self) -> bool:
        """Whether nothing in the item is open."""
        return all(leaf.through for group in self.groups for leaf in group.leaves) and all(
            wait.settled for wait in self.waits
        )

    @property
    def has_waits(self) -> bool:
        """Whether P form would list event waits."""
        return bool(self.waits) or bool(self.consumed)

    def _foreign_waits(self) -> list[WaitTask]:
        return [wait for _, wait in self.consumed if wait not in self.waits]

    def _passed_in_p_form(self) -> int:
        assert self.template is not None
        return max([passed_at(self.template), *(_position(wait) for wait in self._foreign_waits())])

    def passed_at(self) -> int:
        """Where the extension goes on behind this item."""
        return max((element.passed_at for element in self.elements()), default=START)

    def elements(self, *, ending: bool = False) -> Iterator[Element]:
        """The item's entries of the action list."""
        form = self.form or ("P" if self.template is not None else "B")
        return self._p_form() if form == "P" else self._b_form(ending=ending)

    def _p_form(self) -> Iterator[Element]:
        assert self.template is not None
        pinned = bool(self.waits) or any(group.pinned for group in self.groups)
        yield Element(action_of(self.template), passed_at(self.template), pinned=pinned)
        for wait in self._foreign_waits():
            yield Element(wait.action, _position(wait), pinned=True)

    def _b_form(self, *, ending: bool) -> Iterator[Element]:
        for count, group in enumerate([None, *self.groups]):
            if group is not None:
                yield Element(group.action(ending=ending), group.passed_at(ending=ending), pinned=group.pinned)
            for after, wait in self.consumed:
                if after == count:
                    yield Element(wait.action, _position(wait), pinned=True)


def _position(wait: WaitTask) -> int:
    return NEVER if wait.at is None else wait.at


class Schedule:
    """Everything an orchestrator has scheduled in this execution, in order.

    Args:
        begin: The timestamp of the first batch.
        schema: The shape of the action list.
        limits: How long a timer may be.

    Attributes:
        position: The position in history of the event being delivered.
        leaves: Every leaf by its id.
    """

    def __init__(self, begin: str, schema: ReplaySchema, limits: TimerLimits) -> None:
        self.position = START
        self.schema = schema
        self.limits = limits
        self.leaves: list[Leaf] = []
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
        if type(task) is Leaf:
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
        self._freeze()
        if any(isinstance(leaf, TimerTask) and self._needs_sync(leaf) for leaf in leaves):
            self._add_sync()
        for leaf in leaves:
            self._number(leaf)
        item = Item(node if self._may_be_p(node) else None, leaves, waits)
        self._last = item
        self._own_retries(node, item)
        for wait in waits:
            self.on_wait(wait)

    def list_signal(self, leaf: Leaf) -> None:
        """Lists a leaf that nothing waits for: it is through the moment it is sent."""
        self._freeze()
        self._number(leaf)
        leaf.settled = leaf.through = True
        self._frozen.append(leaf)
        self._last = None

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

    def add_chunk(self, chunk: TimerTask) -> None:
        """Lists the next piece of a long timer."""
        self._freeze()
        self._number(chunk)
        self._last = chunk

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
            if task.entered:
                return None
            task.entered = True
            waits.append(task)
            return task
        if isinstance(task, RetryTask):
            return task if self._new_leaf(task.first, leaves) is not None else None
        if isinstance(task, LongTimerTask):
            return Template([task.first], any=False) if self._new_leaf(task.first, leaves) is not None else None
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
        return self._repeats_by_host or not _has_retry(node)

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

    def actions_with(self, again: ContinueAsNew, events: list[tuple[int, EventRaised]]) -> list[list[AnyAction]]:
        """The action list of an orchestrator that continues as new.

        Args:
            again: The action; where it stands decides which events the next generation gets.
            events: Position and event of each external event that was not handed to the code.
        """
        if self.schema < ReplaySchema.V2:
            return [*self._rows(), [again]]
        self._uncover_consumed()
        elements = [
            element
            for item in self._items()
            for element in (item.elements(ending=True) if isinstance(item, Item) else _leaf_element(item))
        ]
        actions = [element.action for element in elements]
        actions.insert(self._place_of_again(elements, events), again)
        return [actions]

    def _place_of_again(self, elements: list[Element], events: list[tuple[int, EventRaised]]) -> int:
        first = next((index + 1 for index in range(len(elements) - 1, -1, -1) if elements[index].pinned), 0)
        barriers = [START]
        for element in elements:
            barriers.append(max(barriers[-1], element.passed_at))
        unconsumed = next((position for position, _ in events if position > barriers[first]), None)
        if unconsumed is None:
            return len(elements)
        return max(place for place in range(first, len(elements) + 1) if barriers[place] < unconsumed)

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
            for element in (item.elements(ending=True) if isinstance(item, Item) else _leaf_element(item))
        ]
        return max(ends, default=START)


def _leaf_element(leaf: Leaf) -> Iterator[Element]:
    passed = leaf.at if leaf.at is not None else START if leaf.through else NEVER
    yield Element(leaf.action, passed, pinned=isinstance(leaf.action, CallEntity | LockEntities | ReleaseEntities))


def _has_retry(node: Node) -> bool:
    if isinstance(node, Template):
        return any(_has_retry(member) for member in node.members)
    return isinstance(node, RetryTask)
