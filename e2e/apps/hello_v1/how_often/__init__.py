"""Tells how often a city was greeted."""

import json

import azure.functions as func

import worker_ext as df


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    """Answers with the state of the city's entity, 404 where there is none."""
    client = df.DurableOrchestrationClient(starter)
    found = await client.read_entity_state(df.EntityId("greeted", req.route_params["city"]))
    if not found.entity_exists:
        return func.HttpResponse("Nobody was greeted there.", status_code=404)
    return func.HttpResponse(json.dumps(found.entity_state), mimetype="application/json")
