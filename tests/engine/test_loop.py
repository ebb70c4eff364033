"""Plain asyncio in `async def` orchestrators, one behaviour a test; source: durable-functions JSON protocol, 4.10."""

import asyncio
import contextlib
import contextvars
import gc
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import worker_ext as df
from worker_ext.protocol.actions import AnyAction, CallActivity, CallSubOrchestrator, CreateTimer, WhenAll, WhenAny
from worker_ext.protocol.orchestrator import ReplaySchema
from worker_ext.testing import HistoryBuilder, Turn, replay

Context = df.DurableOrchestrationContext
Program = Callable[[Context], Coroutine[Any, Any, Any]]

A, B, C, D = (CallActivity(function_name=name, input="null") for name in "ABCD")


def begun() -> HistoryBuilder:
    return HistoryBuilder().started()


def nb(action: AnyAction) -> WhenAny:
    return WhenAny(compound_actions=(action, WhenAll(compound_actions=())))


def together(*actions: AnyAction) -> WhenAll:
    return WhenAll(compound_actions=actions)


def timer(seconds: int, *, cancelled: bool = False) -> CreateTimer:
    """A timer that is due so long after the first batch."""
    return CreateTimer(fire_at=f"2026-01-02T03:04:{5 + seconds:02}.000000Z", is_canceled=cancelled)


def two_started() -> HistoryBuilder:
    return begun().scheduled("A", 0).scheduled("B", 1)


class TestAwaiting:
    def test_code_in_sequence_makes_the_classic_list(self) -> None:
        async def orchestrator(context: Context) -> Any:
            return [await context.call_activity("A"), await context.call_activity("B")]

        history = begun().scheduled("A", 0).batch().completed(0, 1)
        assert replay(orchestrator, history).actions == [A, B]
        assert replay(orchestrator, history.scheduled("B", 1).batch().completed(1, 2)).output == [1, 2]

    def test_a_failure_is_raised_at_the_await(self) -> None:
        async def orchestrator(context: Context) -> Any:
            try:
                await context.call_activity("A")
            except df.TaskFailedError as error:
                return error.error_message

        assert replay(orchestrator, begun().scheduled("A", 0).batch().failed(0)).output == "bad"

    def test_a_task_may_be_awaited_twice_and_by_two_branches(self) -> None:
        async def orchestrator(context: Context) -> Any:
            task = context.call_activity("A")

            async def branch() -> Any:
                return await task

            return [*(await asyncio.gather(branch(), branch())), await task]

        assert replay(orchestrator, begun().scheduled("A", 0).batch().completed(0, "a")).output == ["a", "a", "a"]

    def test_nothing_starts_before_it_is_awaited(self) -> None:
        async def orchestrator(context: Context) -> Any:
            context.call_activity("A")
            await context.call_activity("B")

        assert replay(orchestrator, begun()).actions == [B]

    def test_the_compounds_of_generators_may_be_awaited(self) -> None:
        async def orchestrator(context: Context) -> Any:
            first, second = context.call_activity("A"), context.call_activity("B")
            winner = await context.task_any([first, second])
            return [winner is second, await context.task_all([first, second])]

        assert replay(orchestrator, begun()).actions == [together(A, B)]
        history = two_started().batch().completed(1, "b").batch().completed(0, "a")
        assert replay(orchestrator, history).output == [True, ["a", "b"]]

    def test_a_plain_function_may_return_the_coroutine(self) -> None:
        async def orchestrator(context: Context) -> Any:
            return await context.call_activity("A")

        def plain(context: Context) -> Any:
            context.set_custom_status("begun")
            return orchestrator(context)

        assert replay(plain, begun()).actions == [A]

    def test_a_coroutine_of_somebody_else_may_be_awaited(self) -> None:
        async def orchestrator(context: Context) -> Any:
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            loop.call_soon(future.set_result, 7)
            return await future

        assert replay(orchestrator, begun()).output == 7

    def test_context_variables_follow_tasks(self) -> None:
        variable = contextvars.ContextVar("variable", default="outer")

        async def branch(context: Context, value: str) -> str:
            variable.set(value)
            await context.call_activity("A")
            return variable.get()

        async def orchestrator(context: Context) -> Any:
            return [*(await asyncio.gather(branch(context, "x"), branch(context, "y"))), variable.get()]

        history = begun().scheduled("A", 0).scheduled("A", 1).batch().completed(1).completed(0)
        assert replay(orchestrator, history).output == ["x", "y", "outer"]


