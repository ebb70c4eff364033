"""FunctionRpc, the host's side: one server, one `WorkerStream` for each worker that connects.

Replies are matched by message type, by function id and by invocation id; request ids carry nothing. The start-up
sequence is one request at a time, each with a time limit.

Source: worker protocol, sections on the service, the message sequence and the worker's capabilities.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from worker_ext.errors import HostError
from worker_ext.host.gateway import WorkerLostError
from worker_ext.rpc import frames, pb

INIT_LIMIT = timedelta(minutes=2)
METADATA_LIMIT = timedelta(minutes=1)
LOAD_LIMIT = timedelta(minutes=1)

LogSink = Callable[[pb.RpcLog], None]
Send = Callable[[pb.StreamingMessage], None]
_T = TypeVar("_T")
_Key = tuple[str, str]


class _Listener(Protocol):
    async def start(self) -> int: ...

    async def stop(self) -> None: ...


class StartupError(HostError):
    """The worker answered a start-up request with a failure.

    Attributes:
        exception: What the worker reported.
    """

    def __init__(self, what: str, exception: pb.RpcException) -> None:
        super().__init__(f"{what}: {exception.message or 'no reason given'}")
        self.exception = exception


class RpcServer:
    """Listens on a free port of 127.0.0.1; workers whose id nobody expects are turned away.

    Args:
        framed: Whether it speaks frames, which our own worker understands; else gRPC, as every worker does.

    Attributes:
        scheme: What stands before its address in a worker's arguments.
    """

    def __init__(self, *, framed: bool = False) -> None:
        self._expected: dict[str, tuple[asyncio.Future[WorkerStream], LogSink]] = {}
        self.scheme = frames.SCHEME if framed else "http"
        self._listener: _Listener = frames.FrameServer(self._serve_frames) if framed else _grpc_server(self._admit)

    async def start(self) -> int:
        """Starts listening; the port."""
        return await self._listener.start()

    async def stop(self) -> None:
        """Ends every stream."""
        await self._listener.stop()

    def expect(self, worker_id: str, on_log: LogSink) -> asyncio.Future[WorkerStream]:
        """Lets one worker in; the future is its stream. What it logs goes to `on_log`."""
        arrival: asyncio.Future[WorkerStream] = asyncio.get_running_loop().create_future()
        self._expected[worker_id] = arrival, on_log
        return arrival

    def _admit(self, first: pb.StreamingMessage, send: Send) -> WorkerStream | None:
        """The stream of the worker that introduces itself; None where nobody expects it."""
        arrival, on_log = self._expected.pop(first.start_stream.worker_id, (None, None))
        if arrival is None or on_log is None or arrival.done():
            return None
        stream = WorkerStream(on_log, send)
        arrival.set_result(stream)
        return stream

    async def _serve_frames(self, connection: frames.FrameStream) -> None:
        first = await connection.read()
        stream = None if first is None else self._admit(first, connection.send)
        if stream is None:
            return
        try:
            while (message := await connection.read()) is not None:
                stream.receive(message)
        finally:
            stream.lose()


def _grpc_server(admit: Callable[[pb.StreamingMessage, Send], WorkerStream | None]) -> _Listener:
    # Imported where a worker needs it: it costs a tenth of the time that the host takes to start.
    from worker_ext.host.grpc_listener import GrpcListener

    return GrpcListener(admit)


class WorkerStream:
    """One worker's connection.

    Attributes:
        loop: The loop that it is served on.
        capabilities: What the worker said it can do; known after `init`.
        closed: Set when the stream has ended.
        running: How many invocations the worker has not answered yet.
    """

    def __init__(self, on_log: LogSink, send: Send) -> None:
        self.capabilities: dict[str, str] = {}
        self.closed = asyncio.Event()
        self.loop = asyncio.get_running_loop()  # asking for it is a system call on Python 3.11
        self._on_log = on_log
        self._write = send
        self._id_prefix = str(uuid.uuid4())[:23]
        self._ids = itertools.count(1)
        self._replies: dict[_Key, asyncio.Future[pb.StreamingMessage]] = {}
        self._invocations: dict[str, asyncio.Future[pb.InvocationResponse]] = {}
        self._subjects: dict[str, tuple[str, str]] = {}
        self._is_asked_to_end = False
        self._end_reason = "the worker's stream has ended"

    @property
    def running(self) -> int:
        """How many invocations the worker has not answered yet."""
        return len(self._invocations)

    @property
    def http_address(self) -> str | None:
        """Where the worker takes HTTP requests itself, or None."""
        return self.capabilities.get("HttpUri") or None

    # ------------------------------------------------------------ start-up

    async def init(self, host_version: str, app_dir: str, worker_dir: str = "") -> None:
        """Greets the worker.

        Raises:
            StartupError: The worker cannot start.
        """
        message = pb.StreamingMessage()
        request = message.worker_init_request
        request.host_version = host_version
        request.function_app_directory = app_dir
        request.worker_directory = worker_dir
        request.capabilities["V2Compatable"] = "true"
        reply = await self._request(message, "worker_init_response", INIT_LIMIT)
        _check(reply.worker_init_response.result, "the worker could not start")
        self.capabilities = dict(reply.worker_init_response.capabilities)

    async def functions(self, app_dir: str) -> list[pb.RpcFunctionMetadata] | None:
        """The functions the worker found in the app; None if the host is to read function.json files.

        Raises:
            StartupError: The app cannot be loaded.
        """
        message = pb.StreamingMessage()
        message.functions_metadata_request.function_app_directory = app_dir
        reply = await self._request(message, "function_metadata_response", METADATA_LIMIT)
        found = reply.function_metadata_response
        _check(found.result, "the app could not be loaded")
        return None if found.use_default_metadata_indexing else list(found.function_metadata_results)

    async def load(self, metadata: pb.RpcFunctionMetadata, limit: timedelta) -> str | None:
        """Has the worker load a function; why it could not, or None."""
        message = pb.StreamingMessage()
        request = message.function_load_request
        request.function_id = metadata.function_id
        request.metadata.CopyFrom(metadata)
        request.metadata.ClearField("raw_bindings")
        request.metadata.ClearField("retry_options")
        request.metadata.ClearField("function_id")
        reply = await self._request(message, "function_load_response", limit, metadata.function_id)
        result = reply.function_load_response.result
        return None if result.status == pb.StatusResult.Success else result.exception.message or "no reason given"

    async def _request(
        self, message: pb.StreamingMessage, reply_kind: str, limit: timedelta, function_id: str = ""
    ) -> pb.StreamingMessage:
        reply: asyncio.Future[pb.StreamingMessage] = asyncio.get_running_loop().create_future()
        key = reply_kind, function_id
        self._replies[key] = reply
        self._send(message)
        try:
            async with asyncio.timeout(limit.total_seconds()):
                return await reply
        except TimeoutError:
            kind = reply_kind.removesuffix("_response").replace("_", " ")
            raise HostError(f"the worker did not answer the {kind} request within {limit}") from None
        finally:
            self._replies.pop(key, None)

    # ------------------------------------------------------------ invocations

    async def invoke(
        self,
        function_id: str,
        inputs: Iterable[tuple[str, pb.TypedData]],
        trace_parent: str = "",
        subject: tuple[str, str] = ("", ""),
        retry: pb.RetryContext | None = None,
        on_begun: Callable[[str], None] | None = None,
    ) -> pb.InvocationResponse:
        """Runs a function and waits for its answer, however long it takes.

        Args:
            function_id: The function, by the worker's id.
            inputs: Its inputs by name.
            trace_parent: The trace it belongs to.
            subject: The function and the instance by name, for the worker's logs.
            retry: Which execution it is, of a function with a retry policy.
            on_begun: Told the id of the invocation when it is on its way.

        Raises:
            WorkerLostError: The stream ended first.
        """
        message = pb.StreamingMessage()
        request = message.invocation_request
        # A new GUID a call would cost a system call each; these are as unique.
        invocation_id = request.invocation_id = f"{self._id_prefix}-{next(self._ids):012x}"
        request.function_id = function_id
        request.trace_context.trace_parent = trace_parent
        if retry is not None:
            request.retry_context.CopyFrom(retry)
        for name, data in inputs:
            request.input_data.add(name=name, data=data)
        answer: asyncio.Future[pb.InvocationResponse] = self.loop.create_future()
        self._invocations[invocation_id] = answer
        self._subjects[invocation_id] = subject
        self._send(message)
        if on_begun is not None:
            on_begun(invocation_id)
        try:
            return await answer
        except asyncio.CancelledError:
            self._cancel(invocation_id)
            raise
        finally:
            self._invocations.pop(invocation_id, None)
            self._subjects.pop(invocation_id, None)

    def subject_of(self, invocation_id: str) -> tuple[str, str] | None:
        """The function and the instance of an invocation that runs, each empty if there is none."""
        return self._subjects.get(invocation_id)

    def is_running(self, invocation_id: str) -> bool:
        """Whether the worker has this invocation and has not answered it yet."""
        return invocation_id in self._invocations

    def expect_end(self, reason: str) -> None:
        """Takes note of why the worker is about to be ended: nothing that it runs then is to blame for it."""
        if not self._is_asked_to_end:
            self._is_asked_to_end, self._end_reason = True, reason

    def terminate(self, grace: timedelta) -> bool:
        """Asks the worker to end by itself; whether it is one that listens."""
        self._is_asked_to_end = True
        if "HandlesWorkerTerminateMessage" not in self.capabilities or self.closed.is_set():
            return False
        message = pb.StreamingMessage()
        message.worker_terminate.grace_period.FromTimedelta(grace)
        self._send(message)
        return True

    def _cancel(self, invocation_id: str) -> None:
        if "HandlesInvocationCancelMessage" in self.capabilities and not self.closed.is_set():
            message = pb.StreamingMessage()
            message.invocation_cancel.invocation_id = invocation_id
            self._send(message)

    # ------------------------------------------------------------ the stream itself

    def _send(self, message: pb.StreamingMessage) -> None:
        if self.closed.is_set():
            raise WorkerLostError("the worker's stream has ended")
        self._write(message)

    def receive(self, message: pb.StreamingMessage) -> None:
        """Takes a message of the worker's."""
        match message.WhichOneof("content"):
            case "invocation_response":
                _resolve(self._invocations.get(message.invocation_response.invocation_id), message.invocation_response)
            case "rpc_log":
                self._on_log(message.rpc_log)
            case "function_load_response" as kind:
                _resolve(self._replies.get((kind, message.function_load_response.function_id)), message)
            case str() as kind:
                _resolve(self._replies.get((kind, "")), message)
            case None:
                pass  # a message of a newer worker

    def lose(self) -> None:
        """Ends what waits for the worker, whose stream has ended."""
        self.closed.set()
        waiting: list[asyncio.Future[Any]] = [*self._replies.values(), *self._invocations.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(WorkerLostError(self._end_reason, while_running=not self._is_asked_to_end))


def _resolve(future: asyncio.Future[_T] | None, value: _T) -> None:
    if future is not None and not future.done():
        future.set_result(value)


def _check(result: pb.StatusResult, what: str) -> None:
    if result.status != pb.StatusResult.Success:
        raise StartupError(what, result.exception)
