"""Approval with escalation: colleagues vote; if too few do so in time, their manager decides.

The workflow is written twice, as a generator and as `async def`. Both do the same; use the style you like.
"""

import asyncio
import json
import logging
import os
import urllib.request
from dataclasses import asdict, dataclass
from datetime import timedelta

import azure.functions as func

import worker_ext as df
from worker_ext import flow

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
log = logging.getLogger(__name__)

A_DAY = 24 * 60 * 60


@dataclass
class Question:
    """What is to be approved, and by whom: the input of the workflow."""

    about: str
    colleagues: list[str]
    votes: int
    manager: str
    seconds: float = A_DAY


@dataclass
class Answer:
    """What somebody says to it: the value of the events `vote` and `decision`."""

    by: str
    approves: bool


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


@app.route(route="approvals/{id}/{event}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def answer(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Takes a colleague's `vote` or the manager's `decision`, such as `{"by": "Ann", "approves": true}`."""
    event = req.route_params["event"]
    if event not in {"vote", "decision"}:
        return func.HttpResponse("Answers are a vote or a decision.", status_code=404)
    try:
        given = Answer(**req.get_json())
        if not isinstance(given.approves, bool):
            raise TypeError(given)
    except (ValueError, TypeError):
        return func.HttpResponse('The body must be {"by": "<name>", "approves": true or false}.', status_code=400)
    try:
        await client.send_event(req.route_params["id"], event, asdict(given))
    except df.ClientError as error:  # there is no such approval, or it is over
        return func.HttpResponse(error.message, status_code=error.status)
    return func.HttpResponse(status_code=202)


@app.orchestration_trigger(context_name="context")
def approval(context: df.DurableOrchestrationContext[Question]):
    """Asks colleagues, then their manager, and says whether something is approved and who said so."""
    question = context.get_input()
    time = timedelta(seconds=question.seconds)
    yield context.call_activity(tell, {"who": question.colleagues, "text": f"Please vote on {question.about}"})
    votes: dict[str, bool] = {}
    expires = context.current_utc_datetime + time
    try:
        while (missing := question.votes - len(votes)) > 0:  # who votes twice has changed their mind
            left = expires - context.current_utc_datetime
            for vote in (yield from flow.collect(context, "vote", missing, expected_type=Answer, timeout=left)):
                votes[vote.by] = vote.approves
        return {"approved": all(votes.values()), "by": list(votes)}
    except flow.NotEnoughEventsError:
        context.set_custom_status("escalated")
    yield context.call_activity(tell, {"who": [question.manager], "text": f"Please decide on {question.about}"})
    try:
        decision = yield context.wait_for_external_event("decision", Answer, timeout=time)
    except TimeoutError:
        return {"approved": False, "by": []}
    return {"approved": decision.approves, "by": [decision.by]}


@app.orchestration_trigger(context_name="context")
async def approval_async(context: df.DurableOrchestrationContext[Question]):
    """The same as `async def`: what the generator takes with `yield` or `yield from` is awaited."""
    question = context.get_input()
    time = timedelta(seconds=question.seconds)
    await context.call_activity(tell, {"who": question.colleagues, "text": f"Please vote on {question.about}"})
    votes: dict[str, bool] = {}
    try:
        async with asyncio.timeout(time.total_seconds()):
            while (missing := question.votes - len(votes)) > 0:  # who votes twice has changed their mind
                for vote in await flow.collect(context, "vote", missing, expected_type=Answer):
                    votes[vote.by] = vote.approves
        return {"approved": all(votes.values()), "by": list(votes)}
    except TimeoutError:
        context.set_custom_status("escalated")
    await context.call_activity(tell, {"who": [question.manager], "text": f"Please decide on {question.about}"})
    try:
        decision = await context.wait_for_external_event("decision", Answer, timeout=time)
    except TimeoutError:
        return {"approved": False, "by": []}
    return {"approved": decision.approves, "by": [decision.by]}


@app.activity_trigger(input_name="message")
def tell(message: dict) -> None:
    """Posts the message to the webhook of the app's settings, such as a chat's; without one the log has to do."""
    log.warning("to %s: %s", " and ".join(message["who"]), message["text"])
    webhook = os.environ.get("MESSAGE_URL")
    if webhook:
        request = urllib.request.Request(webhook, json.dumps(message).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30):
            pass
