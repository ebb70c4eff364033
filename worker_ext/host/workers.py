"""Keeps a worker running and gives it work: the gateway between the scheduler, HTTP and the worker process.

A worker that dies after it has served is replaced, with a growing delay if it keeps dying. What it was running ends in
`WorkerLostError`: a failure of the platform, never of the function. A worker that cannot load the app when the host
starts is the end of the host.

Source: worker protocol, section on failure handling in the host; the delays are ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from worker_ext.errors import HostError
from worker_ext.host.console import Console, Level
from worker_ext.host.functions import DurableKind, FunctionCatalog, HostFunction, read_catalog
from worker_ext.host.gateway import Reply, WorkerLostError
from worker_ext.host.rpc_server import LOAD_LIMIT, RpcServer, StartupError, WorkerStream
from worker_ext.host.settings import HostSettings
from worker_ext.host.v1_functions import read_function_folders
from worker_ext.host.worker_config import read_worker_config
from worker_ext.host.worker_process import WorkerProcess
from worker_ext.rpc import pb

CONNECT_LIMIT = timedelta(minutes=1)
READY_LIMIT = timedelta(seconds=30)
FIRST_DELAY, LONGEST_DELAY = 0.2, 30.0
STEADY_AFTER = 60.0
HOST_VERSION = "4.0.0"

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_LEVELS: dict[int, Level] = {0: "debug", 1: "debug", 2: "info", 3: "warning", 4: "error", 5: "error"}

# What a failed orchestrator's message goes on with: its state, for the engine.
_STATE_MARKER = "\n\n$OutOfProcData$:"

ClientPayload = Callable[[Mapping[str, Any]], str]
"""The text of a durableClient binding, made from the binding."""


class Workers:
    """The worker process of one app.

    Attributes:
        catalog: The functions of the app as the running worker reported them.
        pid: The process id of the running worker, or None.
    """

    def __init__(self, settings: HostSettings, console: Console, client_payload: ClientPayload) -> None:
        self.catalog = FunctionCatalog([])
        self._settings = settings
        self._config = read_worker_config(settings.environment)
        self._console = console
        self._client_payload = client_payload
        self._http_port = settings.port
        self._server = RpcServer()
        self._grpc_port = 0
        self._process: WorkerProcess | None = None
        self._stream: WorkerStream | None = None
        self._ready = asyncio.Event()
        self._load_errors: dict[str, str] = {}
        self._starting: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The process id of the running worker, or None."""
        return self._process.pid if self._process is not None and not self._process.has_ended else None

    @property
    def running(self) -> int:
        """How many invocations the running worker has not answered yet."""
        return 0 if self._stream is None else self._stream.running

    @property
    def takes_raw_bodies(self) -> bool:
        """Whether the running worker takes the bodies of requests as bytes."""
        return self._stream is None or "RawHttpBodyBytes" in self._stream.capabilities

    # ------------------------------------------------------------ life

    async def launch(self, http_port: int) -> None:
        """Starts the gRPC server and the first worker process; `load` waits for it."""
        self._http_port = http_port
        self._grpc_port = await self._server.start()
        self._starting = asyncio.create_task(self._start_worker())

    async def load(self) -> None:
        """Waits until the first worker has loaded the app.

        Raises:
            HostError: It could not.
        """
        assert self._starting is not None
        await self._starting
        self._keeper = asyncio.create_task(self._keep_running())

    async def stop(self, grace: float) -> None:
        """Ends the worker: what it still runs after `grace` seconds is lost to it."""
        self._stopping = True
        self._ready.set()  # whoever waits for a worker is to hear that none will come
        for task in (self._keeper, self._starting):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self._process is not None:
            listens = self._stream is not None and self._stream.terminate(timedelta(seconds=grace))
            await self._process.end(grace if listens else 0)
        await self._server.stop()

    def kill_now(self) -> None:
        """Ends the worker without waiting."""
        self._stopping = True
        if self._process is not None:
            self._process.kill_now()

    async def _start_worker(self) -> None:
        settings = self._settings
        process = self._process = await WorkerProcess.start(
            self._config, settings.app_dir, self._grpc_port, self._http_port, settings.environment, self._console
        )
        sequence = asyncio.create_task(self._start_up(process))
        death = asyncio.create_task(process.exit_code())
        try:
            await asyncio.wait([sequence, death], return_when=asyncio.FIRST_COMPLETED)
            if not sequence.done():
                raise HostError(_died(process, death.result()))
            await sequence
        except WorkerLostError:
            await process.end(1.0)
            raise HostError(_died(process, await process.exit_code())) from None
        except StartupError as failure:
            raise HostError(_explain(failure, settings.app_dir)) from None
        finally:
            for task in (sequence, death):
                task.cancel()
            await asyncio.wait([sequence, death])
            if not self._ready.is_set():
                await process.kill()

    async def _start_up(self, process: WorkerProcess) -> None:
        """The start-up sequence, one request at a time."""
        app_dir = str(self._settings.app_dir)
        arrival = self._server.expect(process.worker_id, self._show_log)
        try:
            async with asyncio.timeout(CONNECT_LIMIT.total_seconds()):
                stream = await arrival
        except TimeoutError:
            raise HostError(f"the worker did not connect within {CONNECT_LIMIT}") from None
        await stream.init(HOST_VERSION, app_dir, str(self._config.directory or ""))
        found = await stream.functions(app_dir) if self._config.finds_functions else None
        settings = self._settings
        self.catalog = read_function_folders(settings) if found is None else read_catalog(found, settings)
        self._load_errors = await self._load_functions(stream)
        self._stream = stream
        self._ready.set()

    async def _load_functions(self, stream: WorkerStream) -> dict[str, str]:
        limit = max(LOAD_LIMIT, self._settings.function_timeout or timedelta(days=1))
        functions = [function for function in self.catalog.functions if function.is_served]
        errors = await asyncio.gather(*(stream.load(function.metadata, limit) for function in functions))
        failed = {function.name: error for function, error in zip(functions, errors, strict=True) if error is not None}
        for name, error in failed.items():
            self._console.error(f"{name}: the function could not be loaded: {error}")
        return failed

    async def _keep_running(self) -> None:
        """Waits for the worker's end and starts another, over and over."""
        delay, started = FIRST_DELAY, time.monotonic()
        while True:
            reason = await self._end_of_worker()
            self._ready.clear()
            if time.monotonic() - started > STEADY_AFTER:
                delay = FIRST_DELAY
            self._console.error(f"{reason}; another one starts in {delay:g} s")
            await asyncio.sleep(delay)
            delay, started = min(2 * delay, LONGEST_DELAY), time.monotonic()
            try:
                await self._start_worker()
                self._console.info("Worker process started and initialized.")
            except HostError as error:
                self._console.error(str(error))

    async def _end_of_worker(self) -> str:
        process, stream = self._process, self._stream
        if process is None or stream is None or process.has_ended:
            return "No worker is running"
        death = asyncio.create_task(process.exit_code())
        closed = asyncio.create_task(stream.closed.wait())
        try:
            await asyncio.wait([death, closed], return_when=asyncio.FIRST_COMPLETED)
            # The stream of a dying process may end a moment before the process does.
            await asyncio.wait([death], timeout=1.0)
            if death.done():
                return f"The worker {_ending(death.result())}"
            await process.kill()
            return "The worker closed its stream"
        finally:
            death.cancel()
            closed.cancel()

    # ------------------------------------------------------------ work

    async def invoke(self, function: HostFunction, trigger_data: pb.TypedData) -> pb.InvocationResponse:
        """Runs a function in the worker.

        Raises:
            WorkerLostError: There is no worker, or it died or was replaced while it ran the function.
        """
        stream = await self._ready_stream()
        error = self._load_errors.get(function.name)
        if error is not None:
            return _failure(f"the function could not be loaded: {error}")
        inputs = [(str(function.trigger["name"]), trigger_data)]
        inputs += [(str(item["name"]), pb.TypedData(string=self._client_payload(item))) for item in function.inputs]
        limit = self._settings.function_timeout
        timer = None
        if limit is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(limit.total_seconds(), self._replace_worker, stream, function, limit)
        try:
            response = await stream.invoke(function.function_id, inputs)
        finally:
            if timer is not None:
                timer.cancel()
        if response.result.status == pb.StatusResult.Cancelled:
            raise WorkerLostError(f"the worker gave up {function.name}")
        if response.result.status != pb.StatusResult.Success:
            self._show_failure(function, response.result.exception)
        return response

    async def _ready_stream(self) -> WorkerStream:
        if self._stream is not None and self._stream.closed.is_set() and not self._stopping:
            self._ready.clear()  # its successor is to come; the keeper may not have noticed yet
        if not self._ready.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READY_LIMIT.total_seconds()):
                    await self._ready.wait()
        if self._stopping or not self._ready.is_set() or self._stream is None:
            raise WorkerLostError("no worker is running")
        return self._stream

    def _replace_worker(self, stream: WorkerStream, function: HostFunction, limit: timedelta) -> None:
        """Ends a worker whose function ran out of time: Python code cannot be stopped in any other way."""
        if stream is self._stream and self._process is not None and not stream.closed.is_set():
            self._console.error(f"{function.name} took longer than functionTimeout ({limit}); its worker is replaced")
            self._process.kill_now()

    # ------------------------------------------------------------ the scheduler's gateway

    def function_names(self, kind: DurableKind) -> Collection[str]:
        """The durable names of the orchestrators, activities or entities."""
        return self.catalog.durable_names(kind)

    async def run_orchestrator(self, name: str, instance_id: str, payload: str) -> Reply:
        """Runs one turn of an orchestrator."""
        return await self._run("orchestration", name, pb.TypedData(string=payload))

    async def run_activity(self, name: str, instance_id: str, input_text: str | None) -> Reply:
        """Runs an activity; no input is an empty datum."""
        return await self._run("activity", name, pb.TypedData(string=input_text))

    async def _run(self, kind: DurableKind, name: str, data: pb.TypedData) -> Reply:
        function = self.catalog.find(kind, name)
        if function is None:
            raise WorkerLostError(f"the worker has no {kind} named {name!r} any more")
        return _reply(await self.invoke(function, data))

    # ------------------------------------------------------------ logs

    def _show_failure(self, function: HostFunction, exception: pb.RpcException) -> None:
        message = exception.message.partition(_STATE_MARKER)[0].rstrip()
        stack = f"\n{exception.stack_trace.rstrip()}" if exception.stack_trace and function.kind is None else ""
        self._console.error(f"{function.name} failed: {message}{stack}")

    def _show_log(self, log: pb.RpcLog) -> None:
        level = _LEVELS.get(log.level, "debug")
        if log.log_category == pb.RpcLog.System and level == "info":
            level = "debug"
        self._console.log(level, log.message)


