"""Instances in flight: lists that azure-functions-durable 1.7.0 had sent, recognised by the ids that the host derived.

The extension derives the request id of an entity call from its clock where it starts the call, and derives it again on
every replay. Where 1.7.0's list held a call back until everything before it had ended, and ours does not, the clock
would be another one and the answer would never be found. The id in history tells which it was: items are put back into
1.7.0's form until the id comes out as it is in history. History alone decides, so every replay decides the same.

Timers are the other thing that depends on that clock: where it lags, the extension would cut one that it has started
whole. Where history has that timer already, and not the one that this package would put before it, items are put back
likewise.

Source: durable-functions JSON protocol, section 4.11.2; the ids: section 4.4.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from worker_ext.protocol.actions import CallEntity, LockEntities, ScheduledSignalEntity, SignalEntity
from worker_ext.protocol.codec import decode_json
from worker_ext.protocol.history import (
    EventRaised,
    EventSent,
    HistoryEvent,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)

if TYPE_CHECKING:
    from worker_ext.engine.schedule import Schedule
    from worker_ext.engine.tasks import Leaf

_NAMESPACE = UUID("9e952959-5e33-4daf-827f-2fa12937b875")
_COUNTED = (CallEntity, SignalEntity, ScheduledSignalEntity, LockEntities)
"""What the extension counts when it derives an id."""

_TICKS = 7
"""Fractional digits of a .NET time in full."""


def request_id(instance_id: str, timestamp: str, counter: int) -> str:
    """The id that the extension gives an entity call or a lock request.

    Args:
        instance_id: The orchestration.
        timestamp: The extension's time, as history has it.
        counter: How many calls, signals and lock requests came before.
    """
    whole, _, fraction = timestamp.removesuffix("Z").partition(".")
    return str(uuid5(_NAMESPACE, f"{instance_id}_{whole}.{fraction.ljust(_TICKS, '0')}Z_{counter}"))


class InFlight:
    """What history knows already of the calls that replay is about to schedule."""

    def __init__(self, events: Sequence[HistoryEvent]) -> None:
        self._requests = dict(_requests(events))
        self._counted = self._messages = 0
        batches = [(index, event) for index, event in enumerate(events) if isinstance(event, OrchestratorStarted)]
        self._batch_positions = [position for position, _ in batches]
        self._batch_times = [event.timestamp for _, event in batches]
        self._ends = dict(_ends(events, {request: leaf_id for leaf_id, request in self._requests.items()}))

    def fit(self, schedule: Schedule, leaf: Leaf) -> None:
        """Gives the items before an entity call the form in which the extension had started it."""
        recorded = self._requests.get(leaf.id)
        if recorded is not None:
            self.hold_back(schedule, lambda: self._derived(schedule, leaf) == recorded)

    def hold_back(self, schedule: Schedule, fits: Callable[[], bool]) -> None:
        """Puts frozen items back into 1.7.0's form until what follows them is started when it was."""
        if fits():
            return
        candidates = [
            item for item in schedule.frozen_items if item.form == "B" and item.template and not item.hidden_at
        ]
        for chosen in [*([item] for item in reversed(candidates)), candidates]:
            for item in chosen:
                item.hold_back(self._ends)
            schedule.recount_barrier()
            if fits():
                return
            for item in chosen:
                item.let_go()
        schedule.recount_barrier()

    def _derived(self, schedule: Schedule, leaf: Leaf) -> str:
        counter = self._messages_before(schedule, leaf)
        return request_id(schedule.instance_id, self._time_at(schedule.barrier), counter)

    def _messages_before(self, schedule: Schedule, leaf: Leaf) -> int:
        """How many messages to entities come before a leaf; leaves are asked about in order, and counted once."""
        if leaf.id < self._counted:
            self._counted = self._messages = 0
        self._messages += sum(isinstance(other.action, _COUNTED) for other in schedule.leaves[self._counted : leaf.id])
        self._counted = leaf.id
        return self._messages

    def _time_at(self, position: int) -> str:
        """The extension's time at a position, which may lie ahead of what has been replayed."""
        return self._batch_times[max(bisect_right(self._batch_positions, position) - 1, 0)]


def _requests(events: Sequence[HistoryEvent]) -> Iterator[tuple[int, str]]:
    for event in events:
        if isinstance(event, EventSent):
            try:
                message: Any = decode_json(event.input or "{}")
            except ValueError:
                continue  # the executor says what is wrong with it
            if isinstance(message, dict) and not message.get("signal") and "id" in message:
                yield event.event_id, str(message["id"])


def _ends(events: Sequence[HistoryEvent], callers: dict[str, int]) -> Iterator[tuple[int, int]]:
    """The leaves that settle somewhere in history, and where."""
    for position, event in enumerate(events):
        match event:
            case (
                TaskCompleted() | TaskFailed() | SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed()
            ):
                yield event.task_scheduled_id, position
            case TimerFired():
                yield event.timer_id, position
            case EventRaised() if event.name in callers:
                yield callers[event.name], position
            case _:
                continue
