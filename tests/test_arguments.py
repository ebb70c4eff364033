"""Arguments of the wrong kind are errors at their line, which say what was given and what to give."""

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import pytest

import worker_ext as df
from worker_ext import limits
from worker_ext.testing import HistoryBuilder, replay

Call = Callable[[Any], Any]
ENTITY = df.EntityId("Counter", "k")


@pytest.mark.parametrize(
    "call, said",
    [
        (
            lambda context: context.wait_for_external_event(5),
            "wait_for_external_event was given name=5; expected text",
        ),
        (
            lambda context: context.wait_for_external_event("go", timeout=5),
            "wait_for_external_event was given timeout=5; expected a timedelta, such as timedelta(minutes=5)",
        ),
        (
            lambda context: context.call_activity_with_retry("A", None),
            "call_activity_with_retry was given retry_options=None; expected worker_ext.RetryOptions(...)",
        ),
        (
            lambda context: context.call_sub_orchestrator_with_retry("A", {"attempts": 3}),
            "call_sub_orchestrator_with_retry was given retry_options={'attempts': 3}; "
            "expected worker_ext.RetryOptions(...)",
        ),
        (
            lambda context: context.call_sub_orchestrator("A", None, 5),
            "call_sub_orchestrator was given instance_id=5; expected text",
        ),
        (
            lambda context: context.call_entity(ENTITY, None),
            "call_entity was given operationName=None; expected text",
        ),
        (
            lambda context: context.signal_entity(ENTITY, 7),
            "signal_entity was given operationName=7; expected text",
        ),
        (lambda context: context.call_http("GET", None), "call_http was given uri=None; expected text"),
        (lambda context: context.patched(5), "patched was given patch_id=5; expected text"),
        (
            lambda context: df.flow.timeout(context.call_activity("A"), 3),  # type: ignore[arg-type]
            "timeout was given after=3; expected a timedelta, such as timedelta(minutes=5)",
        ),
        (
            lambda context: limits.semaphore(context, "printers", 1.5),  # type: ignore[arg-type]
            "semaphore was given limit=1.5; expected a whole number",
        ),
        (
            lambda context: limits.semaphore(context, "printers", 1, lease=3),  # type: ignore[arg-type]
            "semaphore was given lease=3; expected a timedelta, such as timedelta(minutes=5)",
        ),
        (
            lambda context: limits.semaphore(context, "", 1),
            "semaphore was given an empty name; what it limits needs one",
        ),
        (
            lambda context: limits.rate_limit(context, "mails", 0, timedelta(1)),
            "rate_limit was given permits=0; expected more than nothing",
        ),
        (
            lambda context: context.create_timer(timedelta.max),
            "create_timer was given datetime.timedelta(days=999999999, seconds=86399, microseconds=999999), "
            "which ends after the year 9999",
        ),
    ],
)
def test_an_argument_of_the_wrong_kind_is_named(call: Call, said: str) -> None:
    def orchestrator(context: df.DurableOrchestrationContext) -> Generator[Any, Any, None]:
        yield call(context)

    turn = replay(orchestrator, HistoryBuilder().started())
    assert (turn.state.error, turn.actions) == (said, [])
