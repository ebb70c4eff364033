"""Entities that talk: a cart signals other entities, and starts an orchestration that signals it back, later."""

import json
import os
from datetime import timedelta

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

THREE_HOURS = 3 * 60 * 60


@app.route(route="carts/{key}/{operation}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def use_cart(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Adds what the body names to a cart, or checks the cart out."""
    operation = req.route_params["operation"]
    if operation not in {"add", "check_out"}:
        return func.HttpResponse("One can add to a cart, or check_out.", status_code=404)
    await client.signal_entity(df.EntityId("cart", req.route_params["key"]), operation, req.get_body().decode())
    return func.HttpResponse(status_code=202)


@app.route(route="look/{entity}/{key}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def look(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """What is in a `cart` or a `mailbox`, or what was sold: `null` where nothing is."""
    found = await client.read_entity_state(df.EntityId(req.route_params["entity"], req.route_params["key"]))
    return func.HttpResponse(json.dumps(found.entity_state), mimetype="application/json")


@app.entity_trigger(context_name="context")
@app.durable_client_input(client_name="client")
async def cart(context: df.DurableEntityContext, client: df.DurableOrchestrationClient) -> None:
    """A cart: `add`, `check_out`, and `remind`, which it has itself sent some time after the first item came in."""
    items = context.get_state(list)
    match context.operation_name:
        case "add":
            if not items:
                # Entities cannot signal for later, but orchestrations can. Unlike the signals of an operation that
                # fails, an instance that was started stays started.
                seconds = float(os.environ.get("REMIND_AFTER_SECONDS", THREE_HOURS))
                await client.start_new("remind_later", client_input={"cart": context.entity_key, "seconds": seconds})
            context.set_state([*items, context.get_input()])
        case "check_out":
            context.signal_entity(df.EntityId("sales", "today"), "sold", len(items))
            context.destruct_on_exit()
        case "remind" if items:
            text = f"You have left {', '.join(items)} in your cart."
            context.signal_entity(df.EntityId("mailbox", context.entity_key), "deliver", text)


@app.orchestration_trigger(context_name="context")
def remind_later(context: df.DurableOrchestrationContext):
    """Sends a signal that arrives later, and ends at once: the signal waits, not the orchestration."""
    job = context.get_input()
    later = timedelta(seconds=job["seconds"])
    context.signal_entity(df.EntityId("cart", job["cart"]), "remind", deliver_at=later)


@app.entity_trigger(context_name="context")
def mailbox(context: df.DurableEntityContext) -> None:
    """The messages to a customer."""
    context.set_state([*context.get_state(list), context.get_input()])


@app.entity_trigger(context_name="context")
def sales(context: df.DurableEntityContext) -> None:
    """How much was sold."""
    context.set_state(context.get_state(lambda: 0) + context.get_input())
