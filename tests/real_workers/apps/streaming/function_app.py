"""Functions that read and write HTTP piece by piece, beside a workflow."""

# mypy: ignore-errors

import asyncio

import azure.functions as func
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, StreamingResponse

import worker_ext as df

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
go_on = asyncio.Event()


@app.route("ticks")
async def ticks(req: Request) -> StreamingResponse:
    async def lines():
        yield "first\n"
        await go_on.wait()
        yield "last\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"X-Own": "1"})


@app.route("endless")
async def endless(req: Request) -> StreamingResponse:
    async def lines():
        yield "first\n"
        await asyncio.Event().wait()

    return StreamingResponse(lines())


@app.route("go")
async def go(req: Request) -> JSONResponse:
    go_on.set()
    return JSONResponse({"went": True}, status_code=201)


@app.route("sizes/{name}", methods=["PUT"])
async def sizes(req: Request) -> JSONResponse:
    total = 0
    async for chunk in req.stream():
        total += len(chunk)
    facts = {"name": req.path_params["name"], "query": dict(req.query_params), "kind": req.headers.get("content-type")}
    return JSONResponse({**facts, "bytes": total})


@app.route("broken")
async def broken(req: Request) -> JSONResponse:
    raise LookupError("no luck")


@app.route("start", methods=["POST"])
@app.durable_client_input("client")
async def start(req: Request, client: df.DurableOrchestrationClient) -> JSONResponse:
    return JSONResponse({"id": await client.start_new("greets", client_input=await req.json())})


@app.orchestration_trigger("context")
def greets(context: df.DurableOrchestrationContext):
    return (yield context.call_activity("greet", context.get_input()))


@app.activity_trigger("city")
def greet(city: str) -> str:
    return f"Hello {city}!"
