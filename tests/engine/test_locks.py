"""Critical sections; source: durable-functions JSON protocol, sections 4.10.5 and 5.6."""

from collections.abc import Callable, Generator
from typing import Any

import pytest

import worker_ext as df
from worker_ext.protocol.actions import (
    CallActivity,
    CallEntity,
    CreateTimer,
    EntityLock,
    LockEntities,
    ReleaseEntities,
    WhenAll,
    WhenAny,
)
from worker_ext.protocol.orchestrator import ReplaySchema
from worker_ext.testing import HistoryBuilder, replay

Context = df.DurableOrchestrationContext
Steps = Generator[Any, Any, Any]

FROM, TO, OTHER = df.EntityId("Account", "from"), df.EntityId("account", "to"), df.EntityId("account", "other")
LOCK = LockEntities(lock_set=(EntityLock("account", "from"), EntityLock("account", "to")))


def call(entity: df.EntityId, operation: str = "get") -> CallEntity:
    return CallEntity(instance_id=str(entity), operation=operation, input="null")


def locked() -> HistoryBuilder:
    """The lock was requested and granted."""
    return HistoryBuilder().started().sent(0, str(FROM), "op", "l").batch().answered("l", "Lock Acquisition Completed")


def transfer(context: Context) -> Steps:
    with (yield context.lock_entities(TO, FROM, TO)):
        yield context.call_entity(FROM, "withdraw")
        yield context.call_entity(TO, "deposit")
    yield context.call_activity("Tell")
    return "done"


def test_the_set_is_sorted_without_duplicates_and_the_reply_says_v4() -> None:
    turn = replay(transfer, HistoryBuilder().started())
    assert turn.actions == [LOCK]
    assert turn.state.schema_version == ReplaySchema.V4


@pytest.mark.parametrize("entities", [(FROM, TO), ([TO, FROM],), ((FROM, TO),)])
def test_entities_are_named_one_by_one_or_in_a_list(entities: tuple[Any, ...]) -> None:
    def locks(context: Context) -> Steps:
        yield context.lock_entities(*entities)

    assert replay(locks, HistoryBuilder().started()).actions == [LOCK]


def test_a_section_in_order_is_the_classic_list_and_the_release_takes_an_id_an_entity() -> None:
    history = locked().sent(1, str(FROM), "withdraw", "c1").batch().answered("c1")
    history.sent(2, str(TO), "deposit", "c2").batch().answered("c2")
    expected = [LOCK, call(FROM, "withdraw"), call(TO, "deposit"), ReleaseEntities()]
    tell = CallActivity(function_name="Tell", input="null")
    assert replay(transfer, history).actions == [*expected, tell]
    history.sent(3, str(TO), "release").sent(4, str(FROM), "release").scheduled("Tell", 5).batch().completed(5)
    assert replay(transfer, history).output == "done"


def test_a_lock_that_is_not_granted_waits() -> None:
    turn = replay(transfer, HistoryBuilder().started().sent(0, str(FROM), "op", "l"))
    assert (turn.actions, turn.is_done) == ([LOCK], False)


def lock_then(rest: Callable[[Context], Steps]) -> Callable[[Context], Steps]:
    def orchestrator(context: Context) -> Steps:
        locks = yield context.lock_entities(FROM, TO)
        return (yield from rest(context)) or locks.ids

    return orchestrator


def nested(context: Context) -> Steps:
    yield context.lock_entities(OTHER)


def child(context: Context) -> Steps:
    yield context.call_sub_orchestrator("Child")


def child_with_retry(context: Context) -> Steps:
    yield context.call_sub_orchestrator_with_retry("Child", df.RetryOptions(1, 2))


def foreign(context: Context) -> Steps:
    yield context.call_entity(OTHER, "get")


def parallel(context: Context) -> Steps:
    yield context.task_all([context.call_entity(FROM, "get"), context.call_entity(FROM, "get")])


def signal(context: Context) -> Steps:
    context.signal_entity(FROM, "get")
    yield context.task_all([])


