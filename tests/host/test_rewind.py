"""Rewinding failed instances: programs on the real engine, scheduler and store, with activities that break."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from program_gateway import ProgramGateway
from running_scheduler import LIMIT, outcome, running, until

import worker_ext as df
from worker_ext.host import redelivery
from worker_ext.host.entity_messages import OPERATION, UNUSED_TIME, Request
from worker_ext.host.rewind import OpenTimer, open_timers, plan_rewind
from worker_ext.host.scheduler import Scheduler
from worker_ext.protocol.codec import format_timestamp, parse_timestamp
from worker_ext.protocol.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    HistoryEvent,
    OrchestrationStatus,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)

Context = df.DurableOrchestrationContext
Program = Generator[Any, Any, Any]
RETRY = df.RetryOptions(1, 2)


@dataclass
class Bench:
    """Activities that can be broken, and what became of the programs."""

    broken: set[str] = field(default_factory=set)
    side_effects: list[str] = field(default_factory=list)

    def work(self, name: str) -> str:
        if name in self.broken:
            raise ValueError(f"{name} is broken")
        self.side_effects.append(name)
        return name.upper()


def chain(context: Context) -> Program:
    first = yield context.call_activity("work", "a")
    second = yield context.call_activity("work", "b")
    return [first, second, (yield context.call_activity("work", "c"))]


def fan_out(context: Context) -> Program:
    return (yield context.task_all([context.call_activity("work", name) for name in "abcd"]))


def retries(context: Context) -> Program:
    first = yield context.call_activity("work", "a")
    second = yield context.call_activity_with_retry("work", RETRY, "b")
    return [first, second]


def retries_side_by_side(context: Context) -> Program:
    return (yield context.task_all([context.call_activity_with_retry("work", RETRY, name) for name in "abc"]))


def cleans_up(context: Context) -> Program:
    first = yield context.call_activity("work", "a")
    try:
        return [first, (yield context.call_activity("work", "b"))]
    except df.TaskFailedError:
        yield context.call_activity("work", "cleanup")
        raise


def handles(context: Context) -> Program:
    try:
        yield context.call_activity("work", "optional")
    except df.TaskFailedError:
        context.set_custom_status("without it")
    first = yield context.call_activity("work", "a")
    return [first, (yield context.call_activity("work", "b"))]


def waits_first(context: Context) -> Program:
    value = yield context.wait_for_external_event("go")
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=5))
    return [value, (yield context.call_activity("work", "b"))]


def parent(context: Context) -> Program:
    first = yield context.call_activity("work", "a")
    return [first, (yield context.call_sub_orchestrator("chain"))]


def grandparent(context: Context) -> Program:
    return (yield context.call_sub_orchestrator("parent", instance_id="the-parent"))


def parent_with_retry(context: Context) -> Program:
    return (yield context.call_sub_orchestrator_with_retry("chain", RETRY))


def locks(context: Context) -> Program:
    counter = df.EntityId("counter", "k")
    with (yield context.lock_entities(counter)):
        yield context.call_entity(counter, "add", 1)
        return (yield context.call_activity("work", "b"))


def counter(context: df.DurableEntityContext) -> None:
    total = context.get_state(lambda: 0) + (context.get_input() or 0)
    context.set_state(total)
    context.set_result(total)


PROGRAMS = {
    function.__name__: function
    for function in (
        chain,
        fan_out,
        retries,
        retries_side_by_side,
        cleans_up,
        handles,
        waits_first,
        parent,
        grandparent,
        parent_with_retry,
        locks,
    )
}


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redelivery, "_FIRST_DELAY", 0.001)


async def fail(scheduler: Scheduler, name: str) -> None:
    await scheduler.start_instance(name, None, "i")
    if name == "waits_first":
        await scheduler.raise_event("i", "go", '"now"')
    assert (await outcome(scheduler, "i"))[0] == "Failed"


@pytest.mark.parametrize(
    "name, broken, result, ran_twice",
    [
        pytest.param("chain", "b", ["A", "B", "C"], [], id="a chain"),
        pytest.param("chain", "a", ["A", "B", "C"], [], id="a chain at its first step"),
        pytest.param("fan_out", "bd", ["A", "B", "C", "D"], [], id="several side by side"),
        pytest.param("retries", "b", ["A", "B"], [], id="a retried activity"),
        pytest.param("retries_side_by_side", "ac", ["A", "B", "C"], [], id="retried activities side by side"),
        pytest.param("cleans_up", "b", ["A", "B"], [], id="a handler that works and gives up"),
        pytest.param("waits_first", "b", ["now", "B"], [], id="after an event and a timer"),
        pytest.param("parent", "b", ["A", ["A", "B", "C"]], ["a"], id="a failed child"),
        pytest.param("grandparent", "c", ["A", ["A", "B", "C"]], ["a"], id="a failed child of a failed child"),
        pytest.param("parent_with_retry", "c", ["A", "B", "C"], ["a", "b"], id="a retried child"),
    ],
)
async def test_a_rewound_instance_repeats_only_what_failed(
    tmp_path: Path, name: str, broken: str, result: Any, ran_twice: list[str]
) -> None:
    bench = Bench(set(broken))
    gateway = ProgramGateway(PROGRAMS, {"work": bench.work})
    async with running(tmp_path / "hub.db", gateway) as scheduler:
        await fail(scheduler, name)
        bench.broken.clear()
        assert await scheduler.rewind("i", "it is mended") is True
        assert await outcome(scheduler, "i") == ("Completed", result)
    done = [name for name in bench.side_effects if name != "cleanup"]
    assert sorted(done) == sorted([*set(done), *ran_twice])


async def test_a_handled_failure_stays_handled(tmp_path: Path) -> None:
    bench = Bench({"optional", "b"})
    gateway = ProgramGateway(PROGRAMS, {"work": bench.work})
    async with running(tmp_path / "hub.db", gateway) as scheduler:
        await fail(scheduler, "handles")
        bench.broken.clear()
        await scheduler.rewind("i", None)
        assert await outcome(scheduler, "i") == ("Completed", ["A", "B"])
    assert bench.side_effects == ["a", "b"]


async def test_a_critical_section_is_done_again_as_a_whole(tmp_path: Path) -> None:
    """Its locks went when the instance failed."""
    bench = Bench({"b"})
    gateway = ProgramGateway(PROGRAMS, {"work": bench.work}, {"counter": counter})
    async with running(tmp_path / "hub.db", gateway) as scheduler:
        await fail(scheduler, "locks")
        bench.broken.clear()
        await scheduler.rewind("i", None)
        assert await outcome(scheduler, "i") == ("Completed", "B")
        await scheduler.start_instance("locks", None, "another")
        assert await outcome(scheduler, "another") == ("Completed", "B")
        found = await scheduler.read_entity("counter", "k")
    assert found is not None
    assert found.state == "3"


async def test_an_instance_that_failed_by_itself_goes_on_with_mended_code(tmp_path: Path) -> None:
    code: dict[str, Callable[[Context], Any]] = {}

    def breaks(context: Context) -> Program:
        first = yield context.call_activity("work", "a")
        raise ValueError(f"cannot use {first}")

    def mended(context: Context) -> Program:
        return ((yield context.call_activity("work", "a")), (yield context.call_activity("work", "b")))

    bench = Bench()
    code["program"] = breaks
    async with running(tmp_path / "hub.db", ProgramGateway(code, {"work": bench.work})) as scheduler:
        await fail(scheduler, "program")
        code["program"] = mended
        await scheduler.rewind("i", None)
        assert await outcome(scheduler, "i") == ("Completed", ["A", "B"])
    assert bench.side_effects == ["a", "b"]


def changed(context: Context) -> Program:
    """Code that asks for something else than the program before it did, so that the instance fails."""
    yield context.create_timer(context.current_utc_datetime)


async def test_an_instance_that_failed_by_changed_code_goes_on_when_the_code_is_put_back(tmp_path: Path) -> None:
    def asks(context: Context) -> Program:
        first = yield context.call_activity("work", "a")
        value = yield context.wait_for_external_event("go")
        return [first, value, (yield context.call_activity("work", "b"))]

    bench, code = Bench(), {"program": asks}
    gateway = ProgramGateway(code, {"work": bench.work})
    async with running(tmp_path / "hub.db", gateway) as scheduler:
        await scheduler.start_instance("program", None, "i")
        await until(lambda: len(gateway.payloads.get("i", ())) == 2)
        code["program"] = changed
        await scheduler.raise_event("i", "go", "7")
        assert (await outcome(scheduler, "i"))[0] == "Failed"
        code["program"] = asks
        await scheduler.rewind("i", None)
        assert await outcome(scheduler, "i") == ("Completed", ["A", 7, "B"])
    assert bench.side_effects == ["a", "b"]


async def test_what_was_still_running_when_the_instance_failed_is_run_again(tmp_path: Path) -> None:
    """Nobody waits for the result of an activity whose instance is over."""
    gate = asyncio.Event()

    async def slow(name: str) -> str:
        await gate.wait()
        return name.upper()

    def asks(context: Context) -> Program:
        first = context.call_activity("slow", "a")
        second = context.call_activity("work", "b")
        yield context.task_any([first, second])
        value = yield context.wait_for_external_event("go")
        return [value, second.result, (yield first)]

    code = {"program": asks}
    gateway = ProgramGateway(code, {"work": Bench().work, "slow": slow})
    async with running(tmp_path / "hub.db", gateway) as scheduler:
        await scheduler.start_instance("program", None, "i")
        await until(lambda: len(gateway.payloads.get("i", ())) == 2)
        code["program"] = changed
        await scheduler.raise_event("i", "go", "7")
        assert (await outcome(scheduler, "i"))[0] == "Failed"
        gate.set()
        code["program"] = asks
        await scheduler.rewind("i", None)
        assert await outcome(scheduler, "i") == ("Completed", [7, "B", "A"])
    assert gateway.calls["work", "b"] == 1


@pytest.mark.parametrize("is_answered", [True, False], ids=["answered in between", "not answered yet"])
async def test_an_entity_is_asked_again_where_its_answer_found_the_instance_over(
    tmp_path: Path, is_answered: bool
) -> None:
    entity, bench = df.EntityId("counter", "k"), Bench({"b"})

    def holds(context: Context) -> Program:
        with (yield context.lock_entities(entity)):
            yield context.wait_for_external_event("go")

    def calls_beside(context: Context) -> Program:
        context.signal_entity(entity, "add", 10)
        return (yield context.task_all([context.call_entity(entity, "add", 1), context.call_activity("work", "b")]))

    programs = {"holds": holds, "calls_beside": calls_beside}
    gateway = ProgramGateway(programs, {"work": bench.work}, {"counter": counter})

    async def is_asked() -> bool:
        found = await scheduler.read_entity("counter", "k")
        return found is not None and found.state == "11"

    async with running(tmp_path / "hub.db", gateway) as scheduler:
        await scheduler.start_instance("holds", None, "holder")
        await until(lambda: len(gateway.payloads.get("holder", ())) == 2)
        await fail(scheduler, "calls_beside")
        if is_answered:
            await scheduler.raise_event("holder", "go", None)
            async with asyncio.timeout(LIMIT):
                while not await is_asked():  # noqa: ASYNC110 - only the store knows
                    await asyncio.sleep(0.001)
        bench.broken.clear()
        await scheduler.rewind("i", None)
        if not is_answered:
            await scheduler.raise_event("holder", "go", None)
        # The call of before is run as well, and the signal once.
        assert await outcome(scheduler, "i") == ("Completed", [12, "B"])


async def test_a_timer_goes_on_with_the_time_that_it_had_left(tmp_path: Path) -> None:
    broken, gate = {"b"}, asyncio.Event()

    async def work(name: str) -> str:
        if name in broken:
            raise ValueError(f"{name} is broken")
        await gate.wait()
        return name.upper()

    def limited(context: Context) -> Program:
        timeout = context.create_timer(context.current_utc_datetime + timedelta(seconds=3))
        task = context.call_activity("work", "b")
        if (yield context.task_any([timeout, task])) is timeout:
            return "too late"
        return (yield task)

    gateway = ProgramGateway({"limited": limited}, {"work": work})
    async with running(tmp_path / "hub.db", gateway) as scheduler:
        await fail(scheduler, "limited")
        broken.clear()
        await scheduler.rewind("i", None)
        created = next(event for event in await scheduler.history("i") if isinstance(event, TimerCreated))
        due = await scheduler._store.next_due()
        assert due is not None
        assert due > parse_timestamp(created.fire_at)
        await until(lambda: gateway.payloads["i"][-1]["history"][-1]["EventType"] == 11)
        gate.set()
        assert await outcome(scheduler, "i") == ("Completed", "too late")


def test_what_is_still_under_way_is_told_from_a_history() -> None:
    def at(second: int) -> str:
        return format_timestamp(datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC))

    scheduled = [TaskScheduled(event_id=number, name="work", timestamp=at(0)) for number in (0, 1, 2)]
    timers = [
        TimerCreated(event_id=number, fire_at=at(due), timestamp=at(0)) for number, due in ((3, 9), (4, 30), (5, 5))
    ]
    child = SubOrchestrationInstanceCreated(event_id=6, name="chain", instance_id="child", timestamp=at(0))
    requests = [
        Request(operation="add", id="answered", timestamp=at(0), predecessor=UNUSED_TIME),
        Request(operation="add", id="unanswered", timestamp=at(0), predecessor=UNUSED_TIME),
        Request(operation="add", id="signal", is_signal=True, timestamp=at(0), predecessor=UNUSED_TIME),
        Request(operation=None, id="lock", lock_set=(), timestamp=at(0), predecessor=UNUSED_TIME),
    ]
    sent = [
        EventSent(event_id=number, instance_id="@e@k", name=OPERATION, input=request.encode(), timestamp=at(0))
        for number, request in enumerate(requests, 8)
    ]
    history: list[HistoryEvent] = [
        OrchestratorStarted(timestamp=at(0)),
        *scheduled,
        *timers,
        child,
        *sent,
        EventRaised(name="answered", input="{}", timestamp=at(1)),
        TimerFired(timer_id=5, fire_at=at(5), timestamp=at(0)),
        TaskCompleted(task_scheduled_id=1, result="1", timestamp=at(6)),
        TaskFailed(task_scheduled_id=2, reason="no", timestamp=at(7)),
        TimerCreated(event_id=12, fire_at=at(40), timestamp=at(8)),
        ExecutionCompleted(orchestration_status=OrchestrationStatus.FAILED, result="no", timestamp=at(10)),
    ]
    plan = plan_rewind(history)
    assert (plan.failed, plan.children) == (frozenset({0, 2, 6, 9, 11}), {6: "child"})
    assert open_timers(history, plan) == [
        OpenTimer(TimerFired(timer_id=3, fire_at=at(9), timestamp=at(0)), timedelta()),
        OpenTimer(TimerFired(timer_id=4, fire_at=at(30), timestamp=at(0)), timedelta(seconds=20)),
    ]


async def test_it_may_fail_and_be_rewound_again(tmp_path: Path) -> None:
    bench = Bench({"b"})
    async with running(tmp_path / "hub.db", ProgramGateway(PROGRAMS, {"work": bench.work})) as scheduler:
        await fail(scheduler, "chain")
        for reason in ("first", "second"):
            await scheduler.rewind("i", reason)
            assert (await outcome(scheduler, "i"))[0] == "Failed"
        bench.broken.clear()
        await scheduler.rewind("i", "third")
        assert await outcome(scheduler, "i") == ("Completed", ["A", "B", "C"])


async def test_the_history_keeps_the_request_and_has_a_new_execution(tmp_path: Path) -> None:
    bench = Bench({"b"})
    gateway = ProgramGateway(PROGRAMS, {"work": bench.work})
    async with running(tmp_path / "hub.db", gateway) as scheduler:
        await fail(scheduler, "chain")
        before = gateway.payloads["i"][-1]["history"]
        bench.broken.clear()
        await scheduler.rewind("i", "it is mended")
        await outcome(scheduler, "i")
    payload = next(
        payload for payload in gateway.payloads["i"] if any(e["EventType"] == 21 for e in payload["history"])
    )
    events = payload["history"]
    assert [event["EventType"] for event in events] == [12, 0, 4, 13, 12, 5, 13, 12, 13, 12, 21]
    assert events[-1] == {
        "EventType": 21,
        "Reason": "it is mended",
        "ParentExecutionId": None,
        "InstanceId": None,
        "ParentTraceContext": None,
        "EventId": -1,
        "IsPlayed": False,
        "Timestamp": events[-1]["Timestamp"],
    }
    executions = {history[1]["OrchestrationInstance"]["ExecutionId"] for history in (before, events)}
    assert len(executions) == 2
    assert payload["isReplaying"] is True


async def test_a_child_that_is_gone_is_started_anew(tmp_path: Path) -> None:
    bench = Bench({"b"})
    gateway = ProgramGateway(PROGRAMS, {"work": bench.work})
    async with running(tmp_path / "hub.db", gateway) as scheduler:
        await scheduler.start_instance("grandparent", None, "i")
        assert (await outcome(scheduler, "i"))[0] == "Failed"
        assert await scheduler._store.queries.purge_one("the-parent") == "Failed"
        bench.broken.clear()
        await scheduler.rewind("i", None)
        assert await outcome(scheduler, "i") == ("Completed", ["A", ["A", "B", "C"]])


@pytest.mark.parametrize("name", ["chain", None])
async def test_what_has_not_failed_is_not_rewound(tmp_path: Path, name: str | None) -> None:
    async with running(tmp_path / "hub.db", ProgramGateway(PROGRAMS, {"work": Bench().work})) as scheduler:
        if name is not None:
            await scheduler.start_instance(name, None, "i")
            await scheduler.wait_for_completion("i", LIMIT)
        assert await scheduler.rewind("i", None) is False
