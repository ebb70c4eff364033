"""Aggregator: counters that gather numbers from many requests, each one a durable entity."""

import json

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="counters/{key}/add", methods=["POST"])
@app.durable_client_input(client_name="client")
async def add_to_counter(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Adds the number in the body to a counter, without waiting for it to be counted."""
    try:
        number = req.get_json()
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int):
        return func.HttpResponse("The body must be a whole number.", status_code=400)
    await client.signal_entity(df.EntityId("counter", req.route_params["key"]), "add", number)
    return func.HttpResponse(status_code=202)


@app.route(route="counters/{key}", methods=["DELETE"])
@app.durable_client_input(client_name="client")
async def delete_counter(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Deletes a counter, without waiting for it to be gone."""
    await client.signal_entity(df.EntityId("counter", req.route_params["key"]), "delete")
    return func.HttpResponse(status_code=202)


@app.route(route="counters/{key}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def read_counter(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """The number that a counter has come to."""
    found = await client.read_entity_state(df.EntityId("counter", req.route_params["key"]))
    if not found.entity_exists:
        return func.HttpResponse("Nothing has been counted under this key.", status_code=404)
    return func.HttpResponse(json.dumps(found.entity_state), mimetype="application/json")


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext) -> None:
    """One counter: its operations are `add`, `get` and `delete`, and run one after the other."""
    match context.operation_name:
        case "add":
            context.set_state(context.get_state(lambda: 0) + context.get_input())
        case "get":
            context.set_result(context.get_state(lambda: 0))
        case "delete":
            context.destruct_on_exit()
        case unknown:
            raise ValueError(f"a counter has no operation {unknown!r}; it has add, get and delete")
