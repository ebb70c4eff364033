"""Fixtures of the engine's tests."""

from collections.abc import Iterator

import pytest
from recordings import Comparison, comparison


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Comparison]:
    """The recorded programs, and the comparison that came with the recordings."""
    yield from comparison(monkeypatch)
