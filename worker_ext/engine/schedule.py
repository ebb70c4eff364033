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

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from worker_ext.engine.clock import START, ReplayClock
from worker_ext.engine.in_flight import InFlight
from worker_ext.engine.items import NEVER, Element, Item, leaf_actions, single_element
from worker_ext.engine.listing import Listing
from worker_ext.engine.locks import CriticalSection, LockTask
from worker_ext.engine.retries import HOST_MAX_RETRY_INTERVAL, RetryTask
from worker_ext.engine.tasks import (
    Leaf,
    LongTimerTask,
    Task,
    TimerTask,
    TypedLeaf,
    WaitTask,
)
from worker_ext.errors import OrchestratorError
from worker_ext.protocol.actions import AnyAction, CallEntity, ReleaseEntities
from worker_ext.protocol.codec import parse_timestamp
from worker_ext.protocol.history import HistoryEvent, ScheduledEvent, TimerCreated
from worker_ext.protocol.orchestrator import ReplaySchema

if TYPE_CHECKING:
    from worker_ext.engine.loop import DurableLoop

_SINGLE = frozenset({Leaf, TimerTask, TypedLeaf, WaitTask})
"""Tasks that may stand for themselves in the list."""

_LAST = datetime.max.replace(tzinfo=UTC)


def _told_nothing(wait: WaitTask) -> None:
    """Stands where nobody listens."""


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
        has_cancelled: Whether anything was ever cancelled, so that tasks may be yielded that never settle.
        loop: The loop of an `async def` orchestrator; None for a generator.
        joins: Whether what an `async def` orchestrator starts now joins what it started since the last event.
        on_leave: Told of a wait that the code gave up.
        history: The history of this execution.
        cut_off: Pieces of long timers that a generator cancelled while they ran.
        cut_by_host: Timers that the extension has cut, because 1.7.0's list had it start them at an earlier time, and
            when they end.
        held: Leaves that wait, in the worker, for the end of a critical section, and whether code inside it asked.
    """

    def __init__(self, instance_id: str, begin: str, schema: ReplaySchema, limits: TimerLimits) -> None:
        self.instance_id = instance_id
        self.loop: DurableLoop | None = None
        self.on_leave: Callable[[WaitTask], None] = _told_nothing
        self.held: list[tuple[Leaf, bool]] = []
        self.history: Sequence[HistoryEvent] = ()
        self.cut_off: dict[Leaf, LongTimerTask] = {}
        self.cut_by_host: dict[Leaf, datetime] = {}
        self._expected: list[tuple[LongTimerTask, TimerTask]] = []
        self._known: dict[int, ScheduledEvent] | None = None
        self.joins: bool = False
        self._numbered = 0
        self.position = START
        self.ended: bool = False
        self.section: CriticalSection | None = None
        self.in_flight: InFlight | None = None
        self.has_locked: bool = False
        self.has_cancelled: bool = False
        self.schema = schema
        self.limits = limits
        self.leaves: list[Leaf] = []
        self.on_new_wait: Callable[[WaitTask], bool] | None = None
        self.on_wait: Callable[[WaitTask], None] = _told_nothing
        self.clock: ReplayClock = ReplayClock(begin)
        self._frozen: list[Leaf | WaitTask | Item] = []
        self._last: Leaf | WaitTask | Item | None = None
        self._barrier = START
        self._reach: datetime | None = None
        self._syncs: list[TimerTask] = []
        exist = limits.exist
        self._has_limits = exist and schema >= ReplaySchema.V2
        self._cuts_timers = exist and schema >= ReplaySchema.V3
        self._repeats_by_host = not exist or limits.maximum >= HOST_MAX_RETRY_INTERVAL

    @property
    def now(self) -> datetime:
        """The orchestrator's time."""
        return self.clock.now

    def end(self) -> None:
        """The code has ended: its open timers are cancelled, and nothing waits for what else it left open."""
        self.ended = True
        self.joins = False
        self.held.clear()
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

    def take_back(self, known: Container[int]) -> None:
        """Takes the last of the list back, unless some of its leaves are `known`: the extension has started those."""
        last = self._last
        groups = [group.leaves for group in last.groups] if isinstance(last, Item) else [[last]]
        if not any(isinstance(leaf, Leaf) and leaf.id in known for leaves in groups for leaf in leaves):
            self._last = None

    def close(self) -> None:
        """Lets go of everything that was scheduled; what user code keeps of it stays readable."""
        for leaf in self.leaves:
            if not leaf.settled or leaf.failed:
                leaf.unlink()
        self.leaves = []
        self.cut_off.clear()
        self.cut_by_host.clear()
        self._expected.clear()
        self._known = None
        self._frozen = []
        self._last = self.section = self.on_new_wait = None
        self.on_wait = self.on_leave = _told_nothing

    # -- listing -----------------------------------------------------------------------------------------------------

    def list_task(self, task: Task) -> None:
        """Lists what a yielded task consists of, as far as it is not listed yet."""
        kind = type(task)
        if self.section is not None or kind not in _SINGLE:
            self._list_item(task)
        elif kind is WaitTask:
            if not task.entered:  # type: ignore[attr-defined]  # kind is what type() says
                self._list_wait(task)  # type: ignore[arg-type]
        elif task.id < 0:  # type: ignore[attr-defined]
            self._list_leaf(task)  # type: ignore[arg-type]

    def _list_wait(self, wait: WaitTask) -> None:
        """Lists a wait that stands for itself."""
        if self.on_new_wait is not None and self.on_new_wait(wait):
            return
        if self._last is not None:
            self._freeze()
        wait.entered = True
        self._last = wait
        self.on_wait(wait)

    def _list_leaf(self, leaf: Leaf) -> None:
        """Lists a leaf that stands for itself; what most yields are."""
        if self._expected:
            self.list_expected(leaf)
        if self._last is not None:
            self._freeze()
        if self._has_limits and isinstance(leaf, TimerTask) and self._needs_sync(leaf):
            self._catch_up_for([leaf])
        leaf.id = len(self.leaves)
        if self.in_flight is not None and isinstance(leaf.action, CallEntity):
            self.in_flight.fit(self, leaf)
        self.leaves.append(leaf)
        self._last = leaf

    def _list_item(self, task: Task) -> None:
        new = Listing(self.on_new_wait)
        node = new.template(task)
        if node is None:
            return
        concerns_lock = self.section is not None and self.section.enter(new.leaves)
        if self._expected and new.leaves:
            self.list_expected(new.leaves[0])
        self._freeze()
        if concerns_lock:
            self._wait_for(self.section)
        if self._has_limits:
            self._catch_up_for(new.leaves)
        for leaf in new.leaves:
            self._number(leaf)
            if self.in_flight is not None and isinstance(leaf.action, CallEntity):
                self.in_flight.fit(self, leaf)
            if isinstance(leaf, LockTask):
                self.section = CriticalSection(leaf)
                self.has_locked = True
        # The extension refuses retries where its timers may be shorter than their delays: then their parts are listed.
        self._last = item = Item(None if new.retries and not self._repeats_by_host else node, new.leaves, new.waits)
        for retry in new.retries:
            retry.begin(item)
        for wait in new.waits:
            self.on_wait(wait)

    def list_signal(self, leaf: Leaf) -> None:
        """Lists a leaf that nothing waits for: it is through the moment it is sent."""
        if self.loop is not None:
            leaf.through = True
            self.start(leaf)
            return
        if self.section is not None:
            self.section.enter([leaf])
        if self._expected:
            self.list_expected(leaf)
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
        if self.loop is not None:
            self._release_among_branches(section)
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
        if self._expected:
            self.list_expected(leaf)
        last = self._last
        if isinstance(last, Item) and (last.template is None or last is retry.item):
            last.add_hidden(leaf, self.position)
            if not (self._has_limits and isinstance(leaf, TimerTask) and self._is_late_for(leaf, last)):
                self._number(leaf)
                return
            last.take_back_hidden()
        self._freeze()
        if self._has_limits:
            self._catch_up_for([leaf])
        self._last = item = Item(None, [leaf], [])
        item.hidden_at.append(self.position)
        self._number(leaf)

    def _is_late_for(self, timer: TimerTask, item: Item) -> bool:
        """Whether the extension's clock lags where it would start a timer that was just added to an item."""
        if timer.fire_at <= (self._reach or self._find_reach()) or not (self.ended or item.template is None):
            return False
        return self._lags(timer, max(self.barrier, item.passed_before_last())) and not self.has_next(timer.fire_at)

    def known_next(self) -> ScheduledEvent | None:
        """What history has under the id that the next leaf will get, or None."""
        if self._known is None:
            # Backwards: of two events of one id, which is a fault, the first counts.
            self._known = {
                event.event_id: event for event in reversed(self.history) if isinstance(event, ScheduledEvent)
            }
        return self._known.get(len(self.leaves))

    def has_next(self, fire_at: datetime) -> bool:
        """Whether history has a timer until then under the next id: the extension, or 1.7.0, has started it whole."""
        event = self.known_next()
        return isinstance(event, TimerCreated) and parse_timestamp(event.fire_at) == fire_at

    def add_step(self, leaf: Leaf) -> None:
        """Lists the next leaf of a task that the worker makes of several."""
        if self.loop is not None:
            self.start(leaf)
            return
        if self._expected:
            self.list_expected(leaf)
        self._freeze()
        if self._has_limits:
            self._catch_up_for([leaf])
        self._number(leaf)
        self._last = leaf

    def follow_cut_off(self, leaf_id: int) -> None:
        """Expects what 1.7.0 may start when a piece of a cancelled timer has fired: it goes on with such timers."""
        timer = self.cut_off.get(self.leaves[leaf_id]) if leaf_id < len(self.leaves) else None
        piece = None if timer is None else timer.piece_after()
        if timer is not None and piece is not None:
            self._expected.append((timer, piece))

    def list_expected(self, leaf: Leaf | None) -> None:
        """Lists pieces of cancelled timers that history has before a leaf of the code, or where the code has none.

        A timer that the code itself sets is no piece: it may well wait for the same time again.
        """
        for timer, piece in list(self._expected):
            if self.has_next(piece.fire_at):
                self._expected.remove((timer, piece))
                if isinstance(leaf, TimerTask) and leaf.fire_at == piece.fire_at:
                    return
                self._freeze()
                self._number(piece)
                piece.cancel()
                self.cut_off[piece] = timer
                self._last = piece

    def is_piece(self, leaf: Leaf, fire_at: str | None) -> bool:
        """Whether only a piece of a timer has fired that the extension cut; it starts the next under the next id."""
        if leaf not in self.cut_by_host or fire_at is None or parse_timestamp(fire_at) >= self.cut_by_host[leaf]:
            return False
        self.leaves.append(leaf)
        return True

    # -- branches side by side: one group a wake-up ------------------------------------------------------------------

    def start(self, leaf: Leaf) -> None:
        """Starts a leaf of an `async def` orchestrator: it joins what else was started since the last event."""
        last = self._last
        if self.section is None:
            if self.joins and type(last) is Item and type(leaf) is Leaf:  # one of many, and the short way for it
                leaf.id = len(self.leaves)
                self.leaves.append(leaf)
                last.join(leaf)
            else:
                self._join(leaf)
        else:
            self._start_in_section(self.section, leaf, is_inside=self.section.is_inside)

    def _start_in_section(self, section: CriticalSection, leaf: Leaf, *, is_inside: bool) -> None:
        if section.admits(leaf, is_inside=is_inside, is_behind=self.barrier == NEVER):
            self._join(leaf, section.take(leaf))
        else:
            self.held.append((leaf, is_inside))

    def request_lock(self, request: LockTask) -> None:
        """Starts a request for locks, or holds it back until the section before it has ended."""
        if self.section is None:
            self.section = CriticalSection(request, [leaf for leaf in self.leaves if not leaf.through])
            self.has_locked = True
            self._join(request)
        else:
            self.start(request)

    def _join(self, leaf: Leaf, need: int = START, ids: int = 1) -> None:
        """Adds a leaf to the group of this wake-up.

        Args:
            leaf: The leaf.
            need: The position in history that the extension must have passed before it starts the leaf.
            ids: How many ids it takes.
        """
        if not self.joins:
            self.joins = True
            if self._last is not None:
                self._freeze()
        if (need > START and need > self.barrier) or (
            self._has_limits and isinstance(leaf, TimerTask) and self._needs_sync(leaf)
        ):
            self._freeze()
            self._add_sync()
        leaf.id = len(self.leaves)
        if ids == 1:
            self.leaves.append(leaf)
        else:
            self.leaves.extend([leaf] * ids)
        last = self._last
        if last is None:
            self._last = leaf
        elif isinstance(last, Item):
            last.join(leaf)
        else:
            assert isinstance(last, Leaf), "waits are not listed before their event"
            self._last = Item(None, [last, leaf], [])

    def enter(self, wait: WaitTask) -> None:
        """Lets a wait of an `async def` orchestrator queue for its event; it is listed when it gets one."""
        if self.on_new_wait is not None and self.on_new_wait(wait):
            return
        wait.entered = True
        self.on_wait(wait)

    def leave(self, wait: WaitTask) -> None:
        """The code has given up a wait. Awaited again, it queues again."""
        wait.dropped = True
        if wait.entered:
            wait.entered = False
            self.on_leave(wait)

    def withdraw(self, leaf: Leaf) -> None:
        """Nothing waits for a leaf any more: one that was held back is not started."""
        if self.held:
            self.held = [entry for entry in self.held if entry[0] is not leaf]

    def retry_held(self) -> None:
        """Starts what was held back, as far as the critical section now allows it."""
        waiting, self.held = self.held, []
        for leaf, is_inside in waiting:
            if self.section is None:
                leaf.start()
            else:
                self._start_in_section(self.section, leaf, is_inside=is_inside)

    def leave_section(self, ids: tuple[str, ...]) -> None:
        """The code has left its critical section: it is released when the last call in it has been answered."""
        section = self.section
        if section is not None and section.ids == ids:
            section.leave()
            self.release(ids)

    def _release_among_branches(self, section: CriticalSection) -> None:
        section.leave()
        if section.busy:
            return
        self.section = None
        leaf = Leaf(self, ReleaseEntities())
        leaf.settled = leaf.through = True
        self._join(leaf, section.position, len(section.ids))
        self.retry_held()

    def next_number(self) -> int:
        """The number of the next task that is put into a set."""
        self._numbered += 1
        return self._numbered

    @property
    def expects(self) -> bool:
        """Whether anything is under way that the extension will answer."""
        return any(not leaf.through for leaf in reversed(self.leaves))

    def is_long(self, end: datetime) -> bool:
        """Whether a timer until then is longer than the extension's store takes in one piece."""
        return self._cuts_timers and end > (self._reach or self._find_reach()) and self._is_far(end, self.clock.now)

    def consume(self, wait: WaitTask) -> None:
        """Lists a wait where its event was handed to the code."""
        last = self._last
        if last is wait:
            return
        if isinstance(last, WaitTask):
            last = self._last = Item(last, [], [last])
        elif not isinstance(last, Item):
            template = last if self.loop is None else None
            last = Item(template, [last], []) if last is not None else Item(None, [], [])
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

    def _catch_up_for(self, leaves: Sequence[Leaf]) -> None:
        """Holds the extension back until its clock lets it start timers whole, unless it has started them already."""
        timers = [leaf for leaf in leaves if isinstance(leaf, TimerTask) and self._needs_sync(leaf)]
        if not timers:
            return
        if self.loop is None and self._has_begun_without_sync():
            self.in_flight = self.in_flight or InFlight(self.history)
            self.in_flight.hold_back(self, lambda: not any(map(self._needs_sync, timers)))
            self.cut_by_host.update({timer: timer.fire_at for timer in timers if self._needs_sync(timer)})
        else:
            self._add_sync()

    def _has_begun_without_sync(self) -> bool:
        """Whether history has something else than a sync under the next id: 1.7.0 went on here, which has none."""
        return self.known_next() is not None and not self.has_next(self.clock.first)

    def _needs_sync(self, timer: TimerTask) -> bool:
        """Whether the extension's clock, where it starts the timer, is so far behind that it would cut it."""
        if timer.fire_at <= (self._reach or self._find_reach()):
            return False
        return self._lags(timer, self.barrier)

    def _lags(self, timer: TimerTask, barrier: int) -> bool:
        return self._is_far(timer.fire_at, self.now if barrier == NEVER else self.clock.at(barrier))

    def _is_far(self, end: datetime, now: datetime) -> bool:
        return end - now > self.limits.maximum

    def _find_reach(self) -> datetime:
        """Up to when no timer is long, since the clock stands nowhere before its first time."""
        try:
            self._reach = self.clock.first + self.limits.maximum
        except OverflowError:
            self._reach = _LAST
        return self._reach

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
