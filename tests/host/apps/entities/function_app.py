"""An entity that the management API is tried out on."""

from __future__ import annotations

import worker_ext as df

app = df.DFApp()


@app.entity_trigger(context_name="context", entity_name="Counter")
def counter(context: df.DurableEntityContext) -> None:
    """Keeps the operations it was sent; `delete` deletes it."""
    if context.operation_name == "delete":
        context.destruct_on_exit()
    else:
        context.set_state([*context.get_state(list), [context.operation_name, context.get_input()]])
