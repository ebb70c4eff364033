"""The functions of `work`, in the v2 model."""

# mypy: ignore-errors

import azure.functions as func
import work

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
others = df.Blueprint()

app.route("orchestrators/{functionName}", methods=["POST"])(app.durable_client_input("client")(work.start))
app.route("counters/{key}")(app.durable_client_input("client")(work.counted))
queue = {"queue_name": "q", "connection": "AzureWebJobsStorage"}
app.queue_trigger("msg", **queue)(app.queue_output("out", **queue)(app.durable_client_input("client")(work.from_queue)))
app.entity_trigger("context")(work.counter)
app.route("about")(work.about)
app.orchestration_trigger("context")(work.everything)
app.orchestration_trigger("context")(work.fails)
app.orchestration_trigger("context")(work.fails_at_once)
app.orchestration_trigger("context")(work.adds_up)
app.orchestration_trigger("context")(work.in_asyncio)
for activity in (work.in_thread, work.on_loop, work.nothing, work.broken, work.slow):
    others.activity_trigger("value")(activity)
for activity in (work.waits, work.passes, work.fails_twice):
    others.activity_trigger("value")(activity)
others.activity_trigger("numbers")(work.total)
app.register_functions(others)