def _reply(response: pb.InvocationResponse) -> Reply:
    result = response.result
    if result.status != pb.StatusResult.Success:
        exception = result.exception
        return Reply(value=None, failure=exception.message, stack=exception.stack_trace or None)
    try:
        return Reply(value=json_text(response.return_value))
    except ValueError as error:
        return Reply(value=None, failure=str(error))


def json_text(data: pb.TypedData) -> str | None:
    """A returned value as JSON text; None for nothing.

    Raises:
        ValueError: It is of a kind that only goes the other way.
    """
    match data.WhichOneof("data"):
        case None:
            return None
        case "json":
            return data.json
        case "string":
            return msgspec.json.encode(data.string).decode()
        case "bytes":
            return msgspec.json.encode(data.bytes).decode()
        case "int":
            return str(data.int)
        case "double":
            return msgspec.json.encode(data.double).decode()
        case case:
            raise ValueError(f"a returned value of kind {case} is nothing the Functions host takes")


def _failure(message: str) -> pb.InvocationResponse:
    response = pb.InvocationResponse()
    response.result.status = pb.StatusResult.Failure
    response.result.exception.message = message
    return response


def _ending(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"


def _died(process: WorkerProcess, code: int) -> str:
    last = [line for line in process.errors if line.strip()][-3:]
    quoted = "".join(f"\n  {line}" for line in last)
    return f"the worker {_ending(code)} before it had loaded the app{':' if quoted else ''}{quoted}"


def _explain(failure: StartupError, app_dir: Path) -> str:
    """A start-up failure with the app's own line in front, where the worker's traceback names one."""
    inside = [
        (path, line)
        for path, line in _FRAME.findall(failure.exception.stack_trace)
        if Path(path).resolve().is_relative_to(app_dir.resolve()) and "site-packages" not in path
    ]
    place = "{}:{}: ".format(*inside[-1]) if inside else ""
    return f"{place}{failure}"
