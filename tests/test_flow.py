"""Flow helpers, each in an `async def` orchestrator and in its generator twin: the same actions, the same outcome."""

import asyncio
import gc
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

import worker_ext as df
from worker_ext import flow, limits
from worker_ext.protocol.actions import AnyAction
from worker_ext.testing import HistoryBuilder, Turn, replay

Context = df.DurableOrchestrationContext
Helper = Callable[[Context], flow.Flow[Any]]
Style = Callable[[Helper], Callable[[Context], Any]]


def awaited(helper: Helper) -> Callable[[Context], Any]:
    async def orchestrator(context: Context) -> Any:
        return await helper(context)

    return orchestrator


def yielded(helper: Helper) -> Callable[[Context], Any]:
    def orchestrator(context: Context) -> Generator[Any, Any, Any]:
        return (yield from helper(context))

    return orchestrator


both = pytest.mark.parametrize("style", [awaited, yielded])


def begun(*names: str) -> HistoryBuilder:
    """The activities of these names were scheduled in the first batch."""
    history = HistoryBuilder().started()
    for task_id, name in enumerate(names):
        history.scheduled(name, task_id)
    return history


def leaves(actions: tuple[AnyAction, ...] | list[AnyAction]) -> list[str]:
    """What the actions come down to: names of activities, kinds of others, `x` behind cancelled timers."""
    found = []
    for action in actions:
        if members := getattr(action, "compound_actions", ()):
            found += leaves(members)
        elif not hasattr(action, "compound_actions"):
            name = getattr(action, "function_name", type(action).__name__)
            found.append(name + ("x" if getattr(action, "is_canceled", False) else ""))
    return found


def started(turn: Turn) -> list[str]:
    return leaves(turn.actions)


