"""Monitor: looks at the weather again and again until the sky is clear, or until it is time to give up.

The workflow is written twice, as a generator and as `async def`. Both do the same; use the style you like.
"""

import asyncio
import json
import logging
import os
import urllib.request
from datetime import timedelta
from urllib.parse import urlencode

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
log = logging.getLogger(__name__)

HALF_AN_HOUR = 30 * 60
SIX_HOURS = 6 * 60 * 60
CLEAR = 20
"""A sky is clear up to this many percent of clouds."""


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
def weather_monitor(context: df.DurableOrchestrationContext):
    """Looks every `every_seconds` for at most `for_seconds`, and says how often it has looked and what came of it.

    The time comes from the context, because code that is replayed must see the same time again.
    """
    job = context.get_input()
    expires = context.current_utc_datetime + timedelta(seconds=job.get("for_seconds", SIX_HOURS))
    looks = 0
    while context.current_utc_datetime < expires:
        looks += 1
        clouds = yield context.call_activity("look_at_the_sky", job["place"])
        if clouds <= CLEAR:
            yield context.call_activity("send_alert", {"text": f"Clear sky in {job['place']['name']}"})
            return {"clear": True, "looks": looks}
        context.set_custom_status({"clouds": clouds, "looks": looks, "gives_up_at": expires.isoformat()})
        # However long this is, nothing runs and nothing is paid for meanwhile; a restart does not lose it.
        yield context.create_timer(timedelta(seconds=job.get("every_seconds", HALF_AN_HOUR)))
    return {"clear": False, "looks": looks}


@app.orchestration_trigger(context_name="context")
async def weather_monitor_async(context: df.DurableOrchestrationContext):
    """The same in plain asyncio, whose timeouts and sleeps are durable timers here."""
    job = context.get_input()
    expires = context.current_utc_datetime + timedelta(seconds=job.get("for_seconds", SIX_HOURS))
    looks = 0
    try:
        async with asyncio.timeout(job.get("for_seconds", SIX_HOURS)):
            while True:
                looks += 1
                clouds = await context.call_activity("look_at_the_sky", job["place"])
                if clouds <= CLEAR:
                    break
                context.set_custom_status({"clouds": clouds, "looks": looks, "gives_up_at": expires.isoformat()})
                await asyncio.sleep(job.get("every_seconds", HALF_AN_HOUR))
    except TimeoutError:
        return {"clear": False, "looks": looks}
    await context.call_activity("send_alert", {"text": f"Clear sky in {job['place']['name']}"})
    return {"clear": True, "looks": looks}


@app.activity_trigger(input_name="place")
def look_at_the_sky(place: dict) -> int:
    """How much of the sky is clouded, in percent, says a weather service on the web."""
    service = os.environ.get("WEATHER_URL", "https://api.open-meteo.com/v1/forecast")
    query = {"latitude": place["latitude"], "longitude": place["longitude"], "current": "cloud_cover"}
    with urllib.request.urlopen(f"{service}?{urlencode(query)}", timeout=30) as answer:
        return json.load(answer)["current"]["cloud_cover"]


@app.activity_trigger(input_name="alert")
def send_alert(alert: dict) -> None:
    """Posts the alert to the webhook of the app's settings, such as a chat's; without one the log has to do."""
    log.warning("ALERT: %s", alert["text"])
    webhook = os.environ.get("ALERT_URL")
    if webhook:
        body = json.dumps(alert).encode()
        request = urllib.request.Request(webhook, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30):
            pass
