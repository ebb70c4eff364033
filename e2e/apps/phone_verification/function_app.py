"""Human interaction: sends a code to a phone, and waits for its owner to type it in, for so long and not longer."""

import base64
import logging
import os
import secrets
import urllib.request
from datetime import timedelta
from urllib.parse import urlencode

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
log = logging.getLogger(__name__)

ATTEMPTS = 3
SECONDS = 90


@app.route(route="verifications", methods=["POST"])
@app.durable_client_input(client_name="client")
async def verify(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Begins a verification: takes `{"phone": "+4712345678"}` and answers 202 with the links of the instance."""
    try:
        job = req.get_json()
        if not isinstance(job["phone"], str):
            raise TypeError(job["phone"])
    except (ValueError, KeyError, TypeError):
        return func.HttpResponse('The body must be {"phone": "<number>"}.', status_code=400)
    instance_id = await client.start_new("phone_verification", client_input=job)
    return client.create_check_status_response(req, instance_id)


@app.route(route="verifications/{id}/code", methods=["POST"])
@app.durable_client_input(client_name="client")
async def enter_code(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Takes the code, which is the whole body, and hands it to the verification that waits for it."""
    try:
        await client.send_event(req.route_params["id"], "code", req.get_body().decode().strip())
    except df.ClientError as error:  # there is no such verification, or it is over
        return func.HttpResponse(error.message, status_code=error.status)
    return func.HttpResponse(status_code=202)


@app.orchestration_trigger(context_name="context")
def phone_verification(context: df.DurableOrchestrationContext):
    """True once the right code was entered; False after three wrong ones, or when the time is over."""
    job = context.get_input()
    # An orchestrator is replayed, so chance has no place in it: the activity makes the code, and history keeps it.
    code = yield context.call_activity("send_code", job["phone"])
    # One timer for all attempts, started before the first.
    time_is_over = context.create_timer(timedelta(seconds=job.get("seconds", SECONDS)))
    for left in reversed(range(ATTEMPTS)):
        entered = context.wait_for_external_event("code")
        winner = yield context.task_any([entered, time_is_over])
        if winner is time_is_over:
            return False
        if entered.result == code:
            time_is_over.cancel()  # else the instance would stay Running until it fires
            return True
        context.set_custom_status(f"wrong code; attempts left: {left}")
    time_is_over.cancel()
    return False


@app.activity_trigger(input_name="phone")
def send_code(phone: str) -> str:
    """Sends a new code by SMS and returns it."""
    code = f"{secrets.randbelow(10_000):04}"
    account = os.environ.get("TWILIO_ACCOUNT_SID")
    if account is None:
        log.warning("no SMS is sent, for TWILIO_ACCOUNT_SID is not set; the code for %s is %s", phone, code)
        return code
    service = os.environ.get("TWILIO_URL", "https://api.twilio.com")
    message = {"To": phone, "From": os.environ["TWILIO_NUMBER"], "Body": f"Your code is {code}"}
    login = base64.b64encode(f"{account}:{os.environ['TWILIO_AUTH_TOKEN']}".encode()).decode()
    request = urllib.request.Request(
        f"{service}/2010-04-01/Accounts/{account}/Messages.json",
        urlencode(message).encode(),
        {"Authorization": f"Basic {login}"},
    )
    with urllib.request.urlopen(request, timeout=30):
        return code