@both
class TestMap:
    def letters(self, **options: Any) -> Helper:
        return lambda context: flow.map(context.call_activity, "ABCD", **options)

    def test_results_come_in_the_order_of_the_items(self, style: Style) -> None:
        history = begun(*"ABCD").batch().completed(3, "d").completed(0, "a").completed(2, "c").completed(1, "b")
        assert replay(style(self.letters()), history).output == ["a", "b", "c", "d"]

    def test_no_more_than_the_limit_are_under_way(self, style: Style) -> None:
        orchestrator = style(self.letters(limit=2))
        assert started(replay(orchestrator, begun())) == ["A", "B"]
        history = begun("A", "B").batch().completed(1, "b")
        assert started(replay(orchestrator, history)) == ["A", "B", "C"]
        history.scheduled("C", 2).batch().completed(2, "c").completed(0, "a")
        assert started(replay(orchestrator, history)) == ["A", "B", "C", "D"]
        assert replay(orchestrator, history.scheduled("D", 3).batch().completed(3, "d")).output == ["a", "b", "c", "d"]

    def test_the_first_failure_ends_it(self, style: Style) -> None:
        turn = replay(style(self.letters(limit=2)), begun("A", "B").batch().failed(1))
        assert isinstance(turn.error, df.TaskFailedError)
        assert started(turn) == ["A", "B"]

    def test_all_failures_are_reported_together_when_asked_for(self, style: Style) -> None:
        history = begun(*"ABCD").batch().failed(2, "c").completed(0).failed(1, "b").completed(3)
        error = replay(style(self.letters(fail_fast=False)), history).error
        assert isinstance(error, ExceptionGroup)
        assert (error.message, [str(failure)[0] for failure in error.exceptions]) == ("2 of 4 failed", ["b", "c"])

    def test_a_function_that_raises_is_one_failure_among_others(self, style: Style) -> None:
        def call(context: Context, name: str) -> df.Task[Any]:
            if name == "B":
                raise KeyError(name)
            return context.call_activity(name)

        def letters(context: Context, limit: int | None) -> flow.Flow[Any]:
            return flow.map(partial(call, context), "ABC", limit=limit, fail_fast=False)

        for limit in (None, 2):
            orchestrator = style(partial(letters, limit=limit))
            turn = replay(orchestrator, begun("A", "C").batch().completed(0).completed(1))
            assert isinstance(turn.error, ExceptionGroup)
            assert [repr(error) for error in turn.error.exceptions] == ["KeyError('B')"]

    @pytest.mark.parametrize("limit", [None, 2])
    def test_a_failure_lets_go_of_what_the_others_wait_for(self, style: Style, limit: int | None) -> None:
        def helper(context: Context) -> flow.Flow[Any]:
            def begin(name: str) -> df.Task[Any]:
                return context.wait_for_external_event(name) if name == "x" else context.call_activity(name)

            return flow.map(begin, ["x", "A", "A"][: limit or 3], limit=limit)

        def in_steps(context: Context) -> Generator[Any, Any, Any]:
            with suppress(df.TaskFailedError):
                yield from helper(context)
            return (yield context.wait_for_external_event("x"))

        async def in_coroutine(context: Context) -> Any:
            with suppress(df.TaskFailedError):
                await helper(context)
            return await context.wait_for_external_event("x")

        history = begun("A", *(["A"] if limit is None else [])).batch().failed(0).raised("x", 1)
        assert replay(in_steps if style is yielded else in_coroutine, history).output == 1

    def test_one_task_may_stand_for_several_items(self, style: Style) -> None:
        def shared(context: Context) -> flow.Flow[Any]:
            task = context.call_activity("A")
            return flow.map(lambda name: task if name == "A" else context.call_activity(name), "ABAA", limit=2)

        orchestrator = style(shared)
        assert started(replay(orchestrator, begun())) == ["A", "B"]
        history = begun("A", "B").batch().completed(0, "a")
        assert not replay(orchestrator, history).is_done
        assert replay(orchestrator, history.batch().completed(1, "b")).output == ["a", "b", "a", "a"]

    def test_one_task_may_be_all_of_them(self, style: Style) -> None:
        def shared(context: Context) -> flow.Flow[Any]:
            task = context.call_activity("A")
            return flow.map(lambda _: task, range(3))

        assert replay(style(shared), begun("A").batch().completed(0, "a")).output == ["a", "a", "a"]

    def test_of_nothing_it_is_an_empty_list(self, style: Style) -> None:
        assert replay(style(lambda context: flow.map(context.call_activity, [], limit=3)), begun()).output == []


@both
class TestRace:
    def both_ways(self, context: Context) -> flow.Flow[Any]:
        return flow.race(context.call_activity("A"), context.create_timer(timedelta(seconds=9)))

    def test_the_first_to_end_wins_and_the_others_are_cancelled(self, style: Style) -> None:
        turn = replay(style(self.both_ways), begun("A").timer_created(1).batch().completed(0, "a"))
        assert (turn.output, started(turn)) == ("a", ["A", "CreateTimerx"])

    def test_a_failure_wins_too(self, style: Style) -> None:
        turn = replay(style(self.both_ways), begun("A").timer_created(1).batch().failed(0))
        assert isinstance(turn.error, df.TaskFailedError)


@both
class TestTimeout:
    def limited(self, context: Context) -> flow.Flow[Any]:
        return flow.timeout(context.wait_for_external_event("go"), timedelta(seconds=9))

    def test_what_ends_in_time_cancels_the_timer(self, style: Style) -> None:
        turn = replay(style(self.limited), begun().timer_created(0).batch().raised("go", 1))
        assert (turn.output, [name for name in started(turn) if "Wait" not in name]) == (1, ["CreateTimerx"])

    def test_what_does_not_is_a_timeout(self, style: Style) -> None:
        turn = replay(style(self.limited), begun().timer_created(0).batch(timedelta(seconds=9)).timer_fired(0))
        assert isinstance(turn.error, TimeoutError)
        assert str(turn.error) == "it took longer than 0:00:09"

    def test_where_no_time_is_left_nothing_is_begun(self, style: Style) -> None:
        turn = replay(style(lambda context: flow.timeout(context.call_activity("A"), timedelta(seconds=-1))), begun())
        assert (started(turn), str(turn.error)) == ([], "it took longer than -1 day, 23:59:59")


