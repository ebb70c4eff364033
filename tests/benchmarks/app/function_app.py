"""What the benchmark of the local host runs: chains of an activity that does nothing."""

from collections.abc import Generator
from typing import Any

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="ping")
def ping(req: func.HttpRequest) -> func.HttpResponse:
    """The first answer of a host that has just started."""
    return func.HttpResponse("pong")


@app.orchestration_trigger(context_name="context")
def chain(context: df.DurableOrchestrationContext) -> Generator[Any, Any, int]:
    """Adds one as often as its input says."""
    total = 0
    for _ in range(context.get_input()):
        total = yield context.call_activity("add_one", total)
    return total


@app.orchestration_trigger(context_name="context")
def wait(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Waits for an event that nobody sends."""
    return (yield context.wait_for_external_event("never"))


@app.activity_trigger(input_name="number")
def add_one(number: int) -> int:
    """One step."""
    return number + 1
