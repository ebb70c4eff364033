"""What the functions did while the management API was recorded: an instance's id says what it does."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import worker_ext as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context", orchestration="Orch")
def orchestrate(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Waits, works, fails or sleeps."""
    kind, _, number = context.instance_id.partition("__")
    if kind == "w":
        context.set_custom_status({"s": 1})
        value = yield context.wait_for_external_event("go")
        return {"got": [json.dumps(value, separators=(",", ":"))]}
    if kind == "q":
        yield context.call_activity("A", None)
        yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=50))
        yield context.call_sub_orchestrator("Child", instance_id=f"qc__{number}")
        return {"ok": True, "n": 1}
    if kind == "slow":
        yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    raise ValueError("boom")


@app.orchestration_trigger(context_name="context", orchestration="Child")
def child(context: df.DurableOrchestrationContext) -> str:
    """Returns at once."""
    return "c"


@app.activity_trigger(input_name="nothing", activity="A")
def activity(nothing: None) -> dict[str, int]:
    """Returns the same each time."""
    return {"k": 1}


@app.entity_trigger(context_name="context", entity_name="Counter")
def counter(context: df.DurableEntityContext) -> None:
    """Has the same state after each operation but `delete`."""
    if context.operation_name == "delete":
        context.destruct_on_exit()
    else:
        context.set_state([1])