@dataclass
class Approval:
    by: str


@both
class TestCollect:
    def approvals(self, timeout: timedelta | None) -> Helper:
        return lambda context: flow.collect(context, "approval", 3, timeout=timeout)

    def test_events_come_in_the_order_of_their_arrival(self, style: Style) -> None:
        history = begun().batch().raised("Approval", 1).raised("other", 0).batch().raised("approval", 2)
        assert not replay(style(self.approvals(None)), history).is_done
        assert replay(style(self.approvals(None)), history.raised("approval", 3)).output == [1, 2, 3]

    def test_each_payload_is_read_as_the_type_that_is_named(self, style: Style) -> None:
        def approvals(context: Context) -> flow.Flow[Any]:
            return flow.collect(context, "approval", 2, expected_type=Approval)

        async def waits(context: Context) -> Any:
            return [approval.by.upper() for approval in await approvals(context)]

        def yields(context: Context) -> Generator[Any, Any, Any]:
            return [approval.by.upper() for approval in (yield from approvals(context))]

        history = begun().batch().raised("approval", {"by": "ann"}).raised("approval", {"by": "bob"})
        assert replay(waits if style is awaited else yields, history).output == ["ANN", "BOB"]
        error = replay(style(approvals), begun().batch().raised("approval", {"by": 7})).error
        assert isinstance(error, df.PayloadError)
        assert "$.by" in str(error)

    def test_too_few_in_time_are_an_error_that_has_them(self, style: Style) -> None:
        history = begun().timer_created(0).batch().raised("approval", 1).raised("approval", 2)
        error = replay(style(self.approvals(timedelta(seconds=5))), history.batch().timer_fired(0)).error
        assert isinstance(error, flow.NotEnoughEventsError)
        assert (str(error), error.events) == ("2 of 3 events 'approval' came in time", [1, 2])

    def test_enough_in_time_cancel_the_timer(self, style: Style) -> None:
        history = begun().timer_created(0).batch().raised("approval", 1).raised("approval", 2).raised("approval", 3)
        turn = replay(style(self.approvals(timedelta(seconds=5))), history)
        assert (turn.output, "CreateTimerx" in started(turn)) == ([1, 2, 3], True)


async def trip(context: Context) -> Any:
    async with flow.Saga() as saga:
        for name in ("Flight", "Hotel", "Car"):
            await context.call_activity(name)
            saga.on_failure(partial(context.call_activity, f"Cancel{name}"))
    return "booked"


def trip_in_steps(context: Context) -> Generator[Any, Any, Any]:
    saga = flow.Saga()
    try:
        for name in ("Flight", "Hotel", "Car"):
            yield context.call_activity(name)
            saga.on_failure(partial(context.call_activity, f"Cancel{name}"))
    except df.TaskFailedError as error:
        yield from saga.undo(error)
    return "booked"


