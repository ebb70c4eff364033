"""What type checkers must refuse, and in what words.

The comments above a line tell what mypy (M) and pyright (P) say of it: the rule, and a part of the message. A line
without such comments must be accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from datetime import timedelta
from typing import Any

from accepted import (
    Order,
    Receipt,
    app,
    at_once,
    audit,
    charge,
    counter,
    pack,
    retry,
    ship,
    ship_by_decorator,
    ship_in_steps,
)

import worker_ext as df
from worker_ext import flow


async def a_wrong_input(context: df.DurableOrchestrationContext[Order]) -> None:
    await context.call_activity(charge, Order(1))
    # M[arg-type] expected "def (str, /, *Any, **Any) -> Coroutine[Any, Any, Never]"
    # P[reportCallIssue] No overloads for "call_activity"
    # P[reportArgumentType] "Literal['books']" is not assignable to "Order"
    await context.call_activity(charge, "books")
    # M[arg-type] expected "def (None, /, *Any, **Any) -> Coroutine[Any, Any, Never]"
    # P[reportCallIssue] No overloads for "call_activity"
    # P[reportArgumentType] "DurableFunction[(order: Order, currency: str = "EUR"), Receipt]" is not assignable to "str"
    await context.call_activity(charge)
    # M[arg-type] expected "def (Receipt, /, *Any, **Any) -> Coroutine[Any, Any, str]"
    # P[reportCallIssue] No overloads for "call_activity"
    # P[reportArgumentType] "Receipt" is not assignable to "Order"
    await context.call_activity(pack, Receipt(1))
    # M[arg-type] expected "def (int, /, *Any, **Any) -> Coroutine[Any, Any, Never]"
    # P[reportCallIssue] No overloads for "call_activity"
    # P[reportArgumentType] "Literal[1]" is not assignable to "Order"
    await context.call_activity(audit, 1)
    # M[arg-type] expected "str | def (int, /, *Any, **Any) -> Any"
    # P[reportCallIssue] No overloads for "call_activity"
    # P[reportArgumentType] "Literal[1]" is not assignable to "Order"
    await context.call_activity(charge, 1, expected_type=Receipt)
    # M[arg-type] expected "def (int, /, *Any, **Any) -> Coroutine[Any, Any, Never]"
    # P[reportCallIssue] No overloads for "call_activity_with_retry"
    # P[reportArgumentType] "Literal[1]" is not assignable to "Order"
    await context.call_activity_with_retry(charge, retry, 1)
    # M[arg-type] expected "Callable[[DurableOrchestrationContext[int]], Generator[Never, Never, Never]]"
    # P[reportCallIssue] No overloads for "call_sub_orchestrator"
    # P[reportArgumentType] "Literal[1]" is not assignable to "Order"
    await context.call_sub_orchestrator(ship, 1)
    # M[arg-type] expected "Callable[[DurableOrchestrationContext[int]], Generator[Task[Any], Any, Receipt]]"
    # P[reportCallIssue] No overloads for "call_sub_orchestrator"
    # P[reportArgumentType] "Literal[1]" is not assignable to "Order"
    await context.call_sub_orchestrator(ship_in_steps, 1)
    # M[arg-type] expected "Callable[[DurableOrchestrationContext[int]], Generator[Never, Never, Never]]"
    # P[reportCallIssue] No overloads for "call_sub_orchestrator"
    # P[reportArgumentType] "Literal[1]" is not assignable to "Order"
    await context.call_sub_orchestrator(ship_by_decorator, 1)
    # M[arg-type] expected "Callable[[DurableOrchestrationContext[None]], Generator[Never, Never, Never]]"
    # P[reportCallIssue] No overloads for "call_sub_orchestrator_with_retry"
    # P[reportArgumentType] "DurableFunction[(context: DurableOrchestrationContext[Order]),
    await context.call_sub_orchestrator_with_retry(ship, retry)


async def a_wrong_kind_of_function(context: df.DurableOrchestrationContext[Order]) -> None:
    # M[arg-type] expected "def (Order, /, *Any, **Any) -> Coroutine[Any, Any, Receipt]"
    # P[reportCallIssue] No overloads for "call_activity"
    # P[reportArgumentType] "Order" is not assignable to "DurableOrchestrationContext[Order]"
    await context.call_activity(ship, Order(1))
    # M[arg-type] expected "Callable[[DurableOrchestrationContext[Order]], Generator[Never, Never, Never]]"
    # P[reportCallIssue] No overloads for "call_sub_orchestrator"
    # P[reportArgumentType] "DurableFunction[(order: Order, currency: str = "EUR"), Receipt]" is not assignable to "str"
    await context.call_sub_orchestrator(charge, Order(1))


async def a_wrong_result(context: df.DurableOrchestrationContext[Order]) -> str:
    # M[arg-type] expected "def (Order, /, *Any, **Any) -> Coroutine[Any, Any, str]"
    # P[reportAssignmentType] "Receipt" is not assignable to "str"
    text: str = await context.call_activity(charge, Order(1))
    # M[attr-defined] "Receipt" has no attribute "totals"
    # P[reportAttributeAccessIssue] Cannot access attribute "totals" for class "Receipt"
    _ = (await context.call_activity("charge", Order(1), expected_type=Receipt)).totals
    # M[arg-type] "wait_for_external_event" of "DurableOrchestrationContext" has incompatible type "TypeForm[Receipt]"
    # P[reportAssignmentType] "Receipt" is not assignable to "int"
    number: int = await context.wait_for_external_event("paid", Receipt)
    # M[arg-type] incompatible type "TypeForm[str]"; expected "TypeForm[int]"
    # P[reportAssignmentType] Type "list[str]" is not assignable to declared type "list[int]"
    votes: list[int] = await flow.collect(context, "vote", 3, expected_type=str)
    # M[attr-defined] "Order" has no attribute "total"
    # P[reportAttributeAccessIssue] Cannot access attribute "total" for class "Order"
    _ = context.get_input().total
    # M[call-overload] No overload variant of "call_activity"
    # P[reportCallIssue] No overloads for "call_activity"
    # P[reportArgumentType] "Literal[5]" is not assignable to "TypeForm[T@call_activity]"
    await context.call_activity("charge", expected_type=5)
    both = await asyncio.gather(context.call_activity(charge, Order(1)), context.call_activity(pack, Order(1)))
    # M[return-value] got "Receipt", expected "str"
    # P[reportReturnType] "Receipt" is not assignable to "str"
    return both[0]


def a_wrong_result_in_steps(context: df.DurableOrchestrationContext[Order]) -> Generator[df.Task, Any, str]:
    # M[assignment] expression has type "Receipt", variable has type "int"
    # P[reportAssignmentType] "Receipt" is not assignable to "int"
    number: int = yield from context.call_activity(charge, Order(1))
    # M[return-value] got "Receipt", expected "str"
    # P[reportReturnType] "Receipt" is not assignable to "str"
    return (yield from context.call_sub_orchestrator(ship, Order(1)))


async def a_timer_has_no_result(context: df.DurableOrchestrationContext) -> None:
    # M[func-returns-value] Function does not return a value (it only ever returns None)
    # M[assignment] expression has type "None", variable has type "int"
    # P[reportAssignmentType] "None" is not assignable to "int"
    number: int = await context.create_timer(timedelta(hours=1))


async def a_start_with_a_wrong_input(client: df.DurableOrchestrationClient) -> None:
    # M[arg-type] expected "Callable[[DurableOrchestrationContext[str]], Any]"
    # P[reportCallIssue] No overloads for "start_new"
    # P[reportArgumentType] "Literal['books']" is not assignable to "Order"
    await client.start_new(ship, client_input="books")
    # M[arg-type] expected "Callable[[DurableOrchestrationContext[None]], Any]"
    # P[reportCallIssue] No overloads for "start_new"
    # P[reportArgumentType] "None" is not assignable to "Order"
    await client.start_new(ship_by_decorator, "instance-1")
    # M[arg-type] expected "Callable[[DurableOrchestrationContext[None]], Any]"
    # P[reportCallIssue] No overloads for "start_new"
    # P[reportArgumentType] "DurableOrchestrationContext[None]" is not assignable to "Order"
    await client.start_new(charge)


def a_wrong_call_in_a_unit_test(context: df.DurableEntityContext) -> None:
    # M[arg-type] expected "Order"
    # P[reportArgumentType] "Literal['books']" is not assignable to "Order"
    charge("books")
    # M[call-arg] Unexpected keyword argument "order_" for "__call__" of "DurableFunction"
    # P[reportCallIssue] Argument missing for parameter "order"
    # P[reportCallIssue] No parameter named "order_"
    charge(order_=Order(1))
    # M[arg-type] expected "DurableOrchestrationContext[Any]"
    # P[reportArgumentType] "DurableEntityContext" is not assignable to "DurableOrchestrationContext[Any]"
    at_once(context)
    # M[assignment] expression has type "None", variable has type "int"
    # P[reportAssignmentType] "None" is not assignable to "int"
    number: int = counter(context)


# M[arg-type] expected "Callable[[DurableOrchestrationContext[Receipt]], Coroutine[Any, Any, Receipt]]"
# P[reportArgumentType] "Receipt" is not assignable to "Order"
@app.orchestration_trigger(context_name="context", input_type=Receipt)
async def other_input_than_it_takes(context: df.DurableOrchestrationContext[Order]) -> Receipt:
    return Receipt(1)


# M[call-arg] Unexpected keyword argument "rout" for "route" of "InheritedDecorators"
# P[reportCallIssue] No parameter named "rout"
@app.route(rout="orders")
def misspelt() -> str:
    return ""
