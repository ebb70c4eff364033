"""Recorded payloads of the extension through the recorded programs: every reply as it was recorded.

Where a reply differs on purpose the case is listed with its reason, and must differ: a listed case that agrees fails.
"""

from pathlib import Path

import pytest
from recordings import HISTORIES, Comparison, cases_of

THEMES = sorted(file for file in HISTORIES.glob("gen_*.jsonl") if not file.name.startswith("gen_x_"))

DIFFERS = {
    "any_empty": "task_any([]) could never complete; it is an error that says so, and 1.7.0 yields None",
    "fan_empty": "task_all([]) is [], and 1.7.0 yields None",
    "retry_bad_options": "the message of RetryOptions has the space that 1.7.0 forgot",
    "timer_naive": "the message says that a time zone is needed, and how to get one",
}


@pytest.mark.parametrize("file", THEMES, ids=lambda file: file.stem)
def test_replies_are_the_recorded_ones(file: Path, recorded: Comparison) -> None:
    recorded.check_all(recorded.replies(file), DIFFERS)


def test_every_listed_difference_is_recorded() -> None:
    assert cases_of(THEMES) >= DIFFERS.keys()
