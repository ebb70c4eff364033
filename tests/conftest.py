"""Settings and fixtures that every test may use."""

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from contract_fixtures import forgets_the_file_of_faults, keeps_to_the_contract  # noqa: F401
from hypothesis import HealthCheck, settings
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

# A machine that is busy must not fail a property, and the same commit must give the same examples.
settings.register_profile(
    "worker_ext", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("worker_ext")

# Shells start what runs in the background with Ctrl-C ignored, and all that is started from there inherits it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A module with assertions of its own, which several tests share; before any of them imports it.
pytest.register_assert_rewrite("recordings")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores for `-n auto`, as many tests wait for what they have started."""
    return min(8, (os.cpu_count() or 1) + 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses cases that are named after an address: processes that share the tests must agree on their names."""
    found = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if found:
        raise pytest.UsageError(f"give the case an id of its own, which is the same in every process: {found}")


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Lets reports travel between processes, whatever a test has logged or printed: half a surrogate pair cannot."""
    return _as_utf8((yield))


def _as_utf8(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case list() | tuple():
            return type(value)(map(_as_utf8, value))
        case dict():
            return {_as_utf8(key): _as_utf8(entry) for key, entry in value.items()}
    return value


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout the tests lie in, which is not where `worker_ext` is imported from under tox."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What a provider is given that stands for the app's, for the time of the test."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()
