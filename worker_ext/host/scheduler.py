"""Runs the orchestrations and entities of one task hub: what clients ask for, and the work that follows from it.

Three kinds of work wait in the store: instances with messages (`instance_runner`), activities (`activity_runner`) and
timers (`timer_delivery`). Nothing here is the truth: caches and queues are rebuilt from the store at start, and a turn
or an activity that was not committed is done again.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from worker_ext.host import entities
from worker_ext.host.activity_runner import ActivityRunner
from worker_ext.host.app_functions import AppFunctions
from worker_ext.host.background import Background
from worker_ext.host.completion import CompletionWaiters
from worker_ext.host.entities import UnknownEntityError
from worker_ext.host.entity_messages import entity_instance
from worker_ext.host.entity_queries import EntityPage, EntityStatus
from worker_ext.host.entity_turns import EntityTurns, new_request_id
from worker_ext.host.gateway import WorkerGateway
from worker_ext.host.instance_runner import InstanceRunner
from worker_ext.host.orchestration_turns import OrchestrationTurns
from worker_ext.host.records import OVER, Instance, NewMessage
from worker_ext.host.redelivery import Redelivery
from worker_ext.host.rendering import parse_events, render
from worker_ext.host.rewinder import Rewinder
from worker_ext.host.settings import DurableSettings
from worker_ext.host.store import InstanceExistsError, Store
from worker_ext.host.timer_delivery import TimerDelivery
from worker_ext.host.turn_effects import TurnEffects
from worker_ext.host.turn_records import new_instance, new_message
from worker_ext.host.turns import Message, TimerLimits
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestrationInstance,
    OrchestrationStatus,
)

__all__ = ["Instance", "InstanceExistsError", "Scheduler", "UnknownEntityError"]

_REPLACEABLE = {"NonRunningStates": OVER, "AnyState": frozenset(OrchestrationStatus)}


class Scheduler:
    """Runs the orchestrations and entities of one task hub.

    Args:
        store: Where they are kept; the scheduler does not close it.
        gateway: What runs the app's functions.
        settings: `extensions.durableTask` of host.json.
        timers: How long a timer may be in one piece.
    """

    def __init__(
        self,
        store: Store,
        gateway: WorkerGateway,
        settings: DurableSettings,
        timers: TimerLimits = TimerLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._store = store
        self._settings = settings
        self._functions = AppFunctions(gateway)
        self._background = Background()
        redelivery = Redelivery(self._background)
        self._rewinder = Rewinder(store)
        self._waiters = CompletionWaiters(store)
        self._timers = TimerDelivery(store, self._background, redelivery, self._wake)
        self._activities = ActivityRunner(
            store, gateway, settings.max_concurrent_activity_functions, self._background, redelivery, self._wake
        )
        self._turns = OrchestrationTurns(store, gateway, self._functions, settings, timers, redelivery.suspects)
        batch_size = settings.max_entity_operation_batch_size
        self._instances = InstanceRunner(
            store,
            self._turns,
            EntityTurns(store, gateway, self._functions, batch_size, redelivery.suspects),
            (settings.max_concurrent_orchestrator_functions, settings.max_concurrent_entity_functions),
            self._background,
            redelivery,
            self._follow,
        )

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        """Takes up everything the store holds that somebody waits for."""
        await self._store.drop_unwanted_activities()
        waiting = await self._store.waiting_instances()
        self._background.start()
        await self._timers.start()
        for instance_id in waiting:
            self._wake(instance_id)
        self._activities.run()

    def release_waiters(self) -> None:
        """Lets nobody wait for the end of an instance any more: the host is about to stop."""
        self._waiters.release_all()

    async def stop(self, grace: float) -> None:
        """Starts nothing more and waits up to `grace` seconds for what runs; the rest is done again after a restart."""
        await self._background.stop(grace)
        await self._activities.close()
        self.release_waiters()

    # ------------------------------------------------------------ clients

    async def start_instance(
        self,
        name: str,
        input_text: str | None,
        instance_id: str | None = None,
        version: str | None = None,
        trace: dict[str, Any] | None = None,
    ) -> str:
        """Starts an orchestration; `input_text` is JSON text. Returns its id, a new one if none is given.

        Args:
            name: The orchestrator.
            input_text: Its input.
            instance_id: The id; a new one if there is none.
            version: The version; by default the one of host.json.
            trace: The trace that it is part of, as events carry it.

        Raises:
            InstanceExistsError: An instance of that id is running.
        """
        now = _now()
        chosen = instance_id or uuid.uuid4().hex
        started = ExecutionStarted(
            orchestration_instance=OrchestrationInstance(chosen, str(uuid.uuid4())),
            name=name,
            version=version if version is not None else self._settings.default_version,
            input=input_text,
            parent_trace_context=trace,
            timestamp=format_timestamp(now),
        )
        replaceable = _REPLACEABLE[self._settings.overridable_existing_instance_states]
        await self._store.create(new_instance(started), replaceable, now)
        self._wake(chosen)
        return chosen

    async def raise_event(self, instance_id: str, event_name: str, input_text: str | None) -> bool:
        """Sends an external event; whether the instance exists and is not over."""
        event = EventRaised(name=event_name, input=input_text, timestamp=format_timestamp(_now()))
        return await self._post(instance_id, event)

    async def terminate(self, instance_id: str, reason: str | None) -> bool:
        """Asks an instance to end; whether it exists and is not over."""
        return await self._post(instance_id, ExecutionTerminated(input=reason, timestamp=format_timestamp(_now())))

    async def suspend(self, instance_id: str, reason: str | None) -> bool:
        """Asks an instance to pause; whether it exists and is not over."""
        return await self._post(instance_id, ExecutionSuspended(reason=reason, timestamp=format_timestamp(_now())))

    async def resume(self, instance_id: str, reason: str | None) -> bool:
        """Asks an instance to go on; whether it exists and is not over."""
        return await self._post(instance_id, ExecutionResumed(reason=reason, timestamp=format_timestamp(_now())))

    async def rewind(self, instance_id: str, reason: str | None) -> bool:
        """Lets a failed instance go on from before its failure, with its failed children; whether it had failed."""
        rewound = await self._rewinder.rewind(instance_id, reason)
        for record in rewound:
            self._wake(record.instance_id)
            self._timers.expect(min((timer.due for timer in record.timers), default=None))
        return bool(rewound)

    async def get(self, instance_id: str) -> Instance | None:
        """An instance's status."""
        return await self._store.get(instance_id)

    async def history(self, instance_id: str) -> list[HistoryEvent]:
        """The events of an instance's current execution; none if it does not exist or has not begun."""
        return parse_events(await self._store.history(instance_id))

    async def starts(self, instance_id: str) -> dict[int, datetime]:
        """When activities of an instance began to run, by the ids of their tasks; those that wait are not in it."""
        return self._activities.starts(instance_id) | await self._store.starts(instance_id)

    async def recording(self, instance_id: str) -> str | None:
        """The payload that an orchestration trigger would deliver with all that has happened, as JSON text.

        None if there is no such instance, or it has not begun.
        """
        return self._turns.recording(await self._store.history(instance_id))

    async def wait_for_completion(self, instance_id: str, timeout: float | None) -> Instance | None:
        """An instance's status once it is over, or after `timeout` seconds."""
        return await self._waiters.wait(instance_id, timeout)

    async def signal_entity(self, name: str, key: str, operation: str, input_text: str | None) -> None:
        """Sends an operation to an entity, which is made if there is none; `input_text` is JSON text.

        Raises:
            UnknownEntityError: The app has no such entity function.
        """
        name = name.lower()
        self._check_entity(name)
        event = entities.client_signal(operation, input_text, new_request_id(), _now())
        instance_id = entity_instance(name, key)
        await self._store.post(new_message(Message(instance_id, event)))
        self._wake(instance_id)

    def _check_entity(self, name: str) -> None:
        functions = self._functions.known
        if not functions.has_entity(name):
            raise UnknownEntityError(functions.no_entity(name))

    async def read_entity(self, name: str, key: str) -> EntityStatus | None:
        """An entity; None where it does not exist."""
        return await self._store.entities.read(name, key)

    async def list_entities(
        self,
        name: str = "",
        *,
        last_from: datetime | None = None,
        last_to: datetime | None = None,
        top: int = 100,
        token: str = "",
    ) -> EntityPage:
        """Some of the entities that exist: those of a name, or all.

        Raises:
            BadTokenError: The token is not one of this list.
        """
        return await self._store.entities.page(name, last_from=last_from, last_to=last_to, top=top, token=token)

    async def _post(self, instance_id: str, event: HistoryEvent) -> bool:
        is_there = await self._store.post(NewMessage(instance_id, render(event)))
        if is_there:
            self._wake(instance_id)
        return is_there

    # ------------------------------------------------------------ work

    def _wake(self, instance_id: str) -> None:
        self._instances.wake(instance_id)

    def _follow(self, instance_id: str, effects: TurnEffects) -> None:
        """Sets in motion what a turn leads to."""
        for other in effects.woken:
            self._wake(other)
        if effects.activities:
            self._activities.add(list(effects.activities))
        self._timers.expect(effects.due)
        if effects.is_over:
            self._waiters.release(instance_id)


def _now() -> datetime:
    return datetime.now(UTC)