@pytest.mark.parametrize(
    "rest, problem",
    [
        (nested, "a second time"),
        (child, "called sub-orchestration 'Child'"),
        (child_with_retry, "called sub-orchestration 'Child'"),
        (foreign, "@account@other, which is not locked"),
        (parallel, "while an earlier call to it is open"),
        (signal, "signalled entity @account@from"),
    ],
)
def test_what_the_extension_would_swallow_is_an_error_at_that_line(
    rest: Callable[[Context], Steps], problem: str
) -> None:
    turn = replay(lock_then(rest), locked())
    assert isinstance(turn.error, df.OrchestratorError)
    assert problem in str(turn.error)
    assert turn.actions == [LOCK, ReleaseEntities()]


def test_activities_timers_and_other_signals_are_free_inside() -> None:
    def rest(context: Context) -> Steps:
        context.signal_entity(OTHER, "add")
        yield context.call_activity("A")

    assert replay(lock_then(rest), locked().sent(1, str(OTHER), "add").scheduled("A", 2)).error is None


def test_a_lock_left_behind_is_released_when_the_code_ends() -> None:
    def rest(context: Context) -> Steps:
        yield context.call_activity("A")

    turn = replay(lock_then(rest), locked().scheduled("A", 1).batch().completed(1))
    assert turn.is_done
    assert turn.actions[-1] == ReleaseEntities()


def test_code_that_ends_during_a_call_is_not_done_before_its_answer_and_the_release() -> None:
    def rest(context: Context) -> Steps:
        yield context.task_any([context.call_entity(FROM, "get"), context.call_activity("A")])
        raise ValueError("gave up")

    history = locked().sent(1, str(FROM), "get", "c1").scheduled("A", 2).batch().completed(2)
    waiting = replay(lock_then(rest), history)
    assert (waiting.error, waiting.is_done) == (None, False)
    ended = replay(lock_then(rest), history.batch().answered("c1", 5))
    assert isinstance(ended.error, ValueError)
    assert [type(action) for action in ended.actions] == [LockEntities, WhenAll, ReleaseEntities]


def test_a_release_waits_for_the_extension_where_something_else_came_between() -> None:
    def orchestrator(context: Context) -> Steps:
        lock, work = context.lock_entities(FROM), context.call_activity("Work")
        yield context.task_any([lock, work])
        yield context.call_activity("Next")
        (yield lock).release()
        yield context.call_activity("Last")

    history = HistoryBuilder().started().sent(0, str(FROM), "op", "l").scheduled("Work", 1).batch().completed(1)
    history.scheduled("Next", 2).batch().completed(2).batch().answered("l", "Lock Acquisition Completed")
    request = LockEntities(lock_set=(EntityLock("account", "from"),))
    not_waiting = WhenAny(compound_actions=(request, WhenAll(compound_actions=())))
    assert replay(orchestrator, history).actions == [
        WhenAll(compound_actions=(not_waiting, CallActivity(function_name="Work", input="null"))),
        CallActivity(function_name="Next", input="null"),
        CreateTimer(fire_at="2026-01-02T03:04:05.000000Z"),
        ReleaseEntities(),
        CallActivity(function_name="Last", input="null"),
    ]


def test_releasing_during_a_call_is_an_error() -> None:
    def orchestrator(context: Context) -> Steps:
        locks = yield context.lock_entities(FROM, TO)
        yield context.task_any([context.call_entity(FROM, "get"), context.call_activity("A")])
        locks.release()

    history = locked().sent(1, str(FROM), "get", "c1").scheduled("A", 2).batch().completed(2).batch().answered("c1")
    assert "Await the call first" in str(replay(orchestrator, history).error)


@pytest.mark.parametrize("given", [[FROM, TO], (FROM, TO)])
def test_entities_may_be_given_as_one_list(given: Any) -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.lock_entities(given)

    assert replay(orchestrator, HistoryBuilder().started()).actions == [LOCK]


@pytest.mark.parametrize(
    "entities, problem", [([], "given no entities"), ([[]], "given no entities"), (["@a@b"], "expected EntityId")]
)
def test_a_lock_request_names_entities(entities: list[Any], problem: str) -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.lock_entities(*entities)

    assert problem in str(replay(orchestrator, HistoryBuilder().started()).error)


def test_a_host_without_locks_is_named_with_the_version_it_needs() -> None:
    error = replay(transfer, HistoryBuilder(schema=ReplaySchema.V3).started()).error
    assert "need version 3.19" in str(error)
    assert "offers V3" in str(error)
