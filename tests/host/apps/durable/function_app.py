"""Orchestrations that the management API is tried out on."""

from __future__ import annotations

import time
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="client")
@app.generic_input_binding(arg_name="client", type="durableClient")
async def client_binding(req: func.HttpRequest, client: str) -> func.HttpResponse:
    """Answers with the text of its durableClient binding."""
    return func.HttpResponse(client, mimetype="application/json")


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Starts an orchestration through the client and answers with its URLs."""
    body = req.get_body()
    instance_id = await client.start_new(req.route_params["name"], client_input=body.decode() if body else None)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def waits(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    """Waits for the event `go` and returns what came with it."""
    context.set_custom_status({"s": 1})
    value = yield context.wait_for_external_event("go")
    return {"got": value}


@app.orchestration_trigger(context_name="context")
def walks(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    """An activity, a timer, a child."""
    yield context.call_activity("pack", 1)
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=10))
    yield context.call_sub_orchestrator("child", instance_id=f"{context.instance_id}-child")
    return {"ok": True}


@app.orchestration_trigger(context_name="context")
def child(context: df.DurableOrchestrationContext) -> str:
    """Returns at once."""
    return "c"


@app.orchestration_trigger(context_name="context")
def versioned(context: df.DurableOrchestrationContext) -> str | None:
    """Returns its version."""
    return context.version


@app.orchestration_trigger(context_name="context")
def breaks(context: df.DurableOrchestrationContext) -> Generator[Any, Any, None]:
    """Fails after an activity that fails."""
    yield context.call_activity("break_it", None)


@app.orchestration_trigger(context_name="context", orchestration="Other Name")
def known_otherwise(context: df.DurableOrchestrationContext) -> str:
    """Has another name for orchestrations."""
    return "by alias"


@app.activity_trigger(input_name="n")
def pack(n: int) -> dict[str, int]:
    """Wraps a number."""
    return {"k": n}


@app.activity_trigger(input_name="nothing")
def break_it(nothing: None) -> None:
    """Fails."""
    raise ValueError("boom")


@app.orchestration_trigger(context_name="context")
def crowds(context: df.DurableOrchestrationContext) -> Generator[Any, Any, None]:
    """Several activities side by side that wait for a file."""
    crowd = context.get_input()
    yield context.task_all([context.call_activity("wait_for_file", crowd["gate"]) for _ in range(crowd["size"])])


@app.activity_trigger(input_name="path")
def wait_for_file(path: str) -> None:
    """Waits until a file is there."""
    while not Path(path).exists():
        time.sleep(0.01)


@app.orchestration_trigger(context_name="context")
def reads(context: df.DurableOrchestrationContext) -> Generator[Any, Any, str]:
    """Reads a file, which may not be there yet."""
    text: str = yield context.call_activity("read_file", context.get_input())
    return text


@app.activity_trigger(input_name="path")
def read_file(path: str) -> str:
    """Gives what stands in a file; fails if it is not there."""
    return Path(path).read_text("utf-8")
