"""The scheduler over a real database file: claims, limits, redelivery, restarts. Functions are scripted."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from running_scheduler import LIMIT, outcome, running, until
from scripted_gateway import Activity, Orchestrator, ScriptedGateway, chain, fan_out, raised, state

from worker_ext.host import activity_runner, instance_runner, orchestration_turns, redelivery
from worker_ext.host.database import DatabaseError
from worker_ext.host.records import TurnRecord, TurnResult
from worker_ext.host.scheduler import Scheduler
from worker_ext.host.settings import DurableSettings
from worker_ext.host.store import InstanceExistsError, Store
from worker_ext.protocol.codec import format_timestamp, parse_timestamp
from worker_ext.protocol.history import OrchestratorCompleted, TaskCompleted, TaskFailed


def echo(text: str | None) -> Any:
    return json.loads(text or "null")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redelivery, "_FIRST_DELAY", 0.001)


def app(
    orchestrators: dict[str, Orchestrator] | None = None, activities: dict[str, Activity] | None = None
) -> ScriptedGateway:
    return ScriptedGateway(
        {"Chain": chain("Echo", 3), "Fan": fan_out("Echo", 20), **(orchestrators or {})},
        {"Echo": echo, **(activities or {})},
    )


def waits_for(*names: str) -> Orchestrator:
    """An orchestrator that waits for events, one after the other, and returns the names of all that came."""

    def run(context: dict[str, Any]) -> dict[str, Any]:
        actions = [{"actionType": 6, "externalEventName": name} for name in names]
        return state(*actions, done=True, output=raised(context))

    return run


# ---------------------------------------------------------------- the main job


async def test_a_chain_runs_to_its_result(path: Path) -> None:
    gateway = app()
    async with running(path, gateway) as scheduler:
        instance_id = await scheduler.start_instance("Chain", '{"n":1}')
        assert await outcome(scheduler, instance_id) == ("Completed", [0, 1, 2])
        history = await scheduler.history(instance_id)
    assert [type(event).__name__ for event in history] == [
        *("OrchestratorStarted", "ExecutionStarted", "TaskScheduled", "OrchestratorCompleted"),
        *("OrchestratorStarted", "TaskCompleted", "TaskScheduled", "OrchestratorCompleted"),
        *("OrchestratorStarted", "TaskCompleted", "TaskScheduled", "OrchestratorCompleted"),
        *("OrchestratorStarted", "TaskCompleted", "ExecutionCompleted", "OrchestratorCompleted"),
    ]
    times = [parse_timestamp(event.timestamp) for event in history if isinstance(event, OrchestratorCompleted)]
    assert times == sorted(times)
    assert gateway.calls == {("Echo", "0"): 1, ("Echo", "1"): 1, ("Echo", "2"): 1}


async def test_every_payload_repeats_the_history_of_the_one_before(path: Path) -> None:
    gateway = app()
    async with running(path, gateway) as scheduler:
        await outcome(scheduler, await scheduler.start_instance("Chain", '{"n":1}', "i"))
    payloads = gateway.payloads["i"]
    for earlier, later in itertools.pairwise(payloads):
        repeated = later["history"][: len(earlier["history"])]
        assert [{**event, "IsPlayed": None} for event in repeated] == [
            {**event, "IsPlayed": None} for event in earlier["history"]
        ]
    assert [payload["isReplaying"] for payload in payloads] == [False, True, True, True]
    assert {key: value for key, value in payloads[0].items() if key != "history"} == {
        "input": {"n": 1},
        "instanceId": "i",
        "isReplaying": False,
        "parentInstanceId": None,
        "sourceInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 3,
        "longRunningTimerIntervalDuration": "3.00:00:00",
        "maximumShortTimerDuration": "6.00:00:00",
        "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
    }


async def test_many_instances_run_side_by_side(path: Path) -> None:
    async with running(path, app()) as scheduler:
        ids = [await scheduler.start_instance("Chain", None) for _ in range(50)]
        outcomes = await asyncio.gather(*(outcome(scheduler, instance_id) for instance_id in ids))
    assert outcomes == [("Completed", [0, 1, 2])] * 50


async def failures(scheduler: Scheduler) -> list[TaskFailed]:
    return [event for event in await scheduler.history("i") if isinstance(event, TaskFailed)]


async def test_a_failed_activity_reaches_its_orchestration(path: Path) -> None:
    def fails(_: str | None) -> Any:
        raise ValueError("bad")

    async with running(path, app({"Fails": chain("Bad", 1)}, {"Bad": fails})) as scheduler:
        await scheduler.start_instance("Fails", None, "i")
        await until(lambda: failures(scheduler))
        (failure,) = await failures(scheduler)
    assert failure.reason == "Activity function 'Bad' failed: ValueError: bad"
    assert json.loads(failure.details or "")["InnerException"]["RemoteStackTrace"] == "the trace"


async def test_a_child_answers_its_parent(path: Path) -> None:
    def parent(context: dict[str, Any]) -> dict[str, Any]:
        ends = [event["Result"] for event in context["history"] if event["EventType"] == 8]
        action = {"actionType": 2, "functionName": "Chain", "input": "{}", "instanceId": "c"}
        return state(action, done=bool(ends), output=ends)

    async with running(path, app({"Parent": parent})) as scheduler:
        assert await outcome(scheduler, await scheduler.start_instance("Parent", None, "p")) == (
            "Completed",
            ["[0,1,2]"],
        )
        child = await scheduler.get("c")
    assert child is not None
    assert (child.parent_id, child.status) == ("p", "Completed")


async def test_a_timer_fires_at_its_time(path: Path) -> None:
    fire_at = format_timestamp(datetime.now(UTC) + timedelta(milliseconds=150))

    def sleeps(context: dict[str, Any]) -> dict[str, Any]:
        return state({"actionType": 5, "fireAt": fire_at, "isCanceled": False}, done=True, output="woken")

    gateway = app({"Sleeps": sleeps})
    async with running(path, gateway) as scheduler:
        assert await outcome(scheduler, await scheduler.start_instance("Sleeps", None, "i")) == ("Completed", "woken")
    opened = [event for event in gateway.payloads["i"][-1]["history"] if event["EventType"] == 12]
    assert opened[-1]["Timestamp"] >= fire_at


async def test_an_earlier_timer_is_not_held_up_by_a_later_one(path: Path) -> None:
    def sleeps(context: dict[str, Any]) -> dict[str, Any]:
        started = datetime.now(UTC)
        fire_at = format_timestamp(started + timedelta(seconds=context["input"]))
        return state({"actionType": 5, "fireAt": fire_at, "isCanceled": False}, done=True)

    async with running(path, app({"Sleeps": sleeps})) as scheduler:
        await scheduler.start_instance("Sleeps", "3600", "long")
        await scheduler.start_instance("Sleeps", "0.05", "short")
        assert (await outcome(scheduler, "short"))[0] == "Completed"


async def test_generations_follow_each_other_at_once(path: Path) -> None:
    def counts(context: dict[str, Any]) -> dict[str, Any]:
        number = context["input"]
        if number == 5:
            return state(done=True, output=number)
        return state({"actionType": 4, "input": number + 1}, done=True, customStatus=number)

    gateway = app({"Counts": counts})
    async with running(path, gateway) as scheduler:
        await scheduler.start_instance("Counts", "0", "i")
        assert await outcome(scheduler, "i") == ("Completed", 5)
        found, history = await scheduler.get("i"), await scheduler.history("i")
    assert found is not None
    assert (found.input, found.custom_status) == ("5", "4")
    assert [payload["input"] for payload in gateway.payloads["i"]] == [0, 1, 2, 3, 4, 5]
    assert [type(event).__name__ for event in history] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "OrchestratorCompleted",
        "ExecutionCompleted",
        "OrchestratorCompleted",
    ]


async def test_an_orchestrator_that_does_not_exist_fails_its_instance(path: Path) -> None:
    async with running(path, app()) as scheduler:
        assert await outcome(scheduler, await scheduler.start_instance("NoSuch", None)) == (
            "Failed",
            "Orchestrator function 'NoSuch' failed: The function 'NoSuch' doesn't exist, is disabled, or is not an "
            "orchestrator function. Additional info: The following are the known orchestrator functions: 'Chain', "
            "'Fan'.",
        )


# ---------------------------------------------------------------- clients


async def test_an_id_that_is_running_is_refused(path: Path) -> None:
    async with running(path, app({"Waits": waits_for("go")})) as scheduler:
        assert await scheduler.start_instance("Waits", None, "i") == "i"
        with pytest.raises(InstanceExistsError):
            await scheduler.start_instance("Waits", None, "i")


async def test_an_id_that_is_running_is_replaced_where_any_state_may_be(path: Path) -> None:
    gateway = app({"Waits": waits_for("go")})
    async with running(path, gateway, overridable_existing_instance_states="AnyState") as scheduler:
        await scheduler.start_instance("Waits", None, "i")
        await scheduler.start_instance("Chain", None, "i")
        assert await outcome(scheduler, "i") == ("Completed", [0, 1, 2])


async def test_an_instance_gets_the_version_it_was_started_with_or_the_default(path: Path) -> None:
    async with running(path, app(), default_version="1.0") as scheduler:
        await scheduler.start_instance("Chain", None, "a")
        await scheduler.start_instance("Chain", None, "b", "2.0")
        found = [await scheduler.get("a"), await scheduler.get("b")]
    assert [item.version for item in found if item is not None] == ["1.0", "2.0"]


async def test_events_are_delivered_in_their_order(path: Path) -> None:
    async with running(path, app({"Waits": waits_for("b", "a")})) as scheduler:
        await scheduler.start_instance("Waits", None, "i")
        for name in ("a", "b"):
            assert await scheduler.raise_event("i", name, "1") is True
        assert await outcome(scheduler, "i") == ("Completed", ["a", "b"])
        assert await scheduler.raise_event("i", "a", "1") is False


async def has_status(scheduler: Scheduler, status: str) -> bool:
    found = await scheduler.get("i")
    return found is not None and found.status == status


async def test_an_instance_is_suspended_resumed_and_terminated(path: Path) -> None:
    async with running(path, app({"Waits": waits_for("go", "never")})) as scheduler:
        await scheduler.start_instance("Waits", None, "i")
        seen = []
        for request, wanted in ((scheduler.suspend, "Suspended"), (scheduler.resume, "Running")):
            await request("i", "why")
            await until(partial(has_status, scheduler, wanted))
            seen.append(wanted)
        await scheduler.terminate("i", "enough")
        assert (seen, await outcome(scheduler, "i")) == (["Suspended", "Running"], ("Terminated", "enough"))


async def test_waiting_for_completion_gives_the_status_when_the_time_is_up(path: Path) -> None:
    async with running(path, app({"Waits": waits_for("go")})) as scheduler:
        await scheduler.start_instance("Waits", None, "i")
        found = await scheduler.wait_for_completion("i", 0.01)
        assert await scheduler.wait_for_completion("nobody", 0.01) is None
    assert found is not None
    assert found.is_over is False


async def test_a_stop_answers_whoever_waits_for_completion(path: Path) -> None:
    async with running(path, app({"Waits": waits_for("go")})) as scheduler:
        await scheduler.start_instance("Waits", None, "i")
        waiting = asyncio.create_task(scheduler.wait_for_completion("i", None))
        await until(lambda: scheduler._waiters)
        await scheduler.stop(LIMIT)
        found = await waiting
    assert found is not None


# ---------------------------------------------------------------- batches and limits


async def test_what_arrives_during_a_turn_is_one_batch_of_the_next(path: Path) -> None:
    gateway = app({"Waits": waits_for(*"abc")})
    async with running(path, gateway) as scheduler:
        gateway.turn_may_end.clear()
        await scheduler.start_instance("Waits", None, "i")
        await gateway.turn_begun.wait()
        for name in "abc":
            await scheduler.raise_event("i", name, None)
        gateway.turn_may_end.set()
        assert (await outcome(scheduler, "i"))[0] == "Completed"
    assert [raised(payload) for payload in gateway.payloads["i"]] == [[], ["a", "b", "c"]]


async def test_more_messages_than_one_batch_takes_come_in_several(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker_ext.host.store.BATCH_LIMIT", 2)
    monkeypatch.setattr(instance_runner, "BATCH_LIMIT", 2)
    gateway = app({"Waits": waits_for(*"abc")})
    async with running(path, gateway) as scheduler:
        gateway.turn_may_end.clear()
        await scheduler.start_instance("Waits", None, "i")
        await gateway.turn_begun.wait()
        for name in "abc":
            await scheduler.raise_event("i", name, None)
        gateway.turn_may_end.set()
        assert (await outcome(scheduler, "i"))[0] == "Completed"
    assert [len(raised(payload)) for payload in gateway.payloads["i"]] == [0, 2, 3]


@pytest.mark.parametrize("limit", [1, 4])
async def test_no_more_activities_run_at_once_than_allowed(path: Path, limit: int) -> None:
    async def slow(text: str | None) -> Any:
        await asyncio.sleep(0)
        return echo(text)

    gateway = app(activities={"Echo": slow})
    async with running(path, gateway, max_concurrent_activity_functions=limit) as scheduler:
        assert await outcome(scheduler, await scheduler.start_instance("Fan", None)) == ("Completed", list(range(20)))
    assert gateway.most_activities == limit


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_orchestrators_run_at_once_than_allowed(path: Path, limit: int) -> None:
    gateway = app()
    async with running(path, gateway, max_concurrent_orchestrator_functions=limit) as scheduler:
        gateway.turn_may_end.clear()
        ids = [await scheduler.start_instance("Chain", None) for _ in range(8)]
        gateway.turn_may_end.set()
        for instance_id in ids:
            assert (await outcome(scheduler, instance_id))[0] == "Completed"
    assert gateway.most_orchestrators == limit


async def test_more_activities_than_fit_in_memory_wait_in_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity_runner, "QUEUE_LIMIT", 4)
    gateway = app({"Wide": fan_out("Echo", 100)})
    async with running(path, gateway, max_concurrent_activity_functions=3) as scheduler:
        ids = [await scheduler.start_instance("Wide", None) for _ in range(3)]
        for instance_id in ids:
            assert await outcome(scheduler, instance_id) == ("Completed", list(range(100)))
    assert set(gateway.calls.values()) == {3}


async def test_an_instance_that_was_pushed_out_of_memory_is_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestration_turns, "CACHE_BYTES", 1)
    gateway = app()
    async with running(path, gateway) as scheduler:
        for name in ("a", "b", "c"):
            await scheduler.start_instance("Chain", None, name)
        outcomes = [await outcome(scheduler, name) for name in ("a", "b", "c")]
        assert len(scheduler._turns._known) <= 1
    assert outcomes == [("Completed", [0, 1, 2])] * 3
    played = [event["IsPlayed"] for event in gateway.payloads["a"][1]["history"]]
    assert played == [False, True, False, False, False, False]


# ---------------------------------------------------------------- lost workers, refused commits


async def test_work_of_a_lost_worker_is_done_again_and_is_no_failure(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = app()
    gateway.lost = 3
    with caplog.at_level(logging.WARNING):
        async with running(path, gateway) as scheduler:
            assert await outcome(scheduler, await scheduler.start_instance("Chain", None, "i")) == (
                "Completed",
                [0, 1, 2],
            )
            history = await scheduler.history("i")
    assert [type(event) for event in history if isinstance(event, TaskCompleted | TaskFailed)] == [TaskCompleted] * 3
    assert [record.message for record in caplog.records] == [
        f"instance i is delivered again in {delay:.1f} s: no worker is running" for delay in (0.001, 0.002, 0.004)
    ]


async def test_an_activity_of_a_lost_worker_is_run_again(path: Path) -> None:
    gateway = app()

    def loses_the_next(context: dict[str, Any]) -> dict[str, Any]:
        gateway.lost = 2 if len(context["history"]) == 2 else 0
        return chain("Echo", 1)(context)

    gateway.orchestrators["Chain"] = loses_the_next
    async with running(path, gateway) as scheduler:
        assert await outcome(scheduler, await scheduler.start_instance("Chain", None)) == ("Completed", [0])
    assert gateway.calls == {("Echo", "0"): 3}


class Refusing(Store):
    """A store that refuses its first commits."""

    refusals = 2

    async def commit(self, turn: TurnRecord) -> TurnResult:
        if self.refusals:
            self.refusals -= 1
            raise DatabaseError(f"{self.path}: database or disk is full")
        return await super().commit(turn)


async def test_a_turn_whose_commit_is_refused_is_worked_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Refusing(path, "Hub")
    gateway = app()
    scheduler = Scheduler(store, gateway, DurableSettings())
    await scheduler.start()
    await scheduler.start_instance("Chain", None, "i")
    assert await outcome(scheduler, "i") == ("Completed", [0, 1, 2])
    await scheduler.stop(LIMIT)
    store.close()
    assert gateway.calls == {("Echo", "0"): 1, ("Echo", "1"): 1, ("Echo", "2"): 1}
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        f"instance i is delivered again in 0.0 s: {path}: database or disk is full"
    ] * 2


# ---------------------------------------------------------------- restarts


async def test_what_was_interrupted_goes_on_after_a_restart(path: Path) -> None:
    """Each run is broken off while an activity runs; only that one is run again."""
    never = asyncio.Event()
    gateway = app()

    def hangs(position: str) -> Callable[[str | None], Any]:
        async def run(text: str | None) -> Any:
            if text == position:
                await never.wait()
            return echo(text)

        return run

    for position in ("0", "1", "2"):
        gateway.activities["Echo"] = hangs(position)
        async with broken_off(path, gateway) as scheduler:
            if position == "0":
                await scheduler.start_instance("Chain", None, "i")
            await until(partial(gateway.calls.get, ("Echo", position)))
    gateway.activities["Echo"] = echo
    async with running(path, gateway) as scheduler:
        assert await outcome(scheduler, "i") == ("Completed", [0, 1, 2])
    assert gateway.calls == {("Echo", "0"): 2, ("Echo", "1"): 2, ("Echo", "2"): 2}


async def test_a_turn_that_was_not_committed_is_worked_again_after_a_restart(path: Path) -> None:
    gateway = app()
    gateway.turn_may_end.clear()
    async with broken_off(path, gateway) as scheduler:
        await scheduler.start_instance("Chain", None, "i")
        await gateway.turn_begun.wait()
    gateway.turn_may_end.set()
    async with running(path, gateway) as scheduler:
        assert await outcome(scheduler, "i") == ("Completed", [0, 1, 2])


async def test_a_timer_that_came_due_while_the_host_was_down_fires_at_once(path: Path) -> None:
    fire_at = datetime.now(UTC) + timedelta(milliseconds=100)

    def sleeps(context: dict[str, Any]) -> dict[str, Any]:
        return state({"actionType": 5, "fireAt": format_timestamp(fire_at), "isCanceled": False}, done=True)

    gateway = app({"Sleeps": sleeps})
    async with running(path, gateway) as scheduler:
        await scheduler.start_instance("Sleeps", None, "i")
        await gateway.turn_begun.wait()
    assert len(gateway.payloads["i"]) == 1
    await until(lambda: datetime.now(UTC) >= fire_at)
    async with running(path, gateway) as scheduler:
        assert (await outcome(scheduler, "i"))[0] == "Completed"


async def test_a_stop_lets_running_work_finish_within_its_grace(path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(text: str | None) -> Any:
        begun.set()
        await go_on.wait()
        return echo(text)

    gateway = app({"One": chain("Echo", 1)}, {"Echo": slow})
    async with running(path, gateway) as scheduler:
        await scheduler.start_instance("One", None, "i")
        await begun.wait()
        stopping = asyncio.create_task(scheduler.stop(LIMIT))
        go_on.set()
        await stopping
    async with running(path, gateway) as scheduler:
        assert await outcome(scheduler, "i") == ("Completed", [0])
    assert gateway.calls == {("Echo", "0"): 1}


@asynccontextmanager
async def broken_off(path: Path, gateway: ScriptedGateway) -> AsyncIterator[Scheduler]:
    """A scheduler that is stopped without any grace: whatever runs is lost."""
    store = Store(path, "Hub")
    scheduler = Scheduler(store, gateway, DurableSettings())
    await scheduler.start()
    yield scheduler
    await scheduler.stop(0)
    store.close()
