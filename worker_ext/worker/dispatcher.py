"""StreamingMessage in, StreamingMessages out: one method a message kind.

Rule: whatever has an answer is answered, with Failure where a handler raised, and with the id of the request where it
has one. Start-up messages are handled in order, before the next message is read; invocations run side by side.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib.metadata
import logging
import os
import platform
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from worker_ext.errors import AppError
from worker_ext.rpc import pb
from worker_ext.worker import failures, indexing, invocation, logs
from worker_ext.worker.indexing import AppFunction
from worker_ext.worker.outbox import Outbox
from worker_ext.worker.pool import ThreadPool, pool_size

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

    def __init__(self, worker_id: str, request_id: str, outbox: Outbox, stop: Callable[[timedelta], None]) -> None:
        self._worker_id = worker_id
        self._request_id = request_id
        self._outbox = outbox
        self._stop = stop
        self._app_directory: Path | None = None
        self._functions: dict[str, AppFunction] | None = None
        self._pool = ThreadPool(pool_size())
        # Of each invocation one of the two is true: a thread has yet to take it, or it is running.
        self._queued: dict[str, pb.StreamingMessage] = {}
        self._running: dict[str, asyncio.Task[None] | None] = {}
        self._idle: asyncio.Event | None = None
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
        if kind == "invocation_request":
            self._invoke(message)
        elif kind in self._handlers:
            self._answer(kind, message)
        elif kind in self._notices:
            self._notices[kind](getattr(message, kind))
        else:
            _log.warning("the host sent a message of kind %s, which this worker does not know", kind)

    async def finish(self, grace: timedelta) -> None:
        """Let running invocations end; cancel those that have not ended in time."""
        self._idle = asyncio.Event()
        self._check_idle()
        try:
            await asyncio.wait_for(self._idle.wait(), grace.total_seconds())
        except TimeoutError:
            await self._cancel_all()

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
        self._outbox.put(reply)

    def _reply_to(self, message: pb.StreamingMessage) -> pb.StreamingMessage:
        return pb.StreamingMessage(request_id=message.request_id or self._request_id)

    def _worker_init(self, request: pb.WorkerInitRequest, answer: pb.WorkerInitResponse) -> None:
        if request.function_app_directory:
            self._open_app(request.function_app_directory)
        answer.capabilities.update(dict.fromkeys(CAPABILITIES, "true"))
        _describe_worker(answer.worker_metadata)
        answer.result.status = pb.StatusResult.Success

    def _functions_metadata(self, request: pb.FunctionsMetadataRequest, answer: pb.FunctionMetadataResponse) -> None:
        if request.function_app_directory and not self._is_open(request.function_app_directory):
            self._open_app(request.function_app_directory)
        if indexing.uses_function_json(self._directory()):
            answer.use_default_metadata_indexing = True
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
        self._pool = ThreadPool(pool_size())
        if request.function_app_directory:
            os.chdir(request.function_app_directory)
            self._open_app(request.function_app_directory)
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

    def _index(self) -> dict[str, AppFunction]:
        if self._functions is None:
            found = indexing.index(self._directory())
            self._functions = {function.function_id: function for function in found}
        return self._functions

    def _load(self, request: pb.FunctionLoadRequest) -> None:
        """Check that the function is there; a second worker process has not been asked for its functions yet."""
        known = self._functions
        if known is None and request.metadata.properties.get("worker_indexed"):
            known = self._index()
        if known is None or request.function_id not in known:
            raise AppError(
                f"function {request.metadata.name!r} (id {request.function_id}) is not in the app's "
                f"{indexing.script_file()}; functions of a function.json cannot be loaded by this worker"
            )

    # ------------------------------------------------------------ invocations

    def _invoke(self, message: pb.StreamingMessage) -> None:
        request = message.invocation_request
        reply = self._reply_to(message)
        reply.invocation_response.invocation_id = request.invocation_id
        function = (self._functions or {}).get(request.function_id)
        if function is None:
            error = AppError(f"there is no function with the id {request.function_id!r}: it was never loaded")
            failures.fail(reply.invocation_response.result, error)
            self._outbox.put(reply)
        elif function.is_async:
            self._start_task(function, request, reply)
        else:
            self._queued[request.invocation_id] = reply
            self._pool.submit(lambda: self._run_in_thread(function, request))

    def _start_task(self, function: AppFunction, request: pb.InvocationRequest, reply: pb.StreamingMessage) -> None:
        def finished(task: asyncio.Task[None]) -> None:
            if task.cancelled():  # before its first step, so that nothing was answered in it
                invocation.cancel(reply.invocation_response)
            self._finished(request.invocation_id, reply)

        call = invocation.call_async(function, request, reply.invocation_response)
        # An empty context: what a function leaves in its context variables ends with it.
        task = asyncio.get_running_loop().create_task(call, context=contextvars.Context())
        self._running[request.invocation_id] = task
        task.add_done_callback(finished)

    def _run_in_thread(self, function: AppFunction, request: pb.InvocationRequest) -> None:
        # Marked as running first, so that at no moment the worker looks idle.
        self._running[request.invocation_id] = None
        reply = self._queued.pop(request.invocation_id, None)
        if reply is not None:  # else cancelled, and answered, before its turn came
            invocation.call_sync(function, request, reply.invocation_response)
        self._finished(request.invocation_id, reply)

    def _finished(self, invocation_id: str, reply: pb.StreamingMessage | None) -> None:
        if reply is not None:
            self._outbox.put(reply)
        self._running.pop(invocation_id, None)
        if self._idle is not None:
            self._outbox.call_on_loop(self._check_idle)

    def _check_idle(self) -> None:
        if self._idle is not None and not self._queued and not self._running:
            self._idle.set()

    def _invocation_cancel(self, request: pb.InvocationCancel) -> None:
        """Cancel an async function, or a sync one that still waits; a thread cannot be stopped and ends normally."""
        self._cancel(request.invocation_id)

    def _cancel(self, invocation_id: str) -> None:
        reply = self._queued.pop(invocation_id, None)
        if reply is not None:
            invocation.cancel(reply.invocation_response)
            self._finished(invocation_id, reply)
            return
        task = self._running.get(invocation_id)
        if task is not None:
            task.cancel()

    async def _cancel_all(self) -> None:
        tasks = [task for task in list(self._running.values()) if task is not None]
        for invocation_id in (*list(self._queued), *list(self._running)):
            self._cancel(invocation_id)
        if tasks:
            await asyncio.wait(tasks, timeout=1)
        if left := len(self._running):
            _log.warning("%d invocations did not end in time and are left behind", left)

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
