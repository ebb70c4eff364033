"""Fixtures of the end-to-end tests: every one of them drives the `worker-ext` command over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from host_process import HostProcess

E2E = Path(__file__).parent
Start = Callable[..., HostProcess]


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[Start]:
    """Makes hosts of an app, on a database file of the test's own, and ends them after the test."""
    made: list[HostProcess] = []

    def make(app: str | Path, **options: object) -> HostProcess:
        host = HostProcess(E2E / app, tmp_path / f"host{len(made)}.db", **options)  # type: ignore[arg-type]
        made.append(host)
        return host

    yield make
    for host in made:
        host.stop()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return E2E.parent
