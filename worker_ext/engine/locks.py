"""Critical sections: what an orchestration has locked, what it may do meanwhile, and how the section ends.

The extension refuses what breaks these rules without a word (the action gets no id, or the entity stays locked for
ever), so they are enforced here: one section at a time; calls only to locked entities, one at a time each; no signals
to them; no sub-orchestrations. A section ends before the orchestration does, whatever ends it.

Source: durable-functions JSON protocol, sections 4.10.5 and 5.6 (schema V4).
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Generator, Iterable, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

from worker_ext.engine.clock import START
from worker_ext.engine.tasks import Leaf
from worker_ext.errors import OrchestratorError
from worker_ext.protocol.actions import (
    AnyAction,
    CallEntity,
    CallSubOrchestrator,
    CallSubOrchestratorWithRetry,
    EntityLock,
    LockEntities,
    ScheduledSignalEntity,
    SignalEntity,
)
from worker_ext.protocol.entity import EntityId
from worker_ext.protocol.orchestrator import ReplaySchema

if TYPE_CHECKING:
    from worker_ext.engine.orchestration import OrchestrationExecutor


class LockTask(Leaf["HeldLocks"]):
    """A request for a set of entities; its value is the `HeldLocks`."""

    __slots__ = ("_executor", "ids")

    def __init__(self, executor: OrchestrationExecutor, entities: list[EntityId]) -> None:
        ids = {str(entity): EntityLock(entity.name.lower(), str(entity.key)) for entity in entities}
        self.ids: tuple[str, ...] = tuple(sorted(ids))
        self._executor = executor
        super().__init__(executor.schedule, LockEntities(lock_set=tuple(ids[entity] for entity in self.ids)))

    def settle(self, value: Any, *, failed: bool = False) -> None:
        super().settle(HeldLocks(self._executor, self.ids), failed=failed)

    def start(self) -> None:
        if self.id < 0:
            self.schedule.request_lock(self)

    def __await__(self) -> Generator[Any, Any, HeldLocks]:
        try:
            locks: HeldLocks = yield from super().__await__()
        except CancelledError:
            self.abandon()
            raise
        section = self.schedule.section
        if section is not None and section.request is self:
            section.enter_code()
        return locks

    @property
    def is_out_of_hand(self) -> bool:
        return False

    def leave(self) -> None:
        """The block has ended."""
        if self._executor.is_running:  # else the code is only let go until the next turn
            self.schedule.leave_section(self.ids)

    def abandon(self) -> None:
        """Nobody waits for the lock any more: it is not requested, or released when it comes."""
        if self.id < 0:
            super().abandon()
        else:
            self.schedule.leave_section(self.ids)


class HeldLocks:
    """Locked entities. Release them with `release()`, or use them in a `with` block."""

    def __init__(self, executor: OrchestrationExecutor, ids: tuple[str, ...]) -> None:
        self._executor = executor
        self.ids = ids

    def release(self) -> None:
        """Releases all of them; a second time does nothing.

        Raises:
            OrchestratorError: A call to one of them has not been answered yet.
        """
        self._executor.check_open()
        self._executor.schedule.release(self.ids)

    def __enter__(self) -> HeldLocks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        schedule = self._executor.schedule
        if not self._executor.is_running:
            return  # the code is only let go until the next turn
        if error is None or schedule.section is None or not schedule.section.busy:
            schedule.release(self.ids)


class LockScope:
    """Entities to be locked for the length of an `async with` block."""

    def __init__(self, request: LockTask) -> None:
        self._request = request

    async def __aenter__(self) -> HeldLocks:
        return await self._request

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._request.leave()


_INSIDE: ContextVar[CriticalSection | None] = ContextVar("worker_ext_critical_section", default=None)
"""The section that the running code, or the code that made its task, has entered."""


class CriticalSection:
    """The section an orchestration is in, from the request to the release.

    Attributes:
        request: The lock request.
        calls: The calls to locked entities that were listed in this section, or open when it was requested.
        is_left: Whether the code wants no more of it, and it is released as soon as nothing in it is open.
    """

    def __init__(self, request: LockTask, open_leaves: Iterable[Leaf] = ()) -> None:
        self.request = request
        self.calls: list[Leaf] = [leaf for leaf in open_leaves if self._is_call(leaf.action)]
        self.is_left: bool = False
        self._is_entered = False

    def _is_call(self, action: AnyAction) -> bool:
        return isinstance(action, CallEntity) and action.instance_id in self.ids

    def _is_open(self, entity: str) -> bool:
        """Whether a call to a locked entity waits for its answer."""
        return any(
            isinstance(call.action, CallEntity) and call.action.instance_id == entity and not call.settled
            for call in self.calls
        )

    # -- among branches ----------------------------------------------------------------------------------------------

    def enter_code(self) -> None:
        """The running code has the lock; so has what it starts."""
        self._is_entered = True
        _INSIDE.set(self)

    def leave(self) -> None:
        """The code wants no more of it."""
        self.is_left = True
        if _INSIDE.get() is self:
            _INSIDE.set(None)

    @property
    def is_inside(self) -> bool:
        """Whether the running code has the lock. Where no branch has entered it is everybody's."""
        return self.request.settled and not self.is_left and (not self._is_entered or _INSIDE.get() is self)

    def admits(self, leaf: Leaf, *, is_inside: bool, is_behind: bool) -> bool:
        """Whether the extension would take a leaf now; otherwise it has to wait in the worker.

        Args:
            leaf: The leaf.
            is_inside: Whether it comes from the code that has the lock.
            is_behind: Whether the extension is held up, so that it may start the leaf when the lock is granted.

        Raises:
            OrchestratorError: The leaf comes from inside and breaks a rule of critical sections.
        """
        action = leaf.action
        if is_inside:
            if isinstance(action, CallEntity) and self._is_open(action.instance_id):
                return False
            self._check(action)
            return True
        match action:
            case LockEntities():
                return False
            case CallSubOrchestrator() | CallEntity():
                return not self.request.settled and not is_behind
            case SignalEntity(instance_id=entity) | ScheduledSignalEntity(instance_id=entity) if entity in self.ids:
                return not self.request.settled and not is_behind
            case _:
                return True

    def take(self, leaf: Leaf) -> int:
        """Takes note of a leaf that is started; the position that the extension must have passed before it does so."""
        if not self._is_call(leaf.action):
            return START
        need = self.position if self.request.settled else START
        self.calls.append(leaf)
        return need

    # -- for generators ----------------------------------------------------------------------------------------------

    @property
    def ids(self) -> tuple[str, ...]:
        """The instance IDs of the entities."""
        return self.request.ids

    @property
    def busy(self) -> bool:
        """Whether the request, or a call to a locked entity, waits for its answer."""
        return not self.request.settled or any(not call.settled for call in self.calls)

    @property
    def position(self) -> int:
        """The position in history that the extension must have passed before anything happens to locked entities."""
        return max((leaf.at for leaf in (self.request, *self.calls) if leaf.at is not None), default=START)

    def enter(self, leaves: Iterable[Leaf]) -> bool:
        """Takes note of leaves that are about to be listed; whether any concerns locked entities.

        Raises:
            OrchestratorError: A leaf breaks a rule of critical sections; then none of them is listed.
        """
        before = len(self.calls)
        try:
            for leaf in leaves:
                self._check(leaf.action)
                if isinstance(leaf.action, CallEntity):
                    self.calls.append(leaf)
        except OrchestratorError:
            del self.calls[before:]
            raise
        return len(self.calls) > before

    def _check(self, action: AnyAction) -> None:
        held = ", ".join(self.ids)
        match action:
            case LockEntities():
                problem = "locked entities a second time. Release the first lock before the next is requested"
            case CallSubOrchestrator() | CallSubOrchestratorWithRetry():
                problem = (
                    f"called sub-orchestration {action.function_name!r}. Call it before or after the locked section"
                )
            case CallEntity(instance_id=entity) if entity not in self.ids:
                problem = f"called entity {entity}, which is not locked. Add it to the lock, or call it outside"
            case CallEntity(instance_id=entity) if self._is_open(entity):
                problem = f"called entity {entity} while an earlier call to it is open. Await one call after the other"
            case SignalEntity(instance_id=entity) | ScheduledSignalEntity(instance_id=entity) if entity in self.ids:
                problem = f"signalled entity {entity}, which it has locked. Call it instead, or signal it outside"
            case _:
                return
        raise OrchestratorError(f"while it holds the lock of {held} the orchestrator {problem}")


def request_lock(executor: OrchestrationExecutor, entities: Sequence[Any]) -> LockTask:
    """Makes the task of a lock request.

    Args:
        executor: Who asks.
        entities: The entities.

    Raises:
        OrchestratorError: There are no entities, something else is among them, or the host knows no locks.
    """
    known = executor.request.schema
    if known < ReplaySchema.V4:
        raise OrchestratorError(
            f"entity locks need version 3.19 of the Durable extension or newer: it must offer schema V4, and this host "
            f"offers {known.name}. Raise the extension bundle's version in host.json"
        )
    if not entities:
        raise OrchestratorError("lock_entities was given no entities; pass at least one EntityId")
    for entity in entities:
        if not isinstance(entity, EntityId):
            raise OrchestratorError(f"lock_entities was given {entity!r}; expected EntityId(name, key)")
    return LockTask(executor, list(entities))
