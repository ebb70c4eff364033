"""What the worker makes of several leaves: retries by policy, durable HTTP with polling, waits with a timeout."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

import worker_ext as df
from worker_ext.protocol.actions import (
    AnyAction,
    CallActivity,
    CallHttp,
    CreateTimer,
    WaitForExternalEvent,
    WhenAll,
    WhenAny,
)
from worker_ext.testing import HistoryBuilder, replay

Context = df.DurableOrchestrationContext
Steps = Generator[Any, Any, Any]
A = CallActivity(function_name="A", input="null")


def begun() -> HistoryBuilder:
    return HistoryBuilder().started()


def timer(text: str, *, cancelled: bool = False) -> CreateTimer:
    return CreateTimer(fire_at=text, is_canceled=cancelled)


def http(method: str, uri: str, **members: Any) -> CallHttp:
    return CallHttp(http_request={"method": method, "uri": uri, "content": None, "headers": None, **members})


class TestRetriesByPolicy:
    def retried(self, options: df.RetryOptions) -> Any:
        def orchestrator(context: Context) -> Steps:
            try:
                return (yield context.call_activity_with_retry("A", options))
            except df.TaskFailedError as error:
                return f"failed: {error.reason}"

        return orchestrator

    def test_attempts_and_delays_are_plain_activities_and_timers(self) -> None:
        orchestrator = self.retried(df.RetryOptions(5000, 3, handler=lambda context: True))
        history = begun().scheduled("A", 0).batch().failed(0).timer_created(1, timedelta(seconds=5))
        history.batch(timedelta(seconds=5)).timer_fired(1).scheduled("A", 2)
        assert replay(orchestrator, history).actions == [A, timer("2026-01-02T03:04:11.000000Z"), A]
        assert replay(orchestrator, history.batch().completed(2, "fine")).output == "fine"

    def test_the_last_failure_is_seen_at_once(self) -> None:
        orchestrator = self.retried(df.RetryOptions(5000, 1, handler=lambda context: True))
        assert replay(orchestrator, begun().scheduled("A", 0).batch().failed(0, "no")).output == "failed: no"

    @pytest.mark.parametrize("kind", [ValueError, "ValueError"])
    def test_errors_that_are_not_worth_another_attempt_are_seen_at_once(self, kind: Any) -> None:
        orchestrator = self.retried(df.RetryOptions(5000, 3, non_retryable=[kind]))
        reason = "Activity function 'A' failed: ValueError: bad"
        assert replay(orchestrator, begun().scheduled("A", 0).batch().failed(0, reason)).output == f"failed: {reason}"
        other = replay(
            orchestrator, begun().scheduled("A", 0).batch().failed(0, "Activity function 'A' failed: OSError: x")
        )
        assert other.actions == [A, timer("2026-01-02T03:04:11.000000Z")]

    def test_the_handler_is_told_of_attempt_error_and_time(self) -> None:
        seen: list[df.RetryContext] = []

        def handler(context: df.RetryContext) -> bool:
            seen.append(context)
            return False

        orchestrator = self.retried(df.RetryOptions(5000, 3, handler=handler))
        replay(orchestrator, begun().scheduled("A", 0).batch(timedelta(seconds=9)).failed(0, "no"))
        assert [(context.attempt, str(context.error), context.elapsed) for context in seen] == [
            (1, "no \n ", timedelta(seconds=9))
        ]

    def test_a_handler_that_raises_fails_the_call_with_its_error(self) -> None:
        def handler(context: df.RetryContext) -> bool:
            raise LookupError("no such rule")

        def orchestrator(context: Context) -> Steps:
            yield context.call_activity_with_retry("A", df.RetryOptions(5000, 3, handler=handler))

        turn = replay(orchestrator, begun().scheduled("A", 0).batch().failed(0))
        assert turn.state.error == "no such rule"

    def test_a_handler_that_uses_the_context_is_told_not_to(self) -> None:
        def orchestrator(context: Context) -> Steps:
            def handler(_: df.RetryContext) -> bool:
                context.set_custom_status("again")
                return True

            yield context.call_activity_with_retry("A", df.RetryOptions(5000, 3, handler=handler))

        turn = replay(orchestrator, begun().scheduled("A", 0).batch().failed(0))
        assert "in a retry handler" in str(turn.state.error)

    def test_jitter_shortens_the_delay_and_is_the_same_on_every_replay(self) -> None:
        orchestrator = self.retried(df.RetryOptions(60_000, 3, jitter=0.5))
        history = begun().scheduled("A", 0).batch().failed(0)
        first, second = (replay(orchestrator, history).actions for _ in range(2))
        assert first == second
        delay = first[1]
        assert isinstance(delay, CreateTimer)
        assert "2026-01-02T03:04:36" <= delay.fire_at <= "2026-01-02T03:05:06.1"

    @pytest.mark.parametrize("options", [{"jitter": 1.5}, {"jitter": -1}])
    def test_jitter_is_a_part_of_the_delay(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="expected 0 to 1"):
            df.RetryOptions(1, 1, **options)


class TestHttp:
    def called(self, **options: Any) -> Any:
        def orchestrator(context: Context) -> Steps:
            return (yield context.call_http("GET", "http://x/job", **options))

        return orchestrator

    def answered(self, status: int, headers: dict[str, Any] | None = None) -> dict[str, Any]:
        return {"statusCode": status, "headers": headers or {}, "content": ""}

    def test_a_202_is_an_answer_like_others_unless_polling_is_asked_for(self) -> None:
        history = begun().scheduled("BuiltIn::HttpActivity", 0).batch().completed(0, self.answered(202))
        turn = replay(self.called(), history)
        assert turn.output == self.answered(202)
        assert turn.actions == [http("GET", "http://x/job")]

    def test_polling_waits_and_asks_at_the_location_until_it_is_no_202(self) -> None:
        orchestrator = self.called(poll=True, headers={"A": "1", "X-Functions-Key": "secret"})
        accepted = self.answered(202, {"location": "/status/1", "Retry-After": ["5"]})
        history = begun().scheduled("BuiltIn::HttpActivity", 0).batch().completed(0, accepted)
        history.timer_created(1).batch(timedelta(seconds=5)).timer_fired(1).scheduled("BuiltIn::HttpActivity", 2)
        assert replay(orchestrator, history).actions == [
            http("GET", "http://x/job", headers={"A": "1", "X-Functions-Key": "secret"}),
            timer("2026-01-02T03:04:11.000000Z"),
            http("GET", "http://x/status/1", headers={"A": "1"}),
        ]
        assert replay(orchestrator, history.batch().completed(2, self.answered(200))).output == self.answered(200)

    def test_polling_without_retry_after_waits_as_long_as_the_host_says(self) -> None:
        accepted = self.answered(202, {"Location": "http://y/"})
        history = begun().scheduled("BuiltIn::HttpActivity", 0).batch().completed(0, accepted)
        assert replay(self.called(poll=True), history).actions[1] == timer("2026-01-02T03:04:36.000000Z")

    def test_a_202_without_location_is_the_answer(self) -> None:
        history = begun().scheduled("BuiltIn::HttpActivity", 0).batch().completed(0, self.answered(202))
        assert replay(self.called(poll=True), history).output == self.answered(202)

    def test_transport_errors_and_listed_statuses_are_repeated(self) -> None:
        orchestrator = self.called(retry_options=df.RetryOptions(1000, 3), status_codes_to_retry=[503])
        history = begun().scheduled("BuiltIn::HttpActivity", 0).batch().failed(0, "refused")
        history.timer_created(1).batch().timer_fired(1).scheduled("BuiltIn::HttpActivity", 2).batch()
        history.completed(2, self.answered(503)).timer_created(3).batch().timer_fired(3)
        history.scheduled("BuiltIn::HttpActivity", 4).batch().completed(4, self.answered(503))
        assert replay(orchestrator, history).output == self.answered(503)

    def test_text_is_sent_as_it_is_and_anything_else_as_json(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.task_all(
                [context.call_http("POST", "http://x/", content) for content in ("plain", {"a": 1}, None, 0)]
            )

        [group] = replay(orchestrator, begun()).actions
        assert isinstance(group, WhenAll)
        contents = [call.http_request["content"] for call in group.compound_actions if isinstance(call, CallHttp)]
        assert contents == ["plain", '{"a": 1}', None, "0"]

    def test_token_source_and_timeout_are_sent(self) -> None:
        source = df.ManagedIdentityTokenSource("https://management.core.windows.net/")
        turn = replay(self.called(token_source=source, timeout=timedelta(seconds=30)), begun())
        token = {"resource": "https://management.core.windows.net/", "kind": "AzureManagedIdentity"}
        assert turn.actions == [http("GET", "http://x/job", tokenSource=token, timeout="00:00:30")]

    def test_raw_text_must_be_text(self) -> None:
        assert isinstance(replay(self.called(content={}, is_raw_str=True), begun()).error, TypeError)


class TestWaitsWithATimeout:
    def waiting(self, context: Context) -> Steps:
        try:
            value = yield context.wait_for_external_event("Go", timeout=timedelta(seconds=60))
        except TimeoutError as error:
            value = str(error)
        later = yield context.wait_for_external_event("go")
        return [value, later]

    def compound(self, *, cancelled: bool) -> AnyAction:
        wait = WaitForExternalEvent(external_event_name="Go")
        return WhenAny(compound_actions=(timer("2026-01-02T03:05:05.000000Z", cancelled=cancelled), wait))

    def test_the_event_cancels_the_timer(self) -> None:
        history = begun().timer_created(0).batch().raised("go", 1)
        wait = WaitForExternalEvent(external_event_name="go")
        assert replay(self.waiting, history).actions == [self.compound(cancelled=True), wait]
        assert replay(self.waiting, history.batch().raised("go", 2)).output == [1, 2]

    def test_the_timer_drops_the_wait_and_a_late_event_is_kept_for_the_next(self) -> None:
        history = begun().timer_created(0).batch(timedelta(seconds=60)).timer_fired(0).batch().raised("go", "late")
        assert replay(self.waiting, history).output == ["event 'Go' did not come in time", "late"]


def test_a_cancelled_wait_leaves_a_later_event_to_the_next() -> None:
    def orchestrator(context: Context) -> Steps:
        first = context.wait_for_external_event("go")
        yield context.task_any([first, context.call_activity("A")])
        first.cancel()
        second = yield context.wait_for_external_event("go")
        return [first.is_completed, first.is_cancelled, second]

    history = begun().scheduled("A", 0).batch().completed(0).batch().raised("go", 7)
    assert replay(orchestrator, history).output == [False, True, 7]


def test_a_cancelled_wait_with_a_timeout_cancels_its_timer_too() -> None:
    def orchestrator(context: Context) -> Steps:
        wait = context.wait_for_external_event("go", timeout=timedelta(days=30))
        yield context.task_any([wait, context.call_activity("A")])
        wait.cancel()
        yield context.call_activity("B")
        return [wait.is_completed, wait.is_cancelled]

    history = begun().timer_created(0).scheduled("A", 1).batch().completed(1).scheduled("B", 2).batch().completed(2)
    turn = replay(orchestrator, history)
    assert turn.output == [False, True]
    assert '"isCanceled":true' in turn.state.encode()


def test_a_wait_whose_event_has_come_cannot_be_cancelled() -> None:
    def orchestrator(context: Context) -> Steps:
        wait = context.wait_for_external_event("go")
        yield wait
        wait.cancel()

    assert isinstance(replay(orchestrator, begun().batch().raised("go")).error, ValueError)


def test_all_failures_are_reported_together_when_asked_for() -> None:
    def orchestrator(context: Context) -> Steps:
        tasks = [context.call_activity(name) for name in "ABC"]
        try:
            yield context.task_all(tasks, fail_fast=False)
        except ExceptionGroup as group:
            return [str(group), *(str(error) for error in group.exceptions)]

    history = begun().scheduled("A", 0).scheduled("B", 1).scheduled("C", 2).batch().failed(1, "b", "").completed(0)
    assert not replay(orchestrator, history).is_done
    turn = replay(orchestrator, history.batch().failed(2, "c", ""))
    assert turn.output == ["2 of 3 tasks failed (2 sub-exceptions)", "b \n ", "c \n "]


class TestYieldFrom:
    """`yield from task` is `yield task` with a result that type checkers know."""

    def both(self, context: Context) -> Steps:
        first = yield from context.call_activity("A")
        try:
            yield from context.call_activity("A", first)
        except df.TaskFailedError as error:
            return [first, str(error)]

    def test_it_gives_the_result_or_raises_the_failure(self) -> None:
        history = begun().scheduled("A", 0).batch().completed(0, 7)
        turn = replay(self.both, history)
        assert list(turn.actions) == [A, CallActivity(function_name="A", input="7")]
        history.scheduled("A", 1).batch().failed(1, "no", "none")
        assert replay(self.both, history).output == [7, "no \n none"]

    def test_what_waits_for_it_gets_the_value_of_a_compound(self) -> None:
        def orchestrator(context: Context) -> Steps:
            tasks = [context.call_activity("A"), context.call_activity("A")]
            winner = yield from context.task_any(tasks)
            return [tasks.index(winner), (yield from context.task_all(tasks))]

        history = begun().scheduled("A", 0).scheduled("A", 1).batch().completed(1, "b").completed(0, "a")
        assert replay(orchestrator, history).output == [1, ["a", "b"]]

    def test_the_line_of_an_error_is_the_users(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield from context.call_activity("A")

        error = replay(orchestrator, begun().scheduled("B", 0).batch().completed(0)).error
        assert isinstance(error, df.NonDeterminismError)
        assert error.location == f"{__file__}:{orchestrator.__code__.co_firstlineno + 1}"