class TestBranches:
    @staticmethod
    async def two_chains(context: Context) -> Any:
        async def chain(*names: str) -> list[Any]:
            return [await context.call_activity(name) for name in names]

        return await asyncio.gather(chain("A", "C"), chain("B", "D"))

    def test_a_branch_goes_on_while_its_sibling_waits(self) -> None:
        history = two_started().batch().completed(0, "a")
        assert replay(self.two_chains, history).actions == [together(A, nb(B)), C]
        history.scheduled("C", 2).batch().completed(1, "b")
        assert replay(self.two_chains, history).actions == [together(A, nb(B)), nb(C), D]
        history.scheduled("D", 3).batch().completed(3, "d").batch().completed(2, "c")
        assert replay(self.two_chains, history).output == [["a", "c"], ["b", "d"]]

    def test_what_one_event_starts_stands_in_one_group(self) -> None:
        async def orchestrator(context: Context) -> Any:
            await context.call_activity("A")
            await asyncio.gather(context.call_activity("B"), context.call_activity("C"), context.call_activity("D"))

        assert replay(orchestrator, begun().scheduled("A", 0).batch().completed(0)).actions == [A, together(B, C, D)]

    def test_signals_that_lead_a_group_stand_before_it(self) -> None:
        counter = df.EntityId("Counter", "k")

        async def orchestrator(context: Context) -> Any:
            context.signal_entity(counter, "add")
            await asyncio.gather(context.call_activity("A"), context.call_activity("B"))

        signal, group = replay(orchestrator, begun()).actions
        assert (type(signal).__name__, group) == ("SignalEntity", together(A, B))

    def test_a_task_group_cancels_its_other_tasks_when_one_fails(self) -> None:
        async def orchestrator(context: Context) -> Any:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(context.call_activity("A"))
                    group.create_task(asyncio.sleep(9))
            except* df.TaskFailedError as errors:
                failed = [str(error) for error in errors.exceptions]
            await context.call_activity("B")
            return failed

        history = begun().scheduled("A", 0).timer_created(1).batch().failed(0, "no", "x")
        assert replay(orchestrator, history).actions == [together(A, timer(9, cancelled=True)), B]
        assert replay(orchestrator, history.scheduled("B", 2).batch().completed(2)).output == ["no \n x"]

    def test_wait_gives_what_is_done_and_what_is_not(self) -> None:
        async def orchestrator(context: Context) -> Any:
            tasks = [asyncio.create_task(context.call_activity(name), name=name) for name in "AB"]
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return [[task.get_name() for task in done], [task.get_name() for task in pending]]

        assert replay(orchestrator, two_started().batch().completed(1)).output == [["B"], ["A"]]

    def test_as_completed_gives_results_as_they_come(self) -> None:
        async def orchestrator(context: Context) -> Any:
            calls = [context.call_activity(name) for name in "ABC"]
            return [await result for result in asyncio.as_completed(calls)]

        history = two_started().scheduled("C", 2).batch().completed(2, "c").completed(0, "a").completed(1, "b")
        assert replay(orchestrator, history).output == ["c", "a", "b"]

    def test_as_completed_starts_coroutines_in_the_order_of_the_list(self) -> None:
        async def orchestrator(context: Context) -> Any:
            async def work(name: str) -> Any:
                return await context.call_activity(name)

            names = [f"W{i}" for i in range(40)]
            return [await result for result in asyncio.as_completed([work(name) for name in names])]

        [group] = replay(orchestrator, begun()).actions
        assert isinstance(group, WhenAll)
        assert [getattr(action, "function_name", "") for action in group.compound_actions] == [
            f"W{i}" for i in range(40)
        ]

    @pytest.mark.parametrize("kind", [set, iter])
    def test_as_completed_refuses_coroutines_in_no_order(self, kind: Callable[[Any], Any]) -> None:
        async def orchestrator(context: Context) -> Any:
            async def work() -> None:
                await context.call_activity("A")

            coroutines = [work(), work()]
            try:
                return [await result for result in asyncio.as_completed(kind(coroutines))]
            finally:
                for coroutine in coroutines:
                    coroutine.close()

        error = replay(orchestrator, begun()).error
        assert isinstance(error, df.OrchestratorError)
        assert "Give it a list" in str(error)

    def test_sets_of_tasks_and_calls_iterate_in_the_order_they_were_made(self) -> None:
        async def orchestrator(context: Context) -> Any:
            calls = {context.call_activity(f"C{i}"): i for i in range(50)}
            tasks = {asyncio.create_task(asyncio.sleep(0)): i for i in range(50)}
            order = [[calls[call] for call in set(calls)], [tasks[task] for task in set(tasks)]]
            await asyncio.gather(*tasks)
            return [order[0] == list(range(50)), sorted(order[1]) == list(range(50)), order[1]]

        first, second = (replay(orchestrator, begun()).output for _ in range(2))
        assert first == second
        assert first[:2] == [True, True]

    def test_a_call_has_whatever_a_task_of_asyncio_has(self) -> None:
        async def orchestrator(context: Context) -> Any:
            call = asyncio.create_task(context.call_activity("A"), name="call")
            missing = {name for name in dir(asyncio.Task) if not name.startswith("_") and not hasattr(call, name)}
            printed = io.StringIO()
            call.print_stack(file=printed)
            context_of: Any = getattr(call, "get_context", contextvars.copy_context)  # asyncio's is of Python 3.12
            told = [call.get_name(), call.cancelling(), call.get_stack(), printed.getvalue()]
            return [sorted(missing), told, isinstance(context_of(), contextvars.Context), await call]

        history = begun().scheduled("A", 0).batch().completed(0, 1)
        assert replay(orchestrator, history).output == [[], ["call", 0, [], ""], True, 1]

    def test_sets_of_gathers_iterate_in_the_order_in_which_they_were_first_used(self) -> None:
        async def orchestrator(context: Context) -> Any:
            gathers = [asyncio.gather(context.call_activity("A"), context.call_activity("A")) for _ in range(9)]
            done, _ = await asyncio.wait(gathers)
            return [gathers.index(gather) for gather in done]

        history = begun()
        for i in range(18):
            history.scheduled("A", i)
        history.batch()
        for i in range(18):
            history.completed(i)
        kept, orders = [], set()
        for i in range(20):
            orders.add(tuple(replay(orchestrator, history).output))
            kept.append([bytearray(size) for size in range(1, 50 * i, 7)])  # so that nothing has its address again
        assert len(orders) == 1

    async def test_gathers_of_other_loops_hash_as_ever(self) -> None:
        gather = asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
        assert hash(gather) == object.__hash__(gather)
        assert await asyncio.wait([gather]) == ({gather}, set())

    @pytest.mark.parametrize("make", [asyncio.Future, lambda: asyncio.Task(asyncio.sleep(0))], ids=["future", "task"])
    def test_wait_refuses_futures_in_no_order(self, make: Callable[[], asyncio.Future[Any]]) -> None:
        async def orchestrator(context: Context) -> Any:
            futures = [make(), make()]
            for future in futures:
                future.cancel()
            await asyncio.wait(futures)

        error = replay(orchestrator, begun()).error
        assert isinstance(error, df.OrchestratorError)
        assert "asyncio.get_running_loop().create_future()" in str(error)

    def test_shield_keeps_the_call_when_its_waiter_is_cancelled(self) -> None:
        async def orchestrator(context: Context) -> Any:
            call = asyncio.create_task(context.call_activity("A"))
            try:
                await asyncio.wait_for(asyncio.shield(call), 5)
            except TimeoutError:
                return ["late", await call]

        history = begun().timer_created(0).scheduled("A", 1).batch(timedelta(seconds=5)).timer_fired(0)
        assert not replay(orchestrator, history).is_done
        assert replay(orchestrator, history.batch().completed(1, "a")).output == ["late", "a"]

    def test_queue_event_condition_lock_and_semaphore_join_branches(self) -> None:
        async def orchestrator(context: Context) -> Any:
            queue: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
            semaphore, event, seen = asyncio.Semaphore(1), asyncio.Event(), list[str]()
            lock, condition = asyncio.Lock(), asyncio.Condition()

            async def produce(name: str) -> None:
                async with semaphore, lock:
                    await queue.put(await context.call_activity(name))

            async def consume() -> None:
                while len(seen) < 2:
                    seen.append(await queue.get())
                event.set()
                async with condition:
                    condition.notify_all()

            async def watch() -> str:
                async with condition:
                    await condition.wait_for(lambda: len(seen) == 2)
                return "both"

            async with asyncio.TaskGroup() as group:
                watching = group.create_task(watch())
                group.create_task(consume())
                group.create_task(produce("A"))
                group.create_task(produce("B"))
            await event.wait()
            return [watching.result(), *seen]

        assert replay(orchestrator, begun()).actions == [A]
        history = begun().scheduled("A", 0).batch().completed(0, "a").scheduled("B", 1).batch().completed(1, "b")
        assert replay(orchestrator, history).output == ["both", "a", "b"]

    def test_an_asynchronous_generator_left_early_is_closed(self) -> None:
        closed = []

        async def results(context: Context) -> AsyncIterator[Any]:
            try:
                for name in "AB":
                    yield await context.call_activity(name)
            finally:
                await asyncio.sleep(0)
                closed.append(True)

        async def orchestrator(context: Context) -> Any:
            async for result in results(context):
                return result
            return None

        assert replay(orchestrator, begun().scheduled("A", 0).batch().completed(0, "a")).output == "a"
        assert closed == [True]


