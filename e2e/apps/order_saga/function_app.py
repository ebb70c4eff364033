"""Saga: an order takes stock, money and a courier; when one of them fails, what was done before is undone.

The workflow is written twice, as a generator and as `async def`. Both do the same; use the style you like.
"""

import json

import azure.functions as func

import worker_ext as df
from worker_ext import flow

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

SERVED = ("Denmark", "Norway", "Sweden")


@app.route(route="orchestrators/{functionName}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Starts the orchestrator named in the URL, with the body of the request, if any, as its input."""
    try:
        body = req.get_json() if req.get_body() else None
    except ValueError as error:
        return func.HttpResponse(f"The body must be JSON: {error}", status_code=400)
    instance_id = await client.start_new(req.route_params["functionName"], client_input=body)
    return client.create_check_status_response(req, instance_id)


@app.route(route="holdings/{key}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def put(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Adds the number in the body to the stock of a product or the money of a customer."""
    try:
        number = int(req.get_body())
    except ValueError:
        return func.HttpResponse("The body must be a whole number.", status_code=400)
    await client.signal_entity(df.EntityId("holding", req.route_params["key"]), "put", number)
    return func.HttpResponse(status_code=202)


@app.route(route="holdings/{key}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def read(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """How much there is."""
    found = await client.read_entity_state(df.EntityId("holding", req.route_params["key"]))
    return func.HttpResponse(json.dumps(found.entity_state or 0), mimetype="application/json")


@app.orchestration_trigger(context_name="context")
def order(context: df.DurableOrchestrationContext):
    """Takes the goods, then the money, then books a courier; fails with what stopped it, and has nothing taken then."""
    job = context.get_input()
    goods, money = df.EntityId("holding", job["product"]), df.EntityId("holding", job["customer"])
    saga = flow.Saga()
    try:
        yield context.call_entity(goods, "take", job["pieces"])
        saga.on_failure(lambda: context.call_entity(goods, "put", job["pieces"]))
        yield context.call_entity(money, "take", job["price"])
        saga.on_failure(lambda: context.call_entity(money, "put", job["price"]))
        parcel = yield context.call_activity("book_courier", job["country"])
        return {"parcel": parcel}
    except df.TaskFailedError as error:
        yield from saga.undo(error)  # and raises the error again


@app.orchestration_trigger(context_name="context")
async def order_async(context: df.DurableOrchestrationContext):
    """The same as `async def`, where the saga is a block: leaving it with an error undoes what was done in it."""
    job = context.get_input()
    goods, money = df.EntityId("holding", job["product"]), df.EntityId("holding", job["customer"])
    async with flow.Saga() as saga:
        await context.call_entity(goods, "take", job["pieces"])
        saga.on_failure(lambda: context.call_entity(goods, "put", job["pieces"]))
        await context.call_entity(money, "take", job["price"])
        saga.on_failure(lambda: context.call_entity(money, "put", job["price"]))
        parcel = await context.call_activity("book_courier", job["country"])
    return {"parcel": parcel}


@app.activity_trigger(input_name="country")
def book_courier(country: str) -> str:
    """Books a courier and returns the number of the parcel; there is none to most countries."""
    if country not in SERVED:
        raise LookupError(f"no courier goes to {country}")
    return f"parcel to {country}"


@app.entity_trigger(context_name="context")
def holding(context: df.DurableEntityContext) -> None:
    """How much there is of a product, or on an account. What is not there cannot be taken."""
    there, number = context.get_state(lambda: 0), context.get_input()
    match context.operation_name:
        case "put":
            context.set_state(there + number)
        case "take" if number > there:
            raise ValueError(f"{context.entity_key} has {there}, not {number}")
        case "take":
            context.set_state(there - number)
        case unknown:
            raise ValueError(f"a holding has no operation {unknown!r}; it has put and take")
