"""The rules of the durable engine, one a test: what a batch delivers, what a reply leads to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from kernel_driver import (
    START,
    STATUS,
    Execution,
    activity,
    all_of,
    any_of,
    child,
    continue_as_new,
    nb,
    timer,
    wait,
)
from msgspec import structs

from worker_ext.host import kernel
from worker_ext.host.gateway import Reply
from worker_ext.host.turns import (
    ActivityWork,
    Batch,
    ChildStart,
    EngineOptions,
    KnownFunctions,
    Message,
    Timer,
    TimerLimits,
    Turn,
    Waiting,
)
from worker_ext.protocol.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)

T0, T1, T2, T3 = (f"2026-01-02T03:04:0{second}Z" for second in (5, 6, 7, 8))
SECOND = timedelta(seconds=1)


def completed(number: int, result: str | None = "null", at: str = T0) -> TaskCompleted:
    return TaskCompleted(task_scheduled_id=number, result=result, timestamp=at)


def failed(number: int, at: str = T0) -> TaskFailed:
    return TaskFailed(task_scheduled_id=number, reason="Activity function 'A' failed: E: x", timestamp=at)


def fired(number: int, at: str = T0) -> TimerFired:
    return TimerFired(timer_id=number, timestamp=at)


def raised(name: str, text: str | None = "1", at: str = T0) -> EventRaised:
    return EventRaised(name=name, input=text, timestamp=at)


def kinds(turn: Turn) -> list[str]:
    return [type(event).__name__ + (f"#{event.event_id}" if event.event_id >= 0 else "") for event in turn.events]


# ---------------------------------------------------------------- batches


def test_the_start_comes_first_whatever_arrived_before_it() -> None:
    run = Execution()
    batch = kernel.open_batch([], [Waiting(raised("go")), Waiting(run.started)], START)
    assert batch == Batch(run.started, [OrchestratorStarted(timestamp=T0), run.started, raised("go")])


def test_a_second_start_is_dropped() -> None:
    run = Execution()
    run.start(wait("go"))
    batch = kernel.open_batch(run.history, [Waiting(run.started), Waiting(raised("go"))], START + SECOND)
    assert batch is not None
    assert batch.events == [OrchestratorStarted(timestamp=T1), raised("go")]
    assert batch.is_replaying is True


def test_a_message_for_another_execution_is_dropped() -> None:
    run = Execution()
    run.start(activity("A"))
    messages = [Waiting(completed(0, '"old"'), "e0"), Waiting(completed(0, '"new"'), "e1")]
    batch = kernel.open_batch(run.history, messages, START + SECOND)
    assert batch is not None
    assert batch.events == [OrchestratorStarted(timestamp=T1), completed(0, '"new"')]


def test_nothing_is_delivered_where_everything_is_dropped() -> None:
    run = Execution()
    run.start(activity("A"))
    assert kernel.open_batch(run.history, [Waiting(completed(0), "e0")], START) is None
    assert kernel.open_batch([], [Waiting(raised("go"))], START) is None


def test_a_clock_that_goes_backwards_does_not_take_history_with_it() -> None:
    run = Execution()
    run.start(activity("A"))
    run.now = START - timedelta(hours=1)
    run.deliver(completed(0)).reply(activity("A"), activity("B"))
    run.now = START - timedelta(minutes=30)
    run.deliver(completed(1)).reply(activity("A"), activity("B"), done=True)
    assert {event.timestamp for event in run.history} == {T0}


# ---------------------------------------------------------------- activities


def test_an_activity_is_scheduled_under_the_next_id() -> None:
    turn = Execution().start(all_of(activity("A", '{"x": 1}'), activity("B", None)))
    assert turn == Turn(
        events=[
            TaskScheduled(name="A", version="", event_id=0, timestamp=T0),
            TaskScheduled(name="B", version="", event_id=1, timestamp=T0),
            OrchestratorCompleted(timestamp=T0),
        ],
        status=STATUS.RUNNING,
        activities=[ActivityWork(0, "A", '{"x": 1}'), ActivityWork(1, "B", None)],
        timers=[],
        children=[],
        messages=[],
    )


@pytest.mark.parametrize(
    "value, text",
    [
        ('{"n": 1}', '{"n": 1}'),
        ("plain", "plain"),
        ("", ""),
        (None, None),
        (5, "5"),
        (2.5, "2.5"),
        (True, "True"),
        (False, "False"),
        ({"n": [1, None]}, '{"n":[1,null]}'),
        ([], "[]"),
        ("größer", "größer"),
    ],
)
def test_an_activity_gets_the_one_input_unwrapped(value: Any, text: str | None) -> None:
    turn = Execution().start(activity("A", value))
    assert turn.activities == [ActivityWork(0, "A", text)]


def test_history_keeps_inputs_where_the_setting_says_so() -> None:
    run = Execution(options=EngineOptions(store_inputs=True))
    turn = run.start(all_of(activity("A", '{"x": 1}'), child("Child", input='{"q": 1}')))
    assert turn.events[:2] == [
        TaskScheduled(name="A", version="", input='["{\\"x\\": 1}"]', event_id=0, timestamp=T0),
        SubOrchestrationInstanceCreated(
            name="Child", instance_id="e1:1", input='"{\\"q\\": 1}"', event_id=1, timestamp=T0
        ),
    ]


def test_names_of_functions_are_compared_without_case() -> None:
    run = Execution()
    assert run.start(activity("a")).activities == [ActivityWork(0, "a", "null")]
    turn = run.deliver(completed(0)).reply(activity("A"), done=True, output=1)
    assert turn.status is STATUS.COMPLETED


def test_an_unknown_activity_fails_its_task_under_the_id_the_worker_counted() -> None:
    run = Execution()
    turn = run.start(all_of(activity("NoSuch"), activity("A")))
    reason = (
        "The function 'NoSuch' doesn't exist, is disabled, or is not an activity function. "
        "Additional info: The following are the known activity functions: 'A', 'B', 'C'."
    )
    assert turn.events[0] == TaskScheduled(name="NoSuch", version="", event_id=0, timestamp=T0)
    assert turn.activities == [ActivityWork(1, "A", "null")]
    assert turn.messages == [Message("abc", TaskFailed(task_scheduled_id=0, reason=reason, timestamp=T0), "e1")]


def test_a_second_completion_of_a_task_changes_nothing() -> None:
    run = Execution()
    run.start(activity("A"))
    run.deliver(completed(0), completed(0)).reply(activity("A"), activity("B"))
    turn = run.deliver(completed(0)).reply(activity("A"), activity("B"))
    assert (kinds(turn), turn.status) == (["OrchestratorCompleted"], STATUS.RUNNING)


# ---------------------------------------------------------------- the list


def test_an_item_starts_when_the_one_before_it_is_complete() -> None:
    run = Execution()
    assert kinds(run.start(activity("A"), activity("B"))) == ["TaskScheduled#0", "OrchestratorCompleted"]
    turn = run.deliver(failed(0)).reply(activity("A"), activity("B"))
    assert kinds(turn) == ["TaskScheduled#1", "OrchestratorCompleted"]


def test_when_all_waits_for_every_member_failed_ones_included() -> None:
    run = Execution()
    actions = [all_of(activity("A"), activity("B")), activity("C")]
    run.start(*actions)
    assert kinds(run.deliver(failed(0)).reply(*actions)) == ["OrchestratorCompleted"]
    assert kinds(run.deliver(completed(1)).reply(*actions)) == ["TaskScheduled#2", "OrchestratorCompleted"]


def test_when_any_waits_for_the_first_member() -> None:
    run = Execution()
    actions = [any_of(activity("A"), activity("B")), activity("C")]
    run.start(*actions)
    assert kinds(run.deliver(completed(1)).reply(*actions)) == ["TaskScheduled#2", "OrchestratorCompleted"]


def test_groups_nest_and_take_ids_depth_first() -> None:
    run = Execution()
    actions = [any_of(all_of(activity("A"), activity("B")), all_of(activity("C"), wait("go"))), activity("A")]
    turn = run.start(*actions)
    assert [(item.task_id, item.name) for item in turn.activities] == [(0, "A"), (1, "B"), (2, "C")]
    assert kinds(run.deliver(completed(0), completed(2)).reply(*actions)) == ["OrchestratorCompleted"]
    assert kinds(run.deliver(raised("go")).reply(*actions)) == ["TaskScheduled#3", "OrchestratorCompleted"]


def test_an_empty_when_all_is_complete_at_once() -> None:
    assert kinds(Execution().start(all_of(), activity("A"))) == ["TaskScheduled#0", "OrchestratorCompleted"]


def test_the_groups_around_the_leaves_may_change_between_replies() -> None:
    run = Execution()
    run.start(all_of(activity("A"), activity("B")))
    turn = run.deliver(completed(0)).reply(nb(activity("A")), nb(activity("B")), activity("C"))
    assert kinds(turn) == ["TaskScheduled#2", "OrchestratorCompleted"]


def test_under_schema_v1_any_one_of_an_inner_list_lets_the_next_begin() -> None:
    run = Execution()
    first: list[Any] = [activity("A"), activity("B")]
    run.deliver(run.started).answer({"isDone": False, "actions": [first]})
    turn = run.deliver(failed(1)).answer({"isDone": False, "actions": [first, [], [activity("C")]]})
    assert kinds(turn) == ["TaskScheduled#2", "OrchestratorCompleted"]
    run.deliver(completed(0), completed(2))
    turn = run.answer({"isDone": True, "actions": [first, [], [activity("C")]], "output": 7})
    assert (turn.status, turn.output) == (STATUS.COMPLETED, "7")


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_the_list_has_one_shape_from_schema_v2_on(schema: int) -> None:
    run = Execution()
    turn = run.deliver(run.started).reply(activity("A"), activity("B"), schema=schema)
    assert kinds(turn) == ["TaskScheduled#0", "OrchestratorCompleted"]


def test_more_actions_than_allowed_fail_the_instance() -> None:
    run = Execution(options=EngineOptions(max_actions=2))
    actions = all_of(activity("A"), wait("go"), activity("A"), activity("A"))
    assert kinds(run.start(actions)) == ["TaskScheduled#0", "TaskScheduled#1", "OrchestratorCompleted"]
    turn = run.deliver(completed(0), completed(1)).reply(actions)
    assert (turn.status, turn.output) == (
        STATUS.FAILED,
        "Orchestrator function 'Orch' failed: The orchestration has scheduled more than 2 actions. Continue as new "
        "before that, or set extensions.durableTask.maxOrchestrationActions in host.json",
    )


# ---------------------------------------------------------------- timers


def test_a_timer_is_an_event_for_the_instance_at_its_time() -> None:
    turn = Execution().start(timer(timedelta(minutes=1)))
    due = "2026-01-02T03:05:05Z"
    assert turn.events[0] == TimerCreated(fire_at=due, event_id=0, timestamp=T0)
    assert turn.timers == [
        Timer(START + timedelta(minutes=1), TimerFired(timer_id=0, fire_at=due, timestamp=T0)),
    ]


def test_a_canceled_timer_is_written_and_blocks_nothing() -> None:
    turn = Execution().start(timer(SECOND, canceled=True), done=True, output=1)
    assert kinds(turn) == ["TimerCreated#0", "ExecutionCompleted#1", "OrchestratorCompleted"]


def test_a_timer_that_fires_after_its_cancellation_is_ignored() -> None:
    run = Execution()
    run.start(any_of(timer(SECOND), wait("go")))
    run.deliver(raised("go")).reply(any_of(timer(SECOND, canceled=True), wait("go")), activity("A"))
    turn = run.deliver(fired(0)).reply(any_of(timer(SECOND, canceled=True), wait("go")), activity("A"))
    assert (kinds(turn), turn.status) == (["OrchestratorCompleted"], STATUS.RUNNING)


def test_an_open_timer_holds_the_end_back() -> None:
    run = Execution()
    actions = any_of(timer(SECOND), wait("go"))
    run.start(actions)
    assert run.deliver(raised("go")).reply(actions, done=True, output=1).status is STATUS.RUNNING
    turn = run.deliver(fired(0)).reply(actions, done=True, output=1)
    assert turn.events[0] == ExecutionCompleted(orchestration_status=1, result="1", event_id=1, timestamp=T2)


@pytest.mark.parametrize("days, pieces", [(5, [5]), (6, [6]), (7, [3, 6, 7]), (9, [3, 6, 9])])
def test_a_timer_beyond_the_limit_is_cut_into_pieces(days: int, pieces: list[int]) -> None:
    run = Execution()
    action = timer(timedelta(days=days))
    turn = run.start(action)
    due = [event.fire_at for event in turn.events if isinstance(event, TimerCreated)]
    for number, piece in enumerate(pieces):
        run.now = START + timedelta(days=piece)
        turn = run.deliver(fired(number)).reply(action, done=True, output=1)
        due += [event.fire_at for event in turn.events if isinstance(event, TimerCreated)]
    assert due == [f"2026-01-{2 + piece:02d}T03:04:05Z" for piece in pieces]
    assert turn.status is STATUS.COMPLETED


def test_no_timer_is_cut_where_there_is_no_limit() -> None:
    run = Execution(options=EngineOptions(timers=TimerLimits(timedelta(0), timedelta(0))))
    turn = run.start(timer(timedelta(days=300)))
    assert [item.due for item in turn.timers] == [START + timedelta(days=300)]


def test_a_past_due_timer_takes_an_id_also_while_a_long_one_runs() -> None:
    turn = Execution().start(nb(timer(timedelta(days=7))), timer(-SECOND), activity("A"))
    assert kinds(turn) == ["TimerCreated#0", "TimerCreated#1", "OrchestratorCompleted"]


# ---------------------------------------------------------------- retries


def retried(name: str = "A", number: int = 0, **options: Any) -> dict[str, Any]:
    members = {"firstRetryIntervalInMilliseconds": 5000, "maxNumberOfAttempts": 2, **options}
    return {"actionType": number + 1, "functionName": name, "input": "null", "retryOptions": members}


def delay_of(turn: Turn) -> timedelta | None:
    return turn.timers[0].due - START if turn.timers else None


def test_a_retry_and_then_an_event_with_a_timeout() -> None:
    run = Execution()
    first = all_of(retried())
    assert kinds(run.start(first)) == ["TaskScheduled#0", "OrchestratorCompleted"]
    turn = run.deliver(failed(0)).reply(first)
    assert (kinds(turn), delay_of(turn)) == (["TimerCreated#1", "OrchestratorCompleted"], timedelta(seconds=6))
    assert kinds(run.deliver(fired(1)).reply(first)) == ["TaskScheduled#2", "OrchestratorCompleted"]
    second = any_of(timer(timedelta(minutes=1)), wait("go"))
    turn = run.deliver(completed(2)).reply(first, second)
    assert kinds(turn) == ["TimerCreated#3", "OrchestratorCompleted"]
    canceled = any_of(timer(timedelta(minutes=1), canceled=True), wait("go"))
    turn = run.deliver(raised("go")).reply(first, canceled, done=True, output="x")
    assert kinds(turn) == ["ExecutionCompleted#4", "OrchestratorCompleted"]


def test_the_last_failed_attempt_is_followed_by_one_more_timer() -> None:
    run = Execution()
    actions = [retried(maxNumberOfAttempts=1), activity("B")]
    run.start(*actions)
    turn = run.deliver(failed(0)).reply(*actions)
    assert (kinds(turn), delay_of(turn)) == (["TimerCreated#1", "OrchestratorCompleted"], SECOND)
    assert kinds(run.deliver(fired(1)).reply(*actions)) == ["TaskScheduled#2", "OrchestratorCompleted"]


@pytest.mark.parametrize(
    "options, delays",
    [
        ({"backoffCoefficient": 2}, [5, 10, 20]),
        ({"backoffCoefficient": 2, "maxRetryIntervalInMilliseconds": 7000}, [5, 7, 7]),
        ({"backoffCoefficient": 1.5}, [5, 7.5, 11.25]),
        ({"backoffCoefficient": 1e200}, [5, 518400, 518400]),
    ],
)
def test_delays_grow_up_to_the_longest(options: dict[str, Any], delays: list[float]) -> None:
    run = Execution()
    action = retried(maxNumberOfAttempts=4, **options)
    run.start(action)
    seen = []
    for number in range(0, 6, 2):
        at = run.now
        turn = run.deliver(failed(number)).reply(action)
        seen.append((turn.timers[0].due - at).total_seconds())
        run.deliver(fired(number + 1)).reply(action)
    assert seen == delays


def test_after_the_retry_timeout_the_task_fails_without_a_timer() -> None:
    run = Execution()
    actions = [retried(maxNumberOfAttempts=9, retryTimeoutInMilliseconds=1000), activity("B")]
    run.start(*actions)
    assert kinds(run.deliver(failed(0)).reply(*actions)) == ["TaskScheduled#1", "OrchestratorCompleted"]


def test_concurrent_retries_take_their_ids_in_the_order_of_events() -> None:
    run = Execution()
    actions = all_of(retried("A"), retried("B"))
    run.start(actions)
    assert kinds(run.deliver(failed(1)).reply(actions)) == ["TimerCreated#2", "OrchestratorCompleted"]
    turn = run.deliver(failed(0), fired(2)).reply(actions)
    assert kinds(turn) == ["TimerCreated#3", "TaskScheduled#4", "OrchestratorCompleted"]
    assert [item.name for item in turn.activities] == ["B"]


def test_a_retried_child_gets_a_new_id_each_time_unless_it_has_one_of_its_own() -> None:
    run = Execution()
    actions = all_of(retried("Child", 2), {**retried("Child", 2), "instanceId": "mine"})
    turn = run.start(actions)
    assert [item.instance_id for item in turn.children] == ["e1:0", "mine"]
    ends = [SubOrchestrationInstanceFailed(task_scheduled_id=number, timestamp=T0) for number in (0, 1)]
    run.deliver(*ends).reply(actions)
    turn = run.deliver(fired(2), fired(3)).reply(actions)
    assert [item.instance_id for item in turn.children] == ["e1:4", "mine"]


def test_a_retry_delay_longer_than_the_longest_timer_fails_the_instance() -> None:
    turn = Execution().start(retried(maxRetryIntervalInMilliseconds=7 * 86_400_000))
    assert turn.output == (
        "Orchestrator function 'Orch' failed: maxRetryIntervalInMilliseconds of A is 7 days, 0:00:00; it must not be "
        "longer than the longest timer, 6 days, 0:00:00"
    )


# ---------------------------------------------------------------- external events


def test_an_event_wait_takes_no_id_and_writes_nothing() -> None:
    assert kinds(Execution().start(all_of(wait("go"), activity("A")))) == ["TaskScheduled#0", "OrchestratorCompleted"]


def test_names_of_events_are_compared_without_case() -> None:
    run = Execution()
    run.start(wait("Go"))
    assert run.deliver(raised("gO")).reply(wait("Go"), done=True, output=1).status is STATUS.COMPLETED


def test_an_event_that_comes_early_waits_and_is_taken_once() -> None:
    run = Execution()
    run.start(activity("A"))
    run.deliver(raised("go")).reply(activity("A"))
    turn = run.deliver(completed(0)).reply(activity("A"), wait("go"), wait("go"), done=True)
    assert turn.status is STATUS.RUNNING
    turn = run.deliver(raised("go")).reply(activity("A"), wait("go"), wait("go"), done=True)
    assert turn.status is STATUS.COMPLETED


def test_the_newest_waiter_gets_the_event() -> None:
    run = Execution()
    actions = [nb(all_of(wait("go"), activity("A"))), any_of(wait("go")), activity("B")]
    run.start(*actions)
    assert kinds(run.deliver(raised("go")).reply(*actions)) == ["TaskScheduled#1", "OrchestratorCompleted"]


def test_an_open_wait_does_not_hold_the_end_back() -> None:
    assert Execution().start(nb(wait("never")), done=True, output=1).status is STATUS.COMPLETED


def test_a_wait_that_the_list_stands_at_holds_end_and_failure_back() -> None:
    run = Execution()
    assert run.start(wait("never"), done=True, output=1).status is STATUS.RUNNING
    assert run.deliver(raised("other")).fail("boom", wait("never")).status is STATUS.RUNNING


# ---------------------------------------------------------------- children and parents


PARENT = ParentInstance("Boss", OrchestrationInstance("boss", "e9"), 4, "1.0")


def test_a_child_starts_with_its_parent_in_its_message() -> None:
    run = Execution(version="2.0", options=EngineOptions(default_version="1.5"))
    turn = run.start(child("Child", input='{"q": 1}'), done=False)
    created = SubOrchestrationInstanceCreated(name="Child", version="1.5", instance_id="e1:0", event_id=0, timestamp=T0)
    started = ExecutionStarted(
        orchestration_instance=OrchestrationInstance("e1:0", f"{1:032x}"),
        parent_instance=ParentInstance("Orch", OrchestrationInstance("abc", "e1"), 0, "2.0"),
        name="Child",
        version="1.5",
        input='"{\\"q\\": 1}"',
        timestamp=T0,
    )
    taken = SubOrchestrationInstanceFailed(
        task_scheduled_id=0, reason="An orchestration with the instance ID 'e1:0' is running already.", timestamp=T0
    )
    assert turn.events[0] == created
    assert turn.children == [ChildStart("e1:0", started, taken)]


@pytest.mark.parametrize("given, version", [(None, None), ("", ""), ("3", "3")])
def test_a_child_has_the_version_that_its_call_names(given: str | None, version: str | None) -> None:
    turn = Execution().start(child("Child", "c", version=given))
    assert [item.started.version for item in turn.children] == [version]


@pytest.mark.parametrize(
    "name, instance_id, reason",
    [
        (
            "NoSuch",
            None,
            "The function 'NoSuch' doesn't exist, is disabled, or is not an orchestrator function. "
            "Additional info: The following are the known orchestrator functions: 'Child', 'Orch'.",
        ),
        ("Child", "@x@y", "The instance ID '@x@y' of a sub-orchestration must not start with '@'."),
        ("Child", "ABC", "The instance ID 'ABC' of a sub-orchestration must not be its parent's own."),
        ("Child", "Boss", "The instance ID 'Boss' of a sub-orchestration must not be its parent's own."),
    ],
)
def test_a_child_that_cannot_be_started_fails_its_task(name: str, instance_id: str | None, reason: str) -> None:
    turn = Execution(parent=PARENT).start(child(name, instance_id))
    answer = SubOrchestrationInstanceFailed(task_scheduled_id=0, reason=reason, timestamp=T0)
    assert kinds(turn) == ["SubOrchestrationInstanceCreated#0", "OrchestratorCompleted"]
    assert (turn.children, turn.messages) == ([], [Message("abc", answer, "e1")])


def test_a_completed_child_tells_its_parent() -> None:
    turn = Execution(parent=PARENT).start(done=True, output={"x": [1, None]})
    event = SubOrchestrationInstanceCompleted(task_scheduled_id=4, result='{"x":[1,null]}', timestamp=T0)
    assert turn.messages == [Message("boss", event, "e9")]


def test_a_failed_child_tells_its_parent_why() -> None:
    run = Execution(parent=PARENT)
    turn = run.deliver(run.started).fail("boom")
    event = SubOrchestrationInstanceFailed(
        task_scheduled_id=4,
        reason="Orchestrator function 'Orch' failed: boom",
        details="Message: boom, StackTrace: the stack",
        timestamp=T0,
    )
    assert turn.messages == [Message("boss", event, "e9")]


def test_a_terminated_child_tells_its_parent_the_reason_alone() -> None:
    run = Execution(parent=PARENT)
    run.start(activity("A"))
    turn = run.deliver(ExecutionTerminated(input="enough", timestamp=T0)).reply(activity("A"))
    event = SubOrchestrationInstanceFailed(task_scheduled_id=4, reason="enough", timestamp=T1)
    assert turn.messages == [Message("boss", event, "e9")]


# ---------------------------------------------------------------- the end


@pytest.mark.parametrize(
    "members, result",
    [({}, None), ({"output": None}, None), ({"output": 0}, "0"), ({"output": ""}, '""'), ({"output": [1]}, "[1]")],
)
def test_an_instance_completes_with_its_output(members: dict[str, Any], result: str | None) -> None:
    turn = Execution().start(done=True, **members)
    assert turn.events == [
        ExecutionCompleted(orchestration_status=1, result=result, event_id=0, timestamp=T0),
        OrchestratorCompleted(timestamp=T0),
    ]
    assert (turn.status, turn.output) == (STATUS.COMPLETED, result)


def test_a_failure_waits_for_open_tasks() -> None:
    run = Execution()
    actions = [nb(activity("A")), nb(activity("B"))]
    run.start(*actions)
    assert run.deliver(failed(0)).fail("boom", *actions).status is STATUS.RUNNING
    turn = run.deliver(completed(1)).fail("boom", *actions)
    assert (turn.status, turn.output) == (STATUS.FAILED, "Orchestrator function 'Orch' failed: boom")


def test_a_structured_failure_is_what_the_status_shows() -> None:
    run = Execution()
    details = {"ErrorType": "ValueError", "ErrorMessage": "bad", "IsNonRetriable": True}
    turn = run.deliver(run.started).fail("boom", failureDetails=details)
    end = turn.events[0]
    assert isinstance(end, ExecutionCompleted)
    assert (turn.output, end.result) == ("ValueError: bad", "Orchestrator function 'Orch' failed: boom")
    assert end.failure_details is not None
    assert (end.failure_details.error_type, end.failure_details.is_non_retriable) == ("ValueError", True)


def test_custom_status_lasts_as_long_as_it_is_repeated() -> None:
    run = Execution()
    assert run.start(activity("A"), customStatus={"n": 1}).custom_status == '{"n":1}'
    assert run.deliver(raised("x")).reply(activity("A"), customStatus=0).custom_status == "0"
    assert run.deliver(raised("x")).reply(activity("A")).custom_status is None


def test_an_orchestrator_that_does_not_exist_fails_its_instance() -> None:
    run = Execution(name="Gone")
    run.deliver(run.started)
    assert run.batch is not None
    functions = KnownFunctions({"Orch"}, set())
    turn = kernel.fail_unknown([], run.batch, functions=functions, options=EngineOptions(), now=START)
    assert (turn.status, turn.output) == (
        STATUS.FAILED,
        "Orchestrator function 'Gone' failed: The function 'Gone' doesn't exist, is disabled, or is not an "
        "orchestrator function. Additional info: The following are the known orchestrator functions: 'Orch'.",
    )


# ---------------------------------------------------------------- terminate, suspend, resume


def test_a_terminated_instance_ends_at_once_with_the_bare_reason() -> None:
    run = Execution()
    run.start(activity("A"))
    turn = run.deliver(ExecutionTerminated(input="123", timestamp=T0), raised("late")).reply(activity("A"))
    assert turn.events == [
        ExecutionCompleted(orchestration_status=5, result="123", event_id=1, timestamp=T1),
        OrchestratorCompleted(timestamp=T1),
    ]
    assert (turn.status, turn.output) == (STATUS.TERMINATED, "123")


def test_a_suspended_instance_sets_events_aside_until_it_is_resumed() -> None:
    run = Execution()
    actions = [all_of(activity("A"), wait("go")), activity("B")]
    run.start(*actions)
    turn = run.deliver(ExecutionSuspended(reason="why", timestamp=T0), completed(0)).reply(*actions)
    assert (kinds(turn), turn.status) == (["OrchestratorCompleted"], STATUS.SUSPENDED)
    assert run.deliver(raised("go")).reply(*actions).status is STATUS.SUSPENDED
    turn = run.deliver(ExecutionResumed(reason="because", timestamp=T0)).reply(*actions)
    assert (kinds(turn), turn.status) == (["TaskScheduled#1", "OrchestratorCompleted"], STATUS.RUNNING)


def test_what_was_decided_before_a_suspension_in_the_same_batch_is_held_back() -> None:
    run = Execution()
    run.start(activity("A"))
    suspended = ExecutionSuspended(reason=None, timestamp=T0)
    turn = run.deliver(completed(0), suspended).reply(activity("A"), activity("B"))
    assert (kinds(turn), turn.status) == (["OrchestratorCompleted"], STATUS.SUSPENDED)
    turn = run.deliver(ExecutionResumed(timestamp=T0)).reply(activity("A"), activity("B"))
    assert (kinds(turn), turn.status) == (["TaskScheduled#1", "OrchestratorCompleted"], STATUS.RUNNING)


def test_events_set_aside_are_worked_with_the_clock_of_the_resume() -> None:
    run = Execution()
    action = retried()
    run.start(action)
    run.deliver(ExecutionSuspended(timestamp=T0), failed(0)).reply(action)
    turn = run.deliver(ExecutionResumed(timestamp=T0)).reply(action)
    assert delay_of(turn) == timedelta(seconds=2 + 5)


def test_a_suspended_instance_can_be_terminated() -> None:
    run = Execution()
    run.start(activity("A"))
    run.deliver(ExecutionSuspended(timestamp=T0)).reply(activity("A"))
    turn = run.deliver(ExecutionTerminated(input="r", timestamp=T0)).reply(activity("A"))
    assert turn.status is STATUS.TERMINATED


def test_a_resume_without_a_suspension_changes_nothing() -> None:
    run = Execution()
    run.start(activity("A"))
    turn = run.deliver(ExecutionResumed(timestamp=T0)).reply(activity("A"))
    assert (kinds(turn), turn.status) == (["OrchestratorCompleted"], STATUS.RUNNING)


# ---------------------------------------------------------------- continue-as-new


def test_a_new_generation_replaces_the_history() -> None:
    run = Execution(parent=PARENT, version="2", input='{"n":1}')
    run.start(activity("A"))
    turn = run.deliver(completed(0)).reply(activity("A"), continue_as_new('{"n": 2}'), done=True, customStatus="s")
    again = structs.replace(
        run.started,
        orchestration_instance=OrchestrationInstance("abc", f"{1:032x}"),
        input='"{\\"n\\": 2}"',
        timestamp=T1,
    )
    opened = OrchestratorStarted(timestamp=T1)
    assert turn.next == Batch(again, [opened, again, OrchestratorCompleted(timestamp=T1)], carried_status='"s"')
    assert turn.status is STATUS.RUNNING


def test_the_decisions_of_a_new_generation_stand_behind_its_first_marker() -> None:
    run = Execution()
    run.start(continue_as_new(), done=True)
    run.reply(activity("A"))
    assert [type(event).__name__ for event in run.history] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "OrchestratorCompleted",
        "TaskScheduled",
        "OrchestratorCompleted",
    ]
    assert [event.is_played for event in run.history] == [False, True, True, False, False]


def test_a_new_generation_that_decides_nothing_gets_no_second_marker() -> None:
    run = Execution()
    run.start(continue_as_new(), done=True)
    assert run.reply(wait("go")).events == []


def test_custom_status_of_the_old_generation_lasts_for_one_batch() -> None:
    run = Execution()
    run.start(continue_as_new(), done=True, customStatus="s")
    assert run.reply(wait("go")).custom_status == '"s"'
    assert run.deliver(raised("x")).reply(wait("go")).custom_status is None


def test_events_behind_the_action_are_carried_and_count_as_played() -> None:
    run = Execution()
    actions = [wait("a"), continue_as_new(), activity("A")]
    run.start(wait("a"), activity("A"))
    turn = run.deliver(raised("early"), raised("a"), raised("a"), raised("late")).reply(*actions, done=True)
    assert turn.next is None
    turn = run.deliver(completed(0)).reply(*actions, done=True)
    assert turn.next is not None
    assert turn.next.events[2:-1] == [
        structs.replace(raised("a"), is_played=True),
        structs.replace(raised("late"), is_played=True),
    ]


def test_an_open_task_holds_the_new_generation_back() -> None:
    run = Execution()
    actions = [nb(activity("A")), continue_as_new()]
    turn = run.start(*actions, done=True)
    assert (turn.next, turn.status) == (None, STATUS.RUNNING)
    assert run.deliver(completed(0)).reply(*actions, done=True).next is not None


def test_the_action_alone_does_not_start_a_generation() -> None:
    turn = Execution().start(continue_as_new())
    assert (turn.next, turn.status) == (None, STATUS.RUNNING)


def test_a_failure_wins_over_a_new_generation() -> None:
    run = Execution()
    turn = run.deliver(run.started).fail("boom", continue_as_new())
    assert (turn.next, turn.status) == (None, STATUS.FAILED)


# ---------------------------------------------------------------- determinism

CHANGED = " Was a change made to the orchestrator code after this instance had already started running?"
BEFORE = "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled "


@pytest.mark.parametrize(
    "first, event, now, text",
    [
        (
            activity("A"),
            completed(0),
            [],
            "an activity task with sequence ID 0 and name 'A' (version ''), but the current replay execution hasn't "
            "(yet?) scheduled this task.",
        ),
        (
            activity("A"),
            completed(0),
            [activity("B")],
            "an activity task with sequence number 0 named 'A', but the current orchestration replay instead "
            "scheduled an activity task named 'B' with this sequence number. ",
        ),
        (
            activity("A"),
            completed(0),
            [timer(SECOND)],
            "an activity task with sequence number 0 named 'A', but the current orchestration replay instead "
            "produced a CreateTimerOrchestratorAction action with this sequence number.",
        ),
        (
            timer(SECOND),
            fired(0),
            [],
            "a timer task with sequence number 0 but the current replay execution hasn't (yet?) scheduled this task.",
        ),
        (
            timer(SECOND),
            fired(0),
            [activity("A")],
            "a timer task with sequence number 0 named but the current orchestration replay instead produced a "
            "ScheduleTaskOrchestratorAction action with this sequence number.",
        ),
        (
            child("Child"),
            SubOrchestrationInstanceCompleted(task_scheduled_id=0, timestamp=T0),
            [activity("A")],
            "a sub-orchestration task with sequence ID 0 and name 'Child' (version '', instance ID 'e1:0'), but the "
            "current orchestration replay instead produced a ScheduleTaskOrchestratorAction action with this "
            "sequence number.",
        ),
    ],
    ids=["gone", "name", "kind", "timer gone", "timer kind", "child kind"],
)
def test_a_history_that_the_list_does_not_lead_to_fails_the_instance(
    first: dict[str, Any], event: HistoryEvent, now: list[dict[str, Any]], text: str
) -> None:
    run = Execution()
    run.start(first)
    turn = run.deliver(event).reply(*now)
    assert (turn.status, turn.output) == (STATUS.FAILED, BEFORE + text + CHANGED)


def test_the_decisions_of_a_non_deterministic_batch_are_carried_out() -> None:
    run = Execution()
    run.start(activity("A"))
    turn = run.deliver(completed(0)).reply(activity("B"))
    assert kinds(turn) == ["TaskScheduled#0", "ExecutionCompleted#1", "OrchestratorCompleted"]
    assert turn.activities == [ActivityWork(0, "B", "null")]


@pytest.mark.parametrize("changed", [activity("A", '{"other": 1}'), activity("a")])
def test_inputs_and_the_case_of_names_may_change(changed: dict[str, Any]) -> None:
    run = Execution()
    run.start(activity("A"))
    assert run.deliver(completed(0)).reply(changed, done=True).status is STATUS.COMPLETED


# ---------------------------------------------------------------- what is not run here


def test_a_turn_may_be_worked_again() -> None:
    run = Execution()
    run.start(activity("A"))
    run.deliver(completed(0))
    assert run.batch is not None
    reply = Reply(
        '{"isDone":false,"actions":[[{"actionType":0,"functionName":"A"},{"actionType":0,"functionName":"B"}]],"schemaVersion":2}'
    )
    turns = [
        kernel.decide(
            run.history,
            run.batch,
            reply,
            functions=run.functions,
            options=run.options,
            now=run.now,
            new_id=lambda: "x",
        )
        for _ in range(2)
    ]
    assert turns[0] == turns[1]
