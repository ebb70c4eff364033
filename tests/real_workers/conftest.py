"""What the tests with real workers share."""

from __future__ import annotations

from pathlib import Path

import pytest
from elsewhere import once
from real_workers.fixtures import WHY_ONCE, code, environments, run_folder

__all__ = ["code", "environments", "run_folder"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves the matrix to one suite."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(once(WHY_ONCE))
