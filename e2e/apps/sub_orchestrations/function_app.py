"""Sub-orchestrations: one workflow a server, side by side, each retried by itself; failures are reported together."""

from pathlib import Path

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
def deploy(context: df.DurableOrchestrationContext):
    """Deploys a release to every server and says which have it and why others have not."""
    job = context.get_input()
    retries = df.RetryOptions(job.get("retry_delay", 1000), 2)
    children = {
        name: context.call_sub_orchestrator_with_retry(
            "deploy_to_server",
            retries,
            {"folder": folder, "release": job["release"]},
            instance_id=f"{context.instance_id}:{name}",  # the host makes one up if we do not; so it can be found
        )
        for name, folder in job["servers"].items()
    }
    try:
        yield context.task_all(list(children.values()), fail_fast=False)  # waits for all, also when some fail
    except ExceptionGroup as group:
        context.set_custom_status(f"{len(group.exceptions)} of {len(children)} servers failed")
    return {
        "deployed": [name for name, child in children.items() if not child.is_failed],
        "failed": {name: str(child.result) for name, child in children.items() if child.is_failed},
    }


@app.orchestration_trigger(context_name="context")
def deploy_to_server(context: df.DurableOrchestrationContext):
    """Deploys to one server, and goes back to the release before if the new one is not well."""
    job = {**context.get_input(), "ordered_by": context.parent_instance_id}
    before = yield context.call_activity("installed_release", job["folder"])
    # The same id again whenever this code is replayed: the activity can tell a repetition from another deployment.
    yield context.call_activity("install", {**job, "id": context.new_uuid()})
    if not (yield context.call_activity("is_well", job["folder"])):
        yield context.call_activity("install", {**job, "id": context.new_uuid(), "release": before})
        raise RuntimeError(f"{job['release']} is not well; {before} is back")
    return job["release"]


@app.activity_trigger(input_name="folder")
def installed_release(folder: str) -> str:
    """The release on a server, which in this sample is a folder."""
    file = Path(folder, "RELEASE")
    return file.read_text() if file.exists() else "none"


@app.activity_trigger(input_name="job")
def install(job: dict) -> None:
    """Installs a release on a server and logs that once, however often it has to run until it is through."""
    Path(job["folder"], "RELEASE").write_text(job["release"])
    log = Path(job["folder"], "DEPLOYMENTS")
    if not log.exists() or job["id"] not in log.read_text():
        with log.open("a") as lines:
            lines.write(f"{job['id']} {job['release']}, ordered by {job['ordered_by']}\n")


@app.activity_trigger(input_name="folder")
def is_well(folder: str) -> bool:
    """Whether a server runs well what is installed; in this sample, whether it is no beta."""
    return "beta" not in Path(folder, "RELEASE").read_text()
