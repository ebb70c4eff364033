"""Versioning: code that changes while instances of the old code are still running."""

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="orchestrators/{functionName}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Starts the orchestrator named in the URL; `?version=` names another than the default version."""
    try:
        body = req.get_json() if req.get_body() else None
    except ValueError as error:
        return func.HttpResponse(f"The body must be JSON: {error}", status_code=400)
    instance_id = await client.start_new(
        req.route_params["functionName"], client_input=body, version=req.params.get("version")
    )
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def order(context: df.DurableOrchestrationContext):
    """Packs an item, labels the parcel, waits until it is picked up, and sends the bill.

    Wrapping was added while orders were under way. For those that had their label by then `patched` is False, as their
    history goes on with the label and has no wrapping; it is True for those that had not come so far, and all new ones.
    """
    item = context.get_input()
    done = [(yield context.call_activity("pack", item))]
    if context.patched("wrapping"):
        done.append((yield context.call_activity("wrap", item)))
    done.append((yield context.call_activity("label", item)))
    yield context.wait_for_external_event("picked_up")
    done.append((yield context.call_activity("send_bill", item)))
    return done


@app.orchestration_trigger(context_name="context")
def subscription(context: df.DurableOrchestrationContext):
    """Where old and new have little in common, each instance keeps the version that it was started with.

    A child is started with the version of its parent, so that both speak of the same thing.
    """
    plan = "monthly" if context.version == "1" else "yearly"
    bill = yield context.call_sub_orchestrator("bill", context.get_input(), version=context.version)
    return {"version": context.version, "paid": plan, "bill": bill}


@app.orchestration_trigger(context_name="context")
def bill(context: df.DurableOrchestrationContext):
    """A bill, by the rules of its version."""
    months = 1 if context.version == "1" else 12
    return (yield context.call_activity("send_bill", f"{months} months of {context.get_input()}"))


@app.activity_trigger(input_name="item")
def pack(item: str) -> str:
    """Packs an item."""
    return f"packed {item}"


@app.activity_trigger(input_name="item")
def wrap(item: str) -> str:
    """Wraps an item as a gift."""
    return f"wrapped {item}"


@app.activity_trigger(input_name="item")
def label(item: str) -> str:
    """Labels a parcel."""
    return f"labelled {item}"


@app.activity_trigger(input_name="what")
def send_bill(what: str) -> str:
    """Sends a bill."""
    return f"billed {what}"
