"""HttpStart: starts any orchestrator over HTTP, under an id of the caller's or a new one, and waits for it or not."""

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

LONGEST_WAIT = 30
"""Seconds; hosts and proxies cut requests off that take minutes."""


@app.route(route="orchestrators/{functionName}/{instanceId?}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Starts an orchestrator with the body as its input and answers at once with the links of the instance."""
    return await _start(req, client)


@app.route(route="wait/{functionName}/{instanceId?}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def http_start_and_wait(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Starts an orchestrator and answers with its output; with the links, if that takes longer than `?seconds=`."""
    try:
        seconds = float(req.params.get("seconds", "10"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_WAIT:
        return func.HttpResponse(f"seconds must be a number of up to {LONGEST_WAIT}.", status_code=400)
    return await _start(req, client, round(seconds * 1000))


async def _start(
    req: func.HttpRequest, client: df.DurableOrchestrationClient, wait_milliseconds: int = 0
) -> func.HttpResponse:
    try:
        body = req.get_json() if req.get_body() else None
    except ValueError as error:
        return func.HttpResponse(f"The body must be JSON: {error}", status_code=400)
    try:
        instance_id = await client.start_new(
            req.route_params["functionName"], req.route_params.get("instanceId"), client_input=body
        )
    except df.ClientError as error:  # 409: an instance of that id still runs
        return func.HttpResponse(error.message, status_code=error.status)
    if not wait_milliseconds:
        return client.create_check_status_response(req, instance_id)
    return await client.wait_for_completion_or_create_check_status_response(
        req, instance_id, wait_milliseconds, min(100, wait_milliseconds)
    )


@app.orchestration_trigger(context_name="context")
def greet(context: df.DurableOrchestrationContext):
    """Greets who is named in its input, and says under which id."""
    greeting = yield context.call_activity("say_hello", context.get_input() or "world")
    return {"greeting": greeting, "instance": context.instance_id}


@app.orchestration_trigger(context_name="context")
def greet_when_told(context: df.DurableOrchestrationContext):
    """The same once an event says whom to greet."""
    name = yield context.wait_for_external_event("name")
    return (yield context.call_activity("say_hello", name))


@app.activity_trigger(input_name="name")
def say_hello(name: str) -> str:
    """Greets somebody."""
    return f"Hello {name}!"
