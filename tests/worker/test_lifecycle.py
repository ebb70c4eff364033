"""A worker process from its start to its end, as a host sees it."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from pathlib import Path

import grpc
import pytest
from worker.conftest import WriteApp
from worker.driver import REQUEST_ID, WAIT_SECONDS, WorkerDriver, start_process, worker

from worker_ext.rpc import frames, pb
from worker_ext.worker.dispatcher import CAPABILITIES

SUCCESS = pb.StatusResult(status=pb.StatusResult.Success)
APP = """
    import asyncio
    import atexit
    import logging
    import os
    import threading

    import azure.functions as func

    app = func.FunctionApp()
    released = threading.Event()
    logging.info("app imported")
    atexit.register(print, "atexit ran")


    def generic(function):
        return app.generic_trigger(arg_name="x", type="anything")(function)

    @generic
    def echo(x):
        print("echoing", x, end="")
        return x

    @generic
    def hold(x):
        logging.info("holding %s", x)
        released.wait(30)
        return x

    @generic
    async def release(x):
        released.set()

    @generic
    async def block(x):
        logging.info("blocking %s", x)
        await asyncio.Event().wait()

    @generic
    async def stubborn(x):
        logging.info("stubborn %s", x)
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

    @generic
    def environment(x):
        return [os.environ.get(x), os.getcwd()]