@pytest.mark.parametrize("orchestrator", [trip, trip_in_steps])
class TestSaga:
    def two_booked(self) -> HistoryBuilder:
        history = begun("Flight").batch().completed(0).scheduled("Hotel", 1).batch().completed(1)
        return history.scheduled("Car", 2).batch().failed(2, "no car")

    def test_nothing_is_undone_where_nothing_fails(self, orchestrator: Callable[[Context], Any]) -> None:
        history = begun("Flight").batch().completed(0).scheduled("Hotel", 1).batch().completed(1)
        turn = replay(orchestrator, history.scheduled("Car", 2).batch().completed(2))
        assert (turn.output, started(turn)) == ("booked", ["Flight", "Hotel", "Car"])

    def test_steps_are_undone_in_reverse_order_and_the_error_is_raised(
        self, orchestrator: Callable[[Context], Any]
    ) -> None:
        history = self.two_booked().scheduled("CancelHotel", 3)
        assert started(replay(orchestrator, history)) == ["Flight", "Hotel", "Car", "CancelHotel"]
        turn = replay(orchestrator, history.batch().completed(3).scheduled("CancelFlight", 4).batch().completed(4))
        assert str(turn.error).startswith("no car")
        assert started(turn)[3:] == ["CancelHotel", "CancelFlight"]

    def test_a_compensation_that_fails_stops_no_other_and_is_reported_too(
        self, orchestrator: Callable[[Context], Any]
    ) -> None:
        history = self.two_booked().scheduled("CancelHotel", 3).batch().failed(3, "no way")
        turn = replay(orchestrator, history.scheduled("CancelFlight", 4).batch().completed(4))
        assert isinstance(turn.error, ExceptionGroup)
        assert [str(error)[:6] for error in turn.error.exceptions] == ["no car", "no way"]
        assert started(turn)[3:] == ["CancelHotel", "CancelFlight"]


class TestCancelledSaga:
    """A saga whose block is cancelled, as by a timeout or a task group that has failed."""

    @staticmethod
    async def in_time(context: Context) -> str:
        try:
            async with asyncio.timeout(9), flow.Saga() as saga:
                saga.on_failure(partial(context.call_activity, "Undo"))
                await asyncio.sleep(60)
        except TimeoutError:
            return "too late"
        return "in time"

    def late(self) -> HistoryBuilder:
        history = HistoryBuilder().started().timer_created(0, timedelta(seconds=9))
        history.timer_created(1, timedelta(seconds=60)).batch(timedelta(seconds=9)).timer_fired(0)
        return history.scheduled("Undo", 2).batch()

    def test_it_is_undone_and_the_timeout_goes_on(self) -> None:
        assert replay(self.in_time, self.late().completed(2)).output == "too late"

    @staticmethod
    async def cancelled_again(context: Context) -> Any:
        async def work(failing: bool) -> None:
            async with flow.Saga() as saga:
                for name in ("Second", "First"):
                    saga.on_failure(partial(context.call_activity, name))
                await context.wait_for_external_event("begin")
                if failing:
                    raise ValueError("no")
                await context.wait_for_external_event("never")

        task = asyncio.create_task(work(context.get_input()))
        if not context.get_input():
            await context.wait_for_external_event("stop")
            task.cancel()
        await context.wait_for_external_event("stop")
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as error:
            return [task.cancelled(), repr(error.__cause__)]

    @pytest.mark.parametrize("failing", [False, True])
    def test_what_has_begun_to_be_undone_is_undone_whoever_cancels_it(self, failing: bool) -> None:
        history = HistoryBuilder().started(input_=failing).batch().raised("begin")
        if not failing:
            history.raised("stop")
        history.scheduled("First", 0).batch().raised("stop")
        assert started(replay(self.cancelled_again, history)).count("Second") == 0
        history.batch().completed(0)
        assert "Second" in started(replay(self.cancelled_again, history))
        turn = replay(self.cancelled_again, history.scheduled("Second", 1).batch().completed(1))
        assert turn.output == [True, repr(ValueError("no") if failing else None)]

    def test_only_the_failures_of_its_compensations_are_raised(self) -> None:
        error = replay(self.in_time, self.late().failed(2, "no way")).error
        assert isinstance(error, ExceptionGroup)
        assert [type(member) for member in error.exceptions] == [df.TaskFailedError]
        assert isinstance(error.__cause__, asyncio.CancelledError)


@pytest.mark.parametrize(
    "helper, message",
    [
        (lambda context: flow.map(context.call_activity, "A", limit=0), "expected 1 or more, found 0"),
        (lambda context: flow.race(), "given nothing to wait for"),
    ],
)
@both
def test_misuse_says_what_was_expected(helper: Helper, message: str, style: Style) -> None:
    assert message in str(replay(style(helper), begun()).error)


