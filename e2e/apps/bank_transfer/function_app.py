"""Critical section: money moves between two accounts while nobody else can reach either of them.

The workflow is written twice, as a generator and as `async def`. Both do the same; use the style you like.
"""

import json

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


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


@app.route(route="accounts/{owner}/deposit", methods=["POST"])
@app.durable_client_input(client_name="client")
async def deposit(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Pays the number in the body in."""
    try:
        amount = int(req.get_body())
    except ValueError:
        return func.HttpResponse("The body must be a whole number.", status_code=400)
    await client.signal_entity(df.EntityId("account", req.route_params["owner"]), "deposit", amount)
    return func.HttpResponse(status_code=202)


@app.route(route="accounts/{owner}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def statement(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """The balance and all that led to it."""
    found = await client.read_entity_state(df.EntityId("account", req.route_params["owner"]))
    if not found.entity_exists:
        return func.HttpResponse("There is no such account.", status_code=404)
    return func.HttpResponse(json.dumps(found.entity_state), mimetype="application/json")


@app.orchestration_trigger(context_name="context")
def transfer(context: df.DurableOrchestrationContext):
    """Moves money if there is enough; says whether it did."""
    job = context.get_input()
    source, target = df.EntityId("account", job["from"]), df.EntityId("account", job["to"])
    # Locks are taken in one fixed order, so transfers both ways at once do not wait for each other for ever.
    with (yield context.lock_entities(source, target)):
        if (yield context.call_entity(source, "balance")) < job["amount"]:
            return False
        yield context.call_entity(source, "withdraw", job["amount"])
        yield context.call_entity(target, "deposit", job["amount"])
        return True


@app.orchestration_trigger(context_name="context")
async def transfer_async(context: df.DurableOrchestrationContext):
    """The same as `async def`."""
    job = context.get_input()
    source, target = df.EntityId("account", job["from"]), df.EntityId("account", job["to"])
    async with context.lock(source, target):
        if await context.call_entity(source, "balance") < job["amount"]:
            return False
        await context.call_entity(source, "withdraw", job["amount"])
        await context.call_entity(target, "deposit", job["amount"])
        return True


@app.orchestration_trigger(context_name="context")
def withdraw(context: df.DurableOrchestrationContext):
    """Takes money out without a look at the balance; says what the account answers."""
    job = context.get_input()
    try:
        return (yield context.call_entity(df.EntityId("account", job["from"]), "withdraw", job["amount"]))
    except df.TaskFailedError as error:
        return f"refused: {error.error_message}"


@app.entity_trigger(context_name="context")
def account(context: df.DurableEntityContext) -> None:
    """An account: `deposit`, `withdraw`, `balance`. Each movement is entered, and counted by `audit`."""
    state = context.get_state(lambda: {"balance": 0, "entries": []})
    if context.operation_name == "balance":
        context.set_result(state["balance"])
        return
    amount = context.get_input() if context.operation_name == "deposit" else -context.get_input()
    balance = state["balance"] + amount
    context.set_state({"balance": balance, "entries": [*state["entries"], amount]})
    context.signal_entity(df.EntityId("audit", context.entity_key), "count")
    if balance < 0:  # what this operation has set and sent so far is taken back
        raise ValueError(f"{context.entity_key} has {state['balance']}, not {-amount}")
    context.set_result(balance)


@app.entity_trigger(context_name="context")
def audit(context: df.DurableEntityContext) -> None:
    """How many movements an account has had."""
    context.set_state(context.get_state(lambda: 0) + 1)
