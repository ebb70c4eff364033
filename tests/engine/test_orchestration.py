"""The rules of replay, one test each; source: durable-functions JSON protocol, sections 4 and 10."""

import asyncio
import gc
import sys
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

import worker_ext as df
from worker_ext import flow
from worker_ext.engine.orchestration import _RECEIVERS
from worker_ext.protocol.actions import (
    AnyAction,
    CallActivity,
    CallEntity,
    CallSubOrchestrator,
    ContinueAsNew,
    CreateTimer,
    ScheduledSignalEntity,
    SignalEntity,
    WaitForExternalEvent,
    WhenAll,
    WhenAny,
)
from worker_ext.protocol.history import EVENTS
from worker_ext.protocol.orchestrator import ReplaySchema
from worker_ext.testing import HistoryBuilder, Turn, replay

Context = df.DurableOrchestrationContext
Steps = Generator[Any, Any, Any]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SIX_DAYS = 6 * 24 * 3600


def activity(name: str, input_text: str = "null") -> CallActivity:
    return CallActivity(function_name=name, input=input_text)


def not_waiting(action: AnyAction) -> WhenAny:
    return WhenAny(compound_actions=(action, WhenAll(compound_actions=())))


class OutsideException(BaseException):
    """An error that `except Exception` does not catch."""


def begun() -> HistoryBuilder:
    return HistoryBuilder().started()


def call_a_then_b(context: Context) -> Steps:
    first = yield context.call_activity("A", {"x": 1})
    second = yield context.call_activity("B", first)
    return [first, second]


def test_every_kind_of_event_has_a_receiver() -> None:
    assert set(_RECEIVERS) == set(EVENTS.values())


def test_the_first_turn_lists_what_the_code_waits_for() -> None:
    turn = replay(call_a_then_b, begun())
    assert turn == Turn(turn.state)
    assert turn.actions == [activity("A", '{"x":1}')]
    assert not turn.is_done


def test_a_completion_resumes_the_code_with_its_decoded_result() -> None:
    history = begun().scheduled("A", 0).batch().completed(0, {"y": [1, None]})
    assert replay(call_a_then_b, history).actions == [activity("A", '{"x":1}'), activity("B", '{"y":[1,null]}')]


def test_the_last_completion_ends_the_orchestrator() -> None:
    history = begun().scheduled("A", 0).batch().completed(0, 1).scheduled("B", 1).batch().completed(1, 2)
    turn = replay(call_a_then_b, history)
    assert (turn.is_done, turn.output) == (True, [1, 2])


def test_a_result_of_none_comes_back_as_none() -> None:
    history = begun().scheduled("A", 0).batch().completed(0).scheduled("B", 1).batch().completed(1)
    assert replay(call_a_then_b, history).output == [None, None]


def test_an_orchestrator_that_awaits_nothing_is_done_at_once() -> None:
    turn = replay(lambda context: 7, begun())
    assert (turn.is_done, turn.output, turn.state.actions) == (True, 7, [[]])


def test_a_coroutine_may_await_tasks() -> None:
    async def orchestrator(context: Context) -> Any:
        return [await context.call_activity("A"), await context.call_activity("A")]

    history = begun().scheduled("A", 0).batch().completed(0, 1).scheduled("A", 1).batch().completed(1, 2)
    assert replay(orchestrator, history).output == [1, 2]


