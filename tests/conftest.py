"""Settings and fixtures that every test may use."""

from pathlib import Path

import pytest
from contract_fixtures import forgets_the_file_of_faults, keeps_to_the_contract  # noqa: F401
from hypothesis import HealthCheck, settings

# A machine that is busy must not fail a property, and the same commit must give the same examples.
settings.register_profile(
    "worker_ext", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("worker_ext")

# A module with assertions of its own, which several tests share; before any of them imports it.
pytest.register_assert_rewrite("recordings")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout the tests lie in, which is not where `worker_ext` is imported from under tox."""
    return Path(__file__).resolve().parents[1]
