"""Client operations: finding instances, pausing, ending and restarting them, and clearing up behind them."""

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

LONG_AGO = datetime(2015, 1, 1, tzinfo=UTC)
ENDED = [
    df.OrchestrationRuntimeStatus.Completed,
    df.OrchestrationRuntimeStatus.Failed,
    df.OrchestrationRuntimeStatus.Terminated,
]


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


@app.route(route="instances", methods=["GET"])
@app.durable_client_input(client_name="client")
async def count_instances(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """How many instances there are in each state, of those whose id begins with `?prefix=`."""
    counts: Counter[str] = Counter()
    async for status in client.list_instances(instance_id_prefix=req.params.get("prefix"), show_input=False):
        counts[status.runtime_status.name] += 1  # every page of the list is fetched, one at a time
    return _json(counts)


@app.route(route="instances/{id}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def show_instance(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """An instance, with the events of its history."""
    status = await client.get_status(req.route_params["id"], show_history=True, show_history_output=True)
    if status.runtime_status is None:
        return func.HttpResponse("There is no such instance.", status_code=404)
    events = [event["EventType"] for event in status.history or []]
    return _json({"state": status.runtime_status.name, "output": status.output, "events": events})


@app.route(route="instances/{id}/{verb}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def manage_instance(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Suspends, resumes, terminates or restarts an instance, or deletes it with `purge`."""
    instance_id, answer = req.route_params["id"], None
    reason = req.get_body().decode() or "no reason given"
    try:
        match req.route_params["verb"]:
            case "suspend":
                await client.suspend(instance_id, reason)
            case "resume":
                await client.resume(instance_id, reason)
            case "terminate":
                await client.terminate(instance_id, reason)
            case "restart":
                answer = (await client.restart(instance_id))["id"]  # of a new instance with the same input
            case "purge":
                answer = (await client.purge_instance_history(instance_id)).instances_deleted
            case verb:
                return func.HttpResponse(f"Instances cannot {verb}.", status_code=404)
    except df.ClientError as error:
        return func.HttpResponse(error.message, status_code=error.status)
    return _json(answer)


@app.route(route="shut-down", methods=["POST"])
@app.durable_client_input(client_name="client")
async def shut_down(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Terminates every instance that runs and whose id begins with `?prefix=`, several at a time."""
    running = client.list_instances(
        instance_id_prefix=req.params.get("prefix"),
        runtime_status=[df.OrchestrationRuntimeStatus.Running, df.OrchestrationRuntimeStatus.Pending],
    )
    result = await client.terminate_each([status.instance_id async for status in running], "shut down")
    return _json({"terminated": result.done, "refused": len(result.refused)})


@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
@app.durable_client_input(client_name="client")
async def purge_nightly(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Deletes, each night at three, what has ended and began so many days ago."""
    days = timedelta(days=float(os.environ.get("KEEP_DAYS", "30")))
    await client.purge_instance_history_by(LONG_AGO, datetime.now(UTC) - days, ENDED)


def _json(value: object) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(value), mimetype="application/json")


@app.orchestration_trigger(context_name="context")
def wait_for_go(context: df.DurableOrchestrationContext):
    """Something to manage: waits for the event `go`, and returns what comes with it."""
    return (yield context.wait_for_external_event("go"))
