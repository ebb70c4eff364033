"""`python -m tests.benchmarks`: measures, prints, asserts nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # host_process, as the tests import it

from . import fuzz, imports, local_host, memory, on_file, operations, programs, replay, workers
from .payloads import SHAPES
from .report import Row, render

DESCRIPTION = """\
Measures worker_ext on this machine and prints a figure a line: the median of the samples, the least and the most.

  replay   a workflow's whole history in one turn, as a ratio to the floor: orjson.loads of the payload, a bare
           generator, orjson.dumps of the reply. Lower is better; 1 is the floor itself.
  operations   an entity batch and an activity, as ratios to the same floor.
  import   `import worker_ext` when azure.functions is there already: milliseconds, and MiB of resident memory.
  host     the local host as a process: from `start` to its first HTTP answer, the time of an activity step with nothing
           beside it, and steps and chains a second, many side by side; DBOS on SQLite does the same in the same round.
  file     the local host with many instances on file: a status query, pages of 100, memory at rest, the start; and its
           memory under 10,000 running instances.
  workers  one invocation in our worker, as a ratio to the same with Microsoft's request handlers in it; its start.
  memory   the most that a turn with a thousand open tasks holds at a time.
  programs random `async def` programs on the local host's kernel in virtual time, against a direct model: each must do
           what asyncio does, or the command fails. Runs only when it is named.
  fuzz     damaged payloads: each must end in a reply or in an error of this package, or the command fails. Runs only
           when it is named.

azure-functions-durable is measured beside it where it is installed. 2.0.0rc3 is measured in replay and operations too,
in a process on Python 3.13 or 3.14 (also below $PYENV_ROOT), against the floor in that Python. It reads the history
as protobuf. DBOS runs in a process of its own too. pip installs both once, into .pytest_cache; a row says why, where it
cannot be measured. Contenders take turns, so ratios hold on a busy machine; times and rates do not. Close what else is
running before you compare those.
"""

EXAMPLES = """\
examples:
  python -m tests.benchmarks                              everything, a few minutes
  python -m tests.benchmarks replay --shape chain -n 1000
  python -m tests.benchmarks host --chains 100 --steps 10 --rounds 5
  python -m tests.benchmarks file --instances 1000000
  python -m tests.benchmarks fuzz --payloads 1000000 --seed 7
  python -m tests.benchmarks programs --programs 10000 --seed 100
  python -m tests.benchmarks import --format json > import.json
"""

KINDS = ("replay", "operations", "import", "host", "file", "workers", "memory")
ONLY_WHEN_NAMED = ("fuzz", "programs")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, measures, and prints."""
    options = _parser().parse_args(arguments)
    rows = []
    for row in _measure(options):
        rows.append(row)
        print(f"measured {row.measure}: {row.who}", file=sys.stderr)
    print(render(rows, options.format))


def _measure(options: argparse.Namespace) -> Iterator[Row]:
    kinds = options.kind or KINDS
    if "replay" in kinds:
        yield from replay.measure(options.n or [100, 1000], options.rounds, options.shape)
    if "operations" in kinds:
        yield from operations.measure(options.rounds)
    if "import" in kinds:
        yield from imports.measure(max(options.rounds, 10))
    if "host" in kinds:
        yield from local_host.measure(min(options.rounds, 5), options.chains, options.steps, options.memory)
    if "file" in kinds:
        yield from on_file.measure(options.instances or [10_000, 100_000], min(options.rounds, 3))
    if "workers" in kinds:
        yield from workers.measure(options.rounds)
    if "memory" in kinds:
        yield from memory.measure(options.rounds)
    if "programs" in kinds:
        yield from programs.measure(options.programs, options.seed)
    if "fuzz" in kinds:
        yield from fuzz.measure(options.payloads, options.seed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "kind",
        nargs="*",
        choices=[*KINDS, *ONLY_WHEN_NAMED, []],
        metavar="kind",
        help="replay, operations, import, host, file, workers, memory, programs, fuzz; all but the last two if none",
    )
    parser.add_argument("-n", type=int, action="append", help="steps of a replayed workflow; 100 and 1000 if not given")
    parser.add_argument("--shape", action="append", choices=[shape.name for shape in SHAPES], help="replay only this")
    parser.add_argument("--rounds", type=int, default=7, help="samples of a figure (default 7; host at most 5)")
    parser.add_argument("--chains", type=int, default=100, help="chains side by side on the host (default 100)")
    parser.add_argument("--steps", type=int, default=10, help="activities of each chain (default 10)")
    parser.add_argument(
        "--instances", type=int, action="append", help="instances on file; 10000 and 100000 if not given"
    )
    parser.add_argument("--memory", action="store_true", help="give the host a database in memory instead of a file")
    parser.add_argument("--payloads", type=int, default=100_000, help="damaged payloads of a fuzz run (default 100000)")
    parser.add_argument("--programs", type=int, default=7_000, help="random programs to run (default 7000)")
    parser.add_argument("--seed", type=int, default=1, help="what a run of fuzz or programs is repeated by (default 1)")
    parser.add_argument("--format", choices=["table", "tsv", "json"], default="table", help="how to print (table)")
    return parser


if __name__ == "__main__":
    main()
