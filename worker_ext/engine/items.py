"""Items: what one yield lists, in the two forms that an action list can give it.

* *P form*: the list of azure-functions-durable 1.7.0, the classic one: compounds as the code wrote them. The extension
  waits for an item before it goes on to the next.
* *B form*: every leaf on its own. A leaf that is still open when something else is listed behind it is wrapped so that
  the list does not wait for it: `WhenAny[leaf, WhenAll[]]`. External events are listed where they were consumed.

An item keeps P form while it is the last. When the next is listed its form is *frozen*: P if nothing in it was left
open, else B.

Positions are indexes into the history: `at` of a task is the position of the event that settled it.

Source: durable-functions JSON protocol, sections 4.10.2 and 4.11.1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from worker_ext.engine.clock import START
from worker_ext.engine.retries import RetryTask
from worker_ext.engine.tasks import Leaf, TimerTask, WaitTask
from worker_ext.protocol.actions import (
    AnyAction,
    CallEntity,
    LockEntities,
    ReleaseEntities,
    ScheduledSignalEntity,
    SignalEntity,
    WaitForExternalEvent,
    WhenAll,
    WhenAny,
)

NEVER = sys.maxsize
"""The position of what has not happened yet."""


NOTHING_AHEAD: Mapping[int, int] = MappingProxyType({})


@dataclass(slots=True)
class Template:
    """What 1.7.0 lists for one yield: a compound of templates, leaves, retries and waits not listed before."""

    members: list[Node]
    any: bool

    def action(self) -> AnyAction:
        """The compound action."""
        members = tuple([member.action if type(member) is Leaf else action_of(member) for member in self.members])
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


def passed_at(node: Node, ahead: Mapping[int, int] = NOTHING_AHEAD) -> int:
    """Where the extension goes on behind a node in P form that it started at the start of the execution.

    Args:
        node: The node.
        ahead: Positions at which leaves will settle, by id; for instances that another engine has begun.
    """
    if isinstance(node, Template):
        ends = [passed_at(member, ahead) for member in node.members]
        return (min(ends) if node.any else max(ends)) if ends else START
    if isinstance(node, TimerTask) and not node.settled and node.cancelled:
        return START
    if node.at is None and isinstance(node, Leaf):
        return ahead.get(node.id, NEVER)
    return NEVER if node.at is None else node.at


def not_waiting(action: AnyAction) -> AnyAction:
    """Wraps an action so that the extension starts it and goes on at once."""
    return WhenAny(compound_actions=(action, WhenAll(compound_actions=())))


class Group:
    """Leaves that stand inside one WhenAll. Once closed, each is for ever waited for (`bare`) or not."""

    __slots__ = ("_closed", "bare", "leaves")

    def __init__(self, leaves: list[Leaf]) -> None:
        self.leaves: list[Leaf] = leaves
        self.bare: list[bool] | None = None
        self._closed = False

    def close(self, *, for_good: bool = True) -> None:
        """Fixes the shape of each leaf; until something follows (`for_good`) it may still be fixed anew."""
        if not self._closed:
            self.bare = [leaf.through for leaf in self.leaves]
            self._closed = for_good

    def elements(self, *, ending: bool) -> Iterator[Element]:
        """The group's entries of the action list: signals that lead it, then the rest as one action."""
        leading = 0
        for leaf in self.leaves:
            if not isinstance(leaf.action, SignalEntity | ScheduledSignalEntity):
                break
            leading += 1
            yield Element(leaf.action, lambda: START, lambda: False)
        if leading < len(self.leaves):
            yield Element(self._action(leading, ending), partial(self.passed_at, ending=ending), self.is_pinned)

    def _action(self, leading: int, ending: bool) -> AnyAction:
        """The leaves as one action; an open group waits for them unless the orchestrator is ending."""
        shapes = self.bare if self.bare is not None else [leaf.through or not ending for leaf in self.leaves]
        shaped = zip(self.leaves[leading:], shapes[leading:], strict=True)
        actions = tuple(leaf.action if bare else not_waiting(leaf.action) for leaf, bare in shaped)
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

    def is_pinned(self) -> bool:
        """Whether continue-as-new must stand behind this group."""
        shapes = self.bare if self.bare is not None else [True] * len(self.leaves)
        return any(
            isinstance(leaf.action, LockEntities | ReleaseEntities) or (bare and isinstance(leaf.action, CallEntity))
            for leaf, bare in zip(self.leaves, shapes, strict=True)
        )


class Element:
    """One top-level entry of the action list.

    What the place of continue-as-new depends on is worked out when it is asked for: most lists have none.

    Args:
        action: The entry.
        passed_at: Tells where the extension goes on behind it.
        pinned: Tells whether continue-as-new must stand behind it.
    """

    __slots__ = ("_passed_at", "_pinned", "action")

    def __init__(self, action: AnyAction, passed_at: Callable[[], int], pinned: Callable[[], bool]) -> None:
        self.action: AnyAction = action
        self._passed_at = passed_at
        self._pinned = pinned

    @property
    def passed_at(self) -> int:
        """Where the extension goes on behind the entry."""
        return self._passed_at()

    @property
    def pinned(self) -> bool:
        """Whether continue-as-new must stand behind the entry."""
        return self._pinned()


