"""One worker process: its command line, its environment, its output, and its end.

It leads a process group of its own: Ctrl-C in the terminal reaches the host alone, and whatever the app started goes
when the worker goes.

Source: worker protocol, sections on how the host starts a worker and on the child's stdout and stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from worker_ext.errors import HostError
from worker_ext.host.console import Console, Level
from worker_ext.host.worker_config import WorkerConfig

MAX_MESSAGE_LENGTH = 2**31 - 1
_SYSTEM_LOG = "LanguageWorkerConsoleLog"
# With these set a worker takes itself for one in the cloud and starts its interpreter anew, without our environment.
_STRIPPED = ("CONTAINER_NAME", "WEBSITE_INSTANCE_ID")
_ERROR_WORDS = ("error", "fail", "severe", "unhandled exception")
_READ_SIZE = 1 << 16


class WorkerProcess:
    """A running worker.

    Attributes:
        worker_id: What it will introduce itself as.
        errors: The last lines it wrote to stderr.
    """

    def __init__(self, process: asyncio.subprocess.Process, worker_id: str, console: Console) -> None:
        self.worker_id = worker_id
        self.errors: deque[str] = deque(maxlen=40)
        self._process = process
        self._console = console
        self._pumps = [
            asyncio.create_task(self._pump(process.stdout, self._show_output)),
            asyncio.create_task(self._pump(process.stderr, self._show_error)),
        ]
        self._exit = asyncio.create_task(self._wait())

    @classmethod
    async def start(
        cls,
        config: WorkerConfig,
        app_dir: Path,
        uri: str,
        http_port: int,
        environment: Mapping[str, str],
        console: Console,
    ) -> WorkerProcess:
        """Starts a worker that connects to `uri`, such as `http://127.0.0.1:50123/`.

        Raises:
            HostError: Its program cannot be run.
        """
        worker_id = str(uuid.uuid4())
        try:
            process = await asyncio.create_subprocess_exec(
                *config.command,
                *worker_arguments(uri, worker_id, str(uuid.uuid4())),
                cwd=app_dir,
                env=worker_environment(config, app_dir, http_port, environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise HostError(
                f"the worker cannot be started: {config.command[0]}: {error.strerror}. Is the interpreter that "
                "languageWorkers__python__defaultExecutablePath names there?"
            ) from None
        return cls(process, worker_id, console)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def exit_code(self) -> int:
        """Waits for the process to end and for the last of its output."""
        return await asyncio.shield(self._exit)

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.returncode is not None

    async def end(self, grace: float) -> None:
        """Gives the worker `grace` seconds to end by itself, then SIGTERM and a second, then SIGKILL for its group."""
        await self._ended_within(grace)
        if not self.has_ended:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            await self._ended_within(1.0)
        self.kill_now()
        await self.exit_code()

    async def kill(self) -> None:
        """Ends the worker and all it started, and waits for it."""
        self.kill_now()
        await self.exit_code()

    async def _ended_within(self, seconds: float) -> None:
        if seconds > 0:
            await asyncio.wait([self._exit], timeout=seconds)

    def kill_now(self) -> None:
        """Ends the worker and all it started, without waiting."""
        # Called for a worker that has ended too: what it started may still be there.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            elif not self.has_ended:
                self._process.kill()

    async def _wait(self) -> int:
        code = await self._process.wait()
        # A grandchild may hold the pipes open for as long as it lives.
        await asyncio.wait(self._pumps, timeout=0.5)
        for pump in self._pumps:
            pump.cancel()
        return code

    async def _pump(self, stream: asyncio.StreamReader | None, show: Callable[[str], None]) -> None:
        """Shows what comes in, line by line, lines of any length."""
        assert stream is not None
        rest = b""
        while chunk := await stream.read(_READ_SIZE):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                show(line.decode(errors="replace").rstrip("\r"))
        if rest:
            show(rest.decode(errors="replace"))

    def _show_output(self, line: str) -> None:
        if line.startswith(_SYSTEM_LOG):
            self._console.log("debug", _without_mark(line))
        else:
            self._console.log("info", line)

    def _show_error(self, line: str) -> None:
        line = _without_mark(line)
        self.errors.append(line)
        self._console.log(_level(line), line)


def worker_arguments(uri: str, worker_id: str, request_id: str) -> list[str]:
    """What the worker is told; every argument in both spellings."""
    address = urlsplit(uri)
    return [
        *("--host", str(address.hostname), "--port", str(address.port)),
        *("--workerId", worker_id, "--requestId", request_id, "--grpcMaxMessageLength", str(MAX_MESSAGE_LENGTH)),
        *("--functions-uri", uri, "--functions-worker-id", worker_id),
        *("--functions-request-id", request_id, "--functions-grpc-max-message-length", str(MAX_MESSAGE_LENGTH)),
    ]


def worker_environment(
    config: WorkerConfig, app_dir: Path, http_port: int, environment: Mapping[str, str]
) -> dict[str, str]:
    """The worker's environment: the app's, and what the Functions host and Core Tools add to it."""
    defaults = {"PYTHON_THREADPOOL_THREAD_COUNT": "1000", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}
    own = {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "FUNCTIONS_WORKER_RUNTIME_VERSION": config.version,
        "FUNCTIONS_APPLICATION_DIRECTORY": str(app_dir),
        "AzureWebJobsScriptRoot": str(app_dir),
        "WEBSITE_HOSTNAME": f"localhost:{http_port}",
    }
    if config.directory is not None:
        own["FUNCTIONS_WORKER_DIRECTORY"] = str(config.directory)
    return {name: value for name, value in (defaults | dict(environment) | own).items() if name not in _STRIPPED}


def _without_mark(line: str) -> str:
    """A line without what tells the worker's own lines from those of the app."""
    return line.removeprefix(_SYSTEM_LOG).lstrip(": ") if line.startswith(_SYSTEM_LOG) else line


def _level(line: str) -> Level:
    text = line.lower()
    if any(word in text for word in _ERROR_WORDS):
        return "error"
    return "warning" if "warn" in text else "info"
