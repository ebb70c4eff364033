"""A host that may open few files: more connections than that are no trouble to it, and are told in one line."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_process import HostProcess, wait_until
from running_host import APPS

if sys.platform == "win32":
    pytest.skip("there are no such limits here", allow_module_level=True)
import resource


class LimitedHost(HostProcess):
    """A host that is started with a limit, in the words of `ulimit`."""

    limit = ""

    def command(self) -> list[str]:
        return ["sh", "-c", f'ulimit {self.limit} && exec "$@"', "sh", *super().command()]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LimitedHost]:
    host = LimitedHost(APPS / "durable", tmp_path / "x.db")
    yield host
    host.stop()


def test_connections_beyond_the_limit_wait_and_are_told_once(host: LimitedHost) -> None:
    host.limit = "-n 64"
    host.start()
    host.listed()  # the start is over
    before = len(host.output)
    connections = [socket.create_connection(("127.0.0.1", host.port)) for _ in range(100)]
    told = "No more connections can be taken: Too many open files (64 at most). They wait until others are closed;"
    wait_until(lambda: any(told in line for line in host.output), "the complaint", host.log)
    for connection in connections:
        connection.close()
    assert host.post(f"{host.webhook}/orchestrators/walks/i").status == 202
    assert host.output_of("i") == {"ok": True}
    complaints = [line for line in host.output[before:] if line]
    # One in ten seconds, however often the host has tried.
    assert len([line for line in complaints if told in line]) <= 6
    assert "Traceback" not in host.log()
    assert host.interrupt() == 0


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process cannot be read here")
def test_a_low_limit_that_may_be_raised_is_raised(host: LimitedHost) -> None:
    host.limit = "-Sn 100"
    host.start()
    soft, hard = resource.prlimit(host.pid, resource.RLIMIT_NOFILE)
    assert soft == min(10_240, hard)
