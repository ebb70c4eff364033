"""What the functions of the tests' apps do, in either programming model."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import azure.functions as func

import worker_ext as df

PATIENCE = 30.0


async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Starts an orchestrator with the body of the request."""
    body = req.get_json() if req.get_body() else None
    instance_id = await client.start_new(req.route_params["functionName"], client_input=body)
    return client.create_check_status_response(req, instance_id)


async def counted(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Tells the state of an entity."""
    found = await client.read_entity_state(df.EntityId("counter", req.route_params["key"]))
    return func.HttpResponse(json.dumps(found.entity_state), status_code=200 if found.entity_exists else 404)


def from_queue(msg: func.QueueMessage, client: df.DurableOrchestrationClient, out: func.Out[str]) -> None:
    """Tells through one binding what came by two others."""
    out.set(json.dumps([client.create_http_management_payload("i")["id"], msg.get_json(), msg.dequeue_count]))


def counter(context: df.DurableEntityContext) -> None:
    """Adds up, and refuses what is no number."""
    total = context.get_state(lambda: 0)
    if context.operation_name == "add":
        total += int(context.get_input())
        context.set_state(total)
    context.set_result(total)


def everything(context: df.DurableOrchestrationContext) -> Any:
    """Calls every activity, side by side and in turn, and an entity."""
    logging.getLogger("app.steps").warning("said once by the orchestrator")
    names = ["in_thread", "on_loop"]
    places = yield context.task_all([context.call_activity(name, "x") for name in names])
    total = yield context.call_activity("total", [1, 2, 3])
    nothing = yield context.call_activity("nothing", None)
    try:
        yield context.call_activity("broken", "a value")
        failure = "none"
    except df.TaskFailedError as error:
        failure = f"{error.error_type}: {error.error_message}"
    entity = df.EntityId("counter", context.instance_id)
    context.signal_entity(entity, "add", 3)
    counts = [(yield context.call_entity(entity, "add", 4))]
    try:
        yield context.call_entity(entity, "add", "a word")
    except df.TaskFailedError:
        counts.append((yield context.call_entity(entity, "get")))
    context.set_custom_status("nearly there")
    yield context.create_timer(context.current_utc_datetime)
    return {"places": places, "total": total, "nothing": nothing, "failure": failure.splitlines()[0], "counts": counts}


def fails(context: df.DurableOrchestrationContext) -> Any:
    """Does something and fails, with a text that looks like a secret."""
    yield context.call_activity("nothing", "https://example.com/?code=secret&sig=more")
    raise ValueError("boom ?code=secret; key=other")


def fails_at_once(context: df.DurableOrchestrationContext) -> Any:
    """Says something, and fails in the same turn."""
    context.set_custom_status(context.get_input())
    raise ValueError(f"boom ?code=secret; key=other {len(str(context.get_input()))}")


def adds_up(context: df.DurableOrchestrationContext) -> Any:
    """Calls one activity after the other, as many as its input says, and adds up how long their results are."""
    length = 0
    for number in range(context.get_input()):
        length += len((yield context.call_activity("nothing", number)))
    return length


async def in_asyncio(context: df.DurableOrchestrationContext) -> Any:
    """Does, in its second round, what orchestrators do, and runs two branches of two steps side by side."""
    job, key = context.get_input(), context.instance_id
    if job["round"] == 1:
        context.continue_as_new({**job, "round": 2})
        return None

    async def two_steps(first: str) -> Any:
        seen = await context.call_activity(first, key)
        await context.call_activity("passes", {"key": key, "after": first})
        return seen

    seen = await asyncio.gather(two_steps("waits"), two_steps("nothing"))
    try:
        event = await context.wait_for_external_event("never", timeout=timedelta(milliseconds=50))
    except TimeoutError:
        event = "timed out"
    attempts = await context.call_activity_with_retry("fails_twice", df.RetryOptions(10, 3), key)
    answer = await context.call_http("GET", job["url"])
    async with context.lock(df.EntityId("counter", key)):
        count = await context.call_entity(df.EntityId("counter", key), "add", 5)
    child = await context.call_sub_orchestrator("everything")
    return {
        "seen": ["in time" if seen[0] is True else seen[0], seen[1] == key],
        "event": event,
        "attempts": attempts,
        "answer": answer["statusCode"],
        "count": count,
        "child": child["total"],
    }


def in_thread(value: str) -> str:
    logging.getLogger("app").warning("said in the thread")
    return f"{value} in {_place()}"


async def on_loop(value: str) -> str:
    await asyncio.sleep(0)
    return f"{value} in {_place()}"


def _place() -> str:
    main = threading.current_thread() is threading.main_thread()
    return "the main thread" if main else "another thread"


def total(numbers: list[int] | None) -> int:
    return sum(numbers or [])


def nothing(value: Any) -> Any:
    return value


def broken(value: Any) -> None:
    try:
        raise KeyError("the cause")
    except KeyError as error:
        raise LookupError(f"no luck with {value}") from error


_passed: set[str] = set()
_attempts: Counter[str] = Counter()


async def waits(value: str) -> bool:
    """Whether the second step of the other branch has run while this first one did; the older worker has one thread."""
    deadline = time.monotonic() + PATIENCE
    while value not in _passed and time.monotonic() < deadline:  # noqa: ASYNC110 - it is set from a thread
        await asyncio.sleep(0.01)
    return value in _passed


def passes(value: Any) -> None:
    if value["after"] != "waits":
        _passed.add(value["key"])


def fails_twice(value: str) -> int:
    _attempts[value] += 1
    if _attempts[value] < 3:
        raise ConnectionError(f"attempt {_attempts[value]}")
    return _attempts[value]


def slow(value: float) -> str:
    logging.getLogger("app").warning("slow has begun")
    time.sleep(value)
    return "slow has ended"


def about(req: func.HttpRequest) -> func.HttpResponse:
    """Who runs this, so that a test can see that it tests what it means to."""
    modules = ("azure_functions_runtime", "azure_functions_runtime_v1", "azure_functions_worker", "worker_ext.worker")
    is_workers = str(func.__file__).startswith(os.environ.get("FUNCTIONS_WORKER_DIRECTORY", "no folder"))
    facts = {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "handlers": [name for name in modules if name in sys.modules],
        "sdk": "the worker's" if is_workers else "the app's",
        "versions": {
            name: importlib.import_module(name).__version__ for name in req.params.get("of", "").split(",") if name
        },
    }
    return func.HttpResponse(json.dumps(facts))
