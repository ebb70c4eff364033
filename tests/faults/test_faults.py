"""The command that kills finds what it is there to find, and a short run of it finds nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import rounds
from .__main__ import main
from .client import Client
from .jobs import Job, Said, counters
from .journal import Kill, Run, judge, read

SECOND = 1_000_000_000


def kill(at: float, *workers: int, host: bool = False) -> Kill:
    return Kill("host" if host else "workers", int(at * SECOND), frozenset(workers), host)


def run(pid: int, start: float, end: float | None = None) -> Run:
    return Run(pid, int(start * SECOND), None if end is None else int(end * SECOND))


def status(output: Any, *kinds: str, state: str = "Completed") -> dict[str, Any]:
    names = ["ExecutionStarted", *kinds, "ExecutionCompleted"]
    return {"runtimeStatus": state, "output": output, "historyEvents": [{"EventType": name} for name in names]}


def heard(*said: Said) -> dict[str, Any]:
    return status([list(item) for item in said], *["EventRaised"] * len(said))


# ---------------------------------------------------------------- repeats


@pytest.mark.parametrize(
    "runs, kills",
    [
        pytest.param([run(1, 1), run(2, 3, 4)], [kill(2, 1)], id="its worker was killed in the middle"),
        pytest.param([run(1, 1, 1.5), run(2, 3, 4)], [kill(2, 1, host=True)], id="its host was killed after its end"),
        pytest.param([run(1, 2, 2.1), run(2, 3, 4)], [kill(1.9, 1, host=True)], id="it began when its host was dead"),
        pytest.param([run(1, 1), run(2, 3), run(3, 5, 6)], [kill(2, 1), kill(4, 2)], id="two kills, two repeats"),
        pytest.param(
            [run(2, 3, 4), run(1, 3.5)], [kill(2, 1, host=True)], id="it began after the run of the next host"
        ),
    ],
)
def test_a_repeat_is_matched_to_the_kill_that_fell_before_its_commit(runs: list[Run], kills: list[Kill]) -> None:
    outcome = judge({"a/0": runs}, ["a/0"], kills)
    repeats = len(runs) - 1
    assert (outcome.runs, outcome.repeats, outcome.matched, outcome.faults) == (len(runs), repeats, repeats, [])


@pytest.mark.parametrize(
    "runs, kills",
    [
        pytest.param([run(1, 1, 2), run(1, 3, 4)], [], id="nothing was killed"),
        pytest.param([run(1, 1, 2), run(1, 3, 4)], [kill(5, 1)], id="the kill came later"),
        pytest.param([run(1, 1, 2), run(2, 3, 4)], [kill(0.5, 1)], id="the kill of the worker came earlier"),
        pytest.param([run(1, 1, 2), run(1, 3, 4)], [kill(2.5, 2, host=True)], id="another process was killed"),
    ],
)
def test_a_repeat_without_a_kill_is_a_fault(runs: list[Run], kills: list[Kill]) -> None:
    outcome = judge({"a/0": runs}, ["a/0"], kills)
    assert (outcome.repeats, outcome.matched) == (1, 0)
    [fault] = outcome.faults
    assert fault.startswith("activity a/0 ran again without a kill: [Run(pid=1, ")


def test_activities_that_are_missing_unknown_or_never_ended_are_faults() -> None:
    outcome = judge({"a/0": [run(1, 1)], "b/0": [run(1, 1, 2)]}, ["a/0", "c/0"], [])
    assert outcome.faults == [
        "activity c/0 never ran",
        "activity a/0 never ended",
        "activity b/0 ran, which nobody asked for",
    ]


def test_the_journal_pairs_starts_and_ends_by_process(tmp_path: Path) -> None:
    lines = ["start 1 7 a/0", "start 2 7 b/0", "start 5 8 a/0", "end 6 8 a/0", "end 3 7 b/0"]
    (tmp_path / "journal").write_text("\n".join(lines) + "\n")
    assert read(tmp_path / "journal") == {"a/0": [Run(7, 1), Run(8, 5, 6)], "b/0": [Run(7, 2, 3)]}


# ---------------------------------------------------------------- outcomes


def test_what_is_right_has_no_faults() -> None:
    assert list(Job("i", "fan", {"size": 3}).faults(status(6, *["TaskCompleted"] * 3))) == []


@pytest.mark.parametrize(
    "found, fault",
    [
        (status("boom", state="Failed"), "i ended as Failed: boom"),
        (status(5, "TaskCompleted", "TaskCompleted"), "i gave 5, not 3"),
        (status(3, "TaskCompleted", "TaskCompleted", "TaskCompleted"), "i has the history "),
        (status(3, "TaskCompleted", "TaskCompleted", "ExecutionCompleted"), "i has the history "),
    ],
)
def test_a_wrong_end_is_a_fault(found: dict[str, Any], fault: str) -> None:
    [text] = Job("i", "fan", {"size": 2}).faults(found)
    assert text.startswith(fault)


@pytest.mark.parametrize(
    "sent, confirmed, status_, faults",
    [
        ([(0, 0), (1, 0)], {(0, 0), (1, 0)}, heard((0, 0), (1, 0)), []),
        ([(0, 0), (0, 1), (1, 0)], {(0, 1), (1, 0)}, heard((0, 0), (0, 1), (1, 0)), []),
        ([(0, 0), (0, 1), (1, 0)], {(0, 1), (1, 0)}, heard((0, 1), (1, 0)), []),
        ([(0, 0), (1, 0), (1, 1)], {(0, 0), (1, 1)}, heard((0, 0), (1, 0)), []),
        ([(0, 0), (0, 1), (1, 0)], {(0, 1), (1, 0)}, heard((0, 0), (1, 0)), ["i lost (0, 1)"]),
        ([(0, 0), (1, 0)], {(0, 0), (1, 0)}, heard((0, 0), (0, 0), (1, 0)), ["i heard (0, 0) 2 times"]),
        ([(0, 0), (1, 0)], {(0, 0), (1, 0)}, heard((0, 0), (1, 0), (2, 0)), ["i heard {(2, 0)}, which nobody sent"]),
    ],
)
def test_events_are_heard_once_in_order_and_none_is_lost(
    sent: list[Said], confirmed: set[Said], status_: dict[str, Any], faults: list[str]
) -> None:
    found = list(Job("i", "events", {"size": 2}, sent, confirmed).faults(status_))
    assert [fault for fault in found if "which were sent as" not in fault] == faults


def test_events_in_another_order_are_a_fault() -> None:
    job = Job("i", "events", {"size": 2}, [(0, 0), (1, 0)], {(0, 0), (1, 0)})
    assert list(job.faults(heard((1, 0), (0, 0)))) == ["i heard [(1, 0), (0, 0)], which were sent as [(0, 0), (1, 0)]"]


def test_counters_are_the_sum_of_what_was_added_and_moved() -> None:
    jobs = [
        Job("a", "count", {"size": 2, "from": "added-1", "to": "added-2"}),
        Job("b", "count", {"size": 1, "from": "added-2", "to": "added-1"}),
        Job("c", "transfer", {"size": 4, "from": "moved-1", "to": "moved-2"}),
    ]
    assert counters(jobs) == {"added-1": 3, "added-2": 3, "moved-1": -4, "moved-2": 4}


# ---------------------------------------------------------------- the command


@pytest.fixture
def counted(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def count(*arguments: str) -> dict[str, Any]:
        code = main([*arguments, "--format", "json"])
        printed = capsys.readouterr()
        counts: dict[str, Any] = json.loads(printed.out)
        assert (code, counts["faults"]) == (0, []), printed.err
        return counts

    return count


def test_killing_at_random_loses_nothing_and_repeats_nothing_without_a_kill(counted: Any) -> None:
    counts = counted("--minutes", "0", "--orchestrations", "150", "--kill-every", "0.3", "1.5", "--seed", "3")
    assert sum(number for name, number in counts.items() if name.startswith("kills: ")) >= 2
    assert counts["orchestrations"] == sum(number for name, number in counts.items() if name.startswith("ended: "))
    assert counts["runs of activities"] == counts["activities"] + counts["runs repeated"]
    assert counts["runs repeated"] == counts["repeats matched to a kill"]
    assert counts["events confirmed"] <= counts["events heard"] <= counts["events sent"]


def test_orchestrations_that_do_not_end_are_faults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def nothing(*_: object) -> None:
        """Those that wait for events wait for good."""

    monkeypatch.setattr(Client, "tell", nothing)
    monkeypatch.setattr(rounds, "STUCK_SECONDS", 5.0)
    code = main(["--minutes", "0", "--orchestrations", "20", "--kill-every", "60", "60", "--format", "json"])
    printed = capsys.readouterr()
    stuck, *each = json.loads(printed.out)["faults"]
    assert (code, stuck) == (1, f"{len(each)} orchestrations have not gone on for 5 s")
    assert each
    assert all(fault.endswith("-events ended as Running: None") for fault in each)
    assert f"{len(each) + 1} faults, drawn with --seed 1" in printed.err
    shutil.rmtree(printed.err.split()[-1])


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--orchestrations", "0"], "argument --orchestrations: expected at least 1, found 0"),
        (["--workers", "-1"], "argument --workers: expected at least 1, found -1"),
        (["--minutes", "-1"], "argument --minutes: expected at least 0, found -1"),
        (["--kill-every", "5", "1"], "--kill-every: expected LEAST <= MOST, both at least 0, found 5 1"),
    ],
)
def test_a_wrong_argument_is_named(capsys: pytest.CaptureFixture[str], arguments: list[str], text: str) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert capsys.readouterr().err.splitlines()[-1] == f"python -m tests.faults: error: {text}"
