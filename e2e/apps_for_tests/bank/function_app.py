"""Accounts as entities, transfers between them under a lock, and counters that many orchestrations work at once."""

import time

import worker_ext as df
from worker_ext.errors import TaskFailedError

app = df.DFApp()

PAUSE = 0.01
"""Seconds that an operation takes, so that there is time to be killed in."""


@app.entity_trigger(context_name="context")
def account(context: df.DurableEntityContext) -> None:
    """Money: `deposit`, `withdraw` (not below nothing), `balance`; `report` counts one in the ledger."""
    balance, amount = context.get_state(lambda: 0), context.get_input()
    time.sleep(PAUSE)
    match context.operation_name:
        case "deposit":
            context.set_state(balance + amount)
        case "withdraw" if balance < amount:
            raise ValueError(f"{context.entity_key} has {balance}, not {amount}")
        case "withdraw":
            context.set_state(balance - amount)
        case "report":
            context.signal_entity(df.EntityId("account", "ledger"), "deposit", 1)
    context.set_result(context.get_state())


@app.orchestration_trigger(context_name="context")
def transfer(context: df.DurableOrchestrationContext):
    """Moves money from one account to another; nobody sees them in between."""
    job = context.get_input()
    source, target = df.EntityId("account", job["from"]), df.EntityId("account", job["to"])
    with (yield context.lock_entities(source, target)):
        balance = yield context.call_entity(source, "balance")
        if balance < job["amount"]:
            return False
        yield context.call_entity(source, "withdraw", job["amount"])
        yield context.call_entity(target, "deposit", job["amount"])
    return True


@app.orchestration_trigger(context_name="context")
def tally(context: df.DurableOrchestrationContext):
    """Deposits one, by signals and by calls in turn, and reports once."""
    job = context.get_input()
    entity = df.EntityId("account", job["to"])
    for _ in range(job["times"]):
        context.signal_entity(entity, "deposit", 1)
        yield context.call_entity(entity, "deposit", 1)
    context.signal_entity(entity, "report")
    return job["times"]


@app.orchestration_trigger(context_name="context")
def overdraw(context: df.DurableOrchestrationContext):
    """Withdraws what is not there and returns what it is told."""
    try:
        yield context.call_entity(df.EntityId("account", "poor"), "withdraw", 5)
    except TaskFailedError as error:
        return str(error)
    return None
