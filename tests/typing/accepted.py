"""What type checkers know of orchestrators and their calls. Each must accept every line."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, assert_type

import azure.functions as func

import worker_ext as df
from worker_ext import flow

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
group = df.Blueprint()
retry = df.RetryOptions(1000, 3)


@dataclass
class Order:
    number: int


@dataclass
class Receipt:
    total: float


# ---------------------------------------------------------------- the functions of an app


@app.activity_trigger(input_name="order")
def charge(order: Order, currency: str = "EUR") -> Receipt:
    return Receipt(order.number)


@group.activity_trigger(input_name="order")
async def pack(order: Order, context: func.Context) -> str:
    return context.function_name


@app.activity_trigger(input_name="days")
def tidy(days: int | None) -> int:
    return days or 30


@app.function_name("Audit")
@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:01")
@app.blob_output(arg_name="log", path="logs/{rand-guid}", connection="Storage")
@app.activity_trigger(input_name="order")
def audit(order: Order, log: func.Out[str]) -> None:
    log.set(str(order.number))


@app.activity_trigger(input_name="value")
def untyped(value: Any) -> Any:
    return value


@app.orchestration_trigger(context_name="context")
async def ship(context: df.DurableOrchestrationContext[Order]) -> Receipt:
    return await context.call_activity(charge, context.get_input())


@app.orchestration_trigger(context_name="context")
def ship_in_steps(context: df.DurableOrchestrationContext[Order]) -> Generator[df.Task, Any, Receipt]:
    return (yield from context.call_activity(charge, context.get_input()))


@app.orchestration_trigger(context_name="context", input_type=Order)
async def ship_by_decorator(context: df.DurableOrchestrationContext) -> Receipt:
    return Receipt(1)


@app.orchestration_trigger(context_name="context")
def at_once(context: df.DurableOrchestrationContext) -> int:
    return 1


@app.orchestration_trigger(context_name="context")
def in_the_style_of_1_7_0(context: df.DurableOrchestrationContext):  # type: ignore[no-untyped-def]
    return (yield context.call_activity("charge", {"number": 1}))


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext) -> None:
    assert_type(context.get_input(), Any)
    assert_type(context.get_input(int), int)
    assert_type(context.get_state(expected_type=int), int | None)
    assert_type(context.get_state(lambda: 0, int), int)
    context.set_state(context.get_state(int) + context.get_input(int))


@app.route(route="orders", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    await client.start_new("ship", client_input={"number": 1})
    await client.start_new(ship, None, Order(1))
    await client.start_new(at_once)
    instance_id = await client.start_new(ship_by_decorator, client_input=Order(1))
    assert_type(instance_id, str)
    assert_type(await client.wait_for_result(instance_id, Receipt), Receipt)
    return client.create_check_status_response(req, instance_id)


def start_from_a_script(client: df.SyncDurableOrchestrationClient) -> None:
    assert_type(client.start_new(ship_in_steps, client_input=Order(1)), str)
    assert_type(client.wait_for_result("w", list[Receipt]), list[Receipt])


# ---------------------------------------------------------------- decorated functions in a unit test


async def called_directly(request: func.HttpRequest, client: df.DurableOrchestrationClient) -> None:
    assert_type(charge(Order(1), currency="USD"), Receipt)
    assert_type(charge(order=Order(1)), Receipt)
    assert_type(await start(request, client=client), func.HttpResponse)
    assert_type(counter(df.DurableEntityContext.from_json("{}")[0]), None)


def called_directly_with(context: df.DurableOrchestrationContext, out: func.Out[str]) -> None:
    assert_type(ship_in_steps(context), Generator[df.Task[Any], Any, Receipt])
    assert_type(ship_in_steps(context=context), Generator[df.Task[Any], Any, Receipt])
    assert_type(at_once(context), int)
    assert_type(audit(Order(1), log=out), None)


# ---------------------------------------------------------------- calls by reference and by name


async def calls(context: df.DurableOrchestrationContext[Order]) -> None:
    order = context.get_input()
    assert_type(order, Order)
    assert_type(context.get_input(dict[str, int]), dict[str, int])

    assert_type(context.call_activity(charge, order), df.Task[Receipt])
    assert_type(await context.call_activity(charge, order), Receipt)
    assert_type(await context.call_activity(pack, order), str)
    assert_type(await context.call_activity(audit, order), None)
    assert_type(await context.call_activity(tidy), int)
    assert_type(await context.call_activity(tidy, 7), int)
    assert_type(await context.call_activity(untyped, {1: 2}), Any)
    assert_type(await context.call_activity_with_retry(charge, retry, order), Receipt)
    assert_type(await context.call_activity_with_retry(pack, retry, order), str)
    assert_type(await context.call_activity_with_retry(tidy, retry), int)

    assert_type(await context.call_sub_orchestrator(ship, order), Receipt)
    assert_type(await context.call_sub_orchestrator(ship_in_steps, order, "child-1"), Receipt)
    assert_type(await context.call_sub_orchestrator(ship_by_decorator, order, version="2"), Receipt)
    assert_type(await context.call_sub_orchestrator(at_once), int)
    assert_type(await context.call_sub_orchestrator(at_once, "anything"), int)
    assert_type(await context.call_sub_orchestrator_with_retry(ship, retry, order), Receipt)
    assert_type(await context.call_sub_orchestrator_with_retry(at_once, retry), int)

    assert_type(await context.call_activity("charge", order), Any)
    assert_type(await context.call_activity("charge", order, Receipt), Receipt)
    assert_type(await context.call_activity("charge", expected_type=Receipt), Receipt)
    assert_type(await context.call_activity("charge", order, expected_type=list[Receipt]), list[Receipt])
    assert_type(await context.call_activity("charge", order, expected_type=Receipt | None), Receipt | None)
    assert_type(await context.call_activity("charge", order, expected_type=Literal["paid"]), Literal["paid"])
    assert_type(await context.call_activity(untyped, order, expected_type=Receipt), Receipt)
    assert_type(await context.call_activity_with_retry("charge", retry, order, Receipt), Receipt)
    assert_type(await context.call_sub_orchestrator("ship", order), Any)
    assert_type(await context.call_sub_orchestrator("ship", order, expected_type=Receipt), Receipt)
    assert_type(await context.call_sub_orchestrator_with_retry("ship", retry, order, expected_type=int), int)

    entity = df.EntityId("counter", "a")
    assert_type(await context.call_entity(entity, "add", 1), Any)
    assert_type(await context.call_entity(entity, "add", 1, int), int)
    assert_type(await context.call_entity(entity, "get", expected_type=int), int)
    assert_type(context.signal_entity(entity, "add", 1), df.Task[None])
    assert_type(await context.create_timer(timedelta(hours=1)), None)
    assert_type((await context.call_http("GET", "https://example.com"))["statusCode"], Any)
    async with context.lock(entity):
        pass


def steps(context: df.DurableOrchestrationContext[Order]) -> Generator[df.Task, Any, list[Receipt]]:
    order = context.get_input()
    assert_type((yield from context.call_activity(charge, order)), Receipt)
    assert_type((yield from context.call_activity(pack, order)), str)
    assert_type((yield from context.call_activity("charge", order, Receipt)), Receipt)
    assert_type((yield from context.call_sub_orchestrator(ship, order)), Receipt)
    assert_type((yield from context.wait_for_external_event("paid", Receipt)), Receipt)
    assert_type((yield from context.call_entity(df.EntityId("counter", "a"), "get", expected_type=int)), int)
    assert_type((yield context.call_activity(charge, order)), Any)
    yield context.create_timer(timedelta(hours=1))
    with (yield from context.lock_entities(df.EntityId("counter", "a"))) as locks:
        locks.release()
    return (yield from context.task_all([context.call_activity(charge, order) for _ in range(3)]))


# ---------------------------------------------------------------- several at once


async def with_asyncio(context: df.DurableOrchestrationContext[Order]) -> None:
    order = context.get_input()
    both = await asyncio.gather(context.call_activity(charge, order), context.call_activity(pack, order))
    assert_type(both, tuple[Receipt, str])
    assert_type(await asyncio.gather(*[context.call_activity(charge, order)]), list[Receipt])
    assert_type(await asyncio.wait_for(context.call_activity(charge, order), 60), Receipt)
    assert_type(await asyncio.shield(context.call_activity(charge, order)), Receipt)
    assert_type(await asyncio.create_task(context.call_activity(charge, order)), Receipt)
    async with asyncio.TaskGroup() as group:
        charged = group.create_task(context.call_activity(charge, order))
        packed = group.create_task(context.call_activity(pack, order))
    assert_type((charged.result(), packed.result()), tuple[Receipt, str])
    for next_one in asyncio.as_completed([context.call_activity(charge, order)]):
        assert_type(await next_one, Receipt)
    done, _ = await asyncio.wait([asyncio.create_task(context.call_activity(pack, order))])
    assert_type([task.result() for task in done], list[str])


async def with_the_context(context: df.DurableOrchestrationContext[Order]) -> None:
    charged, packed = context.call_activity(charge, context.get_input()), context.call_activity(tidy)
    assert_type(await context.task_all([charged, charged]), list[Receipt])
    assert_type(await context.task_all((charged, packed), fail_fast=False), tuple[Receipt, int])
    assert_type(await context.task_all((charged, packed, charged)), tuple[Receipt, int, Receipt])
    timer = context.create_timer(timedelta(days=3))
    paid = context.wait_for_external_event("paid", Receipt)
    if await context.task_any([paid, timer]) == paid:
        timer.cancel()
        assert_type(paid.result, Receipt)
    else:
        paid.cancel()
    first = await context.task_any([charged, charged])
    assert_type(first, df.Task[Receipt])
    assert_type(first.result, Receipt)


async def waits(context: df.DurableOrchestrationContext) -> None:
    assert_type(await context.wait_for_external_event("paid"), Any)
    assert_type(await context.wait_for_external_event("paid", Receipt), Receipt)
    assert_type(await context.wait_for_external_event("paid", Receipt, timeout=timedelta(days=1)), Receipt)
    assert_type(await context.wait_for_external_event("paid", expected_type=Receipt | None), Receipt | None)
    assert_type(await flow.collect(context, "vote", 3, expected_type=bool), list[bool])
    assert_type(await flow.collect(context, "vote", 3), list[Any])


# ---------------------------------------------------------------- flow helpers


async def helpers(context: df.DurableOrchestrationContext[Order]) -> None:
    orders = [context.get_input()]
    assert_type(await flow.map(lambda order: context.call_activity(charge, order), orders, limit=10), list[Receipt])
    task = context.call_activity(charge, orders[0])
    assert_type(await flow.race(task, task, task, task), Receipt)
    assert_type(await flow.race(task, context.create_timer(timedelta(hours=1))), Receipt | None)
    assert_type(await flow.timeout(task, timedelta(hours=1)), Receipt)
    assert_type(await asyncio.gather(flow.timeout(task, timedelta(hours=1))), tuple[Receipt])
    async with asyncio.TaskGroup() as group:
        charged = group.create_task(flow.map(lambda order: context.call_activity(charge, order), orders))
        raced = asyncio.create_task(flow.race(task, task))
    assert_type(charged.result(), list[Receipt])
    assert_type(await raced, Receipt)
    assert_type(await asyncio.wait_for(flow.timeout(task, timedelta(hours=1)), 60), Receipt)
    async with flow.Saga() as saga:
        receipt = await task
        saga.on_failure(lambda: context.call_activity("refund", receipt))


def helpers_in_steps(context: df.DurableOrchestrationContext[Order]) -> Generator[df.Task, Any, None]:
    orders = [context.get_input()]
    receipts = yield from flow.map(lambda order: context.call_activity(charge, order), orders)
    assert_type(receipts, list[Receipt])
    assert_type((yield from flow.timeout(context.call_activity(charge, orders[0]), timedelta(hours=1))), Receipt)
    assert_type((yield from flow.collect(context, "vote", 3, expected_type=bool)), list[bool])


# ---------------------------------------------------------------- tasks


def tasks(plain: df.Task, narrow: df.Task[bool]) -> list[df.Task]:
    """A plain `Task` is of anything, and a task of a bool is one of an int."""
    assert_type(plain.result, Any)
    wide: df.Task[int] = narrow
    return [plain, wide]
