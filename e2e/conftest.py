"""Fixtures of the end-to-end tests, which drive a host over real HTTP: `worker-ext start`, or Core Tools' `func start`.

`--host func` chooses the latter. A test of what only the local host does is marked `local_host(reason)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from azurite import Azurite, find_azurite, running_azurite
from contract_fixtures import forgets_the_file_of_faults, keeps_to_the_contract  # noqa: F401
from core_tools import FuncProcess, find_func
from elsewhere import reason, suite_elsewhere
from host_process import HostProcess
from real_workers.cases import Case, worker_settings
from real_workers.fixtures import WHY_ONCE, code, environments, run_folder
from web_service import WebService, web_service

__all__ = ["code", "environments", "run_folder"]

E2E = Path(__file__).parent
Start = Callable[..., HostProcess]
OWN_WORKER, OVER_GRPC, CORE_TOOLS = "own worker", "own worker over gRPC", "Core Tools"
WORKERS = [OWN_WORKER, Case("v2", "proxy", "3.13")]
"""What runs the samples: the worker of this package, on the Python of the tests, and Microsoft's request handlers."""


LOCAL, FUNC = "local", "func"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Lets the caller choose what runs the apps."""
    parser.addoption(
        "--host",
        choices=[LOCAL, FUNC],
        default=LOCAL,
        help="what runs the apps of e2e/: worker-ext start, or func start",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line("markers", "local_host(reason): not for --host func, and why")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips on Core Tools what is the local host's alone."""
    if config.getoption("--host", LOCAL) == FUNC:
        for item in items:
            for marker in item.iter_markers("local_host"):
                item.add_marker(pytest.mark.skip(reason=f"for the local host only: {marker.args[0]}"))


@pytest.fixture(scope="session")
def azurite(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """The storage emulator of all apps on Core Tools."""
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    command = find_azurite(cache.mkdir("azurite") if cache else tmp_path_factory.mktemp("azurite"))
    with running_azurite(command, tmp_path_factory.mktemp("storage")) as running:
        yield running


@pytest.fixture(scope="session")
def new_func(request: pytest.FixtureRequest) -> Start:
    """Makes `func start` of an app; the test is skipped where Core Tools are not installed."""
    func = find_func()
    return partial(FuncProcess, func=func, azurite=request.getfixturevalue("azurite"))


@pytest.fixture(scope="session")
def new_host(request: pytest.FixtureRequest) -> Start:
    """Makes hosts of the kind that the caller chose, of an app and the path of a database."""
    chosen = request.config.getoption("--host", LOCAL)
    return request.getfixturevalue("new_func") if chosen == FUNC else HostProcess  # type: ignore[no-any-return]


@pytest.fixture
def make_host(new_host: Start, tmp_path: Path) -> Iterator[Start]:
    """Makes hosts of an app, on a database file of the test's own, and ends them after the test."""
    made: list[HostProcess] = []

    def make(app: str | Path, **options: object) -> HostProcess:
        host = new_host(E2E / app, tmp_path / f"host{len(made)}.db", **options)
        made.append(host)
        return host

    yield make
    for host in made:
        host.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs every test of a sample on each worker; a module may list its own as `WORKERS`."""
    if "sample" in metafunc.fixturenames:
        workers = getattr(metafunc.module, "WORKERS", WORKERS)
        if metafunc.config.getoption("--host", LOCAL) == FUNC:
            workers = [CORE_TOOLS]
        metafunc.parametrize("sample", workers, indirect=True, scope="module", ids=str)


@pytest.fixture(scope="module")
def sample(
    request: pytest.FixtureRequest, web: WebService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HostProcess]:
    """A host of the sample that a module names as `APP`, for all its tests.

    The module's `SETTINGS`, if any, are app settings; `{web}` in them is the address of the test's web service,
    `{folder}` an empty folder.
    """
    folder = tmp_path_factory.mktemp("sample")
    known = {"web": web.url, "folder": tmp_path_factory.mktemp("folder")}
    settings = {name: value.format(**known) for name, value in getattr(request.module, "SETTINGS", {}).items()}
    if request.param == OVER_GRPC:
        settings["WORKER_EXT_TRANSPORT"] = "grpc"
    if isinstance(request.param, Case):
        if suite_elsewhere():
            pytest.skip(reason(WHY_ONCE))
        more = [request.getfixturevalue(name) for name in ("environments", "code")]
        settings |= worker_settings(request.param, *more, folder)
    new_host: Start = request.getfixturevalue("new_host")
    host = new_host(E2E / "apps" / request.module.APP, folder / "host.db", environment=settings)
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
