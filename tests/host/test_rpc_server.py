"""The host's side of FunctionRpc, spoken to over real gRPC, and in frames, by a worker that the tests play."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import pytest
import pytest_asyncio

from worker_ext.errors import HostError
from worker_ext.host import rpc_server
from worker_ext.host.gateway import WorkerLostError
from worker_ext.host.rpc_server import RpcServer, StartupError, WorkerStream
from worker_ext.rpc import pb
from worker_ext.worker import frame_link, grpc_link

SUCCESS = pb.StatusResult(status=pb.StatusResult.Success)
FAILURE = pb.StatusResult(status=pb.StatusResult.Failure, exception=pb.RpcException(message="no luck"))
MINUTE = timedelta(minutes=1)
PATIENCE = 60.0


class Call(Protocol):
    """A worker's end of a stream."""

    async def read(self) -> pb.StreamingMessage | None: ...

    async def write(self, message: pb.StreamingMessage) -> bool: ...

    def cancel(self) -> None: ...


@dataclass
class Worker:
    """A worker's end of a stream, and the host's end of the same."""

    call: Call
    stream: WorkerStream
    logs: list[pb.RpcLog] = field(default_factory=list)

    async def read(self) -> pb.StreamingMessage:
        message = await self.call.read()
        assert message is not None, "the host ended the stream"
        return message

    async def write(self, message: pb.StreamingMessage) -> None:
        assert await self.call.write(message)


@dataclass
class Meeting:
    """A server and its address."""

    server: RpcServer
    port: int

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Call]:
        if self.server.scheme == "tcp":
            link = await frame_link.connect("127.0.0.1", self.port, PATIENCE)
            yield link
            link.cancel()
        else:
            async with grpc_link.connect(f"127.0.0.1:{self.port}", PATIENCE) as call:
                yield call

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        logs: list[pb.RpcLog] = []
        arrival = self.server.expect("w1", logs.append)
        async with self.connect() as call:
            await call.write(pb.StreamingMessage(start_stream=pb.StartStream(worker_id="w1")))
            yield Worker(call, await arrival, logs)


@pytest_asyncio.fixture(params=["grpc", "frames"])
async def meeting(request: pytest.FixtureRequest) -> AsyncIterator[Meeting]:
    server = RpcServer(framed=request.param == "frames")
    yield Meeting(server, await server.start())
    await server.stop()


@pytest_asyncio.fixture
async def worker(meeting: Meeting) -> AsyncIterator[Worker]:
    async with meeting.worker() as joined:
        yield joined


async def is_over(call: Call) -> bool:
    """Whether the host has ended the stream, in good order: there is nothing more to read."""
    return await call.read() is None


def answer(invocation_id: str, text: str) -> pb.StreamingMessage:
    response = pb.InvocationResponse(
        invocation_id=invocation_id, result=SUCCESS, return_value=pb.TypedData(string=text)
    )
    return pb.StreamingMessage(request_id="whatever", invocation_response=response)


class TestConnection:
    async def test_a_worker_that_nobody_expects_is_turned_away(self, meeting: Meeting) -> None:
        async with meeting.connect() as call:
            await call.write(pb.StreamingMessage(start_stream=pb.StartStream(worker_id="stranger")))
            assert await is_over(call)

    async def test_a_stream_that_begins_with_something_else_is_ended(self, meeting: Meeting) -> None:
        meeting.server.expect("w1", lambda log: None)
        async with meeting.connect() as call:
            await call.write(pb.StreamingMessage(rpc_log=pb.RpcLog(message="hello")))
            assert await is_over(call)

    async def test_a_worker_id_lets_one_worker_in(self, meeting: Meeting) -> None:
        async with meeting.worker(), meeting.connect() as second:
            await second.write(pb.StreamingMessage(start_stream=pb.StartStream(worker_id="w1")))
            assert await is_over(second)

    async def test_logs_go_to_their_sink(self, worker: Worker) -> None:
        await worker.write(pb.StreamingMessage(rpc_log=pb.RpcLog(message="hello", level=pb.RpcLog.Warning)))
        running = asyncio.create_task(worker.stream.invoke("f", []))
        invocation_id = (await worker.read()).invocation_request.invocation_id
        await worker.write(answer(invocation_id, "done"))  # comes after the log
        await running
        assert [(log.message, log.level) for log in worker.logs] == [("hello", pb.RpcLog.Warning)]


