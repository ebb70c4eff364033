"""An entity that the management API is tried out on."""

from __future__ import annotations

from datetime import timedelta

import worker_ext as df

app = df.DFApp()


@app.entity_trigger(context_name="context", entity_name="Counter")
def counter(context: df.DurableEntityContext) -> None:
    """Keeps the operations it was sent; `delete` deletes it."""
    if context.operation_name == "delete":
        context.destruct_on_exit()
    else:
        context.set_state([*context.get_state(list), [context.operation_name, context.get_input()]])


@app.entity_trigger(context_name="context", entity_name="Starter")
@app.durable_client_input(client_name="client")
async def starter(context: df.DurableEntityContext, client: df.DurableOrchestrationClient) -> None:
    """Starts an orchestration under the name that is its input."""
    instance_id = context.get_input()
    await client.start_new("started_by_entity", instance_id, context.entity_key)
    context.set_state(instance_id)


@app.orchestration_trigger(context_name="context")
def started_by_entity(context: df.DurableOrchestrationContext) -> object:
    """Says which entity has started it."""
    return {"key": context.get_input()}


@app.orchestration_trigger(context_name="context")
def signals_later(context: df.DurableOrchestrationContext) -> None:
    """Sends an operation that arrives in a moment."""
    context.signal_entity(df.EntityId("Counter", "later"), "add", 1, deliver_at=timedelta(seconds=0.3))
