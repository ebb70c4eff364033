"""Random programs whose instances azure-functions-durable 1.7.0 began go on here from every turn, and end alike.

Where 1.7.0 alone ends otherwise than this package alone, that is one of its defects, and not compared. Nor is what
waits for ever for an event: nothing tells what its code has seen by then.
"""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from random_generators import Writer, activities, orchestrators
from takeover import LIMITS, START, Takeover, ends, peer
from virtual_host import MOST_TURNS, Outcome

import worker_ext
from worker_ext.host.turns import TimerLimits
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import EventRaised, OrchestrationStatus

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

SHORT = TimerLimits(maximum_short=timedelta(seconds=2), long_interval=timedelta(seconds=1))


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


@pytest.mark.parametrize("limits, seeds", [(LIMITS, 40), (SHORT, 80)], ids=["days", "seconds"])
def test_random_programs_that_1_7_0_began_end_as_ours_do(limits: TimerLimits, seeds: int) -> None:
    different = []
    compared = 0
    for case in [Case(seed, limits) for seed in range(seeds)]:
        ours = case.run(0)
        if ours.status is not OrchestrationStatus.COMPLETED:
            assert case.may_wait_for_ever, (case, ours)
        elif case.run(MOST_TURNS).result == ours.result:
            compared += 1
            taken_over = enumerate(ends(case.run))
            different += [(case, turns, end, ours) for turns, end in taken_over if end.result != ours.result]
    assert different == []
    assert compared > seeds / 3
