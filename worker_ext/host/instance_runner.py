"""Works instances that have messages, as many at once as the settings allow.

An instance is worked by one turn at a time; whatever arrives meanwhile is one batch of the next turn. A turn that was
not committed is done again: at once where it was worked out on outdated ground, with a delay where it failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from worker_ext.errors import HostError
from worker_ext.host.background import Background
from worker_ext.host.entity_messages import is_entity
from worker_ext.host.entity_turns import EntityTurns
from worker_ext.host.lanes import Lane
from worker_ext.host.orchestration_turns import OrchestrationTurns
from worker_ext.host.records import Claim
from worker_ext.host.redelivery import Redelivery
from worker_ext.host.store import BATCH_LIMIT, StaleTurnError, Store
from worker_ext.host.turn_effects import NOTHING, TurnEffects


class InstanceRunner:
    """The orchestrations and entities of one task hub.

    Args:
        store: Where they are kept.
        orchestrations: Works the turns of orchestrations.
        entities: Works the batches of entities.
        lanes: How many orchestrations, and how many entities, may be worked at once.
        background: What they are worked in.
        redelivery: When to do again what failed.
        follow: Told what each turn has set in motion.
    """

    def __init__(
        self,
        store: Store,
        orchestrations: OrchestrationTurns,
        entities: EntityTurns,
        lanes: tuple[int, int],
        background: Background,
        redelivery: Redelivery,
        follow: Callable[[str, TurnEffects], None],
    ) -> None:
        self._store = store
        self._turns = orchestrations
        self._entity_turns = entities
        self._orchestrations, self._entities = map(Lane, lanes)
        self._background = background
        self._redelivery = redelivery
        self._follow = follow
        # Those that are worked; True where something has come for one meanwhile.
        self._active: dict[str, bool] = {}
        self._resting: set[str] = set()
        self._claiming = False

    def wake(self, instance_id: str) -> None:
        """Something waits for an instance."""
        if instance_id in self._active:
            self._active[instance_id] = True
        elif instance_id not in self._resting:
            self._lane(instance_id).ready[instance_id] = None
            self._dispatch()

    def _lane(self, instance_id: str) -> Lane:
        return self._entities if is_entity(instance_id) else self._orchestrations

    def _dispatch(self) -> None:
        """Claims as many ready instances as there are free places."""
        if self._claiming or not self._background.is_running:
            return
        if self._orchestrations.has_work or self._entities.has_work:
            self._claiming = True
            # In a later step of the loop, so that what becomes ready in this one is claimed together.
            asyncio.get_running_loop().call_soon(self._claim)

    def _claim(self) -> None:
        self._claiming = False
        chosen = [*self._orchestrations.take(), *self._entities.take()]
        self._active.update(dict.fromkeys(chosen, False))
        if chosen:
            claims = self._store.claim([(name, self._turns.key_of(name)) for name in chosen])
            self._background.spawn(self._work_claims(chosen, claims))

    def _leave(self, instance_id: str) -> bool:
        """Gives an instance's place back; whether something came for it meanwhile."""
        self._lane(instance_id).running -= 1
        return self._active.pop(instance_id)

    async def _work_claims(self, instance_ids: list[str], found: asyncio.Future[list[Claim | None]]) -> None:
        try:
            claims = await found
        except HostError as error:
            for instance_id in instance_ids:
                self._later(instance_id, error)
            return
        if self._background.is_stopping:
            return
        for instance_id, claim in zip(instance_ids[1:], claims[1:], strict=True):
            self._background.spawn(self._work(instance_id, claim))
        await self._work(instance_ids[0], claims[0])

    async def _work(self, instance_id: str, claim: Claim | None) -> None:
        """One turn of an instance, from its claim to its commit."""
        try:
            effects = await self._turn(instance_id, claim)
        except StaleTurnError:
            self._active[instance_id] = True
        except Exception as error:  # noqa: BLE001 - one instance's trouble must not stop the others; it is logged
            self._later(instance_id, error)
            return
        else:
            self._redelivery.done(instance_id)
            self._follow(instance_id, effects)
        if self._leave(instance_id):
            self._lane(instance_id).ready[instance_id] = None
        self._dispatch()

    async def _turn(self, instance_id: str, claim: Claim | None) -> TurnEffects:
        if claim is None or not claim.messages:
            self._turns.forget(instance_id)
            return NOTHING
        if len(claim.messages) == BATCH_LIMIT:
            self._active[instance_id] = True
        turns = self._entity_turns if claim.is_entity else self._turns
        return await turns.run(instance_id, claim)

    def _later(self, instance_id: str, error: Exception) -> None:
        """Delivers an instance's work again after a delay that grows with every failure in a row."""
        delay = self._redelivery.failed("instance", instance_id, instance_id, error)
        self._leave(instance_id)
        self._resting.add(instance_id)
        self._background.after(delay, lambda: self._rested(instance_id))
        self._dispatch()

    def _rested(self, instance_id: str) -> None:
        self._resting.discard(instance_id)
        self.wake(instance_id)
