"""Limits that all instances share: so many letters in a period, so many printers at a time.

The workflow is written twice, as a generator and as `async def`. Both do the same; use the style you like.
"""

import os
import time
from datetime import timedelta

import azure.functions as func

import worker_ext as df
from worker_ext import limits

LETTERS, PERIOD = 3, timedelta(seconds=2)
PRINTERS = 2
LEASE = timedelta(seconds=float(os.environ.get("PRINTER_LEASE", "60")))

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(limits.entities())


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


@app.orchestration_trigger(context_name="context")
async def mail(context: df.DurableOrchestrationContext):
    """Prints a letter on one of the printers, and sends it when the post office takes it."""
    letter = context.get_input()
    async with limits.semaphore(context, "printer", PRINTERS, lease=LEASE):
        printed = await context.call_activity(print_letter, letter)
    await limits.rate_limit(context, "post", LETTERS, PERIOD)
    return [*printed, await context.call_activity(send, letter)]


@app.orchestration_trigger(context_name="context")
def mail_steps(context: df.DurableOrchestrationContext):
    """The same as a generator."""
    letter = context.get_input()
    with (yield from limits.semaphore(context, "printer", PRINTERS, lease=LEASE).acquire()):
        printed = yield context.call_activity(print_letter, letter)
    yield from limits.rate_limit(context, "post", LETTERS, PERIOD)
    return [*printed, (yield context.call_activity(send, letter))]


@app.orchestration_trigger(context_name="context")
async def repair(context: df.DurableOrchestrationContext):
    """Keeps a printer until somebody says that it works again."""
    async with limits.semaphore(context, "printer", PRINTERS, lease=LEASE):
        context.set_custom_status("repairing")
        await context.wait_for_external_event("repaired")


@app.activity_trigger(input_name="letter")
def print_letter(letter: str) -> list[float]:
    """Takes its time; gives when it began and ended, in seconds since 1970."""
    begun = time.time()
    time.sleep(0.2)
    return [begun, time.time()]


@app.activity_trigger(input_name="letter")
def send(letter: str) -> float:
    """Gives when it was sent, in seconds since 1970."""
    return time.time()
