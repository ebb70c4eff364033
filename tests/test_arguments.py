"""Arguments of the wrong kind are errors at their line, which say what was given and what to give."""

from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any

import pytest

import worker_ext as df
from worker_ext import limits
from worker_ext.errors import PayloadError
from worker_ext.testing import HistoryBuilder, replay

Call = Callable[[Any], Any]
ENTITY = df.EntityId("Counter", "k")
ONCE = df.RetryOptions(1000, 1)


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
            lambda context: context.call_sub_orchestrator("A", None, 5.5),
            "call_sub_orchestrator was given instance_id=5.5; expected text",
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
        (
            lambda context: context.call_http("GET", "u", headers=[("a", "b")]),
            "call_http was given headers=[('a', 'b')]; expected a dict",
        ),
        (
            lambda context: context.call_http("GET", "u", token_source="https://vault.azure.net"),
            "call_http was given token_source='https://vault.azure.net'; "
            "expected worker_ext.ManagedIdentityTokenSource(...)",
        ),
        (
            lambda context: context.call_http("GET", "u", timeout=5),
            "call_http was given timeout=5; expected a timedelta, such as timedelta(minutes=5)",
        ),
        (
            lambda context: context.call_http("GET", "u", timeout=timedelta(0)),
            "call_http was given timeout=datetime.timedelta(0); expected more than nothing",
        ),
        (
            lambda context: context.call_http("GET", "u", retry_options={"attempts": 3}),
            "call_http was given retry_options={'attempts': 3}; expected worker_ext.RetryOptions(...)",
        ),
        (
            lambda context: context.call_http("GET", "u", retry_options=ONCE, status_codes_to_retry=["503"]),
            "call_http was given status_codes_to_retry='503'; expected a whole number",
        ),
        (
            lambda context: context.call_http("GET", "u", status_codes_to_retry=[503]),
            "call_http was given status_codes_to_retry without retry_options, which say how often",
        ),
        (
            lambda context: context.wait_for_external_event("go", timeout=timedelta.max),
            "wait_for_external_event was given datetime.timedelta(days=999999999, seconds=86399, microseconds=999999), "
            "which ends after the year 9999",
        ),
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
        (
            lambda context: context.create_timer("2026-01-02T03:04:05Z"),
            "create_timer was given '2026-01-02T03:04:05Z'; expected a datetime or a timedelta",
        ),
        (
            lambda context: context.signal_entity(ENTITY, "add", deliver_at=60),
            "signal_entity was given 60; expected a datetime or a timedelta",
        ),
        (
            lambda context: context.signal_entity(ENTITY, "add", deliver_at=datetime(2026, 1, 2)),
            "signal_entity was given datetime.datetime(2026, 1, 2, 0, 0), which has no time zone. Use "
            "context.current_utc_datetime + timedelta(...), a timedelta, or a datetime with a zone",
        ),
        (
            lambda context: context.signal_entity(ENTITY, "add", deliver_at=timedelta.max),
            "signal_entity was given datetime.timedelta(days=999999999, seconds=86399, microseconds=999999), "
            "which ends after the year 9999",
        ),
    ],
)
def test_an_argument_of_the_wrong_kind_is_named(call: Call, said: str) -> None:
    def orchestrator(context: df.DurableOrchestrationContext) -> Generator[Any, Any, None]:
        yield call(context)

    turn = replay(orchestrator, HistoryBuilder().started())
    assert (turn.state.error, turn.actions) == (said, [])


class Name(str):
    """Text with a class of its own, such as a `Markup` or a `numpy.str_`."""


class Number(int):
    """A number with a class of its own."""


SEVENTEEN = df.EntityId("Counter", "17")
SEVENTEENTH = df.EntityId("Counter", 17)  # type: ignore[arg-type]


def first_reply(call: Call) -> str:
    """What is answered where the first thing that an orchestrator waits for is this."""

    def orchestrator(context: df.DurableOrchestrationContext) -> Generator[Any, Any, None]:
        yield call(context)

    return replay(orchestrator, HistoryBuilder().started()).state.encode()


