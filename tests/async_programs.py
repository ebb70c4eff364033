"""The `async def` programs behind the recordings `e3_async_*`: what their payloads and replies imply."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import worker_ext as df
from worker_ext.trigger_view import HistoryEventType

Context = df.DurableOrchestrationContext
Program = Callable[[Context], Awaitable[Any]]


def sleep(seconds: float) -> dict[str, float]:
    return {"sleep": seconds}


def counter(key: str) -> df.EntityId:
    return df.EntityId("Counter", key)


async def text_of(wait: Any) -> str:
    return json.dumps(await wait)


async def can_carry(context: Context) -> Any:
    if context.get_input() is None:
        await context.call_activity("A", sleep(0.35))
        context.continue_as_new({"g": 1})
        return None
    return [await text_of(context.wait_for_external_event(name)) for name in ("x", "x", "y")]


async def carried(context: Context, last: float) -> Any:
    """The second generation: tells which events were carried into it, without waiting for any."""
    await context.call_activity("B", sleep(last))
    return [
        [event.Name, event.Input] for event in context.histories if event.event_type == HistoryEventType.EVENT_RAISED
    ]


async def can_open(context: Context) -> Any:
    if context.get_input() is not None:
        return await carried(context, 0.2)
    activity = asyncio.create_task(context.call_activity("A", sleep(1.2)))
    await context.wait_for_external_event("e1")
    await context.call_activity("B", sleep(0.1))
    context.continue_as_new({"g": 1})
    assert not activity.done()
    return None


async def can_split(context: Context) -> Any:
    if context.get_input() is not None:
        return await carried(context, 0.3)
    await context.wait_for_external_event("e1")
    await context.call_activity("A", sleep(0.6))
    context.continue_as_new({"g": 1})
    return None


async def cancel_bare(context: Context) -> Any:
    timer = asyncio.create_task(context.create_timer(timedelta(seconds=1.5)))
    await asyncio.sleep(0)
    timer.cancel()
    await context.call_activity("B", {})
    return "ok"


async def child_fail(context: Context) -> Any:
    context.set_custom_status({"step": "start"})

    async def child() -> str:
        try:
            await context.call_sub_orchestrator("Child", {"fail": 1}, "badchild__1")
        except df.TaskFailedError as error:
            context.set_custom_status({"step": "child failed"})
            await context.call_activity("D", {})
            return error.reason
        return "fine"

    async def sibling() -> None:
        await context.call_activity("A", sleep(0.3))
        await context.call_activity("B", sleep(0.4))

    failed, _ = await asyncio.gather(child(), sibling())
    await context.call_activity("C", sleep(0.4))
    return failed


async def done_call(context: Context) -> Any:
    activity = asyncio.create_task(context.call_activity("A", sleep(0.1)))
    call = asyncio.create_task(context.call_entity(counter("ado"), "slow"))
    await activity
    assert not call.done()
    return "ok"


async def done_open(context: Context) -> Any:
    both = [asyncio.create_task(context.call_activity(name, sleep(s))) for name, s in (("A", 0.2), ("B", 1.5))]
    done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    return f"{done.pop().result()} won"


async def done_timer(context: Context) -> Any:
    timers = [asyncio.create_task(context.create_timer(timedelta(seconds=s))) for s in (1.5, 1.9)]
    await asyncio.create_task(context.call_activity("A", sleep(0.2)))
    assert not any(timer.done() for timer in timers)
    return "ok"


async def event_timeout(context: Context) -> Any:
    async def go(seconds: float) -> str:
        try:
            return await asyncio.wait_for(text_of(context.wait_for_external_event("go")), seconds)
        except TimeoutError:
            return "timeout"

    async def waits() -> list[str]:
        seen = [await go(1), await go(0.6)]
        await context.call_activity("B", {})
        return seen

    seen, _ = await asyncio.gather(waits(), context.call_activity("A", sleep(0.9)))
    return seen


async def events(context: Context) -> Any:
    seen: list[list[str]] = []

    async def add(name: str) -> None:
        seen.append(["a", await text_of(context.wait_for_external_event(name))])
        await context.call_entity(counter("aev"), "add", "1")

    async def first() -> None:
        await context.call_activity("A", sleep(0.4))
        await add("e1")
        await add("e1")

    async def second() -> None:
        seen.append(["d", await text_of(context.wait_for_external_event("e2"))])
        seen.append(["d", json.dumps(await context.call_entity(counter("aev"), "get"))])

    async def third() -> None:
        await context.call_activity("B", sleep(1.3))
        await context.call_entity(counter("aev"), "add", "1")

    await asyncio.gather(first(), second(), third())
    return seen


async def fail_fast(context: Context) -> Any:
    async def failing() -> None:
        await context.call_activity("A", sleep(0.2))
        raise ValueError("branch failed")

    await asyncio.gather(failing(), context.call_activity("B", sleep(1.2)))


async def gather(context: Context) -> Any:
    await asyncio.gather(*(context.call_activity(name, sleep(s)) for name, s in (("A", 0.0), ("B", 0.2), ("C", 0.4))))
    await context.call_activity("D", {})
    return "ok"


async def http_poll(context: Context) -> Any:
    async def request() -> str:
        answer = await context.call_http("GET", "http://127.0.0.1:18192/x")
        while answer["statusCode"] == 202:
            await asyncio.sleep(float(answer["headers"]["Retry-After"]))
            answer = await context.call_http("GET", answer["headers"]["Location"])
        return str(answer["content"])

    async def work() -> None:
        for name in "ABCDAB":
            await context.call_activity(name, sleep(0.2))

    content, _ = await asyncio.gather(request(), work())
    return content


async def lock(context: Context) -> Any:
    if context.instance_id == "holder__1":
        return await hold(context, "alk")

    async def locked() -> None:
        async with context.lock(counter("alk")):
            await context.call_entity(counter("alk"), "add", "1")
            await context.call_activity("D", sleep(0.3))
            await context.call_entity(counter("alk"), "add", "1")
        await context.call_activity("A", {})

    async def child() -> None:
        for _ in range(8):
            await context.call_activity("B", sleep(0.2))
        await context.call_sub_orchestrator("Child")
        await context.call_activity("C", {})

    await asyncio.gather(locked(), child())
    return "ok"


async def hold(context: Context, key: str) -> str:
    async with context.lock(counter(key)):
        await context.call_activity("A", sleep(1.0))
    return "held"


async def lock_end(context: Context) -> Any:
    if context.instance_id == "holder3__1":
        return await hold(context, "aloe")

    async def locked() -> None:
        async with context.lock(counter("aloe")):
            await context.call_entity(counter("aloe"), "add", "1")

    section = asyncio.create_task(locked())
    await asyncio.sleep(0)
    await context.call_activity("A", sleep(0.1))
    await context.call_activity("B", sleep(0.1))
    assert not section.done()
    return "ok"


async def lock_seq(context: Context) -> Any:
    first, second = counter("as1"), counter("as2")
    async with context.lock(first, second):
        await context.call_entity(first, "add", "1")
        await context.call_entity(first, "add", "1")
        await context.call_activity("A", {})
        await context.call_entity(second, "add", "1")
    await context.call_activity("B", {})
    return "ok"


async def long(context: Context) -> Any:
    timer = asyncio.create_task(context.create_timer(timedelta(seconds=5)))
    await asyncio.sleep(0)
    for name, seconds in (("A", 0.3), ("B", 0.3), ("C", 0.8)):
        await context.call_activity(name, sleep(seconds))
    timer.cancel()
    await context.call_activity("D", {})
    return "ok"


async def many(context: Context) -> Any:
    await asyncio.gather(*(context.call_activity("A", {"n": n}) for n in range(6)))


async def retry(context: Context) -> Any:
    async def failing() -> str:
        try:
            await context.call_activity_with_retry("Fail", df.RetryOptions(300, 3), {"fail": "E: x"})
        except df.TaskFailedError:
            return "gave up"
        return "fine"

    async def work() -> None:
        for name in "ABC":
            await context.call_activity(name, sleep(0.2))

    outcome, _ = await asyncio.gather(failing(), work())
    return outcome


async def seq(context: Context) -> Any:
    await context.call_activity("A", {"ret": 1})
    context.signal_entity(counter("aseq"), "add", "5")
    await context.call_entity(counter("aseq"), "get")
    go = await text_of(context.wait_for_external_event("go"))
    await asyncio.sleep(0.2)
    await context.call_sub_orchestrator("Child")
    try:
        await context.call_activity("Fail", {"fail": "E: x"})
    except df.TaskFailedError:
        await context.call_activity("B", {})
    return go


async def suspend(context: Context) -> Any:
    async def first() -> None:
        await context.call_activity("A", sleep(0.5))
        await context.call_activity("B", sleep(0.1))

    async def second() -> str:
        await context.call_activity("C", sleep(0.1))
        await context.call_activity("D", sleep(0.3))
        return ""

    async def third() -> str:
        go = await text_of(context.wait_for_external_event("go"))
        await context.call_entity(counter("asu"), "add", "1")
        return go

    return (await asyncio.gather(third(), first(), second()))[0]


async def sync_clock(context: Context) -> Any:
    async def first() -> None:
        await context.call_activity("A", sleep(2.2))
        await asyncio.sleep(0.5)

    async def second() -> None:
        await context.call_activity("B", sleep(0.1))
        await context.call_activity("C", sleep(3.4))

    await asyncio.gather(first(), second())
    return "ok"


async def two(context: Context) -> Any:
    async def chain(first: str, pause: float, second: str, then: float) -> None:
        await context.call_activity(first, sleep(pause))
        await context.call_activity(second, sleep(then))

    await asyncio.gather(chain("A", 0.2, "C", 0.6), chain("B", 0.5, "D", 0.1))
    return "ok"


PROGRAMS: dict[str, Program] = {
    "async_can_carry": can_carry,
    "async_can_open": can_open,
    "async_can_split": can_split,
    "async_cancel_bare": cancel_bare,
    "async_child_fail": child_fail,
    "async_done_call": done_call,
    "async_done_open": done_open,
    "async_done_timer": done_timer,
    "async_event_timeout": event_timeout,
    "async_events": events,
    "async_fail_fast": fail_fast,
    "async_gather": gather,
    "async_http_poll": http_poll,
    "async_lock": lock,
    "async_lock_end": lock_end,
    "async_lock_seq": lock_seq,
    "async_long": long,
    "async_max": many,
    "async_retry": retry,
    "async_seq": seq,
    "async_suspend": suspend,
    "async_sync_clock": sync_clock,
    "async_two": two,
}
