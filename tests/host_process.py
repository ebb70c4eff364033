"""The local host as its users meet it: the `worker-ext` command as a process, spoken to over HTTP."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import contract

PATIENCE = 60.0
"""Seconds after which something that has not happened is taken not to happen. Never a measure of speed."""

POLL = 0.05
TERMINAL = {"Completed", "Failed", "Terminated", "Canceled"}


@dataclass(frozen=True)
class Answer:
    """What an HTTP request was answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class HostProcess:
    """`worker-ext start` on an app, from `start()` to `stop()` or `kill()`, as often as one likes.

    Attributes:
        app: The folder of the app.
        db: The database file.
        port: The port it listens on.
        environment: Variables the host gets beside those of the tests.
        options: More words for its command line.
        output: What it printed since the first start.
    """

    app: Path
    db: Path
    port: int = field(default_factory=lambda: free_port())  # noqa: PLW0108 - it is defined further down
    environment: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address of the host, without a slash at the end."""
        return f"http://localhost:{self.port}"

    @property
    def webhook(self) -> str:
        """Where the durable management API lives."""
        return f"{self.url}/runtime/webhooks/durabletask"

    # -- its life ----------------------------------------------------------------------------------------------------

    def start(self) -> HostProcess:
        """Starts the host and waits until it serves."""
        self.launch()
        wait_until(self._serves, f"the host to serve {self.url}", self.log)
        return self

    def launch(self) -> None:
        """Starts the host without waiting."""
        self._process = subprocess.Popen(
            self.command(),
            cwd=self.working_directory,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **contract.environment(), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=[self._process], daemon=True)
        self._reader.start()

    def command(self) -> list[str]:
        """What is run."""
        return [*cli(), "start", str(self.app), "--port", str(self.port), "--db", str(self.db), *self.options]

    @property
    def working_directory(self) -> Path | None:
        """Where it is run; None is where the tests are."""
        return None

    def until_it_says(self, text: str) -> None:
        """Waits until a text was printed: what was done may be seen elsewhere before."""
        wait_until(lambda: text in self.log(), f"{text!r} to be printed", self.log)

    def listed(self) -> list[str]:
        """The functions as the host prints them once it serves, each with its address or trigger."""
        self.until_it_says("Press Ctrl-C to stop.")
        return [line.strip() for line in self.output if line.startswith("\t")]

    def interrupt(self) -> int:
        """Ends the host as Ctrl-C does and returns its exit code."""
        process = self._running()
        os.killpg(process.pid, signal.SIGINT)
        return self._reap(process)

    def kill(self) -> None:
        """Ends the host and its workers at once, as a power cut does."""
        process = self._running()
        victims = [process.pid, *descendants(process.pid)]
        # The host first: alive it would see its workers die and start new ones.
        for pid in victims:
            _kill(pid)
        self._reap(process)
        wait_until(lambda: not any(map(_is_alive, victims)), "killed processes to be gone", self.log)

    def kill_workers(self) -> list[int]:
        """Ends the workers only, at once; returns their process ids."""
        victims = self.workers()
        for pid in victims:
            _kill(pid)
        wait_until(lambda: not any(map(_is_alive, victims)), "killed workers to be gone", self.log)
        return victims

    def stop(self) -> None:
        """Ends the host if it runs, however it can be ended."""
        process = self._process
        if process is not None and process.poll() is None:
            try:
                self.interrupt()
            except subprocess.TimeoutExpired:
                self.kill()

    @property
    def pid(self) -> int:
        """The process id of the host."""
        return self._running().pid

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return children(self.pid)

    def wait(self) -> int:
        """Waits for the host to end by itself and returns its exit code."""
        return self._reap(self._running())

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the host was not started"
        return self._process

    def _reap(self, process: subprocess.Popen[str]) -> int:
        code = process.wait(PATIENCE)
        assert self._reader is not None
        self._reader.join(5)
        return code

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            self.output.extend(line.rstrip("\n") for line in lines)

    def log(self) -> str:
        """What it printed so far, for the message of a failing test."""
        return "\n".join(self.output)

    def _serves(self) -> bool:
        process = self._running()
        assert process.poll() is None, f"the host ended with exit code {process.returncode}:\n{self.log()}"
        try:
            return self.get("/admin/host/ping").status == 200
        except OSError:
            return False

    # -- requests ----------------------------------------------------------------------------------------------------

    def request(self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Answer:
        """Sends a request; `path` is a path or a whole URL, `body` bytes or what is sent as JSON."""
        url = path if path.startswith("http") else self.url + path
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})} if data is not None else headers or {}
        request = urllib.request.Request(url, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def get(self, path: str) -> Answer:
        """Sends a GET request."""
        return self.request("GET", path)

    def post(self, path: str, body: Any = None) -> Answer:
        """Sends a POST request."""
        return self.request("POST", path, body)

    def begin(self, orchestrator: str, input_: Any = None) -> str:
        """Starts an orchestration through the app's HttpStart and returns its instance id."""
        answer = self.post(f"/api/orchestrators/{orchestrator}", input_)
        assert answer.status == 202, f"{answer.status} {answer.text}\n{self.log()}"
        return str(answer.json["id"])

    def status(self, instance_id: str, query: str = "") -> dict[str, Any]:
        """The status of an instance."""
        answer = self.get(f"{self.webhook}/instances/{instance_id}{query}")
        assert answer.status in (200, 202), f"{answer.status} {answer.text}\n{self.log()}"
        status: dict[str, Any] = answer.json
        return status

    def result(self, instance_id: str) -> dict[str, Any]:
        """The status of an instance once it has ended."""
        wait_until(lambda: self.status(instance_id)["runtimeStatus"] in TERMINAL, f"{instance_id} to end", self.log)
        return self.status(instance_id)

    def output_of(self, instance_id: str) -> Any:
        """The output of an instance, once it has completed."""
        status = self.result(instance_id)
        assert status["runtimeStatus"] == "Completed", f"{status}\n{self.log()}"
        return status["output"]


def cli() -> list[str]:
    """The command as pip installs it, beside the Python that runs the tests."""
    return [str(Path(sys.executable).with_name("worker-ext"))]


def free_port() -> int:
    """A TCP port that is free, and stays so: no other process of this test run has it, nor does the system give it."""
    return next(filter(is_free, _ports))


def _own_ports() -> Iterator[int]:
    """Ports for this process of the test run, below those that systems give to whoever asks for any."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(20_000 + 500 * (number % 20), 20_500 + 500 * (number % 20))
    first = os.getpid() % len(ports)  # another test run may be under way
    return itertools.cycle([*ports[first:], *ports[:first]])


_ports = _own_ports()


def is_free(port: int) -> bool:
    """Whether a server could listen at a TCP port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still live."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "stat="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [int(child) for child, parent, state in rows if int(parent) == pid and not state.startswith("Z")]


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, those that these have started, and so on."""
    found = children(pid)
    return [*found, *(grandchild for child in found for grandchild in descendants(child))]


def command_of(pid: int) -> str:
    """The command line of a process; empty where it has ended."""
    done = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def wait_until(
    condition: Callable[[], bool],
    what: str,
    explain: Callable[[], str] = str,
    *,
    poll: float = POLL,
    patience: float = PATIENCE,
) -> None:
    """Returns as soon as the condition holds.

    Raises:
        AssertionError: It does not hold after all the patience there is.
    """
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience:g} s for {what}\n{explain()}"
        time.sleep(poll)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state = done.stdout.strip()
    return bool(state) and not state.startswith("Z")
