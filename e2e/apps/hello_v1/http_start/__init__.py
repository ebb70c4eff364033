"""Starts the orchestrator named in the URL, with the body of the request, if any, as its input."""

import azure.functions as func

import worker_ext as df


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    """Answers 202 with the links of the instance."""
    client = df.DurableOrchestrationClient(starter)
    try:
        body = req.get_json() if req.get_body() else None
    except ValueError as error:
        return func.HttpResponse(f"The body must be JSON: {error}", status_code=400)
    instance_id = await client.start_new(req.route_params["functionName"], client_input=body)
    return client.create_check_status_response(req, instance_id)
