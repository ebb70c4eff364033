"""Environments that outlive a test run, and the code to run in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from real_workers.environments import Environments, copy_of_worker_ext

WHY_ONCE = "the matrix has its own Pythons"


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def environments(pytestconfig: pytest.Config, run_folder: Path) -> Environments:
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    return Environments(cache.mkdir("real_workers") if cache else run_folder, run_folder)


@pytest.fixture(scope="session")
def code(run_folder: Path) -> Path:
    """A folder that holds the `worker_ext` under test and nothing else."""
    return copy_of_worker_ext(run_folder / "code")
