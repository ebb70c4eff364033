"""Workflows that leave a trace of every activity run: a chain, and one that waits for all there is to wait for."""

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import worker_ext as df

sys.path.append(str(Path(__file__).parents[2] / "apps" / "cloud_backup"))

from backup import backup

app = df.DFApp()
app.register_functions(backup)

PAUSE = 0.04
"""Seconds that a step takes, so that there is time to be killed in."""


@app.orchestration_trigger(context_name="context")
def chain(context: df.DurableOrchestrationContext):
    """Adds up its steps, one activity after another."""
    job = context.get_input()
    total = 0
    for step in range(job["steps"]):
        total = yield context.call_activity(
            "add_step", {"log": job["log"], "instance": context.instance_id, "step": step, "total": total}
        )
    return total


@app.orchestration_trigger(context_name="context")
def family(context: df.DurableOrchestrationContext):
    """Two chains as children side by side with a timer and an event."""
    job = context.get_input()
    children = [
        context.call_sub_orchestrator("chain", job, f"{context.instance_id}-{name}") for name in ("first", "second")
    ]
    timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
    event = context.wait_for_external_event("go")
    first, second, _, said = yield context.task_all([*children, timer, event])
    return {"children": [first, second], "event": said}


@app.activity_trigger(input_name="job")
def add_step(job: dict) -> int:
    """Notes that it ran, then works for a moment."""
    log = os.open(job["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(log, f"{job['instance']} {job['step']}\n".encode())
    finally:
        os.close(log)
    time.sleep(PAUSE)
    return job["total"] + job["step"]