class TestTime:
    def test_sleep_is_a_durable_timer(self) -> None:
        async def orchestrator(context: Context) -> Any:
            loop, before = asyncio.get_running_loop(), asyncio.get_running_loop().time()
            return [await asyncio.sleep(10, "woken"), loop.time() - before]

        assert replay(orchestrator, begun()).actions == [timer(10)]
        history = begun().timer_created(0).batch(timedelta(seconds=10)).timer_fired(0)
        assert replay(orchestrator, history).output == ["woken", 10]

    def test_sleep_of_nothing_lets_others_run_without_a_timer(self) -> None:
        async def orchestrator(context: Context) -> Any:
            seen: list[int] = []

            async def count(start: int) -> None:
                for number in (start, start + 1):
                    seen.append(number)
                    await asyncio.sleep(0)

            await asyncio.gather(count(1), count(10))
            return seen

        turn = replay(orchestrator, begun())
        assert (turn.output, turn.actions) == ([1, 10, 2, 11], [])

    @pytest.mark.parametrize("seconds", [float("inf"), 1e12])
    def test_a_time_that_never_comes_has_no_timer(self, seconds: float) -> None:
        async def orchestrator(context: Context) -> Any:
            async with asyncio.timeout(seconds):
                return await asyncio.wait_for(context.call_activity("A"), seconds)

        assert replay(orchestrator, begun()).actions == [A]
        assert replay(orchestrator, begun().scheduled("A", 0).batch().completed(0, "a")).output == "a"

    def test_a_sleep_that_never_ends_is_told(self) -> None:
        async def orchestrator(context: Context) -> Any:
            await asyncio.sleep(float("inf"))

        assert "this await would never end" in str(replay(orchestrator, begun()).error)

    def test_a_timeout_that_is_not_needed_is_cancelled(self) -> None:
        async def orchestrator(context: Context) -> Any:
            async with asyncio.timeout(30):
                return await context.call_activity("A")

        assert replay(orchestrator, begun()).actions == [together(timer(30), A)]
        history = begun().timer_created(0).scheduled("A", 1).batch().completed(1, "a")
        turn = replay(orchestrator, history)
        assert (turn.output, turn.actions) == ("a", [together(timer(30, cancelled=True), A)])

    def test_a_timeout_cancels_what_it_waits_for(self) -> None:
        async def orchestrator(context: Context) -> Any:
            try:
                async with asyncio.timeout(30):
                    await context.wait_for_external_event("go")
            except TimeoutError:
                return [await context.call_activity("A"), await context.wait_for_external_event("go")]

        history = begun().timer_created(0).batch(timedelta(seconds=30)).timer_fired(0).batch().raised("go", "late")
        history.scheduled("A", 1).batch().completed(1, "a")
        assert replay(orchestrator, history).output == ["a", "late"]

    def test_a_timeout_may_be_moved(self) -> None:
        async def orchestrator(context: Context) -> Any:
            async with asyncio.timeout(30) as scope:
                scope.reschedule(asyncio.get_running_loop().time() + 40)
                await context.call_activity("A")

        assert replay(orchestrator, begun()).actions == [together(timer(30, cancelled=True), timer(40), A)]

    def test_a_timer_of_the_context_that_is_cancelled_wakes_who_waits_for_it(self) -> None:
        async def orchestrator(context: Context) -> Any:
            pause = context.create_timer(timedelta(seconds=9))
            waiting = asyncio.create_task(pause)
            await asyncio.sleep(0)
            pause.cancel()
            try:
                await waiting
            except asyncio.CancelledError:
                return "cancelled"

        turn = replay(orchestrator, begun())
        assert (turn.output, turn.actions) == ("cancelled", [timer(9, cancelled=True)])

    def test_a_long_sleep_is_cut_into_pieces(self) -> None:
        async def orchestrator(context: Context) -> Any:
            await asyncio.sleep(timedelta(days=7).total_seconds())

        history = begun()
        for piece in range(3):
            history.timer_created(piece).batch(timedelta(days=3 if piece < 2 else 1)).timer_fired(piece)
        turn = replay(orchestrator, history)
        assert turn.is_done
        assert [getattr(action, "fire_at", "")[:10] for action in turn.actions] == [
            "2026-01-05",
            "2026-01-08",
            "2026-01-09",
        ]


