"""Retries: how often, how fast, after which errors, and as code says."""

import urllib.request
from datetime import timedelta
from urllib.error import HTTPError

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

A_SECOND = 1000
A_MINUTE = 60 * A_SECOND


class RefusedError(Exception):
    """The service has understood, and will say the same however often it is asked."""


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
def fetch_with_backoff(context: df.DurableOrchestrationContext):
    """Tries up to five times: after one second, two, four, eight; never more than a minute apart, nor for an hour."""
    job = context.get_input()
    options = df.RetryOptions(
        job.get("first_delay", A_SECOND),
        5,
        backoff_coefficient=2,
        max_retry_interval_in_milliseconds=A_MINUTE,
        retry_timeout_in_milliseconds=60 * A_MINUTE,
    )
    return (yield context.call_activity_with_retry("fetch", options, job["url"]))


@app.orchestration_trigger(context_name="context")
def fetch_unless_refused(context: df.DurableOrchestrationContext):
    """Does not try again what the service refuses. Delays differ by chance, lest all instances come back at once."""
    job = context.get_input()
    options = df.RetryOptions(job.get("first_delay", A_SECOND), 5, jitter=0.5, non_retryable=[RefusedError])
    try:
        return (yield context.call_activity_with_retry("fetch", options, job["url"]))
    except df.TaskFailedError as error:
        return f"{error.error_type}: {error.error_message}"


@app.orchestration_trigger(context_name="context")
def fetch_while_busy(context: df.DurableOrchestrationContext):
    """Goes on for as long as the service says that it is busy, for up to an hour."""
    job = context.get_input()

    def is_worth_it(
        failed: df.RetryContext,
    ) -> bool:  # asked on replay too: what it says must follow from what it is told
        return "503" in str(failed.error) and failed.elapsed < timedelta(hours=1)

    options = df.RetryOptions(job.get("first_delay", A_SECOND), 1000, handler=is_worth_it)
    return (yield context.call_activity_with_retry("fetch", options, job["url"]))


@app.activity_trigger(input_name="url")
def fetch(url: str) -> str:
    """Fetches a page."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()
    except HTTPError as error:
        said = f"{url} answered {error.code}"
        error.close()
        if 400 <= error.code < 500:
            raise RefusedError(said) from error
        raise ConnectionError(said) from error
