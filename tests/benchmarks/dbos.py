"""DBOS, another durable engine that keeps its work in SQLite: a process that runs the same chains."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .peers import PeerError, PeerProcess, interpreter, spawned

NAME = "DBOS 3.4.0, each commit to the disk"
WANTED = ("dbos==3.4.0",)
VERSIONS = ("3.11", "3.12", "3.13", "3.14")


class Dbos:
    """A process with DBOS in it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = PeerProcess(process)

    def seconds(self, chains: int, steps: int) -> float:
        """How long workflows of so many steps take side by side.

        Raises:
            PeerError: They did not end as they should.
        """
        return float(self._process.ask({"chains": chains, "steps": steps})["seconds"])

    def latencies(self, steps: int) -> list[float]:
        """The seconds from each step of a workflow to the next, with nothing beside it.

        Raises:
            PeerError: It did not end as it should.
        """
        return [float(spent) for spent in self._process.ask({"alone": steps})["seconds"]]


@contextlib.contextmanager
def started() -> Iterator[Dbos | PeerError]:
    """DBOS while it is needed, or the reason why there is none."""
    try:
        executable: Path = interpreter(WANTED, VERSIONS)[1]
    except PeerError as reason:
        yield reason
        return
    with spawned(executable, "tests.benchmarks.dbos_process") as process:
        yield Dbos(process)
