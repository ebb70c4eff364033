"""An app that is an ASGI or a WSGI app, with a workflow beside it on a blueprint."""

ASGI = """
import azure.functions as func
from workflow import workflow

started = []

async def web(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            started.append(message["type"])
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = f"{started} {scope['method']} {scope['path']}".encode()
    await send({"type": "http.response.start", "status": 418, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})

app = func.AsgiFunctionApp(app=web, http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(workflow)
"""

WSGI = """
import azure.functions as func
from workflow import workflow

def web(environ, start_response):
    start_response("418 I'm a teapot", [("Content-Type", "text/plain")])
    return [f"[] {environ['REQUEST_METHOD']} {environ['PATH_INFO']}".encode()]

app = func.WsgiFunctionApp(app=web, http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(workflow)
"""

WORKFLOW = """
import worker_ext as df

workflow = df.Blueprint()

@workflow.orchestration_trigger(context_name="context")
def greets(context: df.DurableOrchestrationContext):
    return (yield context.call_activity("greet", context.get_input()))

@workflow.activity_trigger(input_name="city")
def greet(city: str) -> str:
    return f"Hello {city}!"
"""