@pytest.mark.parametrize(
    "call, same",
    [
        (lambda c: c.call_activity(Name("A")), lambda c: c.call_activity("A")),
        (
            lambda c: c.call_activity_with_retry("A", df.RetryOptions(Number(5), 2)),
            lambda c: c.call_activity_with_retry("A", df.RetryOptions(5, 2)),
        ),
        (lambda c: c.call_sub_orchestrator("A", 1, Name("i")), lambda c: c.call_sub_orchestrator("A", 1, "i")),
        (lambda c: c.call_sub_orchestrator("A", 1, 17), lambda c: c.call_sub_orchestrator("A", 1, "17")),
        (lambda c: c.wait_for_external_event(Name("go")), lambda c: c.wait_for_external_event("go")),
        (lambda c: c.call_entity(SEVENTEENTH, Name("add")), lambda c: c.call_entity(SEVENTEEN, "add")),
        (lambda c: c.lock_entities(SEVENTEENTH), lambda c: c.lock_entities(SEVENTEEN)),
        (
            lambda c: c.call_http("GET", Name("http://x/"), headers={"a": Name("b")}),
            lambda c: c.call_http("GET", "http://x/", headers={"a": "b"}),
        ),
    ],
)
def test_what_is_text_or_a_number_all_the_same_is_sent_as_that(call: Call, same: Call) -> None:
    assert first_reply(call) == first_reply(same)


def test_what_is_neither_is_named() -> None:
    with pytest.raises(PayloadError, match=r"^reply: expected text or a number, found <class 'object'> of type type$"):
        first_reply(lambda context: context.call_http("GET", "http://x/", headers={"a": object}))


async def ask(_: df.RetryContext) -> bool:
    """A handler whose answer would have to be awaited."""
    return False


@pytest.mark.parametrize(
    "options, error, said",
    [
        (
            {"backoff_coefficient": 0},
            ValueError,
            "backoff_coefficient: expected a number greater than 0, found 0",
        ),
        (
            {"backoff_coefficient": float("nan")},
            ValueError,
            "backoff_coefficient: expected a number greater than 0, found nan",
        ),
        (
            {"max_retry_interval_in_milliseconds": -5},
            ValueError,
            "max_retry_interval_in_milliseconds: expected a number greater than 0, up to 922337203685477, found -5",
        ),
        (
            {"retry_timeout_in_milliseconds": 0},
            ValueError,
            "retry_timeout_in_milliseconds: expected a number greater than 0, up to 922337203685477, found 0",
        ),
        (
            {"retry_timeout_in_milliseconds": 10**15},
            ValueError,
            "retry_timeout_in_milliseconds: expected a number greater than 0, up to 922337203685477, "
            "found 1000000000000000",
        ),
        (
            {"non_retryable": ValueError},
            TypeError,
            "non_retryable=<class 'ValueError'>; expected a list of error types, or of their names",
        ),
        (
            {"non_retryable": "ValueError"},
            TypeError,
            "non_retryable='ValueError'; expected a list of error types, or of their names",
        ),
        ({"handler": True}, TypeError, "handler=True; expected a plain function of one parameter"),
        pytest.param(
            {"handler": ask},
            TypeError,
            f"handler={ask}; expected a plain function of one parameter",
            id="async handler",
        ),
    ],
)
def test_retry_options_that_make_no_sense_are_refused(
    options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as refusal:
        df.RetryOptions(1000, 3, **options)
    assert str(refusal.value) == said


def test_retry_options_are_shown_as_actions_carry_them() -> None:
    plain = {"firstRetryIntervalInMilliseconds": 1000, "maxNumberOfAttempts": 3}
    assert df.RetryOptions(1000, 3).to_json() == plain
    more = df.RetryOptions(1000, 3, backoff_coefficient=2, retry_timeout_in_milliseconds=60_000)
    assert more.to_json() == plain | {"backoffCoefficient": 2, "retryTimeoutInMilliseconds": 60_000}
