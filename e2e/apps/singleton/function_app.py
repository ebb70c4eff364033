"""Singleton: one import a catalogue at a time, however many callers ask for it."""

import json
import os
import urllib.request

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="imports/{catalogue:alpha}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def begin_import(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Begins the import of a catalogue and answers 202; 409 where one of it is under way.

    The id is the lock: the host starts no second instance of an id while the first one runs. To look before, with
    `get_status`, would leave a gap in which two callers both see none.
    """
    catalogue = req.route_params["catalogue"]
    try:
        instance_id = await client.start_new("import_catalogue", f"import-{catalogue}", catalogue)
    except df.ClientError as error:
        if error.status != 409:
            raise
        return func.HttpResponse("An import of this catalogue is under way.", status_code=409)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def import_catalogue(context: df.DurableOrchestrationContext):
    """Fetches page after page and returns how many items there are."""
    page, items = 1, 0
    while page is not None:
        fetched = yield context.call_activity("fetch_page", {"catalogue": context.get_input(), "page": page})
        items += len(fetched["items"])
        page = fetched.get("next")
    return items


@app.activity_trigger(input_name="job")
def fetch_page(job: dict) -> dict:
    """One page of a catalogue: `{"items": [...], "next": <number>}`, without `next` if it is the last."""
    service = os.environ.get("CATALOGUE_URL", "http://localhost:8000")
    with urllib.request.urlopen(f"{service}/{job['catalogue']}?page={job['page']}", timeout=60) as answer:
        return json.load(answer)
