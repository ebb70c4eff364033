"""StreamingMessage in, StreamingMessages out: one method a message kind.

Rule: whatever has an answer is answered, with Failure where a handler raised, and with the id of the request where it
has one. Start-up messages are handled in order, before the next message is read; invocations run side by side.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import os
import platform
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from worker_ext.errors import AppError
from worker_ext.rpc import pb
from worker_ext.worker import failures, http_requests, indexing, logs, microsoft, v1_functions, web_extension
from worker_ext.worker.http_requests import HttpRequests
from worker_ext.worker.http_server import HttpServer
from worker_ext.worker.indexing import AppFunction
from worker_ext.worker.invocations import Invocations
from worker_ext.worker.outbox import Outbox

_log = logging.getLogger(__name__)

# Hosts ask only whether a value is there, so what is not offered is left out.
CAPABILITIES = (
    "RawHttpBodyBytes",
    "RpcHttpBodyOnly",
    "RpcHttpTriggerMetadataRemoved",
    "TypedDataCollection",
    "WorkerStatus",
    "HandlesInvocationCancelMessage",
    "HandlesWorkerTerminateMessage",
)


class Dispatcher:
    """Serves one host; its methods are called on the event loop."""

    def __init__(
        self, worker_id: str, request_id: str, outbox: Outbox, stop: Callable[[timedelta], None], host: str = ""
    ) -> None:
        self._host = host
        self._worker_id = worker_id
        self._request_id = request_id
        self._outbox = outbox
        self._stop = stop
        self._app_directory: Path | None = None
        self._functions: dict[str, AppFunction] | None = None
        self._invocations = Invocations(outbox)
        self._http_requests = HttpRequests()
        self._http_server: HttpServer | None = None
        # The parameter that takes the request, by the ids of the functions whose requests come over HTTP.
        self._streamed: dict[str, str] = {}
        self._microsoft: microsoft.MicrosoftHandlers | None = None
        self._start_up = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._handlers: dict[str, tuple[str, Callable[[Any, Any], None]]] = {
            "worker_init_request": ("worker_init_response", self._worker_init),
            "functions_metadata_request": ("function_metadata_response", self._functions_metadata),
            "function_load_request": ("function_load_response", self._function_load),
            "function_load_request_collection": ("function_load_response_collection", self._function_load_collection),
            "function_environment_reload_request": ("function_environment_reload_response", self._environment_reload),
            "worker_warmup_request": ("worker_warmup_response", self._warmup),
            "worker_status_request": ("worker_status_response", self._status),
            "close_shared_memory_resources_request": (
                "close_shared_memory_resources_response",
                self._close_shared_memory,
            ),
        }
        self._notices: dict[str, Callable[[Any], None]] = {
            "invocation_cancel": self._invocation_cancel,
            "worker_terminate": self._worker_terminate,
            "file_change_event_request": self._file_change,
        }

    def greeting(self) -> pb.StreamingMessage:
        """Say who is there: the first message of a stream, before anything that waits in the outbox."""
        start = pb.StartStream(worker_id=self._worker_id)
        return pb.StreamingMessage(request_id=self._request_id, start_stream=start)

    def receive(self, message: pb.StreamingMessage) -> None:
        """Handle a message of the host's."""
        kind = message.WhichOneof("content")
        if kind in microsoft.OPENING and not self._choose_handlers(kind, message):
            return
        if self._microsoft is not None and (kind in microsoft.START_UP or kind == "invocation_request"):
            self._delegate(self._microsoft, kind, message)
        elif kind == "invocation_request":
            self._invoke(message)
        elif kind in self._handlers:
            self._answer(kind, message)
        elif kind in self._notices:
            self._notices[kind](getattr(message, kind))
        else:
            _log.warning("the host sent a message of kind %s, which this worker does not know", kind)

    def abandon(self) -> None:
        """Begin no invocation that has not begun yet: the host is gone."""
        self._invocations.abandon()
        if self._http_server is not None:
            self._http_server.abandon()

    async def finish(self, grace: timedelta) -> None:
        """Let running invocations end; cancel those that have not ended in time."""
        deadline = asyncio.get_running_loop().time() + grace.total_seconds()
        await self._invocations.finish(grace)
        if self._http_server is not None:
            await self._http_server.stop(max(0.0, deadline - asyncio.get_running_loop().time()))

    # ------------------------------------------------------------ requests that have one answer

    def _answer(self, kind: str, message: pb.StreamingMessage) -> None:
        field, handler = self._handlers[kind]
        reply = self._reply_to(message)
        answer = getattr(reply, field)
        answer.SetInParent()
        try:
            handler(getattr(message, kind), answer)
        except Exception as error:  # noqa: BLE001 - the host would wait for its answer until its time limit
            _fail(answer, error)
        else:
            if self._streamed and kind in microsoft.OPENING:
                self._begin(self._open_http(answer, reply))
                return
        self._outbox.put(reply)

    def _reply_to(self, message: pb.StreamingMessage) -> pb.StreamingMessage:
        return pb.StreamingMessage(request_id=message.request_id or self._request_id)

    def _worker_init(self, request: pb.WorkerInitRequest, answer: pb.WorkerInitResponse) -> None:
        if request.function_app_directory:
            self._open_app(request.function_app_directory)
            self._index_early()
        answer.capabilities.update(dict.fromkeys(CAPABILITIES, "true"))
        _describe_worker(answer.worker_metadata)
        answer.result.status = pb.StatusResult.Success

    def _functions_metadata(self, request: pb.FunctionsMetadataRequest, answer: pb.FunctionMetadataResponse) -> None:
        if request.function_app_directory and not self._is_open(request.function_app_directory):
            self._open_app(request.function_app_directory)
        if indexing.uses_function_json(self._directory()):
            answer.use_default_metadata_indexing = True
            self._functions = {}
        else:
            functions = self._index()
            answer.use_default_metadata_indexing = not functions
            answer.function_metadata_results.extend(function.metadata for function in functions.values())
        answer.result.status = pb.StatusResult.Success

    def _function_load(self, request: pb.FunctionLoadRequest, answer: pb.FunctionLoadResponse) -> None:
        answer.function_id = request.function_id
        self._load(request)
        answer.result.status = pb.StatusResult.Success

    def _function_load_collection(
        self, requests: pb.FunctionLoadRequestCollection, answers: pb.FunctionLoadResponseCollection
    ) -> None:
        for request in requests.function_load_requests:
            answer = answers.function_load_responses.add()
            try:
                self._function_load(request, answer)
            except Exception as error:  # noqa: BLE001 - one function's fault is not the others'
                failures.fail(answer.result, error)

    def _environment_reload(
        self, request: pb.FunctionEnvironmentReloadRequest, answer: pb.FunctionEnvironmentReloadResponse
    ) -> None:
        os.environ.clear()
        os.environ.update(request.environment_variables)
        logs.set_level()
        self._invocations.resize()
        if request.function_app_directory:
            os.chdir(request.function_app_directory)
            self._open_app(request.function_app_directory)
            self._index_early()
        answer.capabilities.update(dict.fromkeys(CAPABILITIES, "true"))
        _describe_worker(answer.worker_metadata)
        answer.result.status = pb.StatusResult.Success

    def _warmup(self, request: pb.WorkerWarmupRequest, answer: pb.WorkerWarmupResponse) -> None:
        answer.result.status = pb.StatusResult.Success

    def _status(self, request: pb.WorkerStatusRequest, answer: pb.WorkerStatusResponse) -> None:
        """The host measures how long the answer takes; there is nothing to say in it."""

    def _close_shared_memory(
        self, request: pb.CloseSharedMemoryResourcesRequest, answer: pb.CloseSharedMemoryResourcesResponse
    ) -> None:
        """Tell that none is open: this worker does not offer shared memory."""
        for name in request.map_names:
            answer.close_map_results[name] = False

    # ------------------------------------------------------------ the app

    def _open_app(self, directory: str) -> None:
        if self._app_directory is not None:
            indexing.forget(self._app_directory)
        self._functions = None
        self._streamed = {}
        self._app_directory = Path(directory).absolute()
        indexing.prepare_paths(self._app_directory)

    def _is_open(self, directory: str) -> bool:
        return self._app_directory == Path(directory).absolute()

    def _directory(self) -> Path:
        if self._app_directory is None:
            raise AppError("the host has not said which folder the app is in (function_app_directory is empty)")
        if not self._app_directory.is_dir():
            raise AppError(f"the app's folder {self._app_directory} does not exist")
        return self._app_directory

    def _index(self, *, is_opening: bool = False) -> dict[str, AppFunction]:
        if self._functions is None:
            found = indexing.index(self._directory())
            streamed = http_requests.streamed(found)
            if streamed and not is_opening:
                raise AppError(
                    "the app streams HTTP, which the host must hear before it asks for functions, but when it opened "
                    f"the app there was no {web_extension.BASE}, or no app: install the web extension for "
                    f"{sys.executable} or into .python_packages, and let the host name the app's folder at start-up"
                )
            self._functions = {function.function_id: function for function in found}
            self._streamed = streamed
        return self._functions

    def _index_early(self) -> None:
        """Index an app that may stream HTTP: the host hears of that before it asks for functions."""
        folder = self._app_directory
        if folder is not None and web_extension.is_installed() and (folder / indexing.script_file()).is_file():
            self._index(is_opening=True)

    async def _open_http(self, answer: Any, reply: pb.StreamingMessage) -> None:
        """Have requests taken over HTTP, and tell the host where."""
        try:
            if self._http_server is None:
                server = HttpServer(self._http_requests)
                await server.start()
                self._http_server = server
            answer.capabilities.update(HttpUri=self._http_server.address, RequiresRouteParameters="true")
        except Exception as error:  # noqa: BLE001 - the host would wait for its answer until its time limit
            _fail(answer, error)
        self._outbox.put(reply)

    def _load(self, request: pb.FunctionLoadRequest) -> None:
        """Have a function of the v1 model imported; see that one of the v2 model is there."""
        metadata = request.metadata
        if metadata.directory and not metadata.properties.get("worker_indexed"):
            self._load_v1(request)
        # A second worker process has not been asked for its functions yet.
        elif request.function_id not in self._index():
            raise AppError(
                f"function {metadata.name!r} (id {request.function_id}) is not in the app's {indexing.script_file()}"
            )

    def _load_v1(self, request: pb.FunctionLoadRequest) -> None:
        if self._functions is None:
            self._functions = {}
        if request.function_id not in self._functions:
            self._functions[request.function_id] = v1_functions.load(request.function_id, request.metadata)

    # ------------------------------------------------------------ handlers that are not ours

    def _choose_handlers(self, kind: str, message: pb.StreamingMessage) -> bool:
        """Choose who serves the app that a message opens; whether that could be done, else the message is answered."""
        request = getattr(message, kind)
        environment = getattr(request, "environment_variables", os.environ)
        try:
            directory = Path(request.function_app_directory).absolute()
            self._microsoft = microsoft.handlers_for(directory, environment, self._host)
            if self._microsoft is not None:
                if request.function_app_directory:
                    self._open_app(request.function_app_directory)
                _log.info("the app is served by %s", self._microsoft.name)
        except AppError as error:
            reply = self._reply_to(message)
            failures.fail(getattr(reply, self._handlers[kind][0]).result, error)
            self._outbox.put(reply)
            return False
        return True

    def _delegate(self, handlers: microsoft.MicrosoftHandlers, kind: str, message: pb.StreamingMessage) -> None:
        reply = self._reply_to(message)
        if kind == "invocation_request":
            answer = reply.invocation_response
            answer.invocation_id = message.invocation_request.invocation_id
            self._invocations.start_task(handlers.invoke(message, answer), reply)
            return
        self._begin(self._have_answered(handlers, kind, message, reply))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _have_answered(
        self, handlers: microsoft.MicrosoftHandlers, kind: str, message: pb.StreamingMessage, reply: pb.StreamingMessage
    ) -> None:
        answer = getattr(reply, self._handlers[kind][0])
        try:
            async with self._start_up:
                answer.CopyFrom(await handlers.answer(kind, message))
        except BaseException as error:  # noqa: BLE001 - the app's script may end the process while it is imported
            failures.fail(answer.result, error)
        if kind in microsoft.OPENING:
            logs.set_level()
        self._outbox.put(reply)

    # ------------------------------------------------------------ invocations

    def _invoke(self, message: pb.StreamingMessage) -> None:
        request = message.invocation_request
        reply = self._reply_to(message)
        reply.invocation_response.invocation_id = request.invocation_id
        function = (self._functions or {}).get(request.function_id)
        if function is not None:
            self._start(function, request, reply)
            return
        error = AppError(f"there is no function with the id {request.function_id!r}: it was never loaded")
        failures.fail(reply.invocation_response.result, error)
        self._outbox.put(reply)

    def _start(self, function: AppFunction, request: pb.InvocationRequest, reply: pb.StreamingMessage) -> None:
        parameter = self._streamed.get(function.function_id)
        if parameter is None:
            self._invocations.start(function, request, reply)
        else:
            exchange = self._http_requests.invoked(request.invocation_id)
            self._invocations.start(exchange.bind(function, parameter), request, reply, exchange)

    def _invocation_cancel(self, request: pb.InvocationCancel) -> None:
        if self._microsoft is None:  # those handlers do not say which functions run in a thread
            self._invocations.cancel(request.invocation_id)

    # ------------------------------------------------------------ notices

    def _worker_terminate(self, request: pb.WorkerTerminate) -> None:
        self._stop(request.grace_period.ToTimedelta())

    def _file_change(self, request: pb.FileChangeEventRequest) -> None:
        """The host restarts workers when files change; there is nothing to do here."""


def _describe_worker(metadata: pb.WorkerMetadata) -> None:
    metadata.runtime_name = "python"
    metadata.runtime_version = f"{sys.version_info.major}.{sys.version_info.minor}"
    metadata.worker_version = _version()
    metadata.worker_bitness = platform.machine()


def _version() -> str:
    try:
        return importlib.metadata.version("worker-ext")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return "0"


def _fail(answer: Any, error: Exception) -> None:
    if "result" not in answer.DESCRIPTOR.fields_by_name:
        _log.error("a message of kind %s was not handled", answer.DESCRIPTOR.name, exc_info=error)
        return
    failures.fail(answer.result, error)
