"""The workflow and its activities, as a blueprint that any app can register.

An activity may run again: the host may be killed after the work is done and before the answer is written down. So each
one is written to be harmless when repeated. A copy is made under a name of its own in a staging folder and takes its
final name in one step, complete or not at all; the last activity takes the staging folder away.
"""

import hashlib

import folders

import worker_ext as df

backup = df.Blueprint()


@backup.orchestration_trigger(context_name="context")
def cloud_backup(context: df.DurableOrchestrationContext):
    """Copies every file of `source` to `destination` and returns their count, total bytes and digest.

    The digest is the SHA-256 of the lines `<SHA-256 of the file>  <path>` in order of path, which is what
    `sha256sum` writes.
    """
    request = context.get_input()
    source, destination = _folders(request)
    staging = f".backup-{context.instance_id}"
    files = yield context.call_activity("list_files", {"source": source, "destination": destination})
    copies = yield context.task_all(
        [
            context.call_activity(
                "copy_file", {"source": source, "destination": destination, "staging": staging, "path": file["path"]}
            )
            for file in files
        ]
    )
    yield context.call_activity("remove_staging", {"destination": destination, "staging": staging})
    manifest = "".join(f"{copy['sha256']}  {copy['path']}\n" for copy in copies)
    return {
        "files": len(copies),
        "bytes": sum(copy["bytes"] for copy in copies),
        "sha256": hashlib.sha256(manifest.encode()).hexdigest(),
    }


def _folders(request: object) -> tuple[str, str]:
    """Checks the input of the orchestration, which a person typed."""
    if not isinstance(request, dict) or any(not isinstance(request.get(key), str) for key in ("source", "destination")):
        raise ValueError(f'cloud_backup expects {{"source": "<folder>", "destination": "<folder>"}}, found {request!r}')
    return request["source"], request["destination"]


@backup.activity_trigger(input_name="job")
def list_files(job: dict) -> list:
    """Names every file below the source folder, with its size, in order of path."""
    return folders.list_files(job["source"], job["destination"])


@backup.activity_trigger(input_name="job")
def copy_file(job: dict) -> dict:
    """Copies one file and says how many bytes it has, and which."""
    return folders.copy_file(job["source"], job["destination"], job["staging"], job["path"])


@backup.activity_trigger(input_name="job")
def remove_staging(job: dict) -> None:
    """Takes away what interrupted copies left behind."""
    folders.remove_staging(job["destination"], job["staging"])
