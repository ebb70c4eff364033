"""`python -m tests.faults`: kills, counts, and fails if anything was lost or done twice."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # host_process, as the tests import it

from .rounds import Outcome, Plan, run_round

DESCRIPTION = """\
Runs orchestrations on the local host (`worker-ext start`, on a database file) while the host and its workers are killed
with SIGKILL at random: fans of activities, timers, external events, sub-orchestrations, generations, entity counters
and transfers under locks. When all have ended it looks at each of them:

  lost         an orchestration that was started, an event or a signal that the host said it has, is not there
  wrong        a result, a history or an entity's state is not what it must be; an event was heard twice
  unexplained  an activity was started twice, and no kill fell between its start and the commit of its result

Rounds follow each other, each with a host and a file of its own, until the time is up; a round that has begun is
finished. The counts are printed at the end; the exit code is 1 if there is any fault.
"""

EXAMPLES = """\
examples:
  python -m tests.faults --minutes 10                               rounds of 10,000 for ten minutes
  python -m tests.faults --minutes 0 --orchestrations 100 --seed 7  one small round
  python -m tests.faults --kill-every 0.5 2 --workers 4             more kills, more workers
  python -m tests.faults --minutes 60 --format json > faults.json
"""
_SHOWN_FAULTS = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line, runs the rounds, prints the counts; the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    least, most = options.kill_every
    if not 0 <= least <= most:
        parser.error(f"--kill-every: expected LEAST <= MOST, both at least 0, found {least:g} {most:g}")
    plan = Plan(options.orchestrations, options.pause, (least, most), options.workers)
    total, start = Outcome(), time.monotonic()
    for number in itertools.count(1):
        tell = partial(_tell, start, number)
        total.add(asyncio.run(run_round(plan, options.seed, number, tell)))
        total.counts["rounds"] = number
        if time.monotonic() - start >= options.minutes * 60:
            break
    print(render(total, options.format))
    if total.faults:
        print("\n" + "\n".join(total.faults[:_SHOWN_FAULTS]), file=sys.stderr)
        print(f"{len(total.faults)} faults, drawn with --seed {options.seed}", file=sys.stderr)
        print(f"journal, host.log, host.db and kills are left in {', '.join(total.kept)}", file=sys.stderr)
    return 1 if total.faults else 0


def _tell(start: float, number: int, text: str) -> None:
    print(f"{time.monotonic() - start:7.1f} s  round {number}: {text}", file=sys.stderr)


def render(outcome: Outcome, form: str) -> str:
    """The counts as `table`, `tsv` or `json`."""
    rows: dict[str, int | float] = {
        **dict(sorted(outcome.counts.items())),
        **outcome.largest,
        "faults": len(outcome.faults),
    }
    if form == "json":
        return json.dumps({**rows, "faults": outcome.faults}, indent=2)
    cells = [(name, f"{value:,.2f}" if isinstance(value, float) else f"{value:,}") for name, value in rows.items()]
    if form == "tsv":
        return "\n".join(f"{name}\t{value.replace(',', '')}" for name, value in cells)
    width, numbers = (max(map(len, column)) for column in zip(*cells, strict=True))
    return "\n".join(f"{name:{width}}  {value:>{numbers}}" for name, value in cells)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {number}")
    return number


def _amount(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected at least 0, found {text}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=_amount, default=5, help="how long to begin new rounds (default 5; 0 is one)")
    parser.add_argument("--orchestrations", type=_count, default=10_000, help="how many a round (default 10000)")
    parser.add_argument("--seed", type=int, default=1, help="what orchestrations and kills are drawn from (default 1)")
    parser.add_argument(
        "--kill-every",
        type=_amount,
        nargs=2,
        default=(1.0, 8.0),
        metavar=("LEAST", "MOST"),
        help="seconds from a kill to the next (default 1 8)",
    )
    parser.add_argument("--pause", type=_amount, default=0.02, help="longest time of an activity in seconds (0.02)")
    parser.add_argument("--workers", type=_count, default=2, help="worker processes of the host (default 2)")
    parser.add_argument("--format", choices=["table", "tsv", "json"], default="table", help="how to print (table)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
