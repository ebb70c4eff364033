"""Orchestrations drawn at random, and what each must come to."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

WEIGHTS = {"fan": 30, "timers": 20, "events": 15, "family": 8, "generations": 7, "count": 15, "transfer": 5}
"""How often each orchestrator is drawn."""

COUNTERS = 20
LEDGER = "ledger"
"""The entity that clients put into, in place of adding."""

_ENDS = {"ExecutionStarted": 1, "ExecutionCompleted": 1}
Said = tuple[int, int]
"""An event: its number, and how often it was tried before."""


@dataclass
class Job:
    """One orchestration.

    Attributes:
        instance_id: Its id.
        name: Its orchestrator.
        input: What it is started with.
        sent: The events that were sent to it, whether or not they were confirmed, in order.
        confirmed: Those that the host said it has.
    """

    instance_id: str
    name: str
    input: dict[str, Any]
    sent: list[Said] = field(default_factory=list)
    confirmed: set[Said] = field(default_factory=set)

    @property
    def size(self) -> int:
        """How much there is to do in it."""
        return int(self.input["size"])

    @property
    def children(self) -> list[Job]:
        """The orchestrations that it starts."""
        if self.name != "family":
            return []
        return [Job(f"{self.instance_id}-{name}", "fan", self.input) for name in ("a", "b")]

    @property
    def activities(self) -> list[str]:
        """The keys of the activities it must have run, those of its children left out."""
        numbers: Sequence[int] = ()
        match self.name:
            case "fan":
                numbers = range(self.size)
            case "timers":
                numbers = (0, 1)
            case "family":
                numbers = (0,)
            case "generations":
                numbers = range(1, self.size + 1)
        return [f"{self.instance_id}/{number}" for number in numbers]

    def faults(self, status: dict[str, Any]) -> Iterator[str]:
        """What is wrong with how it ended; `status` has its history."""
        if status["runtimeStatus"] != "Completed":
            yield f"{self.instance_id} ended as {status['runtimeStatus']}: {str(status['output'])[:500]}"
            return
        kinds = Counter(event["EventType"] for event in status["historyEvents"])
        expected = Counter(_ENDS | self._history())
        if self.name == "events":
            heard = [(number, attempt) for number, attempt in status["output"]]
            yield from self._wrong_events(heard)
            # What came in the same batch as the last number is in the history too.
            is_plausible = len(heard) <= kinds["EventRaised"] <= max(len(heard), len(self.sent))
            expected["EventRaised"] = kinds["EventRaised"] if is_plausible else len(heard)
        elif status["output"] != self._output():
            yield f"{self.instance_id} gave {status['output']!r}, not {self._output()!r}"
        if kinds != expected:
            yield f"{self.instance_id} has the history {dict(kinds)}, not {dict(expected)}"

    def _output(self) -> int:
        fan = self.size * (self.size + 1) // 2
        return {"fan": fan, "timers": 2, "family": 2 * fan + 1}.get(self.name, self.size)

    def _history(self) -> dict[str, int]:
        kinds = {
            "fan": {"TaskCompleted": self.size},
            "timers": {"TaskCompleted": 2, "TimerCreated": 2, "TimerFired": 1},
            "family": {"SubOrchestrationInstanceCompleted": 2, "TaskCompleted": 1},
            "generations": {"TaskCompleted": 1},
            "count": {"EventRaised": self.size, "EventSent": 2 * self.size},
            "transfer": {"EventRaised": 5, "EventSent": 7},
        }
        return kinds.get(self.name, {})

    def _wrong_events(self, heard: list[Said]) -> Iterator[str]:
        for said, times in Counter(heard).items():
            if times > 1:
                yield f"{self.instance_id} heard {said} {times} times"
        if unknown := set(heard) - set(self.sent):
            yield f"{self.instance_id} heard {unknown}, which nobody sent"
        elif heard != [said for said in self.sent if said in heard]:
            yield f"{self.instance_id} heard {heard}, which were sent as {self.sent}"
        # A second attempt at the last number may come when the first has ended the instance.
        last = self.size - 1
        for said in sorted(self.confirmed - set(heard)):
            if said[0] != last or last not in {number for number, _ in heard}:
                yield f"{self.instance_id} lost {said}"


def draw(count: int, chance: random.Random, prefix: str, pause: float) -> list[Job]:
    """Draws orchestrations.

    Args:
        count: How many.
        chance: What they are drawn with.
        prefix: What their ids begin with.
        pause: The longest time in seconds that an activity takes.
    """
    names = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)
    return [Job(f"{prefix}-{number}-{name}", name, _input(name, chance, pause)) for number, name in enumerate(names)]


def _input(name: str, chance: random.Random, pause: float) -> dict[str, Any]:
    source, target = chance.sample(range(COUNTERS), 2)
    job: dict[str, Any] = {"size": chance.randint(1, 6), "pause": round(chance.uniform(0, pause), 4)}
    match name:
        case "timers":
            job["delay"] = round(chance.uniform(0.05, 2), 3)
        case "count":
            # The transfers set what they have read: each kind has counters of its own.
            job |= {"from": f"added-{source}", "to": f"added-{target}"}
        case "transfer":
            job |= {"from": f"moved-{source}", "to": f"moved-{target}"}
    return job


def counters(jobs: Sequence[Job]) -> dict[str, int]:
    """What every counter must come to."""
    totals: Counter[str] = Counter()
    for job in jobs:
        if job.name == "count":
            totals[job.input["from"]] += job.size
            totals[job.input["to"]] += job.size
        elif job.name == "transfer":
            totals[job.input["from"]] -= job.size
            totals[job.input["to"]] += job.size
    return dict(totals)
