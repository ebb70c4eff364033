"""Environments that outlive a test run, and apps to run in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_workers.environments import Environments, copy_of_worker_ext


@pytest.fixture(scope="session")
def environments(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Environments:
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    return Environments(cache.mkdir("real_workers") if cache else tmp_path_factory.mktemp("real_workers"))


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the `worker_ext` under test and nothing else."""
    return copy_of_worker_ext(tmp_path_factory.mktemp("code"))
