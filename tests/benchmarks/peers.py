"""Peers that need a Python of their own: a process that measures when it is told to, so that rounds can be interleaved.

The environment is made once, where the tests with real workers keep theirs. What cannot be had (a Python, a package) or
done by the peer is an error that says why.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest
from real_workers.environments import Environments

DISTRIBUTION = "azure-functions-durable"
RELEASE = "2.0.0rc3"
NAME = f"{DISTRIBUTION} {RELEASE}"
WANTED = (f"{DISTRIBUTION}=={RELEASE}", "orjson")
VERSIONS = ("3.13", "3.14")
"""Pythons that it runs on, the first that is found."""
ROOT = Path(__file__).resolve().parents[2]


class PeerError(Exception):
    """The peer is not there, or cannot do what it was asked; the text is the reason."""


class PeerProcess:
    """A process in an environment of its own that answers lines of JSON with lines of JSON."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        assert process.stdout
        self._commands: IO[bytes] = process.stdin
        self._answers: IO[bytes] = process.stdout

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Has it do something.

        Raises:
            PeerError: It cannot, or has ended.
        """
        try:
            self._commands.write(json.dumps(command).encode() + b"\n")
            answer: dict[str, Any] = json.loads(self._answers.readline())
        except (OSError, ValueError) as error:
            raise PeerError("its process has ended") from error
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer


class Peer(PeerProcess):
    """A process with the peer in it, and the floor in the same Python."""

    def __init__(self, version: str, process: subprocess.Popen[bytes]) -> None:
        super().__init__(process)
        self.floor_name = f"floor on Python {version}"

    def prepare(self, workload: str, n: int) -> None:
        """What the next seconds are of; the peer has run it to its end."""
        self.ask({"workload": workload, "n": n})

    def floor_seconds(self) -> float:
        """One run of the floor."""
        return float(self.ask({"run": "floor"})["seconds"])

    def seconds(self) -> float:
        """One run of the peer."""
        return float(self.ask({"run": "peer"})["seconds"])


def installed_name() -> str:
    """The peer that is measured in this very process, where it is installed."""
    return f"{DISTRIBUTION} {importlib.metadata.version(DISTRIBUTION)}"


def prepared(peer: Peer | PeerError, workload: str, n: int) -> Peer | PeerError:
    """The peer when it can do this, or the reason why it cannot."""
    try:
        if isinstance(peer, Peer):
            peer.prepare(workload, n)
    except PeerError as reason:
        return reason
    return peer


@contextlib.contextmanager
def started() -> Iterator[Peer | PeerError]:
    """The peer while it is needed, or the reason why there is none."""
    try:
        version, executable = interpreter(WANTED, VERSIONS)
    except PeerError as reason:
        yield reason
        return
    with spawned(executable, "tests.benchmarks.peer_process") as process:
        yield Peer(version, process)


@contextlib.contextmanager
def spawned(executable: Path, module: str) -> Iterator[subprocess.Popen[bytes]]:
    """A module of this package in another Python, until it is not needed any more."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    command, pipe = [str(executable), "-m", module], subprocess.PIPE
    # Leaving closes its input, which ends it. Nothing is buffered, so nothing is left to write to one that has ended.
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, bufsize=0) as process:
        yield process


def interpreter(wanted: Sequence[str], versions: Sequence[str]) -> tuple[str, Path]:
    """The first of these Pythons that these packages can be installed for; its version, and a Python with them.

    Raises:
        PeerError: There is none.
    """
    folder = ROOT / ".pytest_cache" / "d" / "real_workers"
    folder.mkdir(parents=True, exist_ok=True)
    environments = Environments(folder, folder)
    reasons = []
    for version in versions:
        try:
            return version, environments.interpreter(version, environments.packages(version, wanted))
        except pytest.skip.Exception as reason:
            reasons.append(str(reason))
    raise PeerError("; ".join(reasons))