def test_a_generator_can_pass_tasks_only() -> None:
    async def work() -> None: ...

    coroutine = work()
    turn = replay(yielded(lambda context: flow.race(coroutine)), begun())
    coroutine.close()
    assert "work on tasks of the context" in str(turn.error)


# ---------------------------------------------------------------- wherever asyncio takes a coroutine


async def in_task(given: flow.Flow[Any]) -> Any:
    return await asyncio.create_task(given)


async def in_group(given: flow.Flow[Any]) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(given, name="given")
    return task.result()


async def in_gather(given: flow.Flow[Any]) -> Any:
    async def nothing() -> None: ...

    return (await asyncio.gather(nothing(), given))[1]


async def in_wait(given: flow.Flow[Any]) -> Any:
    done, _ = await asyncio.wait([asyncio.ensure_future(given)])
    return done.pop().result()


async def in_wait_for(given: flow.Flow[Any]) -> Any:
    return await asyncio.wait_for(given, 3600)


async def in_timeout(given: flow.Flow[Any]) -> Any:
    async with asyncio.timeout(3600):
        return await given


async def in_shield(given: flow.Flow[Any]) -> Any:
    return await asyncio.shield(given)


async def in_as_completed(given: flow.Flow[Any]) -> Any:
    [first] = asyncio.as_completed([given])
    return await first


async def in_flow(given: flow.Flow[Any]) -> Any:
    return await flow.timeout(given, timedelta(hours=1))


HELPERS: dict[str, Helper] = {
    "map": lambda context: flow.map(context.call_activity, ["A"]),
    "race": lambda context: flow.race(context.call_activity("A")),
    "timeout": lambda context: flow.timeout(context.call_activity("A"), timedelta(hours=2)),
    "collect": lambda context: flow.collect(context, "go", 1),
    "rate_limit": lambda context: limits.rate_limit(context, "mail", 1, timedelta(hours=1)),
    "semaphore": lambda context: limits.semaphore(context, "gpu", 1).acquire(),
}


ENTITIES = {"rate_limit": "@durableratelimiter@mail", "semaphore": "@durablesemaphore@gpu"}


@pytest.mark.parametrize("kind", HELPERS)
@pytest.mark.parametrize(
    "way",
    [in_task, in_group, in_gather, in_wait, in_wait_for, in_timeout, in_shield, in_as_completed, in_flow],
)
def test_every_helper_is_a_coroutine_to_asyncio(way: Callable[[flow.Flow[Any]], Any], kind: str) -> None:
    async def orchestrator(context: Context) -> str:
        await way(HELPERS[kind](context))
        return "through"

    begins = [name for name in started(replay(orchestrator, begun())) if name != "WaitForExternalEvent"]
    history = HistoryBuilder().started()
    for task_id, name in enumerate(begins):
        if name == "A":
            history.scheduled("A", task_id)
        elif name == "CreateTimer":
            history.timer_created(task_id, timedelta(hours=1))
        else:
            history.sent(task_id, ENTITIES[kind], "acquire", "r")
    history.batch()
    if "A" in begins:
        history.completed(begins.index("A"))
    elif "CallEntity" in begins:
        history.answered("r", {"is_granted": True, "wait": 0.0})
    else:
        history.raised("go")
    turn = replay(orchestrator, history)
    assert (turn.error, turn.output) == (None, "through")


def test_a_flow_is_cancelled_with_its_task() -> None:
    async def orchestrator(context: Context) -> str:
        task = asyncio.create_task(flow.map(asyncio.sleep, [60, 90]))
        await context.call_activity("A")
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return "cancelled"

    history = begun("A").timer_created(1, timedelta(seconds=60)).timer_created(2, timedelta(seconds=90))
    turn = replay(orchestrator, history.batch().completed(0))
    assert (turn.output, started(turn)) == ("cancelled", ["A", "CreateTimerx", "CreateTimerx"])


