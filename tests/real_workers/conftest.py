"""Environments that outlive a test run, and apps to run in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from real_workers.environments import Environments, copy_of_worker_ext, has_python


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips the matrix where the suite of an older Python, which tox runs too, has it: it brings its own Pythons."""
    if os.environ.get("TOX_ENV_NAME") not in {"3.12", "3.13", "3.14"} or not has_python("3.11"):
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="the matrix has its own Pythons; the suite on 3.11 runs it"))


@pytest.fixture(scope="session")
def environments(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Environments:
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    return Environments(cache.mkdir("real_workers") if cache else tmp_path_factory.mktemp("real_workers"))


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the `worker_ext` under test and nothing else."""
    return copy_of_worker_ext(tmp_path_factory.mktemp("code"))
