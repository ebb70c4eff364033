"""Keeps workers running and gives them work: the gateway between the scheduler, HTTP and the worker processes.

A worker that dies after it has served is replaced, with a growing delay if it keeps dying. What it was running ends in
`WorkerLostError`: a failure of the platform, never of the function. A worker that cannot load the app when the host
starts is the end of the host. When the app is reloaded, its new workers take over once all of them have loaded it; the
old ones finish what they run.

Source: worker protocol, section on failure handling in the host; the delays are ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from worker_ext.errors import HostError
from worker_ext.host.console import Console, Level
from worker_ext.host.functions import DurableKind, FunctionCatalog, HostFunction
from worker_ext.host.gateway import FunctionTimeoutError, Reply, WorkerLostError
from worker_ext.host.retry_policies import RetryPolicy, retry_context
from worker_ext.host.rpc_server import RpcServer
from worker_ext.host.settings import HostSettings
from worker_ext.host.worker_config import read_worker_config
from worker_ext.host.worker_member import HOST_VERSION, MemberFactory, WorkerMember
from worker_ext.host.worker_process import WorkerProcess
from worker_ext.rpc import pb

__all__ = ["HOST_VERSION", "ClientPayload", "Workers", "json_text"]

READY_LIMIT = timedelta(seconds=30)
DRAIN_LIMIT = 30.0
FIRST_DELAY, LONGEST_DELAY = 0.2, 30.0
STEADY_AFTER = 60.0

_LEVELS: dict[int, Level] = {0: "debug", 1: "debug", 2: "info", 3: "warning", 4: "error", 5: "error"}

# What a failed orchestrator's message goes on with: its state, for the engine.
_STATE_MARKER = "\n\n$OutOfProcData$:"

ClientPayload = Callable[[Mapping[str, Any]], str]
"""The text of a durableClient binding, made from the binding."""

OnBegun = Callable[[str, str], None]
"""Is told the address of a worker's HTTP server, and the id of an invocation there."""


