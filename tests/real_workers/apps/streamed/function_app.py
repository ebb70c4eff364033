"""HTTP functions that stream, as one worker is asked to run them."""

# mypy: ignore-errors

import asyncio
import logging
import threading

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response, StreamingResponse
from fastapi import HTTPException

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
log = logging.getLogger("app")
released = threading.Event()


@app.route("plain/{name}")
def plain(req: Request, context) -> Response:
    return Response(f"{context.invocation_id} {req.path_params['name']} {threading.current_thread().name}")


@app.route("open")
async def unannotated(req):
    return {"method": req.method, "query": dict(req.query_params)}


@app.route("hold")
def hold(req: Request) -> Response:
    log.info("holding")
    released.wait(60)
    return Response("held")


@app.route("release")
async def release(req: Request) -> Response:
    released.set()
    return Response("released")


@app.route("wait")
async def wait(req: Request) -> Response:
    log.info("waiting")
    await asyncio.Event().wait()


@app.route("left")
async def left(req: Request) -> StreamingResponse:
    async def lines():
        try:
            while True:
                yield "more\n"
                await asyncio.sleep(0.01)
        finally:
            log.info("the caller left")

    return StreamingResponse(lines())


@app.route("slow")
async def slow(req: Request) -> StreamingResponse:
    async def lines():
        yield "first\n"
        await asyncio.sleep(0.5)
        yield "last\n"

    return StreamingResponse(lines())


@app.route("teapot")
async def teapot(req: Request) -> Response:
    raise HTTPException(418, "short and stout")


@app.route("broken")
def broken(req: Request) -> Response:
    raise LookupError("no luck")


@app.route("nothing")
def nothing(req: Request):
    pass


@app.route("message")
def message(req):
    return func.HttpResponse("x")


@app.route("output")
@app.queue_output(arg_name="out", queue_name="q", connection="c")
def output(req: Request, out: func.Out[str]) -> Response:
    out.set("text")
    return Response("sent")


@app.generic_trigger(arg_name="x", type="anything")
def echo(x):
    return x
