"""HTTP streaming by our own handlers, message by message: gRPC on one side, the worker's HTTP server on the other."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from real_workers.cases import APPS
from real_workers.environments import Environments, requirements
from real_workers.test_streaming import EXTENSION
from worker.driver import WAIT_SECONDS, WorkerDriver, worker

from worker_ext.rpc import pb

pytestmark = pytest.mark.asyncio(loop_scope="module")

SUCCESS = pb.StatusResult(status=pb.StatusResult.Success)
PLAIN_APP = """
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route("plain")
def plain(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("plain")
"""
IMPORT = "from azurefunctions.extensions.http.fastapi import Request, StreamingResponse\n"
STREAMING = """
@app.route("streams")
def streams(req: Request) -> StreamingResponse:
    return StreamingResponse([])
"""

OWN_EXTENSION = """
import sys
from azurefunctions.extensions import base

class MyRequest: ...
class MyAnswer: ...
class Synchronizer(base.RequestSynchronizer):
    def sync_route_params(self, request, path_params): ...
class Request(metaclass=base.RequestTrackerMeta):
    request_type = MyRequest
    synchronizer = Synchronizer()
class Answer(metaclass=base.ResponseTrackerMeta):
    label = base.ResponseLabels.STANDARD
    response_type = MyAnswer
class WebApp(base.WebApp):
    def route(self, func): ...
    def get_app(self): ...
class WebServer(base.WebServer):
    async def serve(self):
        sys.exit("no port")
"""


@pytest.fixture(scope="module")
def command(environments: Environments, code: Path) -> list[str]:
    """Our worker, in an environment that has the web extension."""
    packages = environments.packages("3.12", [*requirements(for_worker=True), EXTENSION])
    return [str(environments.interpreter("3.12", packages, code)), "-m", "worker_ext.worker"]


class Streaming:
    """A worker that has told where it takes requests."""

    def __init__(self, driver: WorkerDriver, address: str, client: aiohttp.ClientSession) -> None:
        self.driver = driver
        self.address = address
        self.client = client

    def request(self, name: str, /, **params: str) -> pb.InvocationRequest:
        data = pb.TypedData()
        data.http.SetInParent()
        data.http.params.update(params)
        return self.driver.request(name, {"req": data})

    def send(self, request: pb.InvocationRequest, path: str = "/api/x") -> asyncio.Task[tuple[int, str]]:
        return asyncio.create_task(self._send(request.invocation_id, path))

    async def _send(self, invocation_id: str, path: str) -> tuple[int, str]:
        async with self.get(invocation_id, path) as answer:
            return answer.status, await answer.text()

    def get(self, invocation_id: str, path: str = "/api/x") -> Any:
        return self.client.get(self.address + path, headers={"x-ms-invocation-id": invocation_id})

    async def call(self, name: str, /, **params: str) -> tuple[pb.InvocationResponse, tuple[int, str]]:
        """Invoke a function, and send its request."""
        request = self.request(name, **params)
        sent = self.send(request)
        return await self.driver.invoke(request), await sent


def write(folder: Path, source: str) -> Path:
    (folder / "function_app.py").write_text(source)
    return folder


async def open_app(driver: WorkerDriver, app: Path) -> pb.WorkerInitResponse:
    await driver.started()
    answer = await driver.init(app)
    assert answer.result == SUCCESS, answer.result.exception.message
    for metadata in (await driver.metadata(app)).function_metadata_results:
        assert (await driver.load(metadata)).result == SUCCESS
        driver.functions[metadata.name] = metadata
    return answer


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streamed")
    shutil.copy(APPS / "streamed" / "function_app.py", folder)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(WAIT_SECONDS)) as session:
        yield session


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def streaming(app: Path, command: list[str], client: aiohttp.ClientSession) -> AsyncIterator[Streaming]:
    # One thread, so that a function that waits for its request must not hold it.
    async with worker(app, {"PYTHON_THREADPOOL_THREAD_COUNT": "1"}, command=command) as driver:
        answer = await open_app(driver, app)
        assert answer.capabilities["RequiresRouteParameters"] == "true"
        yield Streaming(driver, answer.capabilities["HttpUri"], client)


async def test_the_server_listens_on_the_loopback_when_the_host_hears_of_it(streaming: Streaming) -> None:
    assert streaming.address.startswith("http://127.0.0.1:")
    async with streaming.client.get(streaming.address) as answer:
        assert answer.status == 500  # not of a host: it names no invocation


@pytest.mark.parametrize("first", ["the invocation", "the request"])
async def test_request_and_invocation_find_each_other_in_either_order(streaming: Streaming, first: str) -> None:
    request = streaming.request("plain", name="some name")
    if first == "the request":
        sent = streaming.send(request)
        await streaming.call("unannotated")
        invoked = streaming.driver.post_invocation(request)
    else:
        invoked = streaming.driver.post_invocation(request)
        await streaming.call("plain", name="other")  # in the one thread there is
        sent = streaming.send(request)
    assert await sent == (200, f"{request.invocation_id} some name invocations-1")
    assert (await invoked).invocation_response == pb.InvocationResponse(
        invocation_id=request.invocation_id, result=SUCCESS
    )


async def test_a_function_without_annotations_gets_the_same_request(streaming: Streaming) -> None:
    request = streaming.request("unannotated")
    sent = streaming.send(request, "/api/open?a=1")
    assert (await streaming.driver.invoke(request)).result == SUCCESS
    assert await sent == (200, '{"method":"GET","query":{"a":"1"}}')


async def test_outputs_leave_with_the_invocation(streaming: Streaming) -> None:
    response, sent = await streaming.call("output")
    assert response == pb.InvocationResponse(
        invocation_id=response.invocation_id,
        output_data=[pb.ParameterBinding(name="out", data=pb.TypedData(string="text"))],
        result=SUCCESS,
    )
    assert sent == (200, "sent")


async def test_an_error_that_the_framework_knows_is_its_answer(streaming: Streaming) -> None:
    response, sent = await streaming.call("teapot")
    assert response.result.exception.message == "HTTPException: 418: short and stout"
    assert sent == (418, '{"detail":"short and stout"}')


@pytest.mark.parametrize("name, found", [("nothing", "nothing"), ("message", "an azure.functions.HttpResponse")])
async def test_a_function_that_returns_no_answer_fails_on_both_sides(
    streaming: Streaming, name: str, found: str
) -> None:
    response, sent = await streaming.call(name)
    assert response.result.exception.message == (
        f"TypeError: the function returned {found}; where HTTP streams, return a response of the web extension, such "
        "as StreamingResponse, JSONResponse or Response"
    )
    assert sent == (500, "Internal Server Error")


async def test_an_invocation_that_the_worker_cannot_begin_fails_on_both_sides(streaming: Streaming) -> None:
    request = streaming.driver.request("plain", {"wrong": pb.TypedData(string="x")})
    sent = streaming.send(request)
    response = await streaming.driver.invoke(request)
    assert "input_data['wrong']" in response.result.exception.message
    assert await sent == (500, "Internal Server Error")


async def test_a_cancelled_invocation_answers_its_request(streaming: Streaming) -> None:
    request = streaming.request("wait")
    sent = streaming.send(request)
    invoked = streaming.driver.post_invocation(request)
    await streaming.driver.log("waiting")
    streaming.driver.cancel(request)
    assert (await invoked).invocation_response.result.status == pb.StatusResult.Cancelled
    assert await sent == (500, "Internal Server Error")


@pytest.mark.parametrize("name", ["wait", "plain"])
async def test_an_invocation_is_cancelled_while_it_waits_for_its_request(streaming: Streaming, name: str) -> None:
    request = streaming.request(name)
    invoked = streaming.driver.post_invocation(request)
    streaming.driver.cancel(request)
    assert (await invoked).invocation_response.result.status == pb.StatusResult.Cancelled
    assert await streaming.send(request) == (500, "Internal Server Error")


async def test_a_sync_function_leaves_the_others_running(streaming: Streaming) -> None:
    request = streaming.request("hold")
    sent = streaming.send(request)
    invoked = streaming.driver.post_invocation(request)
    await streaming.driver.log("holding")
    assert (await streaming.call("release"))[1] == (200, "released")
    assert await sent == (200, "held")
    assert (await invoked).invocation_response.result == SUCCESS


async def test_an_answer_ends_when_the_caller_hangs_up(streaming: Streaming) -> None:
    request = streaming.request("left")
    invoked = streaming.driver.post_invocation(request)
    async with streaming.get(request.invocation_id) as answer:
        assert await answer.content.readline() == b"more\n"
    await streaming.driver.log("the caller left")
    assert (await invoked).invocation_response.result == SUCCESS


async def test_functions_of_other_triggers_are_invoked_as_ever(streaming: Streaming) -> None:
    response = await streaming.driver.call("echo", {"x": pb.TypedData(string="hello")})
    assert response.return_value == pb.TypedData(string="hello")


# ------------------------------------------------------------ the worker's life


async def test_the_worker_lets_answers_end_and_ends_its_server(
    app: Path, command: list[str], client: aiohttp.ClientSession
) -> None:
    async with worker(app, command=command) as driver:
        streaming = Streaming(driver, (await open_app(driver, app)).capabilities["HttpUri"], client)
        request = streaming.request("slow")
        invoked = driver.post_invocation(request)
        async with streaming.get(request.invocation_id) as answer:
            assert await answer.content.readline() == b"first\n"
            assert (await invoked).invocation_response.result == SUCCESS
            terminate = pb.WorkerTerminate()
            terminate.grace_period.FromSeconds(int(WAIT_SECONDS))
            driver.send(pb.StreamingMessage(worker_terminate=terminate))
            assert await answer.content.read() == b"last\n"
        assert await driver.ended() == (0, "", "")
        with pytest.raises(aiohttp.ClientConnectorError):
            await streaming.send(request)


@pytest.mark.parametrize("told", [True, False], ids=["when told to", "with the host"])
async def test_the_worker_ends_whatever_it_answers(
    app: Path, command: list[str], client: aiohttp.ClientSession, told: bool
) -> None:
    async with worker(app, command=command) as driver:
        streaming = Streaming(driver, (await open_app(driver, app)).capabilities["HttpUri"], client)
        request = streaming.request("left")
        driver.post_invocation(request)
        async with streaming.get(request.invocation_id) as answer:
            assert await answer.content.readline() == b"more\n"
            if told:
                driver.send(pb.StreamingMessage(worker_terminate=pb.WorkerTerminate()))
            else:
                driver.end_stream()
            with pytest.raises(aiohttp.ClientError):
                await answer.content.read()
        assert await driver.ended() == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
async def test_signals_stay_the_worker_s(app: Path, command: list[str], client: aiohttp.ClientSession) -> None:
    async with worker(app, command=command) as driver:
        streaming = Streaming(driver, (await open_app(driver, app)).capabilities["HttpUri"], client)
        assert driver.process is not None
        driver.process.send_signal(signal.SIGINT)  # the host's to say what it means
        assert (await streaming.call("plain", name="still"))[1][0] == 200
        response, sent = await streaming.call("broken")  # told by the invocation, and not again by the server
        assert response.result.exception.message == "LookupError: no luck"
        assert sent == (500, "Internal Server Error")
        driver.process.send_signal(signal.SIGTERM)
        assert await driver.ended() == (0, "", "")


async def test_an_environment_reload_tells_where_requests_are_taken(
    app: Path, command: list[str], client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with worker(tmp_path, command=command) as driver:
        await driver.started()
        placeholder = await driver.init(tmp_path)
        assert placeholder.result == SUCCESS
        assert "HttpUri" not in placeholder.capabilities
        request = pb.FunctionEnvironmentReloadRequest(function_app_directory=str(app))
        reply = await driver.ask(pb.StreamingMessage(function_environment_reload_request=request))
        answer = reply.function_environment_reload_response
        assert (answer.result, answer.capabilities["RequiresRouteParameters"]) == (SUCCESS, "true")
        for metadata in (await driver.metadata(app)).function_metadata_results:
            driver.functions[metadata.name] = metadata
        streaming = Streaming(driver, answer.capabilities["HttpUri"], client)
        assert (await streaming.call("plain", name="n"))[1][0] == 200


async def test_a_folder_that_is_not_there_is_an_error_where_functions_are_asked_for(
    command: list[str], tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    async with worker(tmp_path, command=command) as driver:
        await driver.started()
        assert (await driver.init(missing)).result == SUCCESS
        described = await driver.metadata(missing)
        assert described.result.exception.message == f"the app's folder {missing} does not exist"


@pytest.mark.parametrize("source", [PLAIN_APP, IMPORT + PLAIN_APP], ids=["not imported", "imported"])
async def test_an_app_that_asks_for_no_streams_has_no_server(command: list[str], tmp_path: Path, source: str) -> None:
    app = write(tmp_path, source)
    async with worker(app, command=command) as driver:
        answer = await open_app(driver, app)
        assert not {"HttpUri", "RequiresRouteParameters"} & set(answer.capabilities)
        http = pb.RpcHttp(method="GET", url="http://localhost/api/plain")
        response = await driver.call("plain", {"req": pb.TypedData(http=http)})
        assert response.return_value.http.body == pb.TypedData(bytes=b"plain")


async def test_an_app_that_mixes_streams_and_messages_is_refused(command: list[str], tmp_path: Path) -> None:
    app = write(tmp_path, IMPORT + PLAIN_APP + STREAMING)
    async with worker(app, command=command) as driver:
        await driver.started()
        answer = await driver.init(app)
        assert answer.result.exception.message == (
            "HTTP functions with types of the web extension (streams) are beside others with those of azure.functions "
            "(plain), but a host streams all HTTP requests of an app or none: annotate the requests and answers of all "
            "HTTP functions with types of the extension, or of none"
        )


async def test_a_server_that_does_not_start_is_an_error_of_the_app(command: list[str], tmp_path: Path) -> None:
    app = write(
        tmp_path,
        OWN_EXTENSION + PLAIN_APP.replace("func.HttpRequest", "MyRequest").replace("func.HttpResponse:", "MyAnswer:"),
    )
    async with worker(app, command=command) as driver:
        await driver.started()
        answer = await driver.init(app)
        assert answer.result.exception.message == "the server of the web extension ended at its start"
        assert "the server of the web extension exited with 'no port'" in answer.result.exception.stack_trace
        assert "HttpUri" not in answer.capabilities


async def test_functions_with_a_function_json_cannot_stream(command: list[str], tmp_path: Path) -> None:
    script = tmp_path / "hello" / "__init__.py"
    script.parent.mkdir()
    script.write_text(IMPORT + "def main(req: Request): ...")
    (script.parent / "function.json").write_text("{}")
    async with worker(tmp_path, command=command) as driver:
        await driver.started()
        assert (await driver.init(tmp_path)).result == SUCCESS
        bindings = {"req": pb.BindingInfo(type="httpTrigger")}
        metadata = pb.RpcFunctionMetadata(
            name="hello", function_id="1", directory=str(script.parent), bindings=bindings
        )
        loaded = await driver.load(metadata)
        assert loaded.result.exception.message == (
            "function 'hello': parameter 'req': the annotation 'starlette.requests.Request' streams HTTP, which "
            "functions with a function.json cannot: declare the function by decorators in function_app.py, or annotate "
            "azure.functions.HttpRequest"
        )


async def test_an_extension_that_only_the_app_can_find_is_refused(
    environments: Environments, code: Path, tmp_path: Path
) -> None:
    needs = requirements(for_worker=True)
    python = environments.interpreter("3.12", environments.packages("3.12", needs), code)
    hidden = environments.packages("3.12", [*needs, EXTENSION])
    app = write(
        tmp_path, f"import sys\nsys.path.append({str(hidden)!r})\n{IMPORT}{PLAIN_APP.partition('@')[0]}{STREAMING}"
    )
    async with worker(app, command=[str(python), "-m", "worker_ext.worker"]) as driver:
        await driver.started()
        assert (await driver.init(app)).result == SUCCESS
        described = await driver.metadata(app)
        assert described.result.exception.message == (
            "the app streams HTTP, which the host must hear before it asks for functions, but when it opened the app "
            f"there was no azurefunctions.extensions.base, or no app: install the web extension for {python} or into "
            ".python_packages, and let the host name the app's folder at start-up"
        )
