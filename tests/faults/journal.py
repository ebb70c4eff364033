"""What the activities wrote when they ran, and which kill each repeat is owed to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Kill:
    """A SIGKILL.

    Attributes:
        what: What was killed, for people.
        at: When it was sent, in nanoseconds of the monotonic clock.
        workers: The processes whose work was lost with it: those that were killed, or whose host was.
        host: Whether the host was among the killed: a run of its workers may then begin after it.
    """

    what: str
    at: int
    workers: frozenset[int]
    host: bool


@dataclass
class Run:
    """A run of an activity: by which process, from when to when; no end where it was killed."""

    pid: int
    started: int
    ended: int | None = None


@dataclass
class Repeats:
    """What the journal says.

    Attributes:
        runs: How often activities were started.
        repeats: How many of these were not the first.
        matched: How many of the repeats a kill explains.
        longest_gap: The longest time in seconds between the end of a run and the kill that undid it.
        faults: The repeats that no kill explains, and activities that never ran or ended.
    """

    runs: int = 0
    repeats: int = 0
    matched: int = 0
    longest_gap: float = 0.0
    faults: list[str] = field(default_factory=list)


def read(path: Path) -> dict[str, list[Run]]:
    """The runs of each activity, in the order of their starts."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for line in path.read_text().splitlines():
        kind, time, pid, key = line.split()
        if kind == "start":
            runs[key].append(Run(int(pid), int(time)))
        else:
            open_runs = [run for run in runs[key] if run.pid == int(pid) and run.ended is None]
            open_runs[0].ended = int(time)
    for found in runs.values():
        found.sort(key=lambda run: run.started)
    return dict(runs)


def judge(runs: dict[str, list[Run]], expected: Iterable[str], kills: list[Kill]) -> Repeats:
    """Looks for the kill that fell between the start and the commit of every run that was repeated.

    One run of each activity was committed; every other must have been undone by a kill.
    """
    outcome = Repeats()
    names = Counter(expected)
    outcome.faults += [f"activity {key} never ran" for key in names if key not in runs]
    for key, found in runs.items():
        outcome.runs += len(found)
        outcome.repeats += len(found) - 1
        if key not in names:
            outcome.faults.append(f"activity {key} ran, which nobody asked for")
        if not any(run.ended for run in found):
            outcome.faults.append(f"activity {key} never ended")
        if len(found) > 1:
            _match(outcome, key, found, kills)
    return outcome


def _match(outcome: Repeats, key: str, found: list[Run], kills: list[Kill]) -> None:
    undone = [(run, kill) for run in found if (kill := _end_of(run, found, kills)) is not None]
    outcome.matched += min(len(undone), len(found) - 1)
    if len(undone) < len(found) - 1:
        outcome.faults.append(f"activity {key} ran again without a kill: {found}")
    gaps = [(kill.at - run.ended) / NANOSECONDS for run, kill in undone if run.ended is not None]
    outcome.longest_gap = max(outcome.longest_gap, *gaps, 0.0)


def _end_of(run: Run, found: list[Run], kills: list[Kill]) -> Kill | None:
    """The kill of a run's process, or of that process's host, that came before another run.

    A worker whose host was killed may begin a moment later what the host had given it.
    """
    latest = max(other.started for other in found if other is not run)
    for kill in kills:
        if run.pid in kill.workers and kill.at < latest and (kill.host or kill.at > run.started):
            return kill
    return None
