"""Functions that a clock starts, and some that nothing starts here."""

from __future__ import annotations

import json

import azure.functions as func

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)


def told(timer: func.TimerRequest, name: str) -> dict[str, str]:
    """A member that the worker's requests have and the class they are declared as has not."""
    member: dict[str, str] = getattr(timer, name)
    return member


@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
def every_second(timer: func.TimerRequest) -> None:
    """Says that it ran."""
    print(f"every_second past due: {timer.past_due}", flush=True)


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
def at_start(timer: func.TimerRequest) -> None:
    """Says that it ran, and what it was told."""
    print(f"at_start past due: {timer.past_due}, {json.dumps(told(timer, 'schedule'))}", flush=True)


@app.timer_trigger(arg_name="timer", schedule="0 30 4 * * *")
def nightly(timer: func.TimerRequest) -> None:
    """Says that it ran, and what it was told."""
    print(f"nightly past due: {timer.past_due}, last {told(timer, 'schedule_status').get('Last', '')[:10]}", flush=True)


@app.timer_trigger(arg_name="timer", schedule="every day")
def never(timer: func.TimerRequest) -> None:
    """Has a schedule that is none."""


@app.queue_trigger(arg_name="message", queue_name="q", connection="AzureWebJobsStorage")
def from_queue(message: func.QueueMessage) -> None:
    """Says what it got."""
    print(f"from_queue got {message.get_body().decode()}", flush=True)


@app.activity_trigger(input_name="n")
def pack(n: int) -> int:
    """Says what it got."""
    print(f"pack got {n!r}", flush=True)
    return n


@app.orchestration_trigger(context_name="context")
def waits(context: df.DurableOrchestrationContext) -> str:
    """Returns at once."""
    return "done"


@app.route(route="open", auth_level=func.AuthLevel.ANONYMOUS)
def is_open(req: func.HttpRequest) -> func.HttpResponse:
    """Answers anybody."""
    return func.HttpResponse("open")


@app.route(route="locked/{word?}")
def locked(req: func.HttpRequest) -> func.HttpResponse:
    """Answers who has a key."""
    print(f"locked got {req.method} {req.get_body().decode()}", flush=True)
    return func.HttpResponse("unlocked")


@app.route(route="masters", auth_level=func.AuthLevel.ADMIN)
def masters(req: func.HttpRequest) -> func.HttpResponse:
    """Answers who has the master key."""
    return func.HttpResponse("yes, master")


@app.route(route="binding", auth_level=func.AuthLevel.ANONYMOUS)
@app.generic_input_binding(arg_name="client", type="durableClient")
def binding(req: func.HttpRequest, client: str) -> func.HttpResponse:
    """Answers with the text of its durableClient binding."""
    return func.HttpResponse(client)
