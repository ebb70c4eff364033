"""One batch of an entity's operations: from what was claimed, by the worker's reply, to what is committed."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime

from worker_ext.host import entities
from worker_ext.host.app_functions import AppFunctions
from worker_ext.host.entity_messages import split_instance
from worker_ext.host.gateway import FunctionTimeoutError, WorkerGateway
from worker_ext.host.records import Claim
from worker_ext.host.rendering import parse_event
from worker_ext.host.store import Store
from worker_ext.host.suspects import Suspects
from worker_ext.host.turn_effects import TurnEffects
from worker_ext.host.turn_records import entity_record
from worker_ext.protocol.history import EventRaised, HistoryEvent
from worker_ext.protocol.traces import carried

_log = logging.getLogger(__name__)


class EntityTurns:
    """Works batches of entities.

    Args:
        store: Where they are committed.
        gateway: What runs the app's functions.
        functions: What can be called.
        batch_size: How many operations one batch takes at most.
        suspects: Which entities kill their worker.
    """

    def __init__(
        self, store: Store, gateway: WorkerGateway, functions: AppFunctions, batch_size: int, suspects: Suspects
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._functions = functions
        self._batch_size = batch_size
        self._suspects = suspects

    async def run(self, instance_id: str, claim: Claim) -> TurnEffects:
        """Works the messages of a claim.

        Raises:
            StaleTurnError: It was worked out on a state that is not the stored one any more.
            WorkerLostError: There is no answer from a worker.
        """
        events = [parse_event(message.event) for message in claim.messages]
        batch = entities.open_batch(claim.entity, events, self._batch_size, _now())
        reply = await self._invoke(instance_id, batch, _first_trace(events)) if batch.operations else None
        turn = entities.decide(
            instance_id, batch, reply, functions=self._functions.known, now=_now(), new_id=new_request_id
        )
        result = await self._store.commit(entity_record(claim, turn, _now()))
        for note in turn.notes:
            _log.error("entity %s: dropped %s", instance_id, note)
        due = min((timer.due for timer in turn.timers), default=None)
        return TurnEffects(woken=result.woken, due=due)

    async def _invoke(self, instance_id: str, batch: entities.EntityBatch, trace: str) -> entities.EntityReply:
        name, _ = split_instance(instance_id)
        functions = self._functions.known
        if not functions.has_entity(name):
            return self._refuse(instance_id, batch, functions.no_entity(name))
        verdict = self._suspects.verdict(instance_id)
        if verdict is not None:
            return self._refuse(instance_id, batch, verdict)
        try:
            async with self._suspects.run(instance_id):
                reply = await self._gateway.run_entity(name, instance_id, entities.payload(instance_id, batch), trace)
        except FunctionTimeoutError as error:
            # To run it again would take as long again, and hold up all that waits for the entity.
            _log.error("entity %s: %d operations fail: %s", instance_id, len(batch.operations), error)
            return entities.reply_for_timeout(batch, str(error))
        return entities.read_reply(batch, reply)

    def _refuse(self, instance_id: str, batch: entities.EntityBatch, text: str) -> entities.EntityReply:
        _log.error("entity %s: %d operations fail: %s", instance_id, len(batch.operations), text)
        return entities.reply_for_missing(batch, text)


def new_request_id() -> str:
    """The id of a message to an entity that was not sent by an orchestrator."""
    return str(uuid.uuid4())


def _first_trace(events: Iterable[HistoryEvent]) -> str:
    """The span of the first message that was told of one: a batch is one invocation."""
    spans = (carried(event.parent_trace_context) for event in events if isinstance(event, EventRaised))
    return str(next(filter(None, spans), ""))


def _now() -> datetime:
    return datetime.now(UTC)