class TestCancelling:
    def test_a_cancelled_call_that_was_not_started_never_is(self) -> None:
        async def orchestrator(context: Context) -> Any:
            asyncio.create_task(context.call_activity("A")).cancel()
            await context.call_activity("B")

        assert replay(orchestrator, begun()).actions == [B]

    def test_finally_may_await(self) -> None:
        async def orchestrator(context: Context) -> Any:
            async def work() -> None:
                try:
                    await context.call_activity("A")
                finally:
                    await context.call_activity("C")

            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            await context.call_activity("B")
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled()

        history = two_started().batch().completed(1)
        assert replay(orchestrator, history).actions == [together(nb(A), B), C]
        assert replay(orchestrator, history.scheduled("C", 2).batch().completed(2)).output is True

    def test_tasks_that_are_left_are_cancelled_and_awaited_as_asyncio_run_does(self) -> None:
        async def orchestrator(context: Context) -> Any:
            async def work() -> None:
                try:
                    await asyncio.sleep(9)
                finally:
                    await context.call_activity("B")

            task = asyncio.create_task(work())
            await context.call_activity("A")
            return task.done()

        history = begun().scheduled("A", 0).timer_created(1).batch().completed(0)
        waiting = replay(orchestrator, history)
        assert (waiting.is_done, waiting.actions) == (False, [together(A, timer(9, cancelled=True)), B])
        ended = replay(orchestrator, history.scheduled("B", 2).batch().completed(2))
        assert (ended.is_done, ended.output) == (True, False)

    def test_the_losers_of_a_race_do_not_hold_the_list_up(self) -> None:
        async def orchestrator(context: Context) -> Any:
            tasks = [asyncio.create_task(context.call_activity(name)) for name in "AB"]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            return "won"

        turn = replay(orchestrator, two_started().batch().completed(0))
        assert (turn.is_done, turn.actions) == (True, [together(A, nb(B))])

    def test_a_cancelled_retry_starts_no_further_attempt(self) -> None:
        async def orchestrator(context: Context) -> Any:
            task = asyncio.create_task(context.call_activity_with_retry("A", df.RetryOptions(5000, 3)))
            await asyncio.sleep(0)
            await context.call_activity("B")
            task.cancel()
            await context.call_activity("C")

        history = two_started().batch().failed(0).timer_created(2).batch().completed(1).scheduled("C", 3)
        assert replay(orchestrator, history).actions == [together(A, nb(B)), timer(6, cancelled=True), C]

    def test_what_a_task_waits_for_next_is_let_go_of_where_it_cancelled_itself(self) -> None:
        async def orchestrator(context: Context) -> Any:
            async def work() -> None:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await context.create_timer(timedelta(seconds=9))

            task = asyncio.create_task(work())
            await asyncio.wait([task])
            await context.call_activity("A")
            return task.cancelled()

        history = begun().timer_created(0).scheduled("A", 1)
        assert replay(orchestrator, history).actions == [together(timer(9, cancelled=True), A)]
        assert replay(orchestrator, history.batch().completed(1)).output is True

    def test_a_wait_that_was_cancelled_takes_no_event(self) -> None:
        async def orchestrator(context: Context) -> Any:
            async def work() -> Any:
                return await context.wait_for_external_event("go")

            first = asyncio.create_task(work())
            second = asyncio.create_task(work())
            await context.call_activity("A")
            first.cancel()
            return await second

        history = begun().scheduled("A", 0).batch().completed(0).batch().raised("go", 5)
        assert replay(orchestrator, history).output == 5

    def test_an_orchestrator_that_cancels_itself_fails(self) -> None:
        async def orchestrator(context: Context) -> Any:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await context.call_activity("A")

        assert "cancelled itself" in str(replay(orchestrator, begun()).error)


class TestEvents:
    def test_the_oldest_waiter_gets_the_first_event(self) -> None:
        async def orchestrator(context: Context) -> Any:
            waits = (context.wait_for_external_event("Go") for _ in range(2))
            return await asyncio.gather(*waits)

        assert replay(orchestrator, begun().batch().raised("go", 1).raised("GO", 2)).output == [1, 2]

    def test_an_open_wait_is_not_listed_and_a_consumed_one_where_it_was_consumed(self) -> None:
        async def orchestrator(context: Context) -> Any:
            async def events() -> None:
                await context.wait_for_external_event("x")
                await context.call_activity("B")

            await asyncio.gather(context.call_activity("A"), events())

        assert replay(orchestrator, begun()).actions == [A]
        first, wait, second = replay(orchestrator, begun().scheduled("A", 0).batch().raised("x")).actions
        assert (first, getattr(wait, "external_event_name", ""), second) == (nb(A), "x", B)

    def test_a_wait_that_was_given_up_can_be_awaited_again(self) -> None:
        async def orchestrator(context: Context) -> Any:
            wait = context.wait_for_external_event("x")
            try:
                await asyncio.wait_for(wait, 1)
            except TimeoutError:
                return await wait

        history = begun().timer_created(0).batch().timer_fired(0).batch().raised("x", 5)
        assert replay(orchestrator, history).output == 5

    def test_an_event_consumed_right_after_a_signal_counts_from_where_it_came(self) -> None:
        async def orchestrator(context: Context) -> Any:
            async def first() -> None:
                await context.call_activity("A")
                context.signal_entity(df.EntityId("counter", "k"), "add")
                await context.wait_for_external_event("x")

            async def second() -> None:
                await context.call_activity("B")
                await context.call_activity("C")
                await asyncio.sleep(2)

            await asyncio.gather(first(), second())

        history = HistoryBuilder(maximum_timer=timedelta(seconds=2), timer_interval=timedelta(seconds=1)).started()
        history.scheduled("A", 0).scheduled("B", 1).batch(timedelta(0)).completed(1).scheduled("C", 2)
        history.batch().raised("x").batch(timedelta(seconds=3)).completed(0).sent(3, "@counter@k", "add")
        turn = replay(orchestrator, history.batch().completed(2))
        assert [type(action).__name__ for action in turn.actions[2:]] == [
            "SignalEntity",
            "WaitForExternalEvent",
            "CreateTimer",
            "CreateTimer",
        ]
        assert turn.actions[-2:] == [timer(0), timer(7)]

    def test_messages_that_come_while_suspended_are_seen_when_it_is_resumed(self) -> None:
        async def orchestrator(context: Context) -> Any:
            await context.call_activity("A")
            now = context.current_utc_datetime
            await context.call_activity("B")
            return now.isoformat()

        history = begun().scheduled("A", 0).batch().suspended().batch().completed(0)
        assert replay(orchestrator, history).actions == [A]
        history.batch().resumed()
        assert replay(orchestrator, history).actions == [A, B]
        history.scheduled("B", 1).batch().completed(1)
        assert replay(orchestrator, history).output == "2026-01-02T03:04:08+00:00"


class TestContinueAsNew:
    def test_it_ends_all_code_at_its_next_await(self) -> None:
        async def orchestrator(context: Context) -> Any:
            pause = asyncio.create_task(asyncio.sleep(9))
            await context.call_activity("A")
            context.continue_as_new(5)
            await context.call_activity("B")
            return pause

        history = begun().scheduled("A", 0).timer_created(1).batch().completed(0)
        turn = replay(orchestrator, history)
        assert turn.is_done
        assert [type(action).__name__ for action in turn.actions] == ["WhenAll", "ContinueAsNew"]
        assert turn.actions[0] == together(A, timer(9, cancelled=True))

    def test_what_a_finally_sends_is_sent(self) -> None:
        async def orchestrator(context: Context) -> Any:
            try:
                await context.call_activity("A")
                context.continue_as_new(5)
                await context.call_activity("B")
            finally:
                context.signal_entity(df.EntityId("Log", "main"), "ended")

        turn = replay(orchestrator, begun().scheduled("A", 0).batch().completed(0))
        assert turn.is_done
        assert [type(action).__name__ for action in turn.actions] == ["CallActivity", "SignalEntity", "ContinueAsNew"]

    def test_answers_of_earlier_generations_are_not_carried_on(self) -> None:
        async def orchestrator(context: Context) -> Any:
            await context.call_activity("A")
            context.continue_as_new(None)

        history = begun().raised("621d1f2a-9478-57fb-85a7-7c57b774d6bc", {"result": "1"})
        history.scheduled("A", 0).batch().completed(0)
        assert [type(action).__name__ for action in replay(orchestrator, history).actions] == [
            "CallActivity",
            "ContinueAsNew",
        ]


