"""An orchestration's dealings with entities during a replay: calls, signals, and the lock it holds.

While a lock is held, only entities in it may be called, one call at a time each; another call, a second lock request
and a sub-orchestration are passed over without a word and take no id. A signal to a locked entity fails the instance.

Differences from the extension, on purpose: the call of an entity whose function does not exist is answered with an
error instead of being passed over, and a lock of one fails the instance; an instance that is terminated, or fails
through no decision of its code, releases what it had locked.

Source: durable-functions JSON protocol, locks (5.6, 4.10.5; recorded from extension 3.19.0).
"""

from __future__ import annotations

from collections.abc import Iterable

from worker_ext.host.decisions import SendRelease, SendRequest
from worker_ext.host.entity_messages import (
    OPERATION,
    RELEASE,
    SendClock,
    entity_instance,
    in_ticks,
    read_request,
    request_id,
    split_instance,
)
from worker_ext.host.turns import KnownFunctions
from worker_ext.protocol.actions import CallEntity, EntityLock, LockEntities, ScheduledSignalEntity, SignalEntity
from worker_ext.protocol.codec import JSON, encode_value
from worker_ext.protocol.history import Event, EventRaised, EventSent


class EntityRuleError(Exception):
    """An action that fails the instance; the text says why."""


class EntityCalls:
    """What one replay has asked of entities.

    Args:
        instance_id: The orchestration.
        functions: What can be called.

    Attributes:
        held: The locked entities that no call is open to, the one called last at the end; None while none is locked.
    """

    def __init__(self, instance_id: str, functions: KnownFunctions) -> None:
        self.held: list[str] | None = None
        self._lock_id = ""
        self._instance_id = instance_id
        self._functions = functions
        self._clock = SendClock()
        self._counter = 0

    def call(self, action: CallEntity, now: str) -> SendRequest | None:
        """A call, or None where a rule of locks does not let it be made."""
        target = _target(action.instance_id)
        if self.held is not None:
            if target not in self.held:
                return None
            self.held.remove(target)
        request = self._request(target, OPERATION, action.operation, action.input, now)
        request.is_locked = self.held is not None
        return request

    def signal(self, action: SignalEntity | ScheduledSignalEntity, now: str) -> SendRequest:
        """A signal.

        Raises:
            EntityRuleError: The entity has no function, or is locked.
        """
        target = _target(action.instance_id)
        self._check_function(target)
        if self.held is not None and target in self.held:
            raise EntityRuleError(f"The orchestrator must not signal the entity {target} while it has it locked.")
        if isinstance(action, SignalEntity):
            request = self._request(target, OPERATION, action.operation, action.input, now)
        else:
            name = f"{OPERATION}@{in_ticks(action.fire_at)}"
            request = self._request(target, name, action.operation, action.input, now, action.fire_at)
        request.is_signal = True
        return request

    def lock(self, action: LockEntities, now: str) -> SendRequest | None:
        """A lock request, or None where one is held already.

        Raises:
            EntityRuleError: The set is empty, or has an entity without a name or a function.
        """
        targets = _lock_set(action.lock_set)
        for target in targets:
            self._check_function(target)
        if self.held is not None:
            return None
        request = self._request(targets[0], OPERATION, None, None, now)
        request.lock_set = targets
        self._lock_id = request.id
        return request

    def release(self) -> list[SendRelease]:
        """The ends of the lock, one for each entity that no call is open to; none where none is held."""
        held, self.held = self.held or [], None
        return [SendRelease(target, self._lock_id) for target in held]

    def answered(self, request: SendRequest) -> None:
        """A request has its answer."""
        if request.lock_set:
            self.held = list(request.lock_set)
        elif request.is_locked and self.held is not None:
            self.held.append(request.target)

    def rename(self, request: SendRequest, stored: str) -> None:
        """A request was sent under another id, by a replay with another clock."""
        if self._lock_id == request.id:
            self._lock_id = stored
        request.id = stored

    def _request(
        self, target: str, name: str, operation: str | None, value: JSON, now: str, due: str | None = None
    ) -> SendRequest:
        request = SendRequest(
            target=target,
            name=name,
            operation=operation,
            input=None if value is None else encode_value(value),
            id=request_id(self._instance_id, now, self._counter),
            due=due,
        )
        self._counter += 1
        if due is None:
            request.timestamp, request.predecessor = self._clock.stamp(target, now)
        return request

    def _check_function(self, target: str) -> None:
        name, _ = split_instance(target)
        if not self._functions.has_entity(name):
            raise EntityRuleError(self._functions.no_entity(name))


def _target(instance_id: str) -> str:
    try:
        return entity_instance(*split_instance(instance_id))
    except ValueError as error:
        raise EntityRuleError(str(error)) from None


def _lock_set(wanted: Iterable[EntityLock]) -> tuple[str, ...]:
    """Each entity once, in the order that every orchestration locks in."""
    entities = list(wanted)
    if not entities:
        raise EntityRuleError("LockEntities action requires a non-empty LockSet.")
    if not all(entity.name for entity in entities):
        raise EntityRuleError(
            "LockEntities action requires each LockSet entry to have a non-empty name and a non-null key."
        )
    return tuple(sorted({entity_instance(entity.name, entity.key) for entity in entities}))


def left_locked(events: Iterable[Event]) -> list[SendRelease]:
    """The ends of the locks that a history leaves held."""
    requested: dict[str, tuple[str, ...]] = {}
    held: dict[tuple[str, str], None] = {}
    for event in events:
        if isinstance(event, EventSent):
            if event.name == RELEASE:
                held = {key: None for key in held if key[0] != event.instance_id}
            elif event.name == OPERATION and '"lockset":' in (event.input or ""):
                request = read_request(event.input)
                requested[request.id] = tuple(entity.instance_id for entity in request.lock_set or ())
        elif isinstance(event, EventRaised) and event.name in requested:
            held |= {(target, event.name): None for target in requested[event.name]}
    return [SendRelease(target, lock_id) for target, lock_id in held]
