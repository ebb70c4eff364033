"""One worker: its process, its stream, and the app's functions as it has loaded them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from worker_ext.errors import HostError
from worker_ext.host.console import Console
from worker_ext.host.functions import FunctionCatalog, HostFunction, read_catalog
from worker_ext.host.gateway import WorkerLostError
from worker_ext.host.rpc_server import LOAD_LIMIT, LogSink, RpcServer, StartupError, WorkerStream
from worker_ext.host.settings import HostSettings
from worker_ext.host.v1_functions import read_function_folders
from worker_ext.host.worker_config import WorkerConfig
from worker_ext.host.worker_process import WorkerProcess

CONNECT_LIMIT = timedelta(minutes=1)
HOST_VERSION = "4.0.0"

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


@dataclass
class WorkerMember:
    """A worker that has loaded the app.

    Attributes:
        process: Its process.
        stream: Its connection.
        catalog: The functions as it reported them.
        load_errors: Why it could not load some, by name.
    """

    process: WorkerProcess
    stream: WorkerStream
    catalog: FunctionCatalog
    load_errors: dict[str, str]
    _by_name: dict[str, HostFunction] = field(init=False)

    def __post_init__(self) -> None:
        self._by_name = {function.name: function for function in self.catalog.functions}

    @property
    def is_alive(self) -> bool:
        """Whether it can be given work."""
        return not self.stream.closed.is_set() and not self.process.has_ended

    def own(self, function: HostFunction) -> HostFunction:
        """The function as this worker knows it; each worker makes up ids of its own.

        Raises:
            WorkerLostError: It does not have the function.
        """
        try:
            return self._by_name[function.name]
        except KeyError:
            raise WorkerLostError(f"the worker has no function named {function.name!r} any more") from None

    async def ended(self) -> str:
        """Waits until it has ended or closed its stream; what happened."""
        death = asyncio.create_task(self.process.exit_code())
        closed = asyncio.create_task(self.stream.closed.wait())
        try:
            await asyncio.wait([death, closed], return_when=asyncio.FIRST_COMPLETED)
            # The stream of a dying process may end a moment before the process does.
            await asyncio.wait([death], timeout=1.0)
            if death.done():
                return f"The worker {_ending(death.result())}"
            await self.process.kill()
            return "The worker closed its stream"
        finally:
            death.cancel()
            closed.cancel()

    async def end(self, grace: float) -> None:
        """Ends it: what it still runs after `grace` seconds is lost to it."""
        listens = self.stream.terminate(timedelta(seconds=grace))
        await self.process.end(grace if listens else 0)

    async def drain(self, limit: float) -> None:
        """Ends it once it has nothing to do, or after `limit` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit
        while True:
            if not (self.is_alive and self.stream.running) or loop.time() > deadline:
                break
            await asyncio.sleep(0.05)
        await self.end(1.0)


@dataclass(frozen=True)
class MemberFactory:
    """Starts workers of one app.

    Attributes:
        settings: What host.json and its like say.
        config: Which program is the worker.
        server: What workers connect to.
        uri: Where it listens for them.
        http_port: The port of HTTP.
        console: Where their output goes.
        on_log: Where their logs go.
        on_process: Told of each process as soon as there is one.
    """

    settings: HostSettings
    config: WorkerConfig
    server: RpcServer
    uri: str
    http_port: int
    console: Console
    on_log: LogSink
    on_process: Callable[[WorkerProcess], None]

    async def start(self) -> WorkerMember:
        """Starts a worker and has it load the app.

        Raises:
            HostError: It could not; no process is left.
        """
        settings = self.settings
        process = await WorkerProcess.start(
            self.config, settings.app_dir, self.uri, self.http_port, settings.environment, self.console
        )
        self.on_process(process)
        member = None
        sequence = asyncio.create_task(self._start_up(process))
        death = asyncio.create_task(process.exit_code())
        try:
            await asyncio.wait([sequence, death], return_when=asyncio.FIRST_COMPLETED)
            if not sequence.done():
                raise HostError(_died(process, death.result()))
            member = await sequence
        except WorkerLostError:
            await process.end(1.0)
            raise HostError(_died(process, await process.exit_code())) from None
        except StartupError as failure:
            raise HostError(_explain(failure, settings.app_dir)) from None
        finally:
            for task in (sequence, death):
                task.cancel()
            await asyncio.wait([sequence, death])
            if member is None:
                await process.kill()
        return member

    async def _start_up(self, process: WorkerProcess) -> WorkerMember:
        """The start-up sequence, one request at a time."""
        app_dir = str(self.settings.app_dir)
        arrival = self.server.expect(process.worker_id, self.on_log)
        try:
            async with asyncio.timeout(CONNECT_LIMIT.total_seconds()):
                stream = await arrival
        except TimeoutError:
            raise HostError(f"the worker did not connect within {CONNECT_LIMIT}") from None
        await stream.init(HOST_VERSION, app_dir, str(self.config.directory or ""))
        found = await stream.functions(app_dir) if self.config.finds_functions else None
        catalog = read_function_folders(self.settings) if found is None else read_catalog(found, self.settings)
        return WorkerMember(process, stream, catalog, await self._load(stream, catalog))

    async def _load(self, stream: WorkerStream, catalog: FunctionCatalog) -> dict[str, str]:
        limit = max(LOAD_LIMIT, self.settings.function_timeout or timedelta(days=1))
        functions = [function for function in catalog.functions if function.is_loaded]
        errors = await asyncio.gather(*(stream.load(function.metadata, limit) for function in functions))
        return {f.name: error for f, error in zip(functions, errors, strict=True) if error is not None}


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