class Workers:
    """The worker processes of one app.

    Attributes:
        catalog: The functions of the app as the workers last reported them.
    """

    def __init__(self, settings: HostSettings, console: Console, client_payload: ClientPayload) -> None:
        self.catalog = FunctionCatalog([])
        self._settings = settings
        self._console = console
        self._client_payload = client_payload
        self._server: RpcServer | None = None
        self._factory: MemberFactory | None = None
        self._members: list[WorkerMember | None] = [None] * settings.worker_processes
        self._next = 0
        self._processes: set[WorkerProcess] = set()
        self._ready = asyncio.Event()
        self._first: asyncio.Task[WorkerMember] | None = None
        self._keepers: list[asyncio.Task[None]] = []
        self._old: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The process id of the first running worker, or None."""
        return next((process.pid for process in self._processes if not process.has_ended), None)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that can be given work."""
        return [member.process.pid for member in self._alive()]

    @property
    def running(self) -> int:
        """How many invocations the workers have not answered yet."""
        return sum(member.stream.running for member in self._alive())

    @property
    def takes_raw_bodies(self) -> bool:
        """Whether the workers take the bodies of requests as bytes."""
        return all("RawHttpBodyBytes" in member.stream.capabilities for member in self._alive())

    @property
    def streams_http(self) -> bool:
        """Whether the workers take HTTP requests on servers of their own."""
        return any(member.stream.http_address is not None for member in self._alive())

    def error_of(self, function: HostFunction) -> str | None:
        """Why a function cannot be run, or None."""
        errors = (member.load_errors.get(function.name) for member in self._alive())
        return function.fault or next(filter(None, errors), None)

    def _alive(self) -> list[WorkerMember]:
        return [member for member in self._members if member is not None and member.is_alive]

    # ------------------------------------------------------------ life

    async def launch(self, http_port: int) -> None:
        """Starts the server of FunctionRpc and the first worker process; `load` waits for it."""
        config = read_worker_config(self._settings.environment)
        server = self._server = RpcServer(framed=config.takes_frames)
        uri = f"{server.scheme}://127.0.0.1:{await server.start()}/"
        self._factory = MemberFactory(
            self._settings, config, server, uri, http_port, self._console, self._show_log, self._remember
        )
        self._first = asyncio.create_task(self._factory.start())

    async def load(self) -> None:
        """Waits until the first worker has loaded the app; the others follow on their own.

        Raises:
            HostError: It could not.
        """
        assert self._first is not None
        self._admit([await self._first, *self._members[1:]])

    async def reload(self) -> None:
        """Loads the app anew in new workers, which then take over.

        Raises:
            HostError: A new worker could not load the app; the old ones go on.
        """
        assert self._factory is not None
        starting = [asyncio.create_task(self._factory.start()) for _ in self._members]
        try:
            fresh = await asyncio.gather(*starting)
        except BaseException:
            await self._give_up(starting)
            raise
        old = self._alive()
        await self._end_keepers()
        self._admit([*fresh])
        for member in old:
            self._aside(member.drain(DRAIN_LIMIT))

    async def stop(self, grace: float) -> None:
        """Ends the workers: what they still run after `grace` seconds is lost to them."""
        self._stopping = True
        self._ready.set()  # whoever waits for a worker is to hear that none will come
        async with contextlib.AsyncExitStack() as ending:
            if self._server is not None:
                ending.push_async_callback(self._server.stop)
            ending.push_async_callback(self._kill)
            await self._end_keepers()
            if self._first is not None:
                self._first.cancel()
                await asyncio.wait([self._first])
            for task in self._old:
                task.cancel()
            await asyncio.gather(*self._old, return_exceptions=True)
            await asyncio.gather(*(member.end(grace) for member in self._members if member is not None))

    async def _kill(self) -> None:
        await asyncio.gather(*(process.kill() for process in self._processes))

    def kill_now(self) -> None:
        """Ends the workers without waiting."""
        self._stopping = True
        for process in self._processes:
            process.kill_now()

    def _remember(self, process: WorkerProcess) -> None:
        self._processes = {known for known in self._processes if not known.has_ended} | {process}

    def _admit(self, members: list[WorkerMember | None]) -> None:
        """Gives work to these workers from now on, and keeps each of them running."""
        self._members = members
        for slot, member in enumerate(members):
            if member is not None:
                self._take(slot, member)
        self._keepers = [asyncio.create_task(self._keep_running(slot)) for slot in range(len(members))]

    def _take(self, slot: int, member: WorkerMember) -> None:
        self._members[slot] = member
        # The scheduler compares the catalogue's names by identity; workers of the same app report the same.
        if member.catalog.metadata != self.catalog.metadata:
            self.catalog = member.catalog
        if slot == 0 or not self._ready.is_set():
            for name, error in member.load_errors.items():
                self._console.error(f"{name}: the function could not be loaded: {error}")
        self._ready.set()

    async def _keep_running(self, slot: int) -> None:
        """Waits for a worker's end and starts another, over and over."""
        assert self._factory is not None
        delay, started = FIRST_DELAY, time.monotonic()
        while True:
            member = self._members[slot]
            if member is not None:
                reason = await member.ended()
                self._members[slot] = None
                if time.monotonic() - started > STEADY_AFTER:
                    delay = FIRST_DELAY
                self._console.error(f"{reason}; another one starts in {delay:g} s")
                await asyncio.sleep(delay)
            delay, started = min(2 * delay, LONGEST_DELAY), time.monotonic()
            try:
                self._take(slot, await self._factory.start())
                self._console.info("Worker process started and initialized.")
            except HostError as error:
                self._console.error(f"{error}; the next try is in {delay:g} s")
                await asyncio.sleep(delay)

    async def _end_keepers(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _give_up(self, starting: list[asyncio.Task[WorkerMember]]) -> None:
        for task in starting:
            task.cancel()
        done = await asyncio.gather(*starting, return_exceptions=True)
        await asyncio.gather(*(member.process.kill() for member in done if isinstance(member, WorkerMember)))

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._old.add(task)
        task.add_done_callback(self._old.discard)

    # ------------------------------------------------------------ work

    async def invoke(
        self,
        function: HostFunction,
        trigger_data: pb.TypedData,
        instance_id: str = "",
        trace_parent: str = "",
        on_begun: OnBegun | None = None,
    ) -> pb.InvocationResponse:
        """Runs a function in a worker, each in turn, as often as its retry policy says.

        Args:
            function: The function.
            trigger_data: What its trigger gives it.
            instance_id: The instance it runs for, where it runs for one.
            trace_parent: The span it is part of, where it is part of one.
            on_begun: Told of the invocation when it is on its way to a worker with an HTTP server of its own.

        Raises:
            WorkerLostError: There is no worker, or it died or was replaced while it ran the function.
        """
        if function.retry is not None and function.is_retried:
            return await self._invoke_by(function.retry, function, trigger_data, trace_parent)
        return await self._invoke(function, trigger_data, instance_id, trace_parent, on_begun=on_begun)

    async def _invoke_by(
        self, policy: RetryPolicy, function: HostFunction, trigger_data: pb.TypedData, trace_parent: str
    ) -> pb.InvocationResponse:
        """Runs a function again after each failure, until its policy has no repetition left."""
        failures, last = 0, None
        while True:
            context = retry_context(policy, failures, last)
            response = await self._invoke(function, trigger_data, trace_parent=trace_parent, retry=context)
            if response.result.status == pb.StatusResult.Success:
                return response
            failures, last = failures + 1, response.result.exception
            delay = policy.delay(failures)
            if delay is None:
                return response
            what = f"runs again in {delay} by its retry policy ({failures} failed)"
            self._console.of_run("warning", what, function.name)
            await asyncio.sleep(delay.total_seconds())

    async def _invoke(
        self,
        function: HostFunction,
        trigger_data: pb.TypedData,
        instance_id: str = "",
        trace_parent: str = "",
        retry: pb.RetryContext | None = None,
        on_begun: OnBegun | None = None,
    ) -> pb.InvocationResponse:
        member = await self._ready_member()
        function = member.own(function)
        error = member.load_errors.get(function.name)
        if error is not None:
            return _failure(f"the function could not be loaded: {error}")
        inputs = [(str(function.trigger["name"]), trigger_data)]
        inputs += [(str(item["name"]), pb.TypedData(string=self._client_payload(item))) for item in function.inputs]
        subject = function.name, instance_id
        limit = self._settings.function_timeout
        timer = None
        if limit is not None:
            timer = member.stream.loop.call_later(limit.total_seconds(), self._replace_worker, member, subject, limit)
        try:
            begun = None if on_begun is None else partial(on_begun, member.stream.http_address or "")
            response = await member.stream.invoke(function.function_id, inputs, trace_parent, subject, retry, begun)
        except WorkerLostError:
            if limit is not None and timer is not None and timer.when() <= member.stream.loop.time():
                raise FunctionTimeoutError(function.name, limit) from None
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if response.result.status == pb.StatusResult.Cancelled:
            raise WorkerLostError(f"the worker gave up {function.name}")
        if response.result.status != pb.StatusResult.Success:
            self._show_failure(function, instance_id, response.result.exception)
        return response

    async def _ready_member(self) -> WorkerMember:
        """A worker that can be given work, each in turn; waits a while for one."""
        member = self._next_member()
        if member is not None:
            return member
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_LIMIT.total_seconds()):
                while member is None and not self._stopping:
                    self._ready.clear()  # a successor is to come; its keeper may not have noticed yet
                    await self._ready.wait()
                    member = self._next_member()
        if member is None:
            raise WorkerLostError("no worker is running")
        return member

    def _next_member(self) -> WorkerMember | None:
        """The worker whose turn it is, of those that can be given work."""
        if not self._stopping:
            for _ in self._members:
                self._next = (self._next + 1) % len(self._members)
                member = self._members[self._next]
                if member is not None and member.is_alive:
                    return member
        return None

    def _replace_worker(self, member: WorkerMember, subject: tuple[str, str], limit: timedelta) -> None:
        """Ends a worker whose function ran out of time: Python code cannot be stopped in any other way."""
        if member.is_alive:
            what = f"took longer than functionTimeout ({limit})"
            self._console.of_run("error", f"{what}; its worker is replaced", *subject)
            member.stream.expect_end(f"the worker was replaced since {' '.join(filter(None, subject))} {what}")
            member.process.kill_now()

    # ------------------------------------------------------------ the scheduler's gateway

    def function_names(self, kind: DurableKind) -> Collection[str]:
        """The durable names of the orchestrators, activities or entities."""
        return self.catalog.durable_names(kind)

    async def run_orchestrator(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        """Runs one turn of an orchestrator."""
        return await self._run("orchestration", name, instance_id, pb.TypedData(string=payload), trace_parent)

    async def run_activity(self, name: str, instance_id: str, input_text: str | None, trace_parent: str = "") -> Reply:
        """Runs an activity; no input is an empty datum."""
        return await self._run("activity", name, instance_id, pb.TypedData(string=input_text), trace_parent)

    async def run_entity(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        """Runs a batch of operations on an entity."""
        return await self._run("entity", name, instance_id, pb.TypedData(string=payload), trace_parent)

    async def _run(
        self, kind: DurableKind, name: str, instance_id: str, data: pb.TypedData, trace_parent: str
    ) -> Reply:
        function = self.catalog.find(kind, name)
        if function is None:
            raise WorkerLostError(f"the worker has no {kind} named {name!r} any more")
        return _reply(await self.invoke(function, data, instance_id, trace_parent))

    # ------------------------------------------------------------ logs

    def _show_failure(self, function: HostFunction, instance_id: str, exception: pb.RpcException) -> None:
        message = exception.message.partition(_STATE_MARKER)[0].rstrip()
        stack = f"\n{exception.stack_trace.rstrip()}" if exception.stack_trace and function.kind is None else ""
        self._console.of_run("error", f"failed: {message}{stack}", function.name, instance_id)

    def _show_log(self, log: pb.RpcLog) -> None:
        level = _LEVELS.get(log.level, "debug")
        if log.log_category == pb.RpcLog.System and level == "info":
            level = "debug"
        subjects = (member.stream.subject_of(log.invocation_id) for member in self._alive())
        function, instance_id = next(filter(None, subjects), ("", ""))
        self._console.log(level, log.message, function, instance_id)


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