class Item:
    """What one yield (or one hidden leaf nobody's item could take) lists."""

    __slots__ = ("_held_until", "consumed", "form", "groups", "hidden_at", "template", "waits")

    def __init__(self, template: Node | None, leaves: list[Leaf], waits: list[WaitTask]) -> None:
        self.template = template
        self.groups: list[Group] = [Group(leaves)] if leaves else []
        self.waits: list[WaitTask] = waits
        self.consumed: list[tuple[int, WaitTask]] = []
        self.hidden_at: list[int] = []
        self.form: str = ""
        self._held_until: int | None = None

    def consume(self, wait: WaitTask) -> None:
        """Takes note that a wait, of whichever item, got its event while this item was the last."""
        self.consumed.append((len(self.groups), wait))

    def join(self, leaf: Leaf) -> None:
        """Adds a leaf that the code started side by side with those of the last group."""
        self.template = None
        self.groups[-1].leaves.append(leaf)

    def add_hidden(self, leaf: Leaf, position: int) -> None:
        """Adds a leaf the code does not see."""
        if self.groups:
            self.groups[-1].close()
        self.groups.append(Group([leaf]))
        self.hidden_at.append(position)

    def take_back_hidden(self) -> None:
        """Takes the last leaf back that was added unseen."""
        self.groups.pop()
        self.hidden_at.pop()

    def passed_before_last(self) -> int:
        """Where the extension starts the last group."""
        groups = (group.passed_at(ending=False) for group in self.groups[:-1])
        waits = (_position(wait) for after, wait in self.consumed if after < len(self.groups))
        return max([START, *groups, *waits])

    def freeze(self, barrier: int) -> None:
        """Decides the form for good. `barrier` is where the extension has passed everything before this item."""
        if self.groups:
            self.groups[-1].close()
        self.form = self.form or ("P" if self._fits_p_form(barrier) else "B")

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
        leaves = (leaf for group in self.groups for leaf in group.leaves)
        return all(leaf.through for leaf in leaves) and all(wait.settled for wait in self.waits)

    @property
    def all_waits(self) -> list[WaitTask]:
        """The waits that P form would list, its own and those consumed while it was the last."""
        return [*self.waits, *(wait for _, wait in self.consumed)]

    def uncover(self) -> None:
        """Takes the item out of P form, so that its waits stand where they were consumed."""
        self.form = "B"
        for group in self.groups:
            group.close()

    def hold_back(self, ahead: Mapping[int, int]) -> None:
        """Puts a frozen item back into P form, in which another engine had listed it."""
        assert self.template is not None
        self.form, self._held_until = "P", passed_at(self.template, ahead)

    def let_go(self) -> None:
        """Takes `hold_back` back."""
        self.form, self._held_until = "B", None

    def _foreign_waits(self) -> list[WaitTask]:
        return [wait for _, wait in self.consumed if wait not in self.waits]

    def _passed_in_p_form(self) -> int:
        assert self.template is not None
        return max([passed_at(self.template), *(_position(wait) for wait in self._foreign_waits())])

    def passed_at(self) -> int:
        """Where the extension goes on behind this item."""
        if self._held_until is not None:
            return self._held_until
        return max((element.passed_at for element in self.elements()), default=START)

    def elements(self, *, ending: bool = False) -> Iterator[Element]:
        """The item's entries of the action list."""
        form = self.form or ("P" if self.template is not None else "B")
        return self._p_form() if form == "P" else self._b_form(ending=ending)

    def _p_form(self) -> Iterator[Element]:
        assert self.template is not None
        yield Element(action_of(self.template), partial(passed_at, self.template), self._is_pinned)
        for wait in self._foreign_waits():
            yield _consumed(wait)

    def _b_form(self, *, ending: bool) -> Iterator[Element]:
        for count, group in enumerate([None, *self.groups]):
            if group is not None:
                yield from group.elements(ending=ending)
            for after, wait in self.consumed:
                if after == count:
                    yield _consumed(wait)

    def _is_pinned(self) -> bool:
        return bool(self.waits) or any(group.is_pinned() for group in self.groups)


def _position(wait: WaitTask) -> int:
    return NEVER if wait.at is None else wait.at


def _consumed(wait: WaitTask) -> Element:
    """The entry of a wait that stands where its event was consumed."""
    return Element(wait.action, lambda: _position(wait), lambda: True)


def single_element(task: Leaf | WaitTask) -> Element:
    """The entry of a task that stands for itself."""
    passed = task.at if task.at is not None else START if task.through else NEVER
    pinned = isinstance(task.action, WaitForExternalEvent | CallEntity | LockEntities | ReleaseEntities)
    return Element(task.action, lambda: passed, lambda: pinned)
