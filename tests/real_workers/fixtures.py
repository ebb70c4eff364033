"""Environments that outlive a test run, the code to run in them, and when to leave it to another suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from real_workers.environments import Environments, copy_of_worker_ext, has_python

WHY_NOT_HERE = "the matrix has its own Pythons; the suite on 3.11 runs it"


def is_run_elsewhere() -> bool:
    """Whether the suite of an older Python, which tox runs too, has the tests with real workers."""
    return os.environ.get("TOX_ENV_NAME") in {"3.12", "3.13", "3.14"} and has_python("3.11")


@pytest.fixture(scope="session")
def environments(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Environments:
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    return Environments(cache.mkdir("real_workers") if cache else tmp_path_factory.mktemp("real_workers"))


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the `worker_ext` under test and nothing else."""
    return copy_of_worker_ext(tmp_path_factory.mktemp("code"))
