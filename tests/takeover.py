"""Instances that azure-functions-durable 1.7.0 begins and this package goes on with, on a host in virtual time."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from virtual_host import Outcome, VirtualHost

import worker_ext
from worker_ext.host.turns import EngineOptions, TimerLimits

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip("azure.durable_functions", reason="azure-functions-durable 1.7.0 is not installed")

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIMITS = TimerLimits(maximum_short=timedelta(days=6), long_interval=timedelta(days=3))
"""How long timers may be in Azure Storage."""

Programs = Mapping[str, Callable[..., Any]]


class Payload(NamedTuple):
    """What the worker hands to a function."""

    body: str


class Takeover:
    """Orchestrators whose first turns 1.7.0 answers, and whose later ones this package answers.

    Args:
        theirs: The orchestrators by name, as 1.7.0 runs them.
        ours: The same as this package runs them.
    """

    def __init__(self, theirs: Programs, ours: Programs) -> None:
        self._theirs = theirs
        self._ours = ours
        self._replies: dict[tuple[str, str], str] = {}

    def host(self, turns_of_theirs: int, activities: Programs, limits: TimerLimits = LIMITS) -> VirtualHost:
        """A host where 1.7.0 answers so many first turns of every instance."""

        def worker(name: str, payload: str, turn: int) -> str:
            return self._answer_of_theirs(name, payload) if turn < turns_of_theirs else self._answer(name, payload)

        return VirtualHost(worker, dict(activities), EngineOptions(timers=limits), START)

    def _answer(self, name: str, payload: str) -> str:
        return worker_ext.Orchestrator.create(self._ours[name])(Payload(payload))

    def _answer_of_theirs(self, name: str, payload: str) -> str:
        """Their answer, kept: one more turn of theirs means that all before it are asked for again."""
        if (name, payload) not in self._replies:
            self._replies[name, payload] = peer.Orchestrator.create(self._theirs[name])(Payload(payload))
        return self._replies[name, payload]


def ends(run: Callable[[int], Outcome]) -> Iterator[Outcome]:
    """How an instance ends, by how many of its first turns 1.7.0 answers: none of them, one, and so on up to all."""
    for turns in itertools.count():
        outcome = run(turns)
        yield outcome
        if outcome.turns <= turns:
            return