def test_a_flow_that_was_cancelled_before_it_began_starts_nothing() -> None:
    async def orchestrator(context: Context) -> str:
        task = asyncio.create_task(flow.map(context.call_activity, "AB"))
        task.cancel()
        await asyncio.wait([task])
        return "cancelled"

    turn = replay(orchestrator, begun())
    assert (turn.output, started(turn)) == ("cancelled", [])


def test_a_flow_that_nobody_uses_does_nothing_without_a_warning() -> None:
    async def orchestrator(context: Context) -> str:
        flow.map(context.call_activity, "AB")
        return "through"

    assert replay(orchestrator, begun()).output == "through"


@both
def test_a_flow_is_used_once(style: Style) -> None:
    given: list[flow.Flow[Any]] = []

    def twice(context: Context) -> flow.Flow[Any]:
        given[:] = given or [flow.map(context.call_activity, "")]
        return given[0]

    assert replay(style(twice), begun()).output == []
    assert "a flow was used a second time" in str(replay(style(twice), begun()).error)


def test_a_compensation_in_a_generator_may_be_a_flow() -> None:
    def orchestrator(context: Context) -> Generator[Any, Any, Any]:
        saga = flow.Saga()
        saga.on_failure(lambda: flow.map(context.call_activity, "AB"))
        yield from saga.undo(ValueError("no"))

    assert started(replay(orchestrator, begun())) == ["A", "B"]
    turn = replay(orchestrator, begun("A", "B").batch().completed(0).completed(1))
    assert isinstance(turn.error, ValueError)


def test_branches_may_be_mapped_over_coroutines() -> None:
    async def orchestrator(context: Context) -> Any:
        async def two_steps(name: str) -> str:
            return f"{await context.call_activity(name)}{await context.call_activity(name.lower())}"

        return await flow.map(two_steps, "AB", limit=1)

    history = begun("A").batch().completed(0, 1).scheduled("a", 1).batch().completed(1, 2)
    history.scheduled("B", 2).batch().completed(2, 3).scheduled("b", 3).batch().completed(3, 4)
    assert replay(orchestrator, history).output == ["12", "34"]


@pytest.mark.parametrize(
    "helper",
    [
        lambda context: flow.map(context.call_activity, "AB"),
        lambda context: flow.map(context.call_activity, "AB", limit=1),
        lambda context: flow.map(context.call_activity, "AB", fail_fast=False),
        lambda context: flow.map(context.call_activity, "AB", limit=1, fail_fast=False),
        lambda context: flow.race(context.call_activity("A"), context.call_activity("B")),
        lambda context: flow.timeout(context.call_activity("A"), timedelta(seconds=9)),
    ],
)
def test_a_failure_leaves_no_circle_of_references(helper: Helper) -> None:
    async def orchestrator(context: Context) -> None:
        with suppress(Exception):
            await helper(context)
        await context.call_activity("Z")

    assert circles_of(lambda: replay(orchestrator, begun("A").batch().failed(0))) == 0


def circles_of(turn: Callable[[], object]) -> int:
    """How many objects a turn leaves that keep each other."""
    turn()  # what is made once and kept is made now
    gc.collect()
    gc.disable()
    try:
        turn()
        return gc.collect()
    finally:
        gc.enable()


@pytest.mark.parametrize("is_undone", [True, False])
def test_a_saga_leaves_no_circle_of_references(is_undone: bool) -> None:
    async def orchestrator(context: Context) -> None:
        try:
            await trip(context)
        except Exception:  # noqa: BLE001 - whatever it is, nobody keeps it
            return

    history = begun("Flight").batch().completed(0).scheduled("Hotel", 1).batch().failed(1)
    history.scheduled("CancelFlight", 2).batch()
    history = history.completed(2) if is_undone else history.failed(2)
    assert circles_of(lambda: replay(orchestrator, history)) == 0
