"""Fixtures of the end-to-end tests: every one of them drives the `worker-ext` command over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from contract_fixtures import forgets_the_file_of_faults, keeps_to_the_contract  # noqa: F401
from host_process import HostProcess
from real_workers.cases import Case, worker_settings
from real_workers.fixtures import WHY_NOT_HERE, code, environments, is_run_elsewhere
from web_service import WebService, web_service

__all__ = ["code", "environments"]

E2E = Path(__file__).parent
Start = Callable[..., HostProcess]
OWN_WORKER = "own worker"
WORKERS = [OWN_WORKER, Case("v2", "proxy", "3.13")]
"""What runs the samples: the worker of this package, on the Python of the tests, and Microsoft's request handlers."""


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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs every test of a sample on each worker; a module may list its own as `WORKERS`."""
    if "sample" in metafunc.fixturenames:
        workers = getattr(metafunc.module, "WORKERS", WORKERS)
        metafunc.parametrize("sample", workers, indirect=True, scope="module", ids=str)


@pytest.fixture(scope="module")
def sample(
    request: pytest.FixtureRequest, web: WebService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HostProcess]:
    """A host of the sample that a module names as `APP`, for all its tests.

    The module's `SETTINGS`, if any, are app settings; `{web}` in them is the address of the test's web service.
    """
    folder = tmp_path_factory.mktemp("sample")
    settings = {name: value.format(web=web.url) for name, value in getattr(request.module, "SETTINGS", {}).items()}
    if isinstance(request.param, Case):
        if is_run_elsewhere():
            pytest.skip(WHY_NOT_HERE)
        more = [request.getfixturevalue(name) for name in ("environments", "code")]
        settings |= worker_settings(request.param, *more, folder)
    host = HostProcess(E2E / "apps" / request.module.APP, folder / "host.db", environment=settings)
    yield host.start()
    host.stop()


@pytest.fixture(scope="module")
def web() -> Iterator[WebService]:
    """A web service that stands for those on the internet."""
    with web_service() as service:
        yield service


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return E2E.parent
