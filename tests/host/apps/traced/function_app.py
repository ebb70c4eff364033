"""An app that uses OpenTelemetry; its spans go into `spans.jsonl` beside it."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.functions as func
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

import worker_ext as df

SPANS = (Path(__file__).parent / "spans.jsonl").open("a")
PROVIDER = TracerProvider()
PROVIDER.add_span_processor(
    SimpleSpanProcessor(ConsoleSpanExporter(out=SPANS, formatter=lambda span: span.to_json(indent=None) + "\n"))
)
trace.set_tracer_provider(PROVIDER)

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route("start/{name}")
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    with trace.get_tracer("app").start_as_current_span("request"):
        return func.HttpResponse(await client.start_new(req.route_params["name"]))


@app.orchestration_trigger(context_name="context")
def steps(context: df.DurableOrchestrationContext) -> Any:
    yield context.call_activity("Pack", "x")
    yield context.create_timer(timedelta(milliseconds=10))
    yield context.call_entity(df.EntityId("counter", "k"), "add", 1)
    yield context.call_sub_orchestrator("child")
    try:
        yield context.call_activity("breaks", "x")
    except df.TaskFailedError:
        return "caught"


@app.orchestration_trigger(context_name="context")
async def branches(context: df.DurableOrchestrationContext) -> Any:
    await asyncio.gather(context.call_activity("Pack", "x"), context.call_activity("rests", "x"))
    await asyncio.sleep(0.01)
    raise ValueError("no more")


@app.orchestration_trigger(context_name="context")
def child(context: df.DurableOrchestrationContext) -> Any:
    yield context.call_activity("rests", "x")


@app.orchestration_trigger(context_name="context")
def again(context: df.DurableOrchestrationContext) -> Any:
    yield context.call_activity("rests", "x")
    if context.get_input() is None:
        context.continue_as_new(1)


@app.activity_trigger(input_name="item", activity="Pack")
def pack(item: str) -> str:
    with trace.get_tracer("app").start_as_current_span("inside"):
        return item


@app.activity_trigger(input_name="item")
async def rests(item: str) -> str:
    await asyncio.sleep(0)
    return item


@app.activity_trigger(input_name="item")
def breaks(item: str) -> str:
    raise LookupError("no such item")


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext) -> None:
    context.set_state(context.get_input())
