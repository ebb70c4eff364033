"""Durable HTTP: the host sends the request, waits for slow answers without a worker, and knows who it is."""

from datetime import timedelta

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


@app.orchestration_trigger(context_name="context")
def order(context: df.DurableOrchestrationContext):
    """Posts an order to a service that answers 202 and a `Location`, and follows that until the order is ready.

    Between two looks the instance sleeps, as long as the service's `Retry-After` says.
    """
    job = context.get_input()
    answer = yield context.call_http("POST", job["url"], {"order": job["order"]}, poll=True)
    return {"status": answer["statusCode"], "content": answer["content"]}


@app.orchestration_trigger(context_name="context")
def fetch(context: df.DurableOrchestrationContext):
    """Gets a page from a service that is down at times: answers of 503 are tried again, and so is no answer."""
    job = context.get_input()
    answer = yield context.call_http(
        "GET",
        job["url"],
        timeout=timedelta(seconds=20),
        retry_options=df.RetryOptions(job.get("first_delay", 1000), 4, backoff_coefficient=2),
        status_codes_to_retry=[503],
    )
    return {"status": answer["statusCode"], "content": answer["content"]}


@app.orchestration_trigger(context_name="context")
def fetch_as_the_app(context: df.DurableOrchestrationContext):
    """Gets a page in the name of the app's managed identity. The token goes from the host to the service only."""
    job = context.get_input()
    token = df.ManagedIdentityTokenSource(job.get("resource", "https://management.core.windows.net/"))
    answer = yield context.call_http("GET", job["url"], token_source=token)
    return {"status": answer["statusCode"], "content": answer["content"]}
