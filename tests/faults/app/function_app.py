"""What runs while its host is killed: fans, timers, events, families, generations, counters and transfers.

Every run of an activity leaves a line in a journal when it starts and when it ends.
"""

import os
import time
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import worker_ext as df

app = df.DFApp()
JOURNAL = os.open(os.environ["FAULTS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(kind: str, key: str) -> None:
    """Writes a line to the journal, in one piece."""
    os.write(JOURNAL, f"{kind} {time.monotonic_ns()} {os.getpid()} {key}\n".encode())


@app.activity_trigger(input_name="job")
def work(job: dict[str, Any]) -> int:
    """Adds one, slowly."""
    note("start", job["key"])
    time.sleep(job["pause"])
    note("end", job["key"])
    return int(job["value"]) + 1


@app.activity_trigger(input_name="job")
async def work_async(job: dict[str, Any]) -> int:
    """Adds one."""
    note("start", job["key"])
    note("end", job["key"])
    return int(job["value"]) + 1


def step(context: df.DurableOrchestrationContext, number: int, value: int, name: str = "work") -> Any:
    """The instance's activity of a number."""
    pause = context.get_input()["pause"]
    return context.call_activity(name, {"key": f"{context.instance_id}/{number}", "value": value, "pause": pause})


@app.orchestration_trigger(context_name="context")
def fan(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Activities side by side; the sum of what they return."""
    size = context.get_input()["size"]
    kinds = ("work", "work_async")
    results = yield context.task_all([step(context, number, number, kinds[number % 2]) for number in range(size)])
    return sum(results)


@app.orchestration_trigger(context_name="context")
def timers(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """An activity, a timer, and an activity that is faster than another timer."""
    first = yield step(context, 0, 0)
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=context.get_input()["delay"]))
    late = context.create_timer(context.current_utc_datetime + timedelta(days=1))
    second = step(context, 1, first)
    winner = yield context.task_any([late, second])
    if winner is second:
        late.cancel()
    return second.result if winner is second else "the timer of a day was faster"


@app.orchestration_trigger(context_name="context")
def events(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Waits until it has heard every number; all that it heard, in order."""
    heard: list[Any] = []
    while len({number for number, _ in heard}) < context.get_input()["size"]:
        heard.append((yield context.wait_for_external_event("said")))
    return heard


@app.orchestration_trigger(context_name="context")
def family(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Two fans as children, and an activity of its own."""
    job = context.get_input()
    children = [context.call_sub_orchestrator("fan", job, f"{context.instance_id}-{name}") for name in ("a", "b")]
    return sum((yield context.task_all([*children, step(context, 0, 0)])))


@app.orchestration_trigger(context_name="context")
def generations(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """An activity a generation, until none is left."""
    job = context.get_input()
    total = yield step(context, job["size"], job.get("total", 0))
    if job["size"] == 1:
        return total
    context.continue_as_new({**job, "size": job["size"] - 1, "total": total})
    return None


@app.orchestration_trigger(context_name="context")
def count(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Adds to counters, by a signal and by a call at a time."""
    job = context.get_input()
    for _ in range(job["size"]):
        context.signal_entity(df.EntityId("counter", job["from"]), "add", 1)
        yield context.call_entity(df.EntityId("counter", job["to"]), "add", 1)
    return job["size"]


@app.orchestration_trigger(context_name="context")
def transfer(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Moves an amount between two counters, which nobody else may touch in between."""
    job = context.get_input()
    source, target = df.EntityId("counter", job["from"]), df.EntityId("counter", job["to"])
    with (yield context.lock_entities(source, target)):
        for entity, amount in ((source, -job["size"]), (target, job["size"])):
            value = yield context.call_entity(entity, "get")
            yield context.call_entity(entity, "set", value + amount)
    return job["size"]


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext) -> None:
    """A number: `add`, `get`, `set`; or a list of what was put into it: `put`."""
    value = context.get_state(lambda: 0)
    match context.operation_name:
        case "add":
            context.set_state(value + context.get_input())
        case "set":
            context.set_state(context.get_input())
        case "put":
            context.set_state([*(value or []), context.get_input()])
    context.set_result(value)