async def threads(context: Context) -> Any:
    await asyncio.to_thread(print)


async def sockets(context: Context) -> Any:
    await asyncio.open_connection("localhost", 1)


async def subprocesses(context: Context) -> Any:
    await asyncio.create_subprocess_exec("true")


async def signals(context: Context) -> Any:
    asyncio.get_running_loop().add_signal_handler(1, print)


async def second_run(context: Context) -> Any:
    asyncio.get_running_loop().run_forever()


class NotDurable:
    def __await__(self) -> Any:
        yield 5


async def foreign(context: Context) -> Any:
    await NotDurable()


async def thread_future(context: Context) -> Any:
    await asyncio.wrap_future(ThreadFuture[None]())


async def other_loop(context: Context) -> Any:
    loop = asyncio.new_event_loop()
    try:
        await loop.create_future()
    finally:
        loop.close()


async def run_inside(context: Context) -> Any:
    coroutine = asyncio.sleep(0)
    try:
        asyncio.run(coroutine)
    finally:
        coroutine.close()


async def second_loop(context: Context) -> Any:
    loop, coroutine = asyncio.new_event_loop(), asyncio.sleep(0)
    try:
        loop.run_until_complete(coroutine)
    finally:
        coroutine.close()
        loop.close()


async def executor(context: Context) -> Any:
    await asyncio.get_running_loop().run_in_executor(None, print)


async def servers(context: Context) -> Any:
    await asyncio.start_server(print, "localhost", 0)


async def shells(context: Context) -> Any:
    await asyncio.create_subprocess_shell("true")


async def from_threads(context: Context) -> Any:
    asyncio.get_running_loop().call_soon_threadsafe(print)


async def empty_queue(context: Context) -> Any:
    await asyncio.Queue().get()


async def half_a_barrier(context: Context) -> Any:
    await asyncio.Barrier(2).wait()


async def nobody_notifies(context: Context) -> Any:
    condition = asyncio.Condition()
    async with condition:
        await condition.wait()


async def all_branches_wait(context: Context) -> Any:
    event = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(event.wait())
        group.create_task(event.wait())


async def each_other(context: Context) -> Any:
    async def first() -> None:
        await two

    async def second() -> None:
        await one

    one, two = asyncio.create_task(first()), asyncio.create_task(second())
    await one


async def yields(context: Context) -> Any:
    yield context.call_activity("A")


async def unset_event(context: Context) -> Any:
    await asyncio.gather(asyncio.Event().wait(), asyncio.sleep(0))


async def self_lock(context: Context) -> Any:
    lock = asyncio.Lock()
    async with lock, lock:
        pass


async def goes_round(context: Context) -> Any:
    while True:  # noqa: ASYNC110 - that is the point
        await asyncio.sleep(0)


class TestWhatHasNoMeaning:
    @pytest.mark.parametrize(
        "orchestrator, message",
        [
            (
                threads,
                "threads and executors (loop.run_in_executor), which would not be the same on replay. Do it in an",
            ),
            (sockets, "network access (loop.create_connection), which would not be the same on replay. Use"),
            (subprocesses, "subprocesses (loop.subprocess_exec)"),
            (signals, "signals (loop.add_signal_handler), which would not be the same on replay. Have a client raise"),
            (second_run, "a second run of the loop"),
            (run_inside, "began to run a second event loop (asyncio.run() cannot be called from a running event loop)"),
            (second_loop, "began to run a second event loop (Cannot run the event loop while another loop is running)"),
            (executor, "threads and executors (loop.run_in_executor)"),
            (servers, "network access (loop.create_server)"),
            (shells, "subprocesses (loop.subprocess_shell)"),
            (
                from_threads,
                "callbacks from threads (loop.call_soon_threadsafe), which would not be the same on replay. Have",
            ),
            (empty_queue, "this await would never end"),
            (half_a_barrier, "this await would never end"),
            (nobody_notifies, "this await would never end"),
            (all_branches_wait, "this await would never end"),
            (each_other, "their tasks wait for each other"),
            (yields, "Replace `yield` by `await`"),
            (foreign, "neither durable nor asyncio's (Task got bad yield: 5)"),
            (thread_future, "this await would never end"),
            (other_loop, "a future of another event loop"),
            (unset_event, "this await would never end"),
            (self_lock, "this await would never end"),
            (goes_round, "ran 1,000,000 steps without waiting for anything durable"),
        ],
    )
    def test_it_is_an_error_that_says_what_to_use(self, orchestrator: Program, message: str) -> None:
        error = replay(orchestrator, begun()).error
        assert isinstance(error, df.OrchestratorError)
        assert message in str(error)

    def test_tasks_that_wait_for_each_other_are_named_by_their_lines(self) -> None:
        text = str(replay(each_other, begun()).error)
        assert text.count(f"{__file__}:") == 2

    def test_every_method_of_a_loop_works_or_is_refused(self) -> None:
        async def orchestrator(context: Context) -> Any:
            loop, refused = asyncio.get_running_loop(), []
            for name in sorted(name for name in vars(asyncio.AbstractEventLoop) if not name.startswith("_")):
                with contextlib.suppress(TypeError):  # of what works, and would have to be called properly
                    try:
                        outcome = getattr(loop, name)()
                        if asyncio.iscoroutine(outcome):
                            outcome.close()
                    except df.OrchestratorError as error:
                        assert f"(loop.{name}), which would not be the same on replay. " in str(error)  # noqa: PT017
                        refused.append(name)
            return sorted({name for name in vars(asyncio.AbstractEventLoop) if name[0] != "_"} - set(refused))

        assert replay(orchestrator, begun()).output == [
            "call_at",
            "call_exception_handler",
            "call_later",
            "call_soon",
            "create_future",
            "create_task",
            "default_exception_handler",
            "get_debug",
            "get_exception_handler",
            "get_task_factory",
            "is_closed",
            "is_running",
            "set_debug",
            "shutdown_asyncgens",
            "shutdown_default_executor",
            "time",
        ]

    def test_a_hang_is_raised_where_it_is_and_may_be_caught(self) -> None:
        async def orchestrator(context: Context) -> Any:
            try:
                await asyncio.Event().wait()
            except df.OrchestratorError:
                return await context.call_activity("A")

        assert replay(orchestrator, begun()).actions == [A]

    def test_waiting_for_an_event_is_no_hang(self) -> None:
        async def orchestrator(context: Context) -> Any:
            return await context.wait_for_external_event("x")

        assert replay(orchestrator, begun()).error is None

    def test_a_task_awaited_in_a_generator_is_an_error(self) -> None:
        def orchestrator(context: Context) -> Any:
            yield from context.call_activity("A").__await__()

        assert "outside an `async def` orchestrator" in str(replay(orchestrator, begun()).error)

    def test_a_task_of_another_instance_or_turn_is_named(self) -> None:
        tasks: list[df.Task] = []

        async def orchestrator(context: Context) -> Any:
            tasks.append(context.call_activity("A"))
            await tasks[0]

        assert replay(orchestrator, begun()).error is None
        error = replay(orchestrator, begun()).error
        assert isinstance(error, df.OrchestratorError)
        assert "belongs to another orchestration instance, or to an earlier turn" in str(error)

    def test_a_host_without_compounds_is_named_with_the_version_it_needs(self) -> None:
        async def orchestrator(context: Context) -> Any:
            await context.call_activity("A")

        error = replay(orchestrator, HistoryBuilder(schema=ReplaySchema.V1).started()).error
        assert "must offer schema V2" in str(error)


