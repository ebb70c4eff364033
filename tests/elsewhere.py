"""What depends on no Python, or brings its own, is tested once where tox runs the suite on several: on the oldest."""

from __future__ import annotations

import os

import pytest
from real_workers.environments import has_python

VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def suite_elsewhere() -> str | None:
    """The Python whose suite has such tests; None where this one has them."""
    return suite_before(os.environ.get("TOX_ENV_NAME"))


def suite_before(own: str | None) -> str | None:
    """The oldest Python here for which tox runs the suite too, older than that of one of its environments."""
    older = VERSIONS[: VERSIONS.index(own)] if own in VERSIONS else ()
    return next(filter(has_python, older), None)


def once(why: str) -> pytest.MarkDecorator:
    """Marks tests that one suite is to run, and says why that is enough."""
    return pytest.mark.skipif(suite_elsewhere() is not None, reason=reason(why))


def reason(why: str) -> str:
    """What is said of tests that another suite has."""
    return f"{why}; the suite on {suite_elsewhere()} runs it"
