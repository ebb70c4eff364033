"""Class entities, their proxies, limits and typed values: what type checkers must accept, and which types they see."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

import worker_ext as df
from worker_ext import limits
from worker_ext.status import DurableOrchestrationStatus

app = df.DFApp()


@app.entity_trigger(context_name="context")
@dataclass
class Counter(df.DurableEntity):
    value: int = 0

    @df.operation
    def add(self, amount: int = 1) -> int:
        self.value += amount
        return self.value

    @df.operation
    async def fetch(self, name: str, *, loud: bool = False) -> list[str]:
        return [name]


@app.entity_trigger(context_name="context")
def note(context: df.DurableEntityContext) -> None:
    assert_type(context.entity(Counter, "a").signal, type[Counter])
    context.entity(Counter, "a").signal.add(1)


async def run(context: df.DurableOrchestrationContext[int]) -> None:
    counter = context.entity(Counter, "a")
    assert_type(await counter.add(1), int)
    assert_type(await counter.fetch("x", loud=True), list[str])
    assert_type(counter.add(), df.Task[int])
    counter.signal.add(1)
    assert_type(counter.entity_id, df.EntityId)
    await counter.delete()
    async with context.lock(counter, df.EntityId("a", "b")):
        await counter.add()
    async with limits.semaphore(context, "x", 2) as permit:
        permit.release()
    await limits.rate_limit(context, "x", 1, timedelta(1))
    await context.entity("Other", "x").anything(1)


def steps(context: df.DurableOrchestrationContext[int]) -> Generator[Any, Any, int]:
    total = yield from context.entity(Counter, "a").add(1)
    assert_type(total, int)
    permit = yield from limits.semaphore(context, "x", 2).acquire()
    assert_type(permit, limits.Permit)
    with permit:
        pass
    return total


async def client_side(client: df.DurableOrchestrationClient) -> None:
    entity = client.entity(Counter, "a")
    await entity.signal.add(1)
    assert_type(await entity.state(), Counter | None)


async def direct() -> None:
    assert_type(Counter(1).add(1), int)
    assert_type(await Counter(1).fetch("x"), list[str])


def sync_side(client: df.SyncDurableOrchestrationClient) -> None:
    assert_type(client.entity(Counter, "a").state(), Counter | None)


def typed_values(status: DurableOrchestrationStatus) -> None:
    assert_type(status.get_output(dict[str, Counter]), dict[str, Counter])
    assert_type(status.get_input(Counter | None), Counter | None)


class Sealed(df.PayloadConverter):
    def encode(self, value: Any) -> str:
        return super().encode(value)

    def decode(self, text: str, expected_type: Any) -> Any:
        return super().decode(text, expected_type)


sealed = df.DFApp(payload_converter=Sealed())
sealed.register_functions(limits.entities())
