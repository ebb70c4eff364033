"""What the tests with real workers share."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_workers.fixtures import WHY_NOT_HERE, code, environments, is_run_elsewhere

__all__ = ["code", "environments"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips the matrix where the suite of an older Python, which tox runs too, has it: it brings its own Pythons."""
    if not is_run_elsewhere():
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=WHY_NOT_HERE))
