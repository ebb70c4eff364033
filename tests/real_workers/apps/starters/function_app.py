"""Every kind of event that may start a workflow, stacked with the durable client in every order there is."""

# mypy: ignore-errors
# ruff: noqa: UP006 - the workers take the older spelling of a generic, and not list[...]

import json
import logging
import typing

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ADMIN)
group = df.Blueprint()
plain_group = func.Blueprint()
STORAGE = {"connection": "AzureWebJobsStorage"}


def report(out, client, *facts) -> None:
    """Tells what arrived, through another binding."""
    out.set(json.dumps([client.create_http_management_payload("i")["id"], *facts]))


@app.function_name("timer_started")
@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *", run_on_startup=False)
@app.durable_client_input(client_name="client")
@app.queue_output(arg_name="out", queue_name="told", **STORAGE)
async def by_timer(timer: func.TimerRequest, client: df.DurableOrchestrationClient, out: func.Out[str]) -> None:
    report(out, client, timer.past_due)


@app.queue_output(arg_name="out", queue_name="told", **STORAGE)
@app.queue_trigger(arg_name="msg", queue_name="orders", **STORAGE)
@app.durable_client_input(client_name="client")
def by_queue(msg: func.QueueMessage, client: df.DurableOrchestrationClient, out: func.Out[str]) -> None:
    report(out, client, msg.get_json(), msg.dequeue_count)


@app.durable_client_input(client_name="client")
@app.blob_trigger(arg_name="blob", path="in/{name}", **STORAGE)
@app.queue_output(arg_name="out", queue_name="told", **STORAGE)
async def by_blob(blob: func.InputStream, client, out: func.Out[str], context: func.Context) -> None:
    logging.getLogger("app").info("in %s", context.function_name)
    report(out, client, blob.read().decode(), blob.name)


@group.event_hub_message_trigger(arg_name="event", event_hub_name="hub", connection="c")
@group.durable_client_input(client_name="client", task_hub="Other", connection_name="OtherStorage")
@group.queue_output(arg_name="out", queue_name="told", **STORAGE)
def by_event(event: func.EventHubEvent, client: df.DurableOrchestrationClient, out: func.Out[str]) -> None:
    report(out, client, event.get_body().decode(), event.partition_key)


@group.event_hub_message_trigger(arg_name="events", event_hub_name="hub", connection="c", cardinality="many")
@group.durable_client_input(client_name="client")
@group.queue_output(arg_name="out", queue_name="told", **STORAGE)
async def by_events(
    events: typing.List[func.EventHubEvent], client: df.DurableOrchestrationClient, out: func.Out[str]
) -> None:
    report(out, client, [event.get_body().decode() for event in events])


@group.service_bus_queue_trigger(arg_name="msg", queue_name="jobs", connection="c")
@group.durable_client_input(client_name="client")
@group.queue_output(arg_name="out", queue_name="told", **STORAGE)
async def by_bus(msg: func.ServiceBusMessage, client: df.DurableOrchestrationClient, out: func.Out[str]) -> None:
    report(out, client, msg.get_body().decode(), msg.delivery_count, msg.message_id)


@group.generic_trigger(arg_name="thing", type="ourOwnTrigger", mode="all")
@group.generic_output_binding(arg_name="out", type="ourOwn")
@group.durable_client_input(client_name="client")
@group.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:10")
def by_anything(thing: str, client: df.DurableOrchestrationClient, out: func.Out[str]) -> None:
    report(out, client, thing)


async def asgi_app(scope, receive, send) -> None:
    """The smallest ASGI app there is."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 418, "headers": [(b"x-path", scope["path"].encode())]})
        await send({"type": "http.response.body", "body": b"from asgi"})


def wsgi_app(environ, start_response):
    """The smallest WSGI app there is."""
    start_response("201 Created", [("X-Path", environ["PATH_INFO"])])
    return [b"from wsgi"]


@plain_group.route("asgi/{*rest}", auth_level=func.AuthLevel.ANONYMOUS)
async def asgi(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return await func.AsgiMiddleware(asgi_app).handle_async(req, context)


@plain_group.route("wsgi/{*rest}", auth_level="FUNCTION")
def wsgi(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return func.WsgiMiddleware(wsgi_app).handle(req, context)


@app.route("default_level")
def default_level(req: func.HttpRequest) -> str:
    return "text"


app.register_functions(group)
app.register_functions(plain_group)
