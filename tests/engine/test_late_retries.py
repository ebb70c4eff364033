"""Attempts that fail after longer than a timer may be, while the extension's replay is held at an earlier time.

The extension's clock stands where its list has been passed, which an attempt that is not waited for does not move. It
would take the delay that follows for a long timer and cut it, so that all later ids were others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from virtual_host import Outcome, VirtualHost

import worker_ext as df
from worker_ext.host.turns import EngineOptions, TimerLimits
from worker_ext.protocol.history import OrchestrationStatus

Steps = Generator[Any, Any, Any]
DAY = timedelta(days=1)
LIMITS = TimerLimits(maximum_short=6 * DAY, long_interval=3 * DAY)


class Payload(NamedTuple):
    """What the worker hands to a function."""

    body: str


def behind_a_race(context: df.DurableOrchestrationContext) -> Steps:
    slow = context.call_activity_with_retry("Slow", df.RetryOptions(1000, 2))
    yield context.task_any([slow, context.create_timer(DAY)])
    yield context.call_activity("Slower")
    return (yield slow)


def behind_the_end(context: df.DurableOrchestrationContext) -> Steps:
    slow = context.call_activity_with_retry("Slow", df.RetryOptions(1000, 2))
    try:
        yield context.task_all([context.call_activity_with_retry("Bad", df.RetryOptions(1000, 1)), slow])
    except df.TaskFailedError:
        return "failed early"


def behind_a_failure(context: df.DurableOrchestrationContext) -> Steps:
    slow = context.call_activity_with_retry("Slow", df.RetryOptions(1000, 2))
    try:
        yield context.task_all([context.call_activity_with_retry("Bad", df.RetryOptions(1000, 1)), slow])
    except df.TaskFailedError:
        yield context.call_activity("Slower")
        return (yield slow)


def run(orchestrator: Callable[..., Any]) -> Outcome:
    """Runs it to its end in virtual time; `Slow` fails after ten days and is well after ten more."""
    attempts: list[None] = []

    def slow(_: Any) -> str:
        time.sleep((10 * DAY).total_seconds())
        attempts.append(None)
        if len(attempts) == 1:
            raise ValueError("no")
        return "slow"

    def slower(_: Any) -> None:
        time.sleep((30 * DAY).total_seconds())

    def bad(_: Any) -> None:
        raise ValueError("bad")

    turn = df.Orchestrator.create(orchestrator)
    host = VirtualHost(
        lambda name, payload, number: turn(Payload(payload)),
        {"Slow": slow, "Slower": slower, "Bad": bad},
        EngineOptions(timers=LIMITS),
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    host.start(["Orchestrator"], "Orchestrator", "abc", None)
    return host.run("abc")


@pytest.mark.parametrize(
    "orchestrator,output",
    [(behind_a_race, '"slow"'), (behind_the_end, '"failed early"'), (behind_a_failure, '"slow"')],
)
def test_the_delay_of_a_retry_is_not_cut_however_late_its_attempt_fails(
    orchestrator: Callable[..., Any], output: str
) -> None:
    outcome = run(orchestrator)
    assert (outcome.status, outcome.output) == (OrchestrationStatus.COMPLETED, output)
