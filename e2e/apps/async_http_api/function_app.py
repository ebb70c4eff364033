"""Async HTTP API: an operation too long for one request, behind an API of its own that callers can poll."""

import json
import urllib.request

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="reports", methods=["POST"])
@app.durable_client_input(client_name="client")
async def order_report(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Takes `{"pages": [<url>, ...]}` and answers 202 at once, with the address to ask at."""
    try:
        pages = req.get_json()["pages"]
        if not all(page.startswith(("http://", "https://")) for page in pages):
            raise ValueError(pages)
    except (ValueError, KeyError, TypeError, AttributeError):
        return func.HttpResponse('The body must be {"pages": [<url>, ...]}.', status_code=400)
    report = await client.start_new("make_report", client_input=pages)
    return _come_back(req.url, report, "ordered")


@app.route(route="reports/{id}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def get_report(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """202 with the progress while the report is being made; then 200 with it, or 500 with what went wrong."""
    report = req.route_params["id"]
    status = await client.get_status(report)
    match status.runtime_status:
        case None:
            return func.HttpResponse("There is no such report.", status_code=404)
        case df.OrchestrationRuntimeStatus.Completed:
            return func.HttpResponse(json.dumps(status.output), mimetype="application/json")
        case df.OrchestrationRuntimeStatus.Failed:
            return func.HttpResponse(str(status.output), status_code=500)
        case df.OrchestrationRuntimeStatus.Terminated:
            return func.HttpResponse("The report was cancelled.", status_code=410)
        case _:
            return _come_back(req.url.rpartition("/")[0], report, status.custom_status or "ordered")


@app.route(route="reports/{id}", methods=["DELETE"])
@app.durable_client_input(client_name="client")
async def cancel_report(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Cancels a report that is being made."""
    try:
        await client.terminate(req.route_params["id"], "cancelled by the caller")
    except df.ClientError as error:
        return func.HttpResponse(error.message, status_code=error.status)
    return func.HttpResponse(status_code=202)


def _come_back(reports: str, report: str, progress: str) -> func.HttpResponse:
    """The answer to a caller who is to ask again in a second."""
    headers = {"Location": f"{reports}/{report}", "Retry-After": "1", "Content-Type": "application/json"}
    return func.HttpResponse(json.dumps({"id": report, "progress": progress}), status_code=202, headers=headers)


@app.orchestration_trigger(context_name="context")
def make_report(context: df.DurableOrchestrationContext):
    """Counts the words of every page, one after the other, and tells how far it is."""
    pages = context.get_input()
    words = {}
    for number, page in enumerate(pages):
        context.set_custom_status(f"{number} of {len(pages)} pages")
        words[page] = yield context.call_activity("count_words", page)
    return {"words": words, "total": sum(words.values())}


@app.activity_trigger(input_name="page")
def count_words(page: str) -> int:
    """Fetches a page and counts its words."""
    with urllib.request.urlopen(page, timeout=60) as answer:
        return len(answer.read().split())
