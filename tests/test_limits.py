"""Limits that instances share: never more than allowed, nobody waits for ever, whoever came first goes first."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import worker_ext as df
from worker_ext import limits
from worker_ext.limits import Admission, DurableRateLimiter, DurableSemaphore
from worker_ext.protocol.actions import AnyAction, CallEntity, CreateTimer, SignalEntity
from worker_ext.testing import HistoryBuilder, Turn, replay

Steps = Generator[Any, Any, Any]
Context = df.DurableOrchestrationContext

NOW = 1_800_000_000.0


class Clock:
    """The clock that the entities see."""

    def __init__(self) -> None:
        self.now = NOW

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(limits, "time", made)
    return made


# ---------------------------------------------------------------- the entities


def ask(semaphore: DurableSemaphore, token: str, lease: float = 60) -> Admission:
    return semaphore.acquire(token, 2, lease, 30)


def test_no_more_permits_are_held_than_there_are(clock: Clock) -> None:
    semaphore = DurableSemaphore()
    assert [ask(semaphore, token).is_granted for token in "abc"] == [True, True, False]
    semaphore.release("a")
    assert [ask(semaphore, token).is_granted for token in "cd"] == [True, False]


def test_whoever_asks_twice_holds_one(clock: Clock) -> None:
    semaphore = DurableSemaphore()
    assert [ask(semaphore, token).is_granted for token in "aabc"] == [True, True, True, False]
    assert [place.token for place in semaphore.line.places] == ["c"]


def test_whoever_came_first_goes_first(clock: Clock) -> None:
    semaphore = DurableSemaphore()
    for token in "abcd":
        ask(semaphore, token)
    semaphore.release("a")
    assert [ask(semaphore, token).is_granted for token in "dc"] == [False, True]


def test_a_lease_that_is_over_is_given_on(clock: Clock) -> None:
    """Its holder may have been terminated."""
    semaphore = DurableSemaphore()
    for token in "abc":
        ask(semaphore, token, lease=10)
    clock.now += 10
    assert ask(semaphore, "c").is_granted
    assert not semaphore.renew("a", 10)


def test_a_lease_that_is_renewed_goes_on(clock: Clock) -> None:
    semaphore = DurableSemaphore()
    for token in "ab":
        ask(semaphore, token, lease=10)
    clock.now += 9
    assert (semaphore.renew("a", 10), semaphore.renew("b", 10)) == (True, True)
    clock.now += 9
    assert not ask(semaphore, "c").is_granted


def test_the_next_in_line_asks_again_when_a_lease_ends_and_others_less_and_less_often(clock: Clock) -> None:
    semaphore = DurableSemaphore()
    for token in "abc":
        ask(semaphore, token, lease=100)
    waits = []
    for _ in range(40):
        admission = ask(semaphore, "c")
        if admission.is_granted:
            break
        waits.append(admission.wait)
        clock.now += admission.wait
    assert waits[0] == pytest.approx(limits.SHORTEST, abs=0.001)
    assert max(waits) == pytest.approx(18.7, abs=5)
    assert clock.now == pytest.approx(NOW + 100)
    assert len(waits) < 30


def test_who_is_late_is_passed_and_keeps_the_place(clock: Clock) -> None:
    semaphore = DurableSemaphore()
    for token in "abcd":
        ask(semaphore, token, lease=1000)
    semaphore.release("a")
    clock.now += limits.SLACK + 1
    assert [ask(semaphore, token).is_granted for token in "dce"] == [True, False, False]
    semaphore.release("d")
    assert [ask(semaphore, token).is_granted for token in "ec"] == [False, True]


def test_who_has_not_asked_for_long_is_forgotten(clock: Clock) -> None:
    semaphore = DurableSemaphore()
    for token in "abc":
        ask(semaphore, token, lease=10_000)
    clock.now += limits.PATIENCE + 1
    ask(semaphore, "d")
    assert [place.token for place in semaphore.line.places] == ["d"]


def test_no_more_go_on_in_a_period_than_may(clock: Clock) -> None:
    limiter = DurableRateLimiter()
    assert [limiter.acquire(token, 2, 10).is_granted for token in "ab"] == [True, True]
    clock.now += 4
    assert limiter.acquire("c", 2, 10) == Admission(False, 6.0)
    assert limiter.acquire("d", 2, 10) == Admission(False, 6.0)
    assert limiter.acquire("e", 2, 10) == Admission(False, 16.0)
    clock.now += 6
    assert [limiter.acquire(token, 2, 10).is_granted for token in "ecd"] == [False, True, True]


# ---------------------------------------------------------------- a day with many instances

FATES = ["well", "well", "well", "dies waiting", "dies holding"]
arrivals = st.lists(
    st.tuples(st.floats(0, 20), st.floats(0.1, 10), st.sampled_from(FATES)),
    min_size=1,
    max_size=25,
)  # fmt: skip


def run(entity: Any, ask_for: Callable[[str], Admission], clock: Clock, those: list[Any]) -> tuple[Any, list[Any]]:
    """Lets instances come, wait as they are told, and go; gives when each was admitted, and who was inside when."""
    agenda = [(NOW + at, number, "ask") for number, (at, _, _) in enumerate(those)]
    heapq.heapify(agenda)
    admitted: dict[int, float] = {}
    while agenda:
        clock.now, number, what = heapq.heappop(agenda)
        _, work, fate = those[number]
        if what == "leave":
            entity.release(str(number))
            continue
        admission = ask_for(str(number))
        if not admission.is_granted:
            assert admission.wait >= 0.01
            if fate != "dies waiting":
                heapq.heappush(agenda, (clock.now + admission.wait, number, "ask"))
            continue
        admitted[number] = clock.now
        if fate != "dies holding":
            heapq.heappush(agenda, (clock.now + work, number, "leave"))
    return admitted, [number for number, (_, _, fate) in enumerate(those) if fate != "dies waiting"]


@settings(deadline=None)
@given(arrivals, st.integers(1, 4))
def test_a_semaphore_is_never_held_by_more_and_everybody_gets_it(those: list[Any], limit: int) -> None:
    lease, clock, semaphore = 12.0, Clock(), DurableSemaphore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "time", clock)
        admitted, survivors = run(semaphore, lambda token: semaphore.acquire(token, limit, lease, 5), clock, those)
    assert admitted.keys() >= set(survivors)
    held = [
        (begun, begun + (lease if those[number][2] == "dies holding" else those[number][1]))
        for number, begun in admitted.items()
    ]
    for begun, _ in held:
        assert sum(start <= begun < end for start, end in held) <= limit
    longest = 20 + (len(those) + 1) * (lease + limits.SLACK + 5)
    assert max(admitted.values(), default=NOW) <= NOW + longest


@settings(deadline=None)
@given(arrivals, st.integers(1, 4), st.floats(0.5, 8))
def test_a_rate_limit_is_never_exceeded_and_everybody_goes_on(those: list[Any], permits: int, period: float) -> None:
    clock, limiter = Clock(), DurableRateLimiter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "time", clock)
        admitted, survivors = run(limiter, lambda token: limiter.acquire(token, permits, period), clock, those)
    assert admitted.keys() >= set(survivors)
    times = sorted(admitted.values())
    for earlier, later in zip(times, times[permits:], strict=False):
        assert later - earlier >= period * 0.999
    assert max(times, default=NOW) <= NOW + 20 + (len(those) + 1) * (period + limits.SLACK)


# ---------------------------------------------------------------- orchestrators


async def in_coroutine(context: Context) -> Any:
    async with limits.semaphore(context, "gpu", 2, lease=timedelta(minutes=5)):
        return await context.call_activity("Render")


def in_generator(context: Context) -> Steps:
    with (yield from limits.semaphore(context, "gpu", 2, lease=timedelta(minutes=5)).acquire()):
        return (yield context.call_activity("Render"))


async def limited_coroutine(context: Context) -> Any:
    await limits.rate_limit(context, "gpu", 2, timedelta(minutes=5))
    return await context.call_activity("Render")


def limited_generator(context: Context) -> Steps:
    yield from limits.rate_limit(context, "gpu", 2, timedelta(minutes=5))
    return (yield context.call_activity("Render"))


def leaves(turn: Turn) -> list[str]:
    """What the actions come down to."""
    return [name for action in turn.actions for name in _leaves(action)]


def _leaves(action: AnyAction) -> list[str]:
    match action:
        case CallEntity() | SignalEntity():
            return [f"{action.instance_id} {action.operation}"]
        case CreateTimer():
            return ["timer"]
        case _:
            members = getattr(action, "compound_actions", None)
            return [name for member in members for name in _leaves(member)] if members else [type(action).__name__]


ASK = "@durablesemaphore@gpu acquire"
GRANTED, LATER = {"is_granted": True, "wait": 0.0}, {"is_granted": False, "wait": 2.5}


def waited(entity: str) -> HistoryBuilder:
    history = HistoryBuilder().started().sent(0, f"@{entity}@gpu", "acquire", "r1").batch().answered("r1", LATER)
    history.timer_created(1, timedelta(seconds=2.5)).batch().timer_fired(1)
    return history.sent(2, f"@{entity}@gpu", "acquire", "r2").batch().answered("r2", GRANTED)


@pytest.mark.parametrize("orchestrator", [in_coroutine, in_generator])
def test_a_permit_is_asked_for_until_it_is_granted_and_given_back(orchestrator: Any) -> None:
    assert leaves(replay(orchestrator, HistoryBuilder().started())) == [ASK]
    history = waited("durablesemaphore")
    assert leaves(replay(orchestrator, history)) == [ASK, "timer", ASK, "CallActivity"]
    done = replay(orchestrator, history.scheduled("Render", 3).batch().completed(3, "seen"))
    assert (done.output, leaves(done)[4:]) == ("seen", ["@durablesemaphore@gpu release"])


@pytest.mark.parametrize("orchestrator", [in_coroutine, in_generator])
def test_a_permit_is_given_back_when_the_work_fails(orchestrator: Any) -> None:
    failed = replay(orchestrator, waited("durablesemaphore").scheduled("Render", 3).batch().failed(3))
    assert isinstance(failed.error, df.TaskFailedError)
    assert leaves(failed)[4:] == ["@durablesemaphore@gpu release"]


def test_a_permit_is_given_back_by_whichever_task_leaves_the_block() -> None:
    async def orchestrator(context: Context) -> Any:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(limits.semaphore(context, "gpu", 2))
            kept = stack.pop_all()

        async def work() -> Any:
            async with kept:
                return await context.call_activity("Render")

        return await asyncio.create_task(work())

    done = replay(orchestrator, waited("durablesemaphore").scheduled("Render", 3).batch().completed(3, "seen"))
    assert (done.output, leaves(done)[4:]) == ("seen", ["@durablesemaphore@gpu release"])


async def again_in_coroutine(context: Context) -> None:
    async with limits.semaphore(context, "gpu", 2):
        await context.call_activity("Render")
        context.continue_as_new(None)


def again_in_generator(context: Context) -> Steps:
    with (yield from limits.semaphore(context, "gpu", 2).acquire()):
        yield context.call_activity("Render")
        context.continue_as_new(None)


def again_and_yields(context: Context) -> Steps:
    with (yield from limits.semaphore(context, "gpu", 2).acquire()):
        yield context.call_activity("Render")
        context.continue_as_new(None)
        yield context.call_activity("Never")


async def again_and_awaits(context: Context) -> None:
    async with limits.semaphore(context, "gpu", 2):
        await context.call_activity("Render")
        context.continue_as_new(None)
        await context.call_activity("Never")


@pytest.mark.parametrize("orchestrator", [again_in_coroutine, again_in_generator, again_and_yields, again_and_awaits])
def test_a_permit_is_given_back_by_a_generation_that_ends_while_it_holds_it(orchestrator: Any) -> None:
    turn = replay(orchestrator, waited("durablesemaphore").scheduled("Render", 3).batch().completed(3))
    assert turn.is_done
    assert leaves(turn)[4:] == ["@durablesemaphore@gpu release", "ContinueAsNew"]


@pytest.mark.parametrize("orchestrator", [limited_coroutine, limited_generator])
def test_a_rate_limit_is_waited_for(orchestrator: Any) -> None:
    ask = "@durableratelimiter@gpu acquire"
    history = waited("durableratelimiter")
    assert leaves(replay(orchestrator, history)) == [ask, "timer", ask, "CallActivity"]
    assert replay(orchestrator, history.scheduled("Render", 3).batch().completed(3, "seen")).output == "seen"


def test_who_stops_waiting_gives_the_place_in_line_up() -> None:
    async def orchestrator(context: Context) -> str:
        try:
            async with asyncio.timeout(60):
                await limits.rate_limit(context, "gpu", 2, timedelta(minutes=5))
        except TimeoutError:
            return "gave up"
        return "went on"

    order = leaves(replay(orchestrator, HistoryBuilder().started()))
    assert sorted(order) == ["@durableratelimiter@gpu acquire", "timer"]
    asked, timer = (0, 1) if order[1] == "timer" else (1, 0)
    history = HistoryBuilder().started().timer_created(timer, timedelta(seconds=60))
    history.sent(asked, "@durableratelimiter@gpu", "acquire", "r1")
    turn = replay(orchestrator, history.batch(timedelta(seconds=60)).timer_fired(timer))
    assert turn.output == "gave up"
    assert "@durableratelimiter@gpu release" in leaves(turn)


@pytest.mark.parametrize(
    "make",
    [
        lambda context: limits.semaphore(context, "gpu", 0),
        lambda context: limits.semaphore(context, "gpu", 1, lease=timedelta(0)),
        lambda context: limits.rate_limit(context, "gpu", 0, timedelta(1)),
        lambda context: limits.rate_limit(context, "gpu", 1, timedelta(-1)),
    ],
)
def test_a_limit_of_nothing_is_refused(make: Callable[[Context], Any]) -> None:
    error = replay(make, HistoryBuilder().started()).error
    assert isinstance(error, ValueError)
    assert "expected more than nothing" in str(error)


def test_the_entities_are_registered_in_one_line() -> None:
    app = df.DFApp()
    app.register_functions(limits.entities())
    assert [function.get_function_name() for function in app.get_functions()] == [
        "DurableSemaphore",
        "DurableRateLimiter",
    ]
