"""Random programs whose instances azure-functions-durable 1.7.0 began go on here from every turn, and end alike.

Where 1.7.0 alone ends otherwise than this package alone, that is one of its defects, and not compared. Nor is what
waits for ever for an event: nothing tells what its code has seen by then.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from random_generators import Steps, Writer, activities, orchestrators
from takeover import LIMITS, START, Takeover, ends, peer
from virtual_host import MOST_TURNS, Outcome

import worker_ext
from worker_ext.host.turns import TimerLimits
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import EventRaised, OrchestrationStatus

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

SHORT = TimerLimits(maximum_short=timedelta(seconds=2), long_interval=timedelta(seconds=1))
SHORT_SEEDS = [*range(80), 569]
"""The last has a timer that is one piece by 1.7.0's list alone, which is rare."""


class Case:
    """A random program with the events that it gets."""

    def __init__(self, seed: int, limits: TimerLimits) -> None:
        # The host runs ahead of a `task_any` within another by 1.7.0's list, and cuts the timers behind it.
        writer = Writer(seed, nests_any=limits is not SHORT)
        self.program = writer.program()
        self.events = writer.events()
        self.limits = limits
        self._takeover = Takeover(orchestrators(peer, self.program), orchestrators(worker_ext, self.program))

    def run(self, turns_of_theirs: int) -> Outcome:
        host = self._takeover.host(turns_of_theirs, activities(), self.limits)
        host.start(["Flow", "Child"], "Flow", "abc", None)
        for number, (name, seconds) in enumerate(self.events):
            host.raise_event("abc", event(name, number), timedelta(seconds=seconds))
        return host.run("abc")

    @property
    def may_wait_for_ever(self) -> bool:
        return "Event(" in repr(self.program)

    def __repr__(self) -> str:
        return f"{self.program} {self.events}"


def event(name: str, value: int) -> EventRaised:
    return EventRaised(name=name, input=json.dumps(value), timestamp=format_timestamp(START))


@pytest.mark.parametrize("limits, seeds", [(LIMITS, range(40)), (SHORT, SHORT_SEEDS)], ids=["days", "seconds"])
def test_random_programs_that_1_7_0_began_end_as_ours_do(limits: TimerLimits, seeds: Sequence[int]) -> None:
    different = []
    compared = 0
    for case in [Case(seed, limits) for seed in seeds]:
        ours = case.run(0)
        if ours.status is not OrchestrationStatus.COMPLETED:
            assert case.may_wait_for_ever, (case, ours)
        elif case.run(MOST_TURNS).result == ours.result:
            compared += 1
            taken_over = enumerate(ends(case.run))
            different += [(case, turns, end, ours) for turns, end in taken_over if end.result != ours.result]
    assert different == []
    assert compared > len(seeds) / 3


class Reminders:
    """Waits for an answer several times, four days each; the waits that are answered may cancel their timer."""

    def __init__(self, rounds: int, *, cancels: bool) -> None:
        self._rounds = rounds
        self._cancels = cancels

    def flow(self, context: Any) -> Steps:
        answered = []
        for _ in range(self._rounds):
            timer = context.create_timer(context.current_utc_datetime + timedelta(days=4))
            winner = yield context.task_any([context.wait_for_external_event("go"), timer])
            answered.append(winner is not timer)
            if self._cancels and winner is not timer:
                timer.cancel()
        return answered


@pytest.mark.parametrize(
    "rounds, cancels, days, answered",
    [
        (3, False, [], [False, False, False]),
        (3, False, [2.2], [True, False, False]),
        (3, False, [1, 2, 3], [True, True, True]),
        (3, True, [], [False, False, False]),
        (3, True, [5], [False, True, False]),
        (3, True, [5, 6.5], [False, True, True]),
        (2, True, [1], [True, False]),
        (2, True, [2.2], [True, False]),
    ],
)
def test_reminders_that_1_7_0_began_go_on(rounds: int, cancels: bool, days: list[float], answered: list[bool]) -> None:
    """Their timers end later than the longest timer would that began with them; some the extension has cut."""
    flow = Reminders(rounds, cancels=cancels).flow
    takeover = Takeover({"Flow": flow}, {"Flow": flow})

    def run(turns_of_theirs: int) -> Outcome:
        host = takeover.host(turns_of_theirs, {})
        host.start(["Flow"], "Flow", "abc", None)
        for after in days:
            host.raise_event("abc", event("go", 1), timedelta(days=after))
        return host.run("abc")

    expected = (OrchestrationStatus.COMPLETED, json.dumps(answered, separators=(",", ":")))
    taken_over = list(ends(run))
    assert [end.result for end in taken_over] == [expected] * len(taken_over)


def twice(context: Any) -> Steps:
    work = context.call_activity("Work", 1)
    return (yield context.task_all([work, work]))


@pytest.mark.parametrize("turns_of_theirs", [1, 2])
def test_what_1_7_0_ran_twice_is_non_deterministic(turns_of_theirs: int) -> None:
    host = Takeover({"Flow": twice}, {"Flow": twice}).host(turns_of_theirs, {"Work": lambda value: value})
    host.start(["Flow"], "Flow", "abc", None)
    status, output = host.run("abc").result
    assert status is OrchestrationStatus.FAILED
    assert output is not None
    assert "Non-Deterministic workflow detected" in output