class TestSteps:
    """What a turn does is in proportion to what its history holds, not to what is open meanwhile."""

    @staticmethod
    def calls_of(orchestrator: Program, history: HistoryBuilder) -> int:
        """How many Python functions a replay calls."""
        calls = 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal calls
            calls += event == "call"

        payload = history.payload()
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            turn = replay(orchestrator, payload)
        finally:
            sys.setprofile(before)
        assert turn.is_done
        return calls

    @staticmethod
    def one_by_one(count: int) -> HistoryBuilder:
        history = begun()
        for i in range(count):
            history.scheduled("A", i)
        for i in range(count):
            history.batch().completed(i, i)
        return history

    @staticmethod
    async def gathered(context: Context, count: int) -> int:
        return len(await asyncio.gather(*(context.call_activity("A") for _ in range(count))))

    @staticmethod
    async def grouped(context: Context, count: int) -> int:
        async def work() -> None:
            await context.call_activity("A")

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work()) for _ in range(count)]
        return len(tasks)

    @staticmethod
    async def mapped(context: Context, count: int) -> int:
        return len(await df.flow.map(lambda _: context.call_activity("A"), range(count)))

    @staticmethod
    def mapped_in_steps(context: Context, count: int) -> Any:
        return len((yield from df.flow.map(lambda _: context.call_activity("A"), range(count))))

    @staticmethod
    def all_in_steps(context: Context, count: int) -> Any:
        return len((yield context.task_all([context.call_activity("A") for _ in range(count)])))

    @pytest.mark.parametrize("program", [gathered, grouped, mapped, mapped_in_steps, all_in_steps])
    def test_many_activities_that_end_one_by_one_cost_the_same_each(
        self, program: Callable[[Context, int], Any]
    ) -> None:
        def of(count: int) -> int:
            return self.calls_of(lambda context: program(context, count), self.one_by_one(count))

        fifty, many = of(50), of(1000)
        assert many < fifty * (1000 / 50) * 1.1


