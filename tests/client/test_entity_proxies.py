"""Entities as clients see them: operations to signal, and the state as an object of the class."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from management_host import FakeHost, client_payload

import worker_ext as df
from worker_ext.sync_client import SyncDurableOrchestrationClient


@dataclass
class Counter(df.DurableEntity):
    value: int = 0

    @df.operation
    def add(self, amount: int, on: date) -> int:
        return self.value + amount


STATE = {"value": 3}


async def test_a_client_signals_operations(client: df.DurableOrchestrationClient, host: FakeHost) -> None:
    host.answers(202)
    await client.entity(Counter, "a").signal.add(1, on=date(2026, 1, 2))
    [sent] = host.seen
    assert (sent.method, sent.target) == ("POST", "/durabletask/entities/Counter/a?op=add")
    assert json.loads(json.loads(sent.body)) == {"amount": 1, "on": "2026-01-02"}


async def test_the_state_is_an_object_of_the_class(client: df.DurableOrchestrationClient, host: FakeHost) -> None:
    counter = client.entity(Counter, "a")
    host.answers(200, STATE)
    assert await counter.state() == Counter(3)
    host.answers(404)
    assert await counter.state() is None
    host.answers(200, {"value": "x"})
    with pytest.raises(df.PayloadError, match=r"^\$\.value: Expected `int`, got `str`$"):
        await counter.state()


async def test_an_entity_that_is_known_by_name_alone_has_any_operation_and_state(
    client: df.DurableOrchestrationClient, host: FakeHost
) -> None:
    counter: Any = client.entity("Counter", "a")
    host.answers(202)
    host.answers(200, 5)
    await counter.signal.anything({"x": 1})
    assert (await counter.state(), counter.entity_id) == (5, df.EntityId("Counter", "a"))
    assert "op=anything" in host.seen[0].target


async def test_a_synchronous_client_does_both_at_once(host: FakeHost) -> None:
    def use() -> Counter | None:
        with SyncDurableOrchestrationClient(client_payload(host.base)) as client:
            counter = client.entity(Counter, "a")
            counter.signal.add(1, date(2026, 1, 2))
            return counter.state()

    host.answers(202)
    host.answers(200, STATE)
    assert await asyncio.to_thread(use) == Counter(3)
    assert [seen.method for seen in host.seen] == ["POST", "GET"]
