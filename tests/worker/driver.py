"""A small real host: serves EventStream, starts a worker process, sends requests and matches the replies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import contract
import grpc

from worker_ext.rpc import pb, service

WAIT_SECONDS = 30.0
REQUEST_ID = "the-request-id"
OUR_WORKER = (sys.executable, "-m", "worker_ext.worker")

_REPLIES = {
    "worker_init_request": "worker_init_response",
    "functions_metadata_request": "function_metadata_response",
    "function_load_request": "function_load_response",
    "function_load_request_collection": "function_load_response_collection",
    "function_environment_reload_request": "function_environment_reload_response",
    "worker_warmup_request": "worker_warmup_response",
    "worker_status_request": "worker_status_response",
    "close_shared_memory_resources_request": "close_shared_memory_resources_response",
}


class WorkerDriver:
    """One worker process and its stream, from the host's side."""

    def __init__(self) -> None:
        self.logs: list[pb.RpcLog] = []
        self.functions: dict[str, pb.RpcFunctionMetadata] = {}
        self.process: asyncio.subprocess.Process | None = None
        self.first: str | None = None
        self.log_arrived = asyncio.Condition()
        self._started: asyncio.Future[pb.StreamingMessage] = asyncio.get_running_loop().create_future()
        self._waiting: dict[str, asyncio.Future[pb.StreamingMessage]] = {}
        self._breaking: tuple[grpc.StatusCode, str] | None = None
        self._to_worker: asyncio.Queue[pb.StreamingMessage | None] = asyncio.Queue()

    # ------------------------------------------------------------ the servicer

    async def event_stream(
        self,
        requests: AsyncIterator[pb.StreamingMessage],
        context: grpc.aio.ServicerContext[pb.StreamingMessage, pb.StreamingMessage],
    ) -> AsyncIterator[pb.StreamingMessage]:
        reading = asyncio.create_task(self._read(requests))
        while (message := await self._to_worker.get()) is not None:
            yield message
        reading.cancel()
        if self._breaking is not None:
            await context.abort(*self._breaking)

    async def _read(self, requests: AsyncIterator[pb.StreamingMessage]) -> None:
        async for message in requests:
            kind = message.WhichOneof("content")
            self.first = self.first or kind
            if kind == "start_stream":
                self._started.set_result(message)
            elif kind == "rpc_log":
                async with self.log_arrived:
                    self.logs.append(message.rpc_log)
                    self.log_arrived.notify_all()
            elif kind == "invocation_response":
                self._waiting.pop(message.invocation_response.invocation_id).set_result(message)
            else:
                assert kind is not None
                self._waiting.pop(kind).set_result(message)
        self._to_worker.put_nowait(None)

    # ------------------------------------------------------------ what a host does

    async def started(self) -> pb.StreamingMessage:
        return await asyncio.wait_for(asyncio.shield(self._started), WAIT_SECONDS)

    def send(self, message: pb.StreamingMessage) -> None:
        """Send what has no answer."""
        self._to_worker.put_nowait(message)

    async def ask(self, message: pb.StreamingMessage) -> pb.StreamingMessage:
        kind = message.WhichOneof("content")
        assert kind is not None
        return await self._exchange(_REPLIES[kind], message)

    async def _exchange(self, key: str, message: pb.StreamingMessage) -> pb.StreamingMessage:
        return await asyncio.wait_for(self.post(key, message), WAIT_SECONDS)

    def post(self, key: str, message: pb.StreamingMessage) -> asyncio.Future[pb.StreamingMessage]:
        self._waiting[key] = asyncio.get_running_loop().create_future()
        self.send(message)
        return self._waiting[key]

    async def init(self, app_directory: Path) -> pb.WorkerInitResponse:
        request = pb.WorkerInitRequest(host_version="4.1", function_app_directory=str(app_directory))
        return (await self.ask(pb.StreamingMessage(worker_init_request=request))).worker_init_response

    async def metadata(self, app_directory: Path) -> pb.FunctionMetadataResponse:
        request = pb.FunctionsMetadataRequest(function_app_directory=str(app_directory))
        return (await self.ask(pb.StreamingMessage(functions_metadata_request=request))).function_metadata_response

    async def load(self, metadata: pb.RpcFunctionMetadata) -> pb.FunctionLoadResponse:
        request = pb.FunctionLoadRequest(function_id=metadata.function_id, metadata=metadata)
        return (await self.ask(pb.StreamingMessage(function_load_request=request))).function_load_response

    async def open(self, app_directory: Path) -> None:
        """Run the start-up sequence; every step must succeed."""
        await self.started()
        init = await self.init(app_directory)
        assert init.result.status == pb.StatusResult.Success, init.result
        described = await self.metadata(app_directory)
        assert described.result.status == pb.StatusResult.Success, described.result.exception.message
        for metadata in described.function_metadata_results:
            loaded = await self.load(metadata)
            assert loaded == pb.FunctionLoadResponse(
                function_id=metadata.function_id, result=pb.StatusResult(status=pb.StatusResult.Success)
            )
            self.functions[metadata.name] = metadata

    def request(
        self, name: str, inputs: Mapping[str, pb.TypedData] | None = None, **fields: Any
    ) -> pb.InvocationRequest:
        return pb.InvocationRequest(
            invocation_id=str(uuid.uuid4()),
            function_id=self.functions[name].function_id,
            input_data=[pb.ParameterBinding(name=key, data=data) for key, data in (inputs or {}).items()],
            **fields,
        )

    def post_invocation(self, request: pb.InvocationRequest) -> asyncio.Future[pb.StreamingMessage]:
        return self.post(request.invocation_id, pb.StreamingMessage(invocation_request=request))

    async def invoke(self, request: pb.InvocationRequest) -> pb.InvocationResponse:
        reply = await asyncio.wait_for(self.post_invocation(request), WAIT_SECONDS)
        for metadata in self.functions.values():
            if metadata.function_id == request.function_id:
                contract.check_answer_of(metadata, reply.invocation_response)
        return reply.invocation_response

    async def call(
        self, name: str, inputs: Mapping[str, pb.TypedData] | None = None, **fields: Any
    ) -> pb.InvocationResponse:
        return await self.invoke(self.request(name, inputs, **fields))

    def cancel(self, request: pb.InvocationRequest) -> None:
        self.send(pb.StreamingMessage(invocation_cancel=pb.InvocationCancel(invocation_id=request.invocation_id)))

    async def log(self, message: str) -> pb.RpcLog:
        """Wait for a log record that contains a text."""

        def found() -> pb.RpcLog | None:
            return next((log for log in self.logs if message in log.message), None)

        async with self.log_arrived:
            await asyncio.wait_for(self.log_arrived.wait_for(found), WAIT_SECONDS)
        log = found()
        assert log is not None
        return log

    def end_stream(self) -> None:
        self._to_worker.put_nowait(None)

    def break_stream(self, code: grpc.StatusCode, details: str) -> None:
        self._breaking = code, details
        self.end_stream()

    async def ended(self) -> tuple[int, str, str]:
        """Wait for the process to end; its exit code, stdout and stderr."""
        assert self.process is not None
        out, err = await asyncio.wait_for(self.process.communicate(), WAIT_SECONDS)
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def worker(
    app_directory: Path,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] | None = None,
    command: Sequence[str] = OUR_WORKER,
) -> AsyncIterator[WorkerDriver]:
    """Start a host and a worker process for an app; both are gone afterwards."""
    driver = WorkerDriver()
    server = grpc.aio.server(options=service.SERVER_OPTIONS)
    server.add_generic_rpc_handlers([service.event_stream_handler(driver)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    given = ["--host", "127.0.0.1", "--port", "{port}", "--workerId", "w", "--requestId", REQUEST_ID]
    driver.process = await start_process(
        [text.format(port=port) for text in arguments or given], app_directory, environment, command
    )
    try:
        yield driver
    finally:
        driver.end_stream()
        if driver.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                driver.process.kill()
        await driver.process.communicate()
        await server.stop(0)


async def start_process(
    arguments: Sequence[str],
    app_directory: Path,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = OUR_WORKER,
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        cwd=app_directory,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