class TestSequenceIds:
    def test_ids_are_taken_at_the_yield_not_at_creation(self) -> None:
        def orchestrator(context: Context) -> Steps:
            a, b = context.call_activity("A"), context.call_activity("B")
            return [(yield b), (yield a)]

        history = begun().scheduled("B", 0).batch().completed(0, "b").scheduled("A", 1).batch().completed(1, "a")
        assert replay(orchestrator, history).output == ["b", "a"]

    def test_members_of_a_compound_take_ids_depth_first_and_only_once(self) -> None:
        def orchestrator(context: Context) -> Steps:
            a, b, c = (context.call_activity(name) for name in "ABC")
            yield context.task_any([a, context.task_all([b, a])])
            return (yield context.task_all([c, b]))

        history = begun().scheduled("A", 0).scheduled("B", 1).batch().completed(0, "a").scheduled("C", 2)
        history.batch().completed(2, "c").completed(1, "b")
        turn = replay(orchestrator, history)
        assert turn.output == ["c", "b"]
        names = [getattr(leaf, "function_name", "") for leaf in leaves(turn.actions)]
        assert names == ["A", "B", "C"]

    def test_a_signal_takes_an_id_when_it_is_sent(self) -> None:
        counter = df.EntityId("Counter", "k")

        def orchestrator(context: Context) -> Steps:
            context.signal_entity(counter, "add", 1)
            return (yield context.call_activity("A"))

        history = begun().sent(0, "@counter@k", "add").scheduled("A", 1).batch().completed(1, "done")
        turn = replay(orchestrator, history)
        assert turn.output == "done"
        signal = SignalEntity(instance_id="@counter@k", operation="add", input="1")
        assert turn.actions == [signal, activity("A")]

    def test_an_event_wait_takes_no_id(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.task_all([context.wait_for_external_event("go"), context.call_activity("A")])
            return (yield context.call_activity("B"))

        history = (
            begun().scheduled("A", 0).batch().raised("go").completed(0).scheduled("B", 1).batch().completed(1, "b")
        )
        assert replay(orchestrator, history).output == "b"


def leaves(actions: list[AnyAction]) -> list[AnyAction]:
    found: list[AnyAction] = []
    for action in actions:
        if isinstance(action, WhenAll | WhenAny):
            found.extend(leaves(list(action.compound_actions)))
        else:
            found.append(action)
    return found


class TestCompounds:
    def test_all_gives_results_in_the_order_of_its_members(self) -> None:
        def orchestrator(context: Context) -> Steps:
            return (yield context.task_all([context.call_activity("A"), context.call_activity("B")]))

        history = begun().scheduled("A", 0).scheduled("B", 1).batch().completed(1, "b").batch().completed(0, "a")
        turn = replay(orchestrator, history)
        assert turn.output == ["a", "b"]
        assert turn.actions == [WhenAll(compound_actions=(activity("A"), activity("B")))]

    def test_all_of_nothing_is_an_empty_list(self) -> None:
        def orchestrator(context: Context) -> Steps:
            return (yield context.task_all([]))

        turn = replay(orchestrator, begun())
        assert (turn.is_done, turn.output, turn.actions) == (True, [], [])

    def test_all_fails_with_the_first_failure(self) -> None:
        def orchestrator(context: Context) -> Steps:
            try:
                yield context.task_all([context.call_activity("A"), context.call_activity("B")])
            except df.TaskFailedError as error:
                return [error.name, error.reason]

        history = begun().scheduled("A", 0).scheduled("B", 1).batch().failed(1, "no B")
        turn = replay(orchestrator, history)
        assert turn.output == ["B", "no B"]
        assert turn.actions == [WhenAll(compound_actions=(not_waiting(activity("A")), activity("B")))]

    def test_any_gives_the_task_that_ended_first(self) -> None:
        def orchestrator(context: Context) -> Steps:
            a, b = context.call_activity("A"), context.call_activity("B")
            winner = yield context.task_any([a, b])
            return [winner is b, winner.result, a.is_completed]

        history = begun().scheduled("A", 0).scheduled("B", 1).batch().completed(1, "b")
        assert replay(orchestrator, history).output == [True, "b", False]

    def test_any_of_nothing_is_an_error(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.task_any([])

        error = replay(orchestrator, begun()).error
        assert isinstance(error, df.OrchestratorError)
        assert "no tasks" in str(error)

    def test_a_task_may_be_a_member_of_several_compounds(self) -> None:
        def orchestrator(context: Context) -> Steps:
            a, b = context.call_activity("A"), context.call_activity("B")
            first = yield context.task_any([a, b])
            return [first.result, (yield context.task_all([a, b]))]

        history = begun().scheduled("A", 0).scheduled("B", 1).batch().completed(0, "a").batch().completed(1, "b")
        assert replay(orchestrator, history).output == ["a", ["a", "b"]]

    def test_what_is_left_open_does_not_hold_back_what_follows(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.task_any([context.call_activity("A"), context.call_activity("B")])
            yield context.call_activity("C")

        history = begun().scheduled("A", 0).scheduled("B", 1).batch().completed(0)
        assert replay(orchestrator, history).actions == [
            WhenAll(compound_actions=(activity("A"), not_waiting(activity("B")))),
            activity("C"),
        ]


class TestTimers:
    def test_fire_at_is_sent_as_utc(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.create_timer(datetime(2026, 1, 2, 5, 4, 5, 120000, tzinfo=timezone(timedelta(hours=2))))

        assert replay(orchestrator, begun()).actions == [CreateTimer(fire_at="2026-01-02T03:04:05.120000Z")]

    def test_a_timer_may_be_given_as_a_duration(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.create_timer(timedelta(seconds=30))

        assert replay(orchestrator, begun()).actions == [CreateTimer(fire_at="2026-01-02T03:04:35.000000Z")]

    def test_a_time_without_zone_is_refused(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.create_timer(datetime(2026, 1, 2, 3, 4, 5))

        error = replay(orchestrator, begun()).error
        assert isinstance(error, TypeError)
        assert "no time zone" in str(error)

    def test_a_fired_timer_resumes_the_code_at_the_time_of_the_batch(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.create_timer(timedelta(hours=1))
            return context.current_utc_datetime.isoformat()

        history = begun().timer_created(0).batch(timedelta(hours=1)).timer_fired(0)
        assert replay(orchestrator, history).output == "2026-01-02T04:04:05+00:00"

    def test_a_cancelled_timer_is_marked_and_never_completes(self) -> None:
        def orchestrator(context: Context) -> Steps:
            timer = context.create_timer(timedelta(seconds=60))
            yield context.task_any([context.wait_for_external_event("go"), timer])
            timer.cancel()
            yield context.call_activity("A")
            return timer.is_completed

        history = begun().timer_created(0).batch().raised("go").scheduled("A", 1).batch().timer_fired(0).completed(1)
        turn = replay(orchestrator, history)
        assert turn.output is False
        assert turn.actions == [
            WhenAny(
                compound_actions=(
                    WaitForExternalEvent(external_event_name="go"),
                    CreateTimer(fire_at="2026-01-02T03:05:05.000000Z", is_canceled=True),
                )
            ),
            activity("A"),
        ]

    def test_a_cancelled_timer_may_be_a_member_of_an_any_that_others_complete(self) -> None:
        def orchestrator(context: Context) -> Steps:
            timer = context.create_timer(timedelta(hours=1))
            timer.cancel()
            call = context.call_activity("A")
            return (yield context.task_any([timer, call])) is call

        assert replay(orchestrator, begun().timer_created(0).scheduled("A", 1).batch().completed(1)).output is True

    def test_timers_left_open_are_cancelled_when_the_code_returns(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.task_any([context.wait_for_external_event("go"), context.create_timer(timedelta(days=1))])

        turn = replay(orchestrator, begun().timer_created(0).batch().raised("go"))
        assert turn.is_done
        timers = [leaf for leaf in leaves(turn.actions) if isinstance(leaf, CreateTimer)]
        assert timers == [CreateTimer(fire_at="2026-01-03T03:04:05.000000Z", is_canceled=True)]

    def test_a_fired_timer_cannot_be_cancelled(self) -> None:
        def orchestrator(context: Context) -> Steps:
            timer = context.create_timer(timedelta(seconds=1))
            yield timer
            timer.cancel()

        turn = replay(orchestrator, begun().timer_created(0).batch().timer_fired(0))
        assert isinstance(turn.error, ValueError)

    def test_a_long_timer_is_cut_into_pieces_the_store_takes(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.create_timer(timedelta(days=7))
            return "fired"

        first = CreateTimer(fire_at="2026-01-05T03:04:05.000000Z")
        rest = CreateTimer(fire_at="2026-01-09T03:04:05.000000Z")
        history = begun()
        assert replay(orchestrator, history).actions == [WhenAll(compound_actions=(first,))]
        history.timer_created(0, timedelta(days=3)).batch(timedelta(days=3)).timer_fired(0)
        assert replay(orchestrator, history).actions == [WhenAll(compound_actions=(first,)), rest]
        history.timer_created(1, timedelta(days=4)).batch(timedelta(days=4)).timer_fired(1)
        assert replay(orchestrator, history).output == "fired"


class TestEvents:
    def test_names_ignore_case(self) -> None:
        def orchestrator(context: Context) -> Steps:
            return (yield context.wait_for_external_event("Approval"))

        assert replay(orchestrator, begun().batch().raised("APPROVAL", {"by": "me"})).output == {"by": "me"}

    def test_early_events_are_kept_in_order_and_delivered_once(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.call_activity("A")
            first = yield context.wait_for_external_event("go")
            second = yield context.wait_for_external_event("go")
            return [first, second]

        history = begun().raised("go", 1).raised("go", 2).scheduled("A", 0).batch().completed(0)
        assert replay(orchestrator, history).output == [1, 2]

    def test_the_newest_waiter_is_served_first(self) -> None:
        def orchestrator(context: Context) -> Steps:
            old, new = context.wait_for_external_event("go"), context.wait_for_external_event("go")
            return (yield context.task_all([old, new]))

        assert replay(orchestrator, begun().batch().raised("go", 1).raised("go", 2)).output == [2, 1]

    def test_an_event_without_payload_is_none(self) -> None:
        def orchestrator(context: Context) -> Steps:
            return [(yield context.wait_for_external_event("go"))]

        assert replay(orchestrator, begun().batch().raised("go")).output == [None]


class TestRetries:
    def test_a_failed_attempt_takes_an_id_for_its_delay_and_one_for_the_next_attempt(self) -> None:
        def orchestrator(context: Context) -> Steps:
            value = yield context.call_activity_with_retry("A", df.RetryOptions(5000, 2))
            return [value, (yield context.call_activity("B"))]

        history = begun().scheduled("A", 0).batch().failed(0).timer_created(1).batch(timedelta(seconds=5))
        history.timer_fired(1).scheduled("A", 2).batch().completed(2, "second").scheduled("B", 3).batch().completed(
            3, "b"
        )
        assert replay(orchestrator, history).output == ["second", "b"]

    def test_the_last_failure_is_followed_by_one_more_timer_before_the_code_sees_it(self) -> None:
        def orchestrator(context: Context) -> Steps:
            try:
                yield context.call_activity_with_retry("A", df.RetryOptions(5000, 1))
            except df.TaskFailedError as error:
                return error.reason

        history = begun().scheduled("A", 0).batch().failed(0, "no").timer_created(1)
        assert not replay(orchestrator, history).is_done
        assert replay(orchestrator, history.batch().timer_fired(1)).output == "no"

    @pytest.mark.parametrize(
        "options, delays",
        [
            (df.RetryOptions(1000, 4), [1, 1, 1]),
            (df.RetryOptions(1000, 4, backoff_coefficient=2), [1, 2, 4]),
            (df.RetryOptions(1000, 4, backoff_coefficient=3, max_retry_interval_in_milliseconds=5000), [1, 3, 5]),
            (df.RetryOptions(1000, 4, backoff_coefficient=1e12), [1, SIX_DAYS, SIX_DAYS]),
            (df.RetryOptions(1000, 4, backoff_coefficient=1e300), [1, SIX_DAYS, SIX_DAYS]),
            (df.RetryOptions(1000, 4, backoff_coefficient=1e12, non_retryable=["KeyError"]), [1, SIX_DAYS, SIX_DAYS]),
        ],
    )
    def test_delays_follow_the_options(self, options: df.RetryOptions, delays: list[int]) -> None:
        def orchestrator(context: Context) -> Steps:
            call = context.call_activity_with_retry("A", options)
            yield context.task_any([call, context.wait_for_external_event("go")])
            yield context.call_activity("B")

        history = begun().scheduled("A", 0).batch().raised("go").scheduled("B", 1)
        seen = []
        for attempt, next_id in enumerate((2, 4, 6)):
            history.batch().failed(0 if attempt == 0 else next_id - 1)
            timer = leaves(replay(orchestrator, history).actions)[-1]
            assert isinstance(timer, CreateTimer)
            seen.append((datetime.fromisoformat(timer.fire_at) - history.now).total_seconds())
            history.timer_created(next_id).batch().timer_fired(next_id).scheduled("A", next_id + 1)
        assert seen == delays

    def test_no_attempt_follows_when_the_time_for_retries_is_over(self) -> None:
        def orchestrator(context: Context) -> Steps:
            try:
                yield context.call_activity_with_retry("A", df.RetryOptions(1000, 9, retry_timeout_in_milliseconds=500))
            except df.TaskFailedError:
                return "gave up"

        assert replay(orchestrator, begun().scheduled("A", 0).batch().failed(0)).output == "gave up"


class TestSubOrchestrations:
    def test_the_action_has_all_that_the_extension_reads(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.call_sub_orchestrator("Child", {"q": 1}, "id-1", "2.0")

        action = CallSubOrchestrator(function_name="Child", input='{"q":1}', instance_id="id-1", version="2.0")
        assert replay(orchestrator, begun()).actions == [action]

    def test_its_output_and_its_failure_reach_the_parent(self) -> None:
        def orchestrator(context: Context) -> Steps:
            good = yield context.call_sub_orchestrator("Child")
            try:
                yield context.call_sub_orchestrator("Child")
            except df.TaskFailedError as error:
                return [good, error.name, error.reason]

        history = begun().child_created("Child", 0).batch().child_completed(0, [1]).child_created("Child", 1).batch()
        history.child_failed(1, "Orchestrator function 'Child' failed: boom")
        assert replay(orchestrator, history).output == [[1], "Child", "Orchestrator function 'Child' failed: boom"]


class TestEntityCalls:
    def test_the_answer_is_found_by_the_request_id_of_the_sent_event(self) -> None:
        def orchestrator(context: Context) -> Steps:
            return (yield context.call_entity(df.EntityId("Counter", "k"), "get"))

        turn = replay(orchestrator, begun().sent(0, "@counter@k", "get", "r-7").batch().answered("r-7", 5))
        assert turn.output == 5
        assert turn.actions == [CallEntity(instance_id="@counter@k", operation="get", input="null")]

    def test_a_failed_operation_raises_its_text(self) -> None:
        def orchestrator(context: Context) -> Steps:
            try:
                yield context.call_entity(df.EntityId("Counter", "k"), "get")
            except df.TaskFailedError as error:
                return [str(error), error.name, error.error_message]

        history = begun().sent(0, "@counter@k", "get", "r-7").batch().answered("r-7", "bad", is_error=True)
        assert replay(orchestrator, history).output == ["bad", "get", "bad"]

    def test_a_yielded_signal_is_sent_once_and_returns_at_once(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.signal_entity(df.EntityId("Counter", "k"), "add", 1)
            return "sent"

        turn = replay(orchestrator, begun())
        assert turn.output == "sent"
        assert turn.actions == [SignalEntity(instance_id="@counter@k", operation="add", input="1")]

    @pytest.mark.parametrize(
        "deliver_at", [timedelta(minutes=5), datetime(2026, 1, 2, 4, 9, 5, tzinfo=timezone(timedelta(hours=1)))]
    )
    def test_a_signal_may_be_sent_for_later(self, deliver_at: datetime | timedelta) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.signal_entity(df.EntityId("Counter", "k"), "add", 1, deliver_at=deliver_at)
            yield context.call_activity("A")

        later = ScheduledSignalEntity(
            instance_id="@counter@k", operation="add", input="1", fire_at="2026-01-02T03:09:05.000000Z"
        )
        history = begun().sent(0, "@counter@k", "add@2026-01-02T03:09:05.0000000Z").scheduled("A", 1)
        turn = replay(orchestrator, history)
        assert (turn.actions, turn.error) == ([later, activity("A")], None)


class TestContinueAsNew:
    def test_it_ends_the_turn_at_the_next_yield(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.call_activity("A")
            context.continue_as_new({"n": 2})
            yield context.call_activity("never")

        turn = replay(orchestrator, begun().scheduled("A", 0).batch().completed(0))
        assert turn.is_done
        assert turn.actions == [activity("A"), ContinueAsNew(input='{"n":2}')]

    def test_events_that_nobody_took_are_carried_where_the_list_allows_it(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.wait_for_external_event("go")
            yield context.call_activity("A")
            context.continue_as_new(None)

        history = begun().batch().raised("go", 1).scheduled("A", 0).batch().raised("go", 2).batch().completed(0)
        wait = WaitForExternalEvent(external_event_name="go")
        assert replay(orchestrator, history).actions == [wait, ContinueAsNew(input="null"), activity("A")]

    def test_events_the_extension_would_lose_travel_in_the_input_when_asked_for(self) -> None:
        def orchestrator(context: Context) -> Steps:
            if context.get_input() == {"n": 2}:
                early = yield context.wait_for_external_event("early")
                last = yield context.wait_for_external_event("go")
                return [early, last]
            yield context.wait_for_external_event("go")
            context.continue_as_new({"n": 2}, preserve_unprocessed_events=True)
            return None

        history = begun().batch().raised("Early", {"x": 1}).raised("go", 1)
        wait, again = replay(orchestrator, history).actions
        assert wait == WaitForExternalEvent(external_event_name="go")
        assert isinstance(again, ContinueAsNew)
        assert again.input == r'{"$events":[["Early","{\"x\":1}"]],"$input":"{\"n\":2}"}'
        following = replay(orchestrator, HistoryBuilder().started().batch().raised("go", 2).with_input(again.input))
        assert following.output == [{"x": 1}, 2]
        assert following.actions == [wait]


class TestFailures:
    def test_an_error_of_user_code_fails_the_instance_with_all_actions(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.call_activity("A")
            raise ValueError("boom")

        turn = replay(orchestrator, begun().scheduled("A", 0).batch().completed(0))
        assert isinstance(turn.error, ValueError)
        assert turn.state.error == "boom"
        assert not turn.is_done
        assert turn.actions == [activity("A")]

    def test_an_error_without_text_is_named_by_its_type(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.task_all([])
            raise KeyError

        assert replay(orchestrator, begun()).state.error == "KeyError"

    def test_a_failed_activity_raises_the_text_of_1_7_0_with_fields(self) -> None:
        def orchestrator(context: Context) -> Steps:
            try:
                yield context.call_activity("A")
            except df.TaskFailedError as error:
                return [str(error), error.name, error.reason, error.details]

        history = begun().scheduled("A", 0).batch().failed(0, "reason", "details")
        assert replay(orchestrator, history).output == ["reason \n details", "A", "reason", "details"]

    def test_an_output_that_is_no_json_fails_with_the_type_in_the_text(self) -> None:
        turn = replay(lambda context: 1j, begun())
        assert isinstance(turn.error, TypeError)
        assert "builtins.complex" in str(turn.state.error)

    @pytest.mark.parametrize("value", [None, 5, "text", [1]])
    def test_yielding_something_else_than_a_task_is_an_error_at_that_line(self, value: object) -> None:
        def orchestrator(context: Context) -> Steps:
            yield value

        error = replay(orchestrator, begun()).error
        assert isinstance(error, df.OrchestratorError)
        assert "is not a task" in str(error)
        frames = []
        trace = error.__traceback__
        while trace is not None:
            frames.append(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        assert "orchestrator" in frames

    @pytest.mark.parametrize(
        "cancellable",
        [
            lambda context: context.create_timer(timedelta(hours=1)),
            lambda context: context.create_timer(timedelta(days=30)),
            lambda context: context.wait_for_external_event("go"),
            lambda context: context.wait_for_external_event("go", timeout=timedelta(hours=1)),
        ],
    )
    @pytest.mark.parametrize(
        "around",
        [
            lambda context, task: task,
            lambda context, task: context.task_any([task]),
            lambda context, task: context.task_all([context.call_activity("A"), task]),
            lambda context, task: context.task_all([context.call_activity("A"), task], fail_fast=False),
        ],
    )
    def test_yielding_what_was_cancelled_is_an_error_at_that_line(
        self, cancellable: Callable[[Context], Any], around: Callable[[Context, Any], Any]
    ) -> None:
        def orchestrator(context: Context) -> Steps:
            task = cancellable(context)
            task.cancel()
            try:
                yield around(context, task)
            except df.OrchestratorError as error:
                return str(error)

        assert "yielded a task that was cancelled" in replay(orchestrator, begun()).output

    def test_a_task_of_another_instance_is_refused(self) -> None:
        kept: list[df.Task] = []

        def lender(context: Context) -> Steps:
            kept.append(context.call_activity("A"))
            yield kept[0]

        def borrower(context: Context) -> Steps:
            yield kept[0]

        replay(lender, begun())
        assert "another orchestration instance" in str(replay(borrower, begun()).error)

    def test_the_context_is_closed_when_the_turn_is_over(self) -> None:
        kept: list[Context] = []

        def orchestrator(context: Context) -> Steps:
            kept.append(context)
            yield context.call_activity("A")

        replay(orchestrator, begun())
        with pytest.raises(df.OrchestratorError, match="was not running"):
            kept[0].signal_entity(df.EntityId("Counter", "k"), "add")

    def test_a_finally_that_yields_runs_when_it_is_its_turn_and_not_when_the_code_is_let_go(self) -> None:
        def orchestrator(context: Context) -> Steps:
            try:
                yield context.call_activity("A")
            finally:
                yield context.call_activity("B")
                yield context.call_activity("C")

        history = begun().scheduled("A", 0)
        assert replay(orchestrator, history).actions == [activity("A")]
        assert replay(orchestrator, history.batch().failed(0)).actions == [activity("A"), activity("B")]

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python itself complains at its end
    def test_code_that_refuses_to_be_let_go_is_an_error_at_its_line(self) -> None:
        def orchestrator(context: Context) -> Steps:
            for _ in range(1000):
                try:
                    yield context.wait_for_external_event("go")
                except GeneratorExit:
                    continue

        error = replay(orchestrator, begun()).error
        assert isinstance(error, df.OrchestratorError)
        assert f"{__file__}:" in str(error)
        assert "Catch Exception instead" in str(error)
        gc.collect()

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_code_that_refuses_to_be_let_go_starts_nothing_more_that_would_hold_the_instance(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.call_activity("A")
            while True:
                try:
                    yield context.call_activity("B")
                except:  # noqa: E722
                    continue

        turn = replay(orchestrator, begun().scheduled("A", 0).batch().completed(0))
        assert "Catch Exception instead" in str(turn.error)
        assert turn.actions == [activity("A")]
        gc.collect()

    @pytest.mark.parametrize("yields", [False, True])
    def test_code_that_ends_the_process_fails_its_own_instance(self, yields: bool) -> None:
        def generator(context: Context) -> Steps:
            yield context.task_all([])
            sys.exit(3)

        def function(context: Context) -> None:
            sys.exit(3)

        error = replay(generator if yields else function, begun()).error
        assert isinstance(error, df.OrchestratorError)
        assert "SystemExit(3)" in str(error)

    @pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit, OutsideException])
    @pytest.mark.parametrize("yields", [False, True])
    def test_an_error_that_is_no_exception_fails_the_instance_too(
        self, yields: bool, kind: type[BaseException]
    ) -> None:
        def generator(context: Context) -> Steps:
            yield context.task_all([])
            raise kind("boom")

        def function(context: Context) -> None:
            raise kind("boom")

        turn = replay(generator if yields else function, begun())
        assert isinstance(turn.error, kind)
        assert turn.state.error == "boom"

    def test_an_error_that_cannot_tell_its_text_is_named_by_its_type(self) -> None:
        class MuteError(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no text")

        def orchestrator(context: Context) -> None:
            raise MuteError

        assert replay(orchestrator, begun()).state.error == "MuteError"

    @pytest.mark.parametrize(
        "yields, instead",
        [
            (lambda context: flow.race(context.call_activity("A")), "Use it with `yield from`"),
            (lambda context: context.lock(df.EntityId("Counter", "a")), "`yield context.lock_entities(...)`"),
            (lambda context: [context.call_activity("A")], "yield context.task_all([...])"),
        ],
    )
    def test_what_can_be_awaited_and_not_yielded_is_told_with_what_to_write(
        self, yields: Callable[[Context], Any], instead: str
    ) -> None:
        def orchestrator(context: Context) -> Steps:
            yield yields(context)

        error = replay(orchestrator, begun()).error
        assert isinstance(error, df.OrchestratorError)
        assert instead in str(error)

    async def test_a_yielded_future_is_told_to_be_for_async_def(self) -> None:
        future = asyncio.get_running_loop().create_future()

        def orchestrator(context: Context) -> Steps:
            yield future

        assert "write the orchestrator as `async def`" in str(replay(orchestrator, begun()).error)

    def test_a_yielded_coroutine_is_told_to_be_for_async_def(self) -> None:
        async def later() -> None: ...

        coroutine = later()

        def orchestrator(context: Context) -> Steps:
            yield coroutine

        error = replay(orchestrator, begun()).error
        coroutine.close()
        assert "write the orchestrator as `async def`" in str(error)

    @pytest.mark.parametrize(
        "use", [lambda task, context: task, lambda task, context: context.call_activity("B", task)]
    )
    def test_a_task_that_is_passed_on_without_its_result_is_told_to_be_awaited(
        self, use: Callable[[Any, Context], Any]
    ) -> None:
        def orchestrator(context: Context) -> Any:
            return use(context.call_activity("A"), context)

        assert "write `await` before it, in a generator `yield`" in str(replay(orchestrator, begun()).error)

    def test_a_group_of_errors_is_told_with_what_is_in_it(self) -> None:
        def orchestrator(context: Context) -> None:
            raise ExceptionGroup("two ways", [ValueError("a"), ExceptionGroup("more", [KeyError("b")])])

        assert replay(orchestrator, begun()).state.error == "two ways (2 sub-exceptions): ValueError: a; KeyError: 'b'"

    def test_a_group_of_many_errors_is_told_with_the_first_of_them(self) -> None:
        def orchestrator(context: Context) -> None:
            raise ExceptionGroup("all failed", [ValueError(str(number)) for number in range(1_000)])

        text = str(replay(orchestrator, begun()).state.error)
        assert text.endswith("; ValueError: 8; ValueError: 9; and 990 more")


class TestDeterminism:
    @pytest.mark.parametrize(
        "history, expected, actual",
        [
            (begun().scheduled("B", 0), "activity 'B'", "activity 'A'"),
            (begun().timer_created(0), "a timer", "activity 'A'"),
            (begun().child_created("A", 0), "sub-orchestration 'A'", "activity 'A'"),
            (begun().sent(0, "@counter@k", "add"), "a message to entity '@counter@k'", "activity 'A'"),
            (begun().scheduled("A", 0).scheduled("B", 1), "activity 'B'", "nothing"),
            (begun().scheduled("A", 0).scheduled("B", -2), "activity 'B'", "nothing"),
        ],
    )
    def test_history_and_code_that_disagree_fail_with_both_sides_named(
        self, history: HistoryBuilder, expected: str, actual: str
    ) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.call_activity("A")

        error = replay(orchestrator, history).error
        assert isinstance(error, df.NonDeterminismError)
        assert (error.expected, error.actual) == (expected, actual)
        assert error.location is not None
        assert error.location.startswith(__file__)

    def test_code_that_ended_before_its_history_says_how_it_ended(self) -> None:
        def failing(context: Context) -> Steps:
            yield context.task_all([])
            raise ValueError("boom")

        history = begun().scheduled("A", 0).batch().completed(0)
        returned, failed = (replay(code, history).error for code in (lambda context: "changed", failing))
        assert isinstance(returned, df.NonDeterminismError)
        assert returned.actual == "nothing: it had ended (by returning)"
        assert isinstance(failed, df.NonDeterminismError)
        assert failed.actual == "nothing: it had ended (with ValueError: boom)"
        assert isinstance(failed.__cause__, ValueError)

    def test_names_of_functions_ignore_case_as_the_extension_does(self) -> None:
        def orchestrator(context: Context) -> Steps:
            return (yield context.call_activity("a"))

        assert replay(orchestrator, begun().scheduled("A", 0).batch().completed(0, 1)).output == 1

    def test_a_second_completion_of_a_task_is_ignored(self) -> None:
        history = begun().scheduled("A", 0).batch().completed(0, 1).completed(0, 9).scheduled("B", 1)
        assert replay(call_a_then_b, history.batch().completed(1, 2)).output == [1, 2]


class TestContext:
    def test_new_uuid_and_new_guid_are_those_of_1_7_0(self) -> None:
        turn = replay(lambda context: [context.new_uuid(), context.new_uuid(), str(context.new_guid())], begun())
        assert turn.output == [
            "d4005683-dea3-5696-8324-de826cd0eaa6",
            "e799b80c-d3b3-5c1d-ba61-d75dc64eceb0",
            "7b2d4f14-ad5a-53e5-a847-fae4d0630843",
        ]

    @pytest.mark.parametrize("value", [None, 0, "", "text", "5", [], [1], {"a": 1}, 1.5, True])
    def test_the_input_is_what_the_client_sent(self, value: object) -> None:
        turn = replay(lambda context: [context.get_input()], HistoryBuilder().started("O", value))
        assert turn.output == [value]

    @pytest.mark.parametrize("value", [0, "", False, [], {}])
    def test_a_falsy_custom_status_is_sent(self, value: object) -> None:
        def orchestrator(context: Context) -> str:
            context.set_custom_status(value)
            return "done"

        assert replay(orchestrator, begun()).custom_status == value

    def test_is_replaying_until_the_last_batch(self) -> None:
        def orchestrator(context: Context) -> Steps:
            seen = [context.is_replaying]
            yield context.call_activity("A")
            seen.append(context.is_replaying)
            yield context.call_activity("B")
            return [*seen, context.is_replaying]

        history = begun().scheduled("A", 0).batch().completed(0).scheduled("B", 1).batch().completed(1)
        assert replay(orchestrator, history).output == [True, True, False]

    def test_the_clock_never_goes_back(self) -> None:
        def orchestrator(context: Context) -> Steps:
            yield context.call_activity("A")
            return context.current_utc_datetime == NOW

        history = begun().scheduled("A", 0).batch(timedelta(seconds=-5)).completed(0)
        assert replay(orchestrator, history).output is True

    def test_what_the_instance_was_given(self) -> None:
        def orchestrator(context: Context) -> Any:
            return [context.instance_id, context.version, len(context.histories)]

        history = HistoryBuilder("ship-1").started("Ship", version="1.2")
        assert replay(orchestrator, history).output == ["ship-1", "1.2", 2]


@pytest.mark.parametrize("schema, version", [(ReplaySchema.V2, 1), (ReplaySchema.V3, 2), (ReplaySchema.V4, 2)], ids=str)
def test_the_reply_says_the_schema_it_is_written_in(schema: ReplaySchema, version: int) -> None:
    turn = replay(call_a_then_b, HistoryBuilder(schema=schema).started())
    assert turn.state.schema_version == version


def test_schema_v1_has_one_row_a_yield_and_no_compounds() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.task_all([context.call_activity("A"), context.call_activity("B")])
        yield context.call_activity("C")

    history = HistoryBuilder(schema=ReplaySchema.V1).started().scheduled("A", 0).scheduled("B", 1).batch()
    state = replay(orchestrator, history.completed(0).completed(1)).state
    assert state.actions == [[activity("A"), activity("B")], [activity("C")]]
    assert "schemaVersion" not in state.encode()


@pytest.mark.parametrize(
    "orchestrator, message",
    [
        (lambda context: context.call_activity(len), "is not registered as a function"),
        (lambda context: context.task_all(["A"]), "member 0 of a compound task is 'A', not a task"),
    ],
)
def test_misuse_of_the_context_says_what_to_do(orchestrator: Callable[[Any], Any], message: str) -> None:
    assert message in str(replay(orchestrator, begun()).error)
