"""Branches side by side, in plain asyncio: each goes on as soon as it can, whatever the others wait for.

In a generator, `task_all` starts the next step when every branch has ended the one before. Here a branch is a coroutine
of its own, with as many steps as it likes.
"""

import asyncio
import json
import urllib.request
from datetime import timedelta

import azure.functions as func

import worker_ext as df
from worker_ext import flow

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


@app.orchestration_trigger(context_name="context")
async def publish_all(context: df.DurableOrchestrationContext):
    """Fetches, counts and publishes every page side by side."""
    job = context.get_input()
    return await asyncio.gather(*(_publish(context, page, job["to"]) for page in job["pages"]))


@app.orchestration_trigger(context_name="context")
async def publish_some_at_a_time(context: df.DurableOrchestrationContext):
    """The same with no more than `limit` pages under way at once."""
    job = context.get_input()
    return await flow.map(lambda page: _publish(context, page, job["to"]), job["pages"], limit=job["limit"])


async def _publish(context: df.DurableOrchestrationContext, page: str, to: str) -> int:
    """One branch; its steps are those of any other function."""
    text = await context.call_activity("fetch", page)
    words = len(text.split())
    await context.call_activity("post", {"to": to, "what": {"page": page, "words": words}})
    return words


@app.orchestration_trigger(context_name="context")
async def fetch_from_the_fastest(context: df.DurableOrchestrationContext):
    """Asks every mirror; the first answer counts, and is there in time or not at all."""
    job = context.get_input()
    mirrors = [context.call_activity("fetch", mirror) for mirror in job["mirrors"]]
    try:
        return await flow.timeout(flow.race(*mirrors), timedelta(seconds=job.get("seconds", 60)))
    except TimeoutError:
        return None


@app.activity_trigger(input_name="url")
def fetch(url: str) -> str:
    """Fetches a page."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


@app.activity_trigger(input_name="job")
def post(job: dict) -> None:
    """Posts something."""
    request = urllib.request.Request(job["to"], json.dumps(job["what"]).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60):
        pass