class TestTurns:
    @staticmethod
    async def everything(context: Context) -> Any:
        async def child(name: str) -> None:
            try:
                await context.call_activity(name)
            finally:
                await asyncio.sleep(5)

        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                await asyncio.sleep(0)

        async for _ in numbers():
            break
        queue: asyncio.Queue[int] = asyncio.Queue()
        shielded = asyncio.create_task(asyncio.wait_for(asyncio.shield(child("S")), 10))
        async with asyncio.TaskGroup() as group:
            group.create_task(child("A"))
            group.create_task(context.call_activity("B"))
            group.create_task(queue.get())
            async with asyncio.timeout(50):
                waits = context.wait_for_external_event("x"), context.task_all([context.call_activity("C")])
                await asyncio.gather(child("D"), *waits, shielded)

    @staticmethod
    async def gathers_of_gathers(context: Context) -> Any:
        calls = asyncio.gather(context.call_activity("A"), context.call_activity("B"))
        await asyncio.gather(asyncio.gather(calls, asyncio.sleep(9)), asyncio.sleep(5))

    @staticmethod
    async def fails(context: Context) -> Any:
        task = context.call_activity("A")
        await task

    @pytest.mark.parametrize(
        "orchestrator, history",
        [
            (everything, begun()),
            (gathers_of_gathers, begun()),
            (fails, begun().scheduled("A", 0).batch().failed(0)),
            (TestBranches.two_chains, two_started().batch().completed(0)),
        ],
    )
    def test_a_turn_leaves_no_warning_and_no_circle_of_references(
        self, orchestrator: Program, history: HistoryBuilder, caplog: pytest.LogCaptureFixture
    ) -> None:
        replay(orchestrator, history)  # what is made once and kept is made now
        gc.collect()
        gc.disable()
        try:
            replay(orchestrator, history)
            assert gc.collect() == 0
        finally:
            gc.enable()
        assert caplog.record_tuples == []

    def test_code_that_is_let_go_runs_no_handler_of_cancellation(self) -> None:
        seen = []

        async def orchestrator(context: Context) -> Any:
            try:
                await context.call_activity("A")
            except BaseException as error:
                seen.append(type(error))
                raise
            finally:
                await context.call_activity("B")

        assert replay(orchestrator, begun()).actions == [A]
        assert seen == [GeneratorExit]

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python's own word on such code
    @pytest.mark.parametrize("pause", [lambda context: asyncio.sleep(0), lambda context: context.call_activity("A")])
    def test_code_that_refuses_to_be_let_go_is_an_error_at_its_line(
        self, pause: Callable[[Context], Awaitable[Any]]
    ) -> None:
        ends = False

        async def careless(context: Context) -> Any:
            with contextlib.suppress(GeneratorExit):
                await context.call_activity("A")
            while not ends:
                with contextlib.suppress(GeneratorExit):
                    await pause(context)

        error = replay(careless, begun()).error
        ends = True
        assert "goes on when it is told to end" in str(error)
        assert __file__ in str(error)

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("history", [begun(), begun().scheduled("A", 0).batch().completed(0)])
    def test_code_that_catches_everything_in_a_loop_is_an_error_and_does_not_spin(
        self, history: HistoryBuilder
    ) -> None:
        async def careless(context: Context) -> Any:
            while True:
                try:
                    await context.call_activity("A")
                except:  # noqa: E722
                    continue

        assert "Catch Exception instead" in str(replay(careless, history).error)
        gc.collect()

    def test_an_attempt_to_end_the_process_fails_the_orchestrator(self, caplog: pytest.LogCaptureFixture) -> None:
        async def orchestrator(context: Context) -> Any:
            sys.exit(3)

        assert "SystemExit(3)" in str(replay(orchestrator, begun()).error)
        assert caplog.messages == []

    def test_it_runs_in_a_thread_without_a_loop(self) -> None:
        with ThreadPoolExecutor(1) as pool:
            turn = pool.submit(replay, TestBranches.two_chains, two_started()).result()
        assert turn.actions == [together(A, B)]

    async def test_it_runs_inside_another_loop_and_gives_it_back(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert replay(TestBranches.two_chains, two_started()).actions == [together(A, B)]
        assert (asyncio.get_running_loop(), asyncio.current_task()) == (loop, task)

    def test_a_failure_names_the_line_that_waits(self) -> None:
        async def orchestrator(context: Context) -> Any:
            await context.call_activity("A")

        error = replay(orchestrator, begun().scheduled("B", 0)).error
        assert isinstance(error, df.NonDeterminismError)
        assert error.location is not None
        assert __file__ in error.location


def test_retries_are_activities_and_timers_of_their_own() -> None:
    async def orchestrator(context: Context) -> Any:
        return await context.call_activity_with_retry("A", df.RetryOptions(5000, 2))

    history = begun().scheduled("A", 0).batch().failed(0).timer_created(1, timedelta(seconds=5))
    assert replay(orchestrator, history).actions == [A, timer(6)]
    history.batch(timedelta(seconds=5)).timer_fired(1).scheduled("A", 2)
    assert replay(orchestrator, history).actions == [A, timer(6), A]
    assert replay(orchestrator, history.batch().completed(2, "fine")).output == "fine"


class TestLocks:
    FROM, OTHER = df.EntityId("account", "from"), df.EntityId("account", "other")

    def kinds(self, turn: Turn) -> list[Any]:
        return [self._kind(action) for action in turn.actions]

    def _kind(self, action: AnyAction) -> Any:
        if isinstance(action, WhenAll):
            return [self._kind(member) for member in action.compound_actions]
        if isinstance(action, WhenAny):
            return ("nb", self._kind(action.compound_actions[0]))
        return getattr(action, "function_name", type(action).__name__)

    def transfer(self, rest: Callable[[Context], Awaitable[Any]]) -> Program:
        async def orchestrator(context: Context) -> Any:
            async def locked() -> None:
                async with context.lock(self.FROM):
                    await context.call_activity("A")

            await asyncio.gather(locked(), rest(context))

        return orchestrator

    def granted(self) -> HistoryBuilder:
        return begun().sent(0, str(self.FROM), "op", "l").scheduled("B", 1).batch().answered("l", "ok")

    def test_other_branches_wait_with_children_and_entities_until_the_release(self) -> None:
        async def rest(context: Context) -> None:
            await context.call_activity("B")
            await context.call_sub_orchestrator("Child")

        orchestrator = self.transfer(rest)
        history = self.granted().scheduled("A", 2).batch().completed(1)
        assert self.kinds(replay(orchestrator, history)) == [["LockEntities", ("nb", "B")], "A"]
        turn = replay(orchestrator, history.batch().completed(2))
        assert self.kinds(turn) == [["LockEntities", ("nb", "B")], "A", ["ReleaseEntities", "Child"]]
        [*_, last] = turn.actions
        assert isinstance(last, WhenAll)
        assert isinstance(last.compound_actions[1], CallSubOrchestrator)

    def test_activities_of_other_branches_are_free(self) -> None:
        async def rest(context: Context) -> None:
            await context.call_activity("B")
            await context.call_activity("C")

        turn = replay(self.transfer(rest), self.granted().scheduled("A", 2).batch().completed(1))
        assert self.kinds(turn) == [["LockEntities", ("nb", "B")], ("nb", "A"), "C"]

    def test_a_second_request_waits_for_the_release(self) -> None:
        async def rest(context: Context) -> None:
            async with context.lock(self.OTHER):
                await context.call_activity("B")

        history = begun().sent(0, str(self.FROM), "op", "l").batch().answered("l", "ok").scheduled("A", 1)
        assert self.kinds(replay(self.transfer(rest), history)) == ["LockEntities", "A"]
        turn = replay(self.transfer(rest), history.batch().completed(1))
        assert self.kinds(turn) == ["LockEntities", "A", ["ReleaseEntities", "LockEntities"]]

    def test_code_inside_may_not_call_what_it_has_not_locked(self) -> None:
        async def orchestrator(context: Context) -> Any:
            async with context.lock(self.FROM):
                await asyncio.gather(context.call_entity(self.OTHER, "get"))

        turn = replay(orchestrator, begun().sent(0, str(self.FROM), "op", "l").batch().answered("l", "ok"))
        assert "called entity @account@other, which is not locked" in str(turn.error)
        assert self.kinds(turn) == ["LockEntities", "ReleaseEntities"]

    def test_calls_to_one_locked_entity_follow_one_another(self) -> None:
        async def orchestrator(context: Context) -> Any:
            async with context.lock(self.FROM):
                return await asyncio.gather(*(context.call_entity(self.FROM, "get") for _ in range(2)))

        history = begun().sent(0, str(self.FROM), "op", "l").batch().answered("l", "ok")
        history.sent(1, str(self.FROM), "get", "c1")
        assert self.kinds(replay(orchestrator, history)) == ["LockEntities", "CallEntity"]
        history.batch().answered("c1", 1).sent(2, str(self.FROM), "get", "c2")
        assert self.kinds(replay(orchestrator, history)) == ["LockEntities", "CallEntity", "CallEntity"]
        turn = replay(orchestrator, history.batch().answered("c2", 2))
        assert (turn.output, turn.is_done) == ([1, 2], True)

    def test_a_block_that_is_cancelled_during_a_call_is_released_by_its_answer(self) -> None:
        async def orchestrator(context: Context) -> Any:
            try:
                async with asyncio.timeout(5), context.lock(self.FROM):
                    await context.call_entity(self.FROM, "slow")
            except TimeoutError:
                return await context.call_activity("A")

        history = begun().timer_created(0).sent(1, str(self.FROM), "op", "l").batch().answered("l", "ok")
        history.sent(2, str(self.FROM), "slow", "c").batch(timedelta(seconds=5)).timer_fired(0).scheduled("A", 3)
        before = self.kinds(replay(orchestrator, history))
        assert before == [[("nb", "CreateTimer"), "LockEntities"], ("nb", "CallEntity"), "A"]
        after = self.kinds(replay(orchestrator, history.batch().answered("c", 1)))
        assert after == [*before[:2], ("nb", "A"), "CreateTimer", "ReleaseEntities"]

    def test_a_request_that_nobody_waits_for_any_more_is_released_when_it_is_granted(self) -> None:
        async def orchestrator(context: Context) -> Any:
            try:
                async with asyncio.timeout(5), context.lock(self.FROM):
                    raise AssertionError
            except TimeoutError:
                return await context.call_activity("A")

        history = begun().timer_created(0).sent(1, str(self.FROM), "op", "l")
        history.batch(timedelta(seconds=5)).timer_fired(0).scheduled("A", 2).batch().completed(2)
        assert not replay(orchestrator, history).is_done
        turn = replay(orchestrator, history.batch().answered("l", "ok"))
        assert turn.is_done
        assert self.kinds(turn)[-1] == "ReleaseEntities"


class TestErrorsThatNobodyAwaits:
    """As on asyncio they end nothing but their task; they are logged, once in the life of an instance."""

    WHERE = "worker_ext.orchestrator"

    @staticmethod
    async def fails(context: Context) -> None:
        await context.call_activity("A")
        raise ValueError("nobody looks")

    @staticmethod
    def logged(caplog: pytest.LogCaptureFixture, orchestrator: Program, *histories: HistoryBuilder) -> list[list[str]]:
        """What each turn logs, with the error's text."""
        found: list[list[str]] = []
        for history in histories:
            caplog.clear()
            replay(orchestrator, history)
            found.append([f"{record.getMessage()} {(record.exc_info or [None] * 2)[1]}" for record in caplog.records])
        return found

    @classmethod
    def turns(cls) -> tuple[HistoryBuilder, HistoryBuilder, HistoryBuilder]:
        """The turns of an instance whose task fails in the second."""
        return (
            begun(),
            two_started().batch().completed(0),
            two_started().batch().completed(0).batch().completed(1),
        )

    def test_a_task_that_nobody_has_is_logged_in_the_turn_in_which_it_fails(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def orchestrator(context: Context) -> Any:
            asyncio.create_task(self.fails(context))  # noqa: RUF006 - that is the point
            await asyncio.gather(context.call_activity("B"))

        first, second, third = self.logged(caplog, orchestrator, *self.turns())
        assert (first, third) == ([], [])
        assert second == [
            "orchestration instance 'abc': a task failed, and nobody awaited it. The orchestration goes on without it; "
            "to let it fail as well, await what create_task returns nobody looks"
        ]

    def test_a_task_that_may_still_be_awaited_is_logged_when_all_has_ended(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def orchestrator(context: Context) -> Any:
            task = asyncio.create_task(self.fails(context))
            await asyncio.gather(context.call_activity("B"))
            return task.done()

        assert list(map(len, self.logged(caplog, orchestrator, *self.turns()))) == [0, 0, 1]

    def test_a_task_in_a_circle_of_references_is_logged_too(self, caplog: pytest.LogCaptureFixture) -> None:
        class Holder:
            async def run(self, context: Context) -> None:
                await TestErrorsThatNobodyAwaits.fails(context)

        async def orchestrator(context: Context) -> Any:
            holder: Any = Holder()
            holder.task = asyncio.create_task(holder.run(context))
            await asyncio.gather(context.call_activity("B"))

        assert list(map(len, self.logged(caplog, orchestrator, *self.turns()))) == [0, 0, 1]

    def test_a_task_that_is_awaited_later_is_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        async def orchestrator(context: Context) -> Any:
            task = asyncio.create_task(self.fails(context))
            await asyncio.gather(context.call_activity("B"))
            with contextlib.suppress(ValueError):
                await task

        assert self.logged(caplog, orchestrator, *self.turns()) == [[], [], []]

    def test_a_durable_call_that_nobody_has_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        async def orchestrator(context: Context) -> Any:
            asyncio.create_task(context.call_activity("A"))  # noqa: RUF006 - that is the point
            await context.call_activity("B")

        def failed() -> HistoryBuilder:
            return begun().scheduled("B", 0).scheduled("A", 1).batch().failed(1)

        turns = begun(), failed(), failed().batch().completed(0)
        assert list(map(len, self.logged(caplog, orchestrator, *turns))) == [0, 1, 0]

    def test_what_a_callback_raises_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        async def orchestrator(context: Context) -> Any:
            asyncio.get_running_loop().call_soon(lambda: 1 / 0)
            await context.call_activity("A")

        [[line]] = self.logged(caplog, orchestrator, begun())
        assert "Exception in callback" in line
        assert line.endswith("division by zero")
        assert caplog.records[0].name == self.WHERE


def test_the_example_of_the_readme_does_what_it_says(repository: Path) -> None:
    section = (repository / "README.md").read_text(encoding="utf-8").split("## Orchestrators in asyncio")[1]
    code = section.split("```python")[1].split("```")[0]
    functions: dict[str, Any] = {"df": df, "asyncio": asyncio, "timedelta": timedelta, "app": df.DFApp()}
    exec(code, functions)
    history = HistoryBuilder().started("deliver", {"items": ["a", "b"], "id": 7, "customer": "Ann"})

    def leaves(actions: Iterable[AnyAction]) -> list[str]:
        found = []
        for action in actions:
            found += leaves(getattr(action, "compound_actions", ()))
            if isinstance(action, CallActivity | CreateTimer):
                found.append(getattr(action, "function_name", "timer"))
        return found

    assert leaves(replay(functions["deliver"], history).actions) == ["pack", "pack"]
    history.scheduled("pack", 0).scheduled("pack", 1).batch().completed(1, "B").completed(0, "A")
    assert leaves(replay(functions["deliver"], history).actions)[2:] == ["call_courier", "timer"]
    history.scheduled("call_courier", 2).timer_created(3, timedelta(hours=1)).batch(timedelta(hours=1)).completed(
        2, "c"
    )
    history.timer_fired(3).scheduled("remind", 4).batch().completed(4).timer_created(5, timedelta(days=2))
    assert not replay(functions["deliver"], history).is_done
    late = history.batch(timedelta(days=2)).timer_fired(5)
    assert leaves(replay(functions["deliver"], late).actions)[-1] == "cancel_courier"
    assert replay(functions["deliver"], late.scheduled("cancel_courier", 6).batch().completed(6)).output == ["A", "B"]
