"""Random `async def` programs on the local host's kernel, in virtual time: they do what asyncio itself does with them.

`python -m tests.benchmarks programs --programs 100000` runs as many as one likes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from random_world import CHECKS, ends_well_with_long_timers

PROGRAMS = 40


@pytest.mark.parametrize("seed", range(PROGRAMS))
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_random_programs(check: Callable[[int], None], seed: int) -> None:
    check(seed)


def test_cancelled_timers_of_branches_have_no_more_pieces() -> None:
    """Only generators have those, which 1.7.0 may have begun. This program sets another timer that looks like one."""
    ends_well_with_long_timers(50076)


REPLAYED = """
import sys
sys.path[:0] = sys.argv[1:]
from random_world import EngineOptions, Writer, World, events
for seed in range(12):
    world = World(Writer(seed, entities=True, locks=True).program(), EngineOptions())
    print(world.run_program(events(seed)), world.leaves)
"""


def test_the_seed_of_hashes_changes_nothing(repository: Path) -> None:
    paths = [str(repository / "tests"), *(path for path in sys.path if path)]
    outputs = {
        subprocess.run(
            [sys.executable, "-W", "error", "-c", REPLAYED, *paths],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "4711")
    }
    assert len(outputs) == 1
    assert outputs.pop().count("COMPLETED") == 12
