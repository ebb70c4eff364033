"""Random `async def` programs on the local host's kernel against a direct model: as many as one likes.

Every program has a seed; a fault names the check and the seed that show it again.
"""

from __future__ import annotations

from collections.abc import Iterator

from random_world import CHECKS

from .report import Row


def measure(programs: int, seed: int) -> Iterator[Row]:
    """Runs so many programs, in equal shares for each check.

    Raises:
        SystemExit: A program did something else than was expected.
    """
    share = -(-programs // len(CHECKS))
    for check in CHECKS:
        for number in range(seed, seed + share):
            try:
                check(number)
            except Exception as error:
                raise SystemExit(f"{check.__name__}({number}): {type(error).__name__}: {error}") from error
        yield Row(f"programs {check.__name__}", "worker_ext", "programs", float(share), None, None, share)
