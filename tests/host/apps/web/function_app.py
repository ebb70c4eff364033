"""HTTP functions that show what reached them and answer in every way there is."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="echo/{word:alpha}/{number:int?}", methods=["GET", "POST", "PUT"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    """Answers with everything a function can see of a request."""
    seen = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "query": dict(req.params),
        "route": dict(req.route_params),
        "body": req.get_body().hex(),
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")


@app.route(route="files/{*path}")
async def files(req: func.HttpRequest) -> func.HttpResponse:
    """A catch-all route."""
    return func.HttpResponse(req.route_params.get("path", "nothing"))


@app.route(route="files/index")
def index(req: func.HttpRequest) -> func.HttpResponse:
    """A literal route that the catch-all one covers too."""
    return func.HttpResponse("index")


@app.route(route="answer")
def answer(req: func.HttpRequest) -> func.HttpResponse:
    """Status, headers and bytes as the request asks for them."""
    return func.HttpResponse(
        req.get_body(),
        status_code=int(req.params["status"]),
        headers={"X-Mine": "yes", "X-Served-By": "the function"},
        mimetype=req.params.get("type"),
    )


@app.route(route="text")
def text(req: func.HttpRequest) -> str:
    """Returns the body as a `str`."""
    return req.get_body().decode()


@app.route(route="boom")
def boom(req: func.HttpRequest) -> str:
    """Fails."""
    raise ValueError("a reason for the log")


@app.route()
def unrouted(req: func.HttpRequest) -> str:
    """Has its name for a route."""
    return "by name"


@app.route(route="environment/{name}")
def environment(req: func.HttpRequest) -> func.HttpResponse:
    """A variable of the worker's environment."""
    return func.HttpResponse(json.dumps(os.environ.get(req.route_params["name"])))


@app.route(route="log")
def log(req: func.HttpRequest) -> str:
    """Writes to the log, to standard output and to standard error."""
    logging.getLogger("mine").warning("logged by the app")
    print("printed by the app")
    os.write(2, b"a warning of the process\n")
    return "ok"


@app.route(route="exit/{code:int}")
def leave(req: func.HttpRequest) -> str:
    """Ends the worker without a word."""
    os._exit(int(req.route_params["code"]))


@app.route(route="sleep/{seconds}")
async def nap(req: func.HttpRequest) -> str:
    """Takes its time."""
    await asyncio.sleep(float(req.route_params["seconds"]))
    return "awake"


@app.route(route="hang/{seconds}")
def hang(req: func.HttpRequest) -> str:
    """Takes its time on a thread, where nothing can wake it."""
    time.sleep(float(req.route_params["seconds"]))
    return "back"


@app.route(route="%ROUTE_OF_SETTING%/x")
def from_setting(req: func.HttpRequest) -> str:
    """Has a route from the app settings."""
    return "from a setting"


@app.route(route="{broken:nonsense}")
def badly_routed(req: func.HttpRequest) -> str:
    """Has a route that cannot be read."""
    return "never"


@app.route(route="off")
def switched_off(req: func.HttpRequest) -> str:
    """Is disabled by the app settings."""
    return "never"


@app.route(route="stored")
@app.blob_output(arg_name="out", path="container/x", connection="Storage")
def stored(req: func.HttpRequest, out: func.Out[str]) -> str:
    """Needs a service that is not here."""
    return "never"


@app.timer_trigger(arg_name="timer", schedule="0 0 * * * *")
def hourly(timer: func.TimerRequest) -> None:
    """Is not fired locally."""