"""


def x(text: str = "x") -> dict[str, pb.TypedData]:
    return {"x": pb.TypedData(string=text)}


def terminate(driver: WorkerDriver, seconds: int) -> None:
    notice = pb.WorkerTerminate()
    notice.grace_period.seconds = seconds
    driver.send(pb.StreamingMessage(worker_terminate=notice))


# ---------------------------------------------------------------- start


async def test_start_up_is_answered_step_by_step(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        started = await driver.started()
        assert started == pb.StreamingMessage(request_id=REQUEST_ID, start_stream=pb.StartStream(worker_id="w"))
        init = await driver.init(folder)
        assert init == pb.WorkerInitResponse(
            capabilities=dict.fromkeys(CAPABILITIES, "true"),
            result=SUCCESS,
            worker_metadata=pb.WorkerMetadata(
                runtime_name="python",
                runtime_version=f"{sys.version_info.major}.{sys.version_info.minor}",
                worker_version=version("worker-ext"),
                worker_bitness=platform.machine(),
            ),
        )
        described = await driver.metadata(folder)
        assert (described.result, described.use_default_metadata_indexing) == (SUCCESS, False)
        names = [metadata.name for metadata in described.function_metadata_results]
        assert names == ["echo", "hold", "release", "block", "stubborn", "environment"]
        assert await driver.load(described.function_metadata_results[0]) == pb.FunctionLoadResponse(
            function_id=described.function_metadata_results[0].function_id, result=SUCCESS
        )


async def test_new_spelling_of_the_arguments_serves_too(write_app: WriteApp) -> None:
    arguments = ["--functions-uri", "http://127.0.0.1:{port}/", "--functions-worker-id", "new", "--something-else", "1"]
    async with worker(write_app(APP), arguments=arguments) as driver:
        assert await driver.started() == pb.StreamingMessage(start_stream=pb.StartStream(worker_id="new"))


async def test_stream_starts_with_its_greeting_even_when_everything_is_logged(write_app: WriteApp) -> None:
    async with worker(write_app(APP), {"PYTHON_ENABLE_DEBUG_LOGGING": "1"}) as driver:
        await driver.started()
        assert driver.first == "start_stream"


async def test_logs_of_the_import_reach_the_host(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        await driver.open(folder)
        assert await driver.log("app imported") == pb.RpcLog(
            category="root", level=pb.RpcLog.Information, message="app imported"
        )


async def test_functions_may_be_loaded_as_one_collection(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        await driver.open(folder)
        known = driver.functions["echo"]
        requests = [
            pb.FunctionLoadRequest(function_id=known.function_id, metadata=known),
            pb.FunctionLoadRequest(function_id="unknown", metadata=pb.RpcFunctionMetadata(name="other")),
        ]
        reply = await driver.ask(
            pb.StreamingMessage(
                function_load_request_collection=pb.FunctionLoadRequestCollection(function_load_requests=requests)
            )
        )
        loaded, refused = reply.function_load_response_collection.function_load_responses
        assert loaded == pb.FunctionLoadResponse(function_id=known.function_id, result=SUCCESS)
        assert (refused.function_id, refused.result.status, refused.result.exception.message) == (
            "unknown",
            pb.StatusResult.Failure,
            "function 'other' (id unknown) is not in the app's function_app.py",
        )


async def test_second_process_loads_without_having_been_asked_for_its_functions(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as first:
        await first.open(folder)
    async with worker(folder) as second:
        await second.init(folder)
        metadata = first.functions["echo"]
        assert (await second.load(metadata)).result == SUCCESS
        second.functions["echo"] = metadata
        assert (await second.call("echo", x("second"))).return_value.string == "second"


@pytest.mark.parametrize(
    "source, message",
    [
        ("def work(:\n    pass\n", 'File "{folder}/function_app.py", line 1\n    def work(:'),
        ("1 / 0\n", "function_app.py cannot be imported: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit()\n", "function_app.py ended the process while it was imported (sys.exit(None))"),
    ],
    ids=["syntax error", "error", "exit"],
)
async def test_app_that_cannot_be_imported_is_a_failure_and_the_worker_goes_on(
    write_app: WriteApp, source: str, message: str
) -> None:
    folder = write_app(source)
    async with worker(folder) as driver:
        assert (await driver.init(folder)).result == SUCCESS
        described = await driver.metadata(folder)
        assert (described.result.status, len(described.function_metadata_results)) == (pb.StatusResult.Failure, 0)
        assert message.format(folder=folder) in described.result.exception.message
        write_app(APP)
        assert (await driver.metadata(folder)).result == SUCCESS


async def test_folder_that_is_missing_is_a_failure(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        missing = folder / "missing"
        assert (await driver.init(missing)).result == SUCCESS
        described = await driver.metadata(missing)
        assert described.result.exception.message == f"the app's folder {missing} does not exist"


async def test_app_of_the_older_model_is_left_to_the_host(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "function.json").write_text("{}")
    async with worker(tmp_path) as driver:
        await driver.init(tmp_path)
        assert await driver.metadata(tmp_path) == pb.FunctionMetadataResponse(
            use_default_metadata_indexing=True, result=SUCCESS
        )


async def test_placeholder_becomes_an_app_by_reloading_its_environment(write_app: WriteApp, tmp_path: Path) -> None:
    folder = write_app(APP)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with worker(elsewhere) as driver:
        await driver.init(elsewhere)
        warmup = await driver.ask(pb.StreamingMessage(worker_warmup_request=pb.WorkerWarmupRequest()))
        assert warmup.worker_warmup_response == pb.WorkerWarmupResponse(result=SUCCESS)
        request = pb.FunctionEnvironmentReloadRequest(
            environment_variables={"COLOUR": "blue"}, function_app_directory=str(folder)
        )
        reply = await driver.ask(pb.StreamingMessage(function_environment_reload_request=request))
        reload = reply.function_environment_reload_response
        assert (reload.result, reload.worker_metadata.runtime_name, dict(reload.capabilities)) == (
            SUCCESS,
            "python",
            dict.fromkeys(CAPABILITIES, "true"),
        )
        described = await driver.metadata(folder)
        driver.functions.update({metadata.name: metadata for metadata in described.function_metadata_results})
        seen = (await driver.call("environment", x("COLOUR"))).return_value
        assert seen == pb.TypedData(json=f'["blue", "{folder}"]')


async def test_bad_setting_in_a_new_environment_is_a_failure(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        await driver.init(folder)
        request = pb.FunctionEnvironmentReloadRequest(environment_variables={"PYTHON_THREADPOOL_THREAD_COUNT": "many"})
        reply = await driver.ask(pb.StreamingMessage(function_environment_reload_request=request))
        assert reply.function_environment_reload_response.result.exception.message == (
            "the setting PYTHON_THREADPOOL_THREAD_COUNT must be a whole number of threads, not 'many'"
        )


# ---------------------------------------------------------------- small questions


async def test_small_questions_are_answered(write_app: WriteApp) -> None:
    async with worker(write_app(APP)) as driver:
        await driver.started()
        status = pb.StreamingMessage(request_id="probe", worker_status_request=pb.WorkerStatusRequest())
        assert await driver.ask(status) == pb.StreamingMessage(
            request_id="probe", worker_status_response=pb.WorkerStatusResponse()
        )
        memory = pb.CloseSharedMemoryResourcesRequest(map_names=["a", "b"])
        reply = await driver.ask(pb.StreamingMessage(close_shared_memory_resources_request=memory))
        assert dict(reply.close_shared_memory_resources_response.close_map_results) == {"a": False, "b": False}


async def test_messages_without_an_answer_do_no_harm(write_app: WriteApp) -> None:
    async with worker(write_app(APP)) as driver:
        await driver.started()
        driver.send(pb.StreamingMessage(file_change_event_request=pb.FileChangeEventRequest(name="function_app.py")))
        driver.send(pb.StreamingMessage(worker_heartbeat=pb.WorkerHeartbeat()))
        log = await driver.log("which this worker does not know")
        assert log == pb.RpcLog(
            category="worker_ext.worker.dispatcher",
            level=pb.RpcLog.Warning,
            message="the host sent a message of kind worker_heartbeat, which this worker does not know",
            log_category=pb.RpcLog.System,
        )


async def test_queued_invocation_is_cancelled_before_its_turn(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder, {"PYTHON_THREADPOOL_THREAD_COUNT": "1"}) as driver:
        await driver.open(folder)
        running = driver.post_invocation(driver.request("hold", x("on")))
        await driver.log("holding on")
        queued = driver.request("echo", x())
        reply = driver.post_invocation(queued)
        driver.cancel(queued)
        assert (await reply).invocation_response == pb.InvocationResponse(
            invocation_id=queued.invocation_id, result=pb.StatusResult(status=pb.StatusResult.Cancelled)
        )
        await driver.call("release", x())
        assert (await running).invocation_response.result == SUCCESS


# ---------------------------------------------------------------- end


async def test_worker_ends_with_the_stream(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        await driver.open(folder)
        assert (await driver.call("echo", x("printed"))).result == SUCCESS
        driver.end_stream()
        assert await driver.ended() == (0, "echoing printedatexit ran\n", "")


async def test_print_reaches_the_host_with_its_invocation(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        await driver.open(folder)
        await driver.call("echo", x("now"))
        assert driver.process is not None
        assert driver.process.stdout is not None
        assert await driver.process.stdout.readexactly(len("echoing now")) == b"echoing now"


@pytest.mark.parametrize("function", ["block", "stubborn", "hold"])
async def test_worker_that_is_busy_ends_with_the_stream(write_app: WriteApp, function: str) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        await driver.open(folder)
        driver.post_invocation(driver.request(function, x("now")))
        await driver.log(" now")
        driver.end_stream()
        assert (await driver.ended())[0] == 0


def by_message(driver: WorkerDriver) -> None:
    terminate(driver, 30)


def by_signal(driver: WorkerDriver) -> None:
    assert driver.process is not None
    driver.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("end", [by_message, by_signal])
async def test_running_invocations_end_within_the_grace(
    write_app: WriteApp, end: Callable[[WorkerDriver], None]
) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        await driver.open(folder)
        running = driver.post_invocation(driver.request("hold", x("on")))
        await driver.log("holding on")
        end(driver)
        await driver.call("release", x())
        assert (await running).invocation_response.return_value == pb.TypedData(string="on")
        assert await driver.ended() == (0, "atexit ran\n", "")


async def test_async_invocations_beyond_the_grace_are_cancelled(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        await driver.open(folder)
        running = driver.post_invocation(driver.request("block", x("now")))
        await driver.log("blocking now")
        terminate(driver, 0)
        assert (await running).invocation_response.result.status == pb.StatusResult.Cancelled
        assert (await driver.ended())[0] == 0


async def test_sync_invocations_beyond_the_grace_are_left_behind(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        await driver.open(folder)
        driver.post_invocation(driver.request("hold", x("on")))
        await driver.log("holding on")
        terminate(driver, 0)
        await driver.log("1 invocations did not end in time and are left behind")
        assert (await driver.ended())[0] == 0


async def test_idle_worker_ends_at_once_when_told_to(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        await driver.open(folder)
        terminate(driver, 3600)
        assert (await driver.ended())[0] == 0


async def test_ctrl_c_is_the_hosts_to_decide_on(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        await driver.open(folder)
        assert driver.process is not None
        driver.process.send_signal(signal.SIGINT)
        assert (await driver.call("echo", x("alive"))).return_value.string == "alive"


@pytest.mark.parametrize(
    "arguments", [["--host", "127.0.0.1", "--port", "{}"], ["--functions-uri", "tcp://127.0.0.1:{}"]]
)
async def test_host_that_is_not_there_is_an_error(write_app: WriteApp, arguments: list[str]) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        given = [text.format(port) for text in arguments]
        process = await start_process([*given, "--workerId", "w"], write_app(APP))
        out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert err.decode().splitlines()[-1] == (
        f"LanguageWorkerConsoleLogworker_ext.worker: error: no Functions host answers at 127.0.0.1:{port}: is it "
        "running, and is the port right?"
    )


async def test_stream_that_breaks_is_an_error(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with worker(folder) as driver:
        await driver.open(folder)
        driver.break_stream(grpc.StatusCode.UNAVAILABLE, "the host is gone")
        code, _, err = await driver.ended()
        assert (code, "Traceback" in err) == (1, False)
        assert "error: the stream to the host at 127.0.0.1:" in err
        assert err.endswith("broke: the host is gone\n")


# ---------------------------------------------------------------- a host that speaks frames


class FrameHost:
    """A host that speaks frames, with one worker."""

    def __init__(self) -> None:
        self.arrival: asyncio.Future[frames.FrameStream] = asyncio.get_running_loop().create_future()
        self.is_done = asyncio.Event()

    async def serve(self, stream: frames.FrameStream) -> None:
        self.arrival.set_result(stream)
        await self.is_done.wait()


@contextlib.asynccontextmanager
async def framed_worker(
    folder: Path, environment: dict[str, str] | None = None
) -> AsyncIterator[tuple[frames.FrameStream, FrameHost, asyncio.subprocess.Process]]:
    host = FrameHost()
    server = frames.FrameServer(host.serve)
    uri = f"tcp://127.0.0.1:{await server.start()}/"
    process = await start_process(["--functions-uri", uri, "--functions-worker-id", "w"], folder, environment)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            stream = await host.arrival
            assert await stream.read() == pb.StreamingMessage(start_stream=pb.StartStream(worker_id="w"))
            yield stream, host, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        await server.stop()


async def test_a_worker_that_is_told_so_speaks_frames_and_ends_with_the_stream(write_app: WriteApp) -> None:
    folder = write_app(APP)
    async with framed_worker(folder) as (stream, host, process):
        request = pb.FunctionsMetadataRequest(function_app_directory=str(folder))
        stream.send(pb.StreamingMessage(functions_metadata_request=request))
        reply = await stream.read()
        while reply is not None and reply.WhichOneof("content") == "rpc_log":
            reply = await stream.read()
        assert reply is not None
        names = [metadata.name for metadata in reply.function_metadata_response.function_metadata_results]
        assert names == ["echo", "hold", "release", "block", "stubborn", "environment"]
        host.is_done.set()
        assert await process.wait() == 0


async def test_a_worker_that_speaks_frames_does_not_load_grpc(write_app: WriteApp) -> None:
    folder = write_app("import sys\nraise RuntimeError('grpc' in sys.modules)")
    async with framed_worker(folder) as (stream, _, _):
        request = pb.FunctionsMetadataRequest(function_app_directory=str(folder))
        stream.send(pb.StreamingMessage(functions_metadata_request=request))
        reply = await stream.read()
        while reply is not None and reply.WhichOneof("content") == "rpc_log":
            reply = await stream.read()
        assert reply is not None
        assert "RuntimeError: False" in reply.function_metadata_response.result.exception.message


async def test_a_stream_of_frames_that_breaks_is_an_error_of_the_worker(write_app: WriteApp) -> None:
    async with framed_worker(write_app(APP)) as (stream, _, process):
        stream.close()
        _, err = await process.communicate()
    assert process.returncode == 1
    assert re.search(
        r"worker_ext.worker: error: the stream to the host at 127\.0\.0\.1:\d+ broke: the conn", err.decode()
    )


SLOW_APP = """
    import asyncio
    import logging
    import time
    from pathlib import Path

    import azure.functions as func

    app = func.FunctionApp()

    @app.generic_trigger(arg_name="x", type="anything")
    def slow(x):
        with open(Path(__file__).with_name("began"), "a") as file:
            file.write(x)
        logging.info("began")
        time.sleep(0.3)

    @app.generic_trigger(arg_name="x", type="anything")
    async def stubborn(x):
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass
"""


async def test_a_worker_whose_host_is_gone_begins_nothing_more(write_app: WriteApp) -> None:
    """What waits for a thread is the next host's: begun here too, it would be done twice."""
    folder = write_app(SLOW_APP)
    async with framed_worker(folder, {"PYTHON_THREADPOOL_THREAD_COUNT": "1"}) as (stream, _, process):
        request = pb.FunctionsMetadataRequest(function_app_directory=str(folder))
        stream.send(pb.StreamingMessage(functions_metadata_request=request))
        reply = await stream.read()
        while reply is not None and reply.WhichOneof("content") == "rpc_log":
            reply = await stream.read()
        assert reply is not None
        slow, stubborn = reply.function_metadata_response.function_metadata_results
        # The first one keeps the worker from ending at once.
        for number, function in enumerate([stubborn, *[slow] * 20]):
            invocation = pb.InvocationRequest(
                invocation_id=str(number),
                function_id=function.function_id,
                input_data=[pb.ParameterBinding(name="x", data=pb.TypedData(string="x"))],
            )
            stream.send(pb.StreamingMessage(invocation_request=invocation))
        while reply is not None and reply.rpc_log.message != "began":
            reply = await stream.read()
        stream.close()
        await process.wait()
    assert len((folder / "began").read_text()) in {
        1,
        2,
    }  # the second may have begun before the end of the stream was read
