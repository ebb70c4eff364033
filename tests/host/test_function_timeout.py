"""Functions that run longer than functionTimeout, on a real host: what becomes of them, and of what ran beside them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from running_host import PATIENCE, Host, run_host

from worker_ext.host import suspects
from worker_ext.protocol.history import EventRaised

LIMIT = 3
LIMIT_OF_MANY = 7
"""Where several functions are to hang before the first of them runs out of time."""

APP = """
import os
import time
from pathlib import Path
import azure.functions as func
import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
FIRST = Path(__file__).with_name("first")


def hang(name):
    print(f"{name} hangs", flush=True)
    time.sleep(600)


def hang_in_first_worker(name):
    # The first worker is the one whose id `hangs` has left behind.
    if FIRST.read_text() == str(os.getpid()):
        hang(name)
    print(f"{name} is run again", flush=True)


@app.orchestration_trigger(context_name="context")
def catches(context):
    try:
        yield context.call_activity("hangs", None)
    except Exception as error:
        caught = str(error)
    return [caught, (yield context.call_activity("greet", "x"))]


@app.activity_trigger(input_name="nothing")
def hangs(nothing: None) -> None:
    FIRST.write_text(str(os.getpid()))
    hang("the culprit")


@app.activity_trigger(input_name="name")
def greet(name: str) -> str:
    return f"hello {name}"


@app.orchestration_trigger(context_name="context")
def calls_beside(context):
    return (yield context.call_activity("beside", None))


@app.activity_trigger(input_name="nothing")
def beside(nothing: None) -> str:
    hang_in_first_worker("an activity")
    return "done"


@app.orchestration_trigger(context_name="context")
def stalls(context):
    hang_in_first_worker("an orchestrator")
    return (yield context.call_activity("greet", "y"))


@app.entity_trigger(context_name="context")
def counter(context):
    hang_in_first_worker("an entity")
    context.set_state(context.get_state(lambda: 0) + 1)


@app.route(route="page")
def page(req: func.HttpRequest) -> str:
    hang_in_first_worker("a request")
    return "a page"


@app.orchestration_trigger(context_name="context")
def always_stalls(context):
    hang("the orchestrator")
    yield context.create_timer(context.current_utc_datetime)


@app.orchestration_trigger(context_name="context")
def asks(context):
    entity = df.EntityId("stuck", "k")
    yield context.call_entity(entity, "add")
    try:
        yield context.call_entity(entity, "hang")
    except Exception as error:
        text = str(error)
    return [text, (yield context.call_entity(entity, "add"))]


@app.entity_trigger(context_name="context")
def stuck(context):
    context.set_state(context.get_state(lambda: 0) + 1)
    if context.operation_name == "hang":
        hang("the entity")
    context.set_result(context.get_state())
"""


def exceeded(name: str) -> str:
    return f"Timeout value of 00:00:0{LIMIT} was exceeded by function: Functions.{name}"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "function_app.py").write_text(APP)
    limit(tmp_path, LIMIT)
    return tmp_path


def limit(app: Path, seconds: int) -> None:
    (app / "host.json").write_text(json.dumps({"version": "2.0", "functionTimeout": f"00:00:0{seconds}"}))


async def outcome(host: Host, instance_id: str) -> tuple[str, Any]:
    instance = await host.local.scheduler.wait_for_completion(instance_id, PATIENCE)
    assert instance is not None
    assert instance.output is not None, (instance, host.printed.getvalue())
    return instance.status, json.loads(instance.output) if instance.status == "Completed" else instance.output


async def test_an_activity_that_takes_too_long_has_failed_and_is_not_run_again(app: Path) -> None:
    async with run_host(app) as host:
        before = host.local.workers.pid
        instance_id = await host.local.scheduler.start_instance("catches", None)
        status, (caught, greeting) = await outcome(host, instance_id)
        assert (status, greeting) == ("Completed", "hello x")
        assert caught.partition(" \n ")[0] == f"Activity function 'hangs' failed: {exceeded('hangs')}"
        assert host.local.workers.pid != before
        printed = host.printed.getvalue()
        assert (
            f"hangs {instance_id}: took longer than functionTimeout (0:00:0{LIMIT}); its worker is replaced" in printed
        )
        assert printed.count("the culprit hangs") == 1


async def test_what_ran_beside_one_that_takes_too_long_is_run_again(
    app: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limit(app, LIMIT_OF_MANY)
    async with run_host(app) as host:
        culprit = await host.local.scheduler.start_instance("catches", None)
        await host.until(lambda: "the culprit hangs" in host.printed.getvalue(), "the culprit to hang")
        await asyncio.sleep(LIMIT_OF_MANY / 4)  # whatever else hangs has time left when the culprit has none
        called = await host.local.scheduler.start_instance("calls_beside", None)
        stalled = await host.local.scheduler.start_instance("stalls", None)
        await host.local.scheduler.signal_entity("counter", "k", "add", None)
        page = asyncio.create_task(host.get("/api/page"))
        assert (await outcome(host, culprit))[0] == "Completed"
        assert await outcome(host, called) == ("Completed", "done")
        assert await outcome(host, stalled) == ("Completed", "hello y")
        assert (await page).status == 500
        await host.until(lambda: "an entity is run again" in host.printed.getvalue(), "the entity to be run again")
        printed = host.printed.getvalue()
        for name in ("an activity", "an orchestrator", "an entity"):
            assert (printed.count(f"{name} hangs"), f"{name} is run again" in printed) == (1, True)
        assert (printed.count("a request hangs"), printed.count("a request is run again")) == (1, 0)
        why = f"the worker was replaced since hangs {culprit} took longer than functionTimeout (0:00:0{LIMIT_OF_MANY})"
        (lost,) = [message for message in caplog.messages if why in message]
        assert sorted(lost.partition(" are")[0].split(" and ")) == ["1 activity", "2 instances"]
        assert f"page: {why}" in printed
        assert (await host.get("/api/page")).text == "a page"


async def test_operations_of_a_batch_that_hangs_fail_once_and_the_entity_goes_on(app: Path) -> None:
    async with run_host(app) as host:
        instance_id = await host.local.scheduler.start_instance("asks", None)
        assert await outcome(host, instance_id) == ("Completed", [exceeded("stuck"), 2])
        answers = [e.input for e in await host.local.scheduler.history(instance_id) if isinstance(e, EventRaised)]
        assert answers[1] is not None
        message = json.loads(answers[1])
        assert (message["result"], message["exceptionType"]) == (exceeded("stuck"), "Error")
        assert host.printed.getvalue().count("the entity hangs") == 1


async def test_an_orchestrator_that_takes_too_long_each_time_fails_after_a_clear_line_for_each(
    app: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(suspects, "TIMEOUTS_GIVEN_UP_AFTER", 2)
    async with run_host(app) as host:
        instance_id = await host.local.scheduler.start_instance("always_stalls", None)
        status, output = await outcome(host, instance_id)
        why = "it took longer than functionTimeout, 2 times, and each time its worker had to be replaced."
        assert (status, output.partition(" Look")[0]) == (
            "Failed",
            f"Orchestrator function 'always_stalls' failed: {why}",
        )
        printed = host.printed.getvalue()
        subject = f"always_stalls {instance_id}"
        assert printed.count(f"{subject}: took longer than functionTimeout (0:00:03); its worker is replaced") == 2
        assert f"instance {instance_id} is delivered again in 0.1 s: {exceeded('always_stalls')}" in caplog.messages
