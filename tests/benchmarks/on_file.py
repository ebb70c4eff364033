"""What many instances cost: queries, memory and the start, with thousands on file and with thousands running."""

from __future__ import annotations

import http.client
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from host_process import HostProcess, wait_until

from .instances import fill, name_of
from .local_host import APP, HOST, begin, first_answer
from .report import Row

RUNNING = 10_000
PAGE = 100
_QUERIES = 100
_WEBHOOK = "/runtime/webhooks/durabletask"


def measure(counts: list[int], rounds: int) -> Iterator[Row]:
    """Measures a host on files with so many instances, and one under 10,000 running ones."""
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "many.db")
            print(f"writing {count:,} instances to a file", file=sys.stderr)
            fill(path, count)
            yield from _on_file(path, count, rounds)
    with tempfile.TemporaryDirectory() as folder:
        yield from _running(Path(folder, "running.db"))


def _on_file(path: Path, count: int, rounds: int) -> Iterator[Row]:
    host, answers, resting = HostProcess(APP, path), [], []
    who = f"{HOST}, {count:,} on file"
    for _ in range(rounds):
        answers.append(first_answer(host))
        resting.append(mebibytes(host.pid))
        if len(answers) < rounds:
            host.stop()
    try:
        yield Row.of("start to first answer", who, "s", answers)
        yield Row.of("memory of the host at rest", who, "MiB", resting)
        client = Client(host)
        middle = name_of(count // 2)
        yield client.row("a status query", who, lambda: f"/instances/{middle}")
        yield client.row(f"the first page of {PAGE}", who, lambda: f"/instances?top={PAGE}")
        yield client.row(
            f"a page of {PAGE} from the middle",
            who,
            lambda: f"/instances?top={PAGE}",
            token=client.token_of_middle(count),
        )
        yield client.row(f"a page of {PAGE} that failed", who, lambda: f"/instances?top={PAGE}&runtimeStatus=Failed")
    finally:
        host.stop()


def _running(path: Path) -> Iterator[Row]:
    host = HostProcess(APP, path)
    first_answer(host)
    try:
        yield Row.of("memory of the host at rest", f"{HOST}, a new file", "MiB", [mebibytes(host.pid)])
        print(f"starting {RUNNING:,} instances", file=sys.stderr)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: begin(host, "wait", f"waits-{number}", None), range(RUNNING)))
        pending = f"{host.webhook}/instances?runtimeStatus=Pending&top=1"
        wait_until(lambda: host.get(pending).json == [], "all to run", host.log)
        yield Row.of("memory of the host", f"{HOST}, {RUNNING:,} running", "MiB", [mebibytes(host.pid)])
        workers = [mebibytes(pid) for pid in host.workers()]
        yield Row.of("memory of a worker", f"{HOST}, {RUNNING:,} running", "MiB", workers)
    finally:
        host.stop()


def mebibytes(pid: int) -> float:
    """The resident memory of a process."""
    listed = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    return int(listed) / 1024


class Client:
    """Asks a host over one connection, so that what is measured is the answer."""

    def __init__(self, host: HostProcess) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", host.port)

    def row(self, measure: str, who: str, path: Callable[[], str], token: str = "") -> Row:
        """How long a query takes in milliseconds, asked again and again."""
        self.get(path(), token)
        samples = []
        for _ in range(_QUERIES):
            start = time.perf_counter()
            self.get(path(), token)
            samples.append(1e3 * (time.perf_counter() - start))
        return Row.of(measure, who, "ms", samples)

    def token_of_middle(self, count: int) -> str:
        """The continuation token after half of the instances."""
        token = ""
        for _ in range(count // 2 // 1000):
            token = self.get("/instances?top=1000&showInput=false", token)
        return token

    def get(self, path: str, token: str = "") -> str:
        """Asks; the continuation token of the answer."""
        self._connection.request("GET", _WEBHOOK + path, headers={"x-ms-continuation-token": token} if token else {})
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status not in {200, 202}:
            raise SystemExit(f"{path} was answered {answer.status} {body[:500]!r}")
        return answer.headers.get("x-ms-continuation-token") or ""