class TestStartup:
    async def test_init_greets_with_the_apps_folder_and_learns_capabilities(self, worker: Worker) -> None:
        greeting = asyncio.create_task(worker.stream.init("4.0", "/app"))
        request = (await worker.read()).worker_init_request
        assert (request.host_version, request.function_app_directory) == ("4.0", "/app")
        response = pb.WorkerInitResponse(result=SUCCESS, capabilities={"RawHttpBodyBytes": "true"})
        await worker.write(pb.StreamingMessage(request_id="other", worker_init_response=response))
        await greeting
        assert worker.stream.capabilities == {"RawHttpBodyBytes": "true"}

    async def test_functions_are_those_the_worker_found(self, worker: Worker) -> None:
        asking = asyncio.create_task(worker.stream.functions("/app"))
        assert (await worker.read()).functions_metadata_request.function_app_directory == "/app"
        found = pb.RpcFunctionMetadata(name="hello", function_id="1", raw_bindings=["{}"])
        response = pb.FunctionMetadataResponse(result=SUCCESS, function_metadata_results=[found])
        await worker.write(pb.StreamingMessage(function_metadata_response=response))
        assert await asking == [found]

    async def test_a_failure_says_what_the_worker_reported(self, worker: Worker) -> None:
        asking = asyncio.create_task(worker.stream.functions("/app"))
        await worker.read()
        response = pb.FunctionMetadataResponse(result=FAILURE)
        await worker.write(pb.StreamingMessage(function_metadata_response=response))
        with pytest.raises(StartupError, match="the app could not be loaded: no luck"):
            await asking

    async def test_a_load_carries_what_a_worker_may_see(self, worker: Worker) -> None:
        metadata = pb.RpcFunctionMetadata(name="hello", function_id="1", raw_bindings=["{}"], script_file="a.py")
        metadata.retry_options.max_retry_count = 3
        loading = asyncio.create_task(worker.stream.load(metadata, MINUTE))
        request = (await worker.read()).function_load_request
        assert request.function_id == "1"
        assert request.metadata == pb.RpcFunctionMetadata(name="hello", script_file="a.py")
        response = pb.FunctionLoadResponse(function_id="1", result=SUCCESS)
        await worker.write(pb.StreamingMessage(function_load_response=response))
        assert await loading is None

    async def test_load_replies_are_matched_by_function_id(self, worker: Worker) -> None:
        first, second = pb.RpcFunctionMetadata(function_id="1"), pb.RpcFunctionMetadata(function_id="2")
        loading = asyncio.gather(worker.stream.load(first, MINUTE), worker.stream.load(second, MINUTE))
        await worker.read()
        await worker.read()
        for function_id, result in (("2", FAILURE), ("1", SUCCESS)):
            response = pb.FunctionLoadResponse(function_id=function_id, result=result)
            await worker.write(pb.StreamingMessage(function_load_response=response))
        assert list(await loading) == [None, "no luck"]

    async def test_a_step_that_is_not_answered_in_time_is_an_error(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rpc_server, "INIT_LIMIT", timedelta(milliseconds=50))
        with pytest.raises(HostError, match="the worker did not answer the worker init request within"):
            await worker.stream.init("4.0", "/app")


class TestInvocations:
    async def test_answers_are_matched_by_invocation_id(self, worker: Worker) -> None:
        calls = asyncio.gather(*(worker.stream.invoke(name, []) for name in "abc"))
        requests = [(await worker.read()).invocation_request for _ in range(3)]
        for request in reversed(requests):
            await worker.write(answer(request.invocation_id, f"of {request.function_id}"))
        assert [response.return_value.string for response in await calls] == ["of a", "of b", "of c"]
        assert worker.stream.running == 0

    async def test_inputs_arrive_in_their_order_by_name(self, worker: Worker) -> None:
        inputs = [("req", pb.TypedData(string="x")), ("nothing", pb.TypedData())]
        running = asyncio.create_task(worker.stream.invoke("f", inputs))
        request = (await worker.read()).invocation_request
        assert [(item.name, item.data.WhichOneof("data")) for item in request.input_data] == [
            ("req", "string"),
            ("nothing", None),
        ]
        await worker.write(answer(request.invocation_id, "done"))
        await running

    async def test_a_payload_of_many_megabytes_passes(self, worker: Worker) -> None:
        text = "x" * 20_000_000
        running = asyncio.create_task(worker.stream.invoke("f", [("context", pb.TypedData(string=text))]))
        request = (await worker.read()).invocation_request
        await worker.write(answer(request.invocation_id, request.input_data[0].data.string))
        assert (await running).return_value.string == text

    async def test_an_answer_to_nothing_is_passed_over(self, worker: Worker) -> None:
        await worker.write(answer("unknown", "x"))
        running = asyncio.create_task(worker.stream.invoke("f", []))
        await worker.write(answer((await worker.read()).invocation_request.invocation_id, "done"))
        assert (await running).return_value.string == "done"

    async def test_the_end_of_the_stream_is_a_lost_worker_to_all_that_run(self, worker: Worker) -> None:
        calls = asyncio.gather(*(worker.stream.invoke(name, []) for name in "ab"), return_exceptions=True)
        await worker.read()
        await worker.read()
        worker.call.cancel()
        assert [type(outcome) for outcome in await calls] == [WorkerLostError, WorkerLostError]
        with pytest.raises(WorkerLostError):
            await worker.stream.invoke("c", [])

    @pytest.mark.parametrize("is_asked_to_end", [False, True])
    async def test_a_worker_that_was_asked_to_end_did_not_end_by_itself(
        self, worker: Worker, is_asked_to_end: bool
    ) -> None:
        running = asyncio.create_task(worker.stream.invoke("f", []))
        await worker.read()
        if is_asked_to_end:
            worker.stream.terminate(timedelta(seconds=1))
        worker.call.cancel()
        with pytest.raises(WorkerLostError) as caught:
            await running
        assert caught.value.while_running is not is_asked_to_end

    @pytest.mark.parametrize("capability", [True, False])
    async def test_a_cancelled_call_is_reported_to_workers_that_listen(self, worker: Worker, capability: bool) -> None:
        worker.stream.capabilities = {"HandlesInvocationCancelMessage": "true"} if capability else {}
        running = asyncio.create_task(worker.stream.invoke("f", []))
        invocation_id = (await worker.read()).invocation_request.invocation_id
        running.cancel()
        await asyncio.wait([running])
        after = asyncio.create_task(worker.stream.invoke("g", []))
        kinds = [(await worker.read()).WhichOneof("content") for _ in range(1 + capability)]
        assert kinds == ["invocation_cancel", "invocation_request"][not capability :]
        assert not worker.stream.is_running(invocation_id)
        after.cancel()
        await asyncio.wait([after])

    async def test_only_workers_that_listen_are_asked_to_end(self, worker: Worker) -> None:
        assert not worker.stream.terminate(timedelta(seconds=5))
        worker.stream.capabilities = {"HandlesWorkerTerminateMessage": "true"}
        assert worker.stream.terminate(timedelta(seconds=5))
        assert (await worker.read()).worker_terminate.grace_period.seconds == 5
