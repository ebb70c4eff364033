"""Eternal orchestration: cleans a folder up again and again, for ever, in a history that does not grow.

It is a singleton: a timer starts it under one fixed id, and does nothing where it runs already.
"""

import logging
import os
import time
from datetime import timedelta
from pathlib import Path

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
log = logging.getLogger(__name__)

INSTANCE = "clean-up"
AN_HOUR = 60 * 60
A_DAY = 24 * AN_HOUR


@app.timer_trigger(arg_name="timer", schedule="0 0 * * * *", run_on_startup=True)
@app.durable_client_input(client_name="client")
async def keep_running(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Starts the clean-up when the app starts, and within the hour when somebody has stopped it."""
    folder = os.environ.get("CLEAN_UP_FOLDER")
    if not folder:
        log.warning("nothing is cleaned up, for CLEAN_UP_FOLDER is not set")
        return
    job = {
        "folder": folder,
        "every_seconds": float(os.environ.get("CLEAN_UP_EVERY_SECONDS", AN_HOUR)),
        "older_than_seconds": float(os.environ.get("CLEAN_UP_OLDER_THAN_SECONDS", A_DAY)),
    }
    try:
        await client.start_new("clean_up", INSTANCE, job)
    except df.ClientError as error:
        if error.status != 409:
            raise
        log.info("the clean-up runs already")


@app.orchestration_trigger(context_name="context")
def clean_up(context: df.DurableOrchestrationContext):
    """Removes old files, waits, and begins anew; the event `stop` ends it."""
    job = context.get_input()
    removed = yield context.call_activity("remove_old_files", job)
    rounds, total = job.get("rounds", 0) + 1, job.get("removed", 0) + removed
    context.set_custom_status({"rounds": rounds, "removed": total})
    stop = context.wait_for_external_event("stop")
    pause = context.create_timer(timedelta(seconds=job["every_seconds"]))
    if (yield context.task_any([stop, pause])) is stop:
        pause.cancel()
        return {"rounds": rounds, "removed": total}
    # A loop would do the same, but replay everything since the beginning in each of its rounds. What the next round
    # has to know is its input. A `stop` that comes in between is not lost.
    context.continue_as_new({**job, "rounds": rounds, "removed": total}, preserve_unprocessed_events=True)


@app.activity_trigger(input_name="job")
def remove_old_files(job: dict) -> int:
    """Removes the files of a folder that were not changed for so long; returns how many."""
    oldest = time.time() - job["older_than_seconds"]
    old = [file for file in Path(job["folder"]).iterdir() if file.is_file() and file.stat().st_mtime < oldest]
    for file in old:
        file.unlink(missing_ok=True)
    return len(old)
