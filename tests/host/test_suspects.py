"""Work that kills its worker: it is run alone, then given up; whatever ran beside it gets done."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from running_host import PATIENCE, run_host
from running_scheduler import LIMIT, outcome, running, until
from scripted_gateway import ScriptedGateway, chain, completions, state

from worker_ext.host import redelivery
from worker_ext.host import suspects as suspects_module
from worker_ext.host.gateway import FunctionTimeoutError, Reply, WorkerLostError
from worker_ext.host.loss_log import Loss, LossLog
from worker_ext.host.scheduler import Scheduler
from worker_ext.host.settings import DurableSettings
from worker_ext.host.store import Store
from worker_ext.host.suspects import Suspects
from worker_ext.protocol.history import TaskFailed

VERDICT = (
    "the worker process ended while it ran, 6 times, 3 of them while nothing else ran. Look for what ends the process,"
    " such as os._exit, a crash in native code, or too little memory"
)
ENDED = "the worker's stream has ended"


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redelivery, "_FIRST_DELAY", 0.001)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


def echo(text: str | None) -> Any:
    return json.loads(text or "null")


class MortalWorker(ScriptedGateway):
    """A worker in which the functions named `Kills` end everything that runs, once all that is to run beside it does.

    Attributes:
        width: How many activities run before a deadly one strikes, as long as nothing of them has been lost thrice.
        rounds: What ran at the time of each death, by input.
    """

    width = 1

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.rounds: list[list[str]] = []
        self._beside: dict[str, asyncio.Future[Reply]] = {}

    def kill(self, also: str | None = None) -> None:
        beside, self._beside = self._beside, {}
        self.rounds.append(sorted([*beside, *([also] if also else [])]))
        for future in beside.values():
            future.set_exception(WorkerLostError(ENDED, while_running=True))

    async def run_activity(self, name: str, instance_id: str, input_text: str | None, trace_parent: str = "") -> Reply:
        key = f"{name} {input_text}"
        self.calls[name, input_text] += 1
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._beside[key] = future
        is_alone = len(self.rounds) >= 3
        if is_alone and name != "Kills":
            self._beside.pop(key)
            return Reply(input_text)
        if is_alone or len(self._beside) == self.width:
            self.kill()
        return await future

    async def run_orchestrator(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        if name == "Kills":
            self.kill(also=instance_id)
            raise WorkerLostError(ENDED, while_running=True)
        return await super().run_orchestrator(name, instance_id, payload)

    async def run_entity(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        if name == "kills":
            self.kill(also=instance_id)
            raise WorkerLostError(ENDED, while_running=True)
        return await super().run_entity(name, instance_id, payload)


def group(*calls: tuple[str, str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """An orchestrator that calls all activities at once, and tells the results and the failures."""

    def run(context: dict[str, Any]) -> dict[str, Any]:
        actions = [{"actionType": 0, "functionName": name, "input": text} for name, text in calls]
        failures = [event["Reason"] for event in context["history"] if event["EventType"] == 6]
        results = sorted(completions(context))
        is_done = len(results) + len(failures) == len(calls)
        return state(*actions, done=is_done, output={"results": results, "failures": failures})

    return run


async def test_an_activity_that_kills_its_worker_fails_and_those_beside_it_get_done(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = [("Kills", "0"), *(("Echo", str(number)) for number in range(1, 16))]
    gateway = MortalWorker({"Group": as_group(*calls)}, {"Kills": echo, "Echo": echo})
    gateway.width = len(calls)
    with caplog.at_level(logging.WARNING):
        async with running(path, gateway, max_concurrent_activity_functions=20) as scheduler:
            assert await outcome(scheduler, await scheduler.start_instance("Group", None, "i")) == (
                "Completed",
                {"results": list(range(1, 16)), "failures": [f"Activity function 'Kills' failed: {VERDICT}"]},
            )
    everything = sorted(f"{name} {text}" for name, text in calls)
    assert gateway.rounds == [everything] * 3 + [["Kills 0"]] * 3
    assert gateway.calls == {(name, text): 6 if name == "Kills" else 4 for name, text in calls}
    together = f"16 activities are delivered again in 0.0 s: {ENDED}"
    alone = f"activity Kills of instance i is delivered again in 0.0 s: {ENDED} (it runs alone, to find out"
    assert [record.message.partition(" what ends the worker")[0] for record in caplog.records] == [
        *[together, together],
        f"{together} (16 of them run one at a time, alone, to find out",
        *[alone] * 2,
        f"activity Kills of instance i fails: {VERDICT}",
    ]


def as_group(*calls: tuple[str, str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """`group` as one compound action."""
    inner = group(*calls)

    def run(context: dict[str, Any]) -> dict[str, Any]:
        reply = inner(context)
        (actions,) = reply["actions"]
        return {**reply, "actions": [[{"actionType": 12, "compoundActions": actions}]]}

    return run


async def test_an_orchestrator_that_kills_its_worker_fails(path: Path) -> None:
    gateway = MortalWorker({"Kills": state, "Chain": chain("Echo", 1)}, {"Echo": echo})
    async with running(path, gateway) as scheduler:
        assert await outcome(scheduler, await scheduler.start_instance("Kills", None, "i")) == (
            "Failed",
            f"Orchestrator function 'Kills' failed: {VERDICT}",
        )
    assert gateway.rounds == [["i"]] * 6


async def test_an_orchestrator_that_kills_its_worker_can_be_terminated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects_module, "GIVEN_UP_AFTER", 1000)
    gateway = MortalWorker({"Kills": state}, {})
    async with running(path, gateway) as scheduler:
        await scheduler.start_instance("Kills", None, "i")
        await until(lambda: len(gateway.rounds) >= 3)
        await scheduler.terminate("i", "enough")
        assert await outcome(scheduler, "i") == ("Terminated", "enough")


TIMEOUT = "Timeout value of 00:05:00 was exceeded by function: Functions.Hangs"
GIVEN_UP = (
    "it took longer than functionTimeout, 6 times, and each time its worker had to be replaced."
    " Look for what it waits for, such as time.sleep, a request or a lock, and move that to an activity"
)


class HangingWorker(ScriptedGateway):
    """A worker in which whatever is named `Hangs` takes too long.

    Attributes:
        timeouts: How often.
    """

    timeouts = 0

    async def run_orchestrator(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        return self.hang() if name == "Hangs" else await super().run_orchestrator(name, instance_id, payload)

    async def run_activity(self, name: str, instance_id: str, input_text: str | None, trace_parent: str = "") -> Reply:
        return self.hang() if name == "Hangs" else await super().run_activity(name, instance_id, input_text)

    def hang(self) -> Reply:
        self.timeouts += 1
        raise FunctionTimeoutError("Hangs", timedelta(minutes=5))


async def test_an_orchestrator_that_takes_too_long_each_time_fails(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = HangingWorker({"Hangs": state}, {})
    async with running(path, gateway) as scheduler:
        failure = ("Failed", f"Orchestrator function 'Hangs' failed: {GIVEN_UP}")
        assert await outcome(scheduler, await scheduler.start_instance("Hangs", None, "i")) == failure
    assert gateway.timeouts == 6
    again = f"instance i is delivered again in 0.0 s: {TIMEOUT}"
    assert caplog.messages == [*[again] * 5, f"instance i fails: {GIVEN_UP}"]


async def test_an_orchestrator_that_takes_too_long_can_be_terminated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redelivery, "_FIRST_DELAY", 0.5)
    gateway = HangingWorker({"Hangs": state}, {})
    async with running(path, gateway) as scheduler:
        await scheduler.start_instance("Hangs", None, "i")
        await until(lambda: gateway.timeouts)
        await scheduler.terminate("i", "enough")
        assert await outcome(scheduler, "i") == ("Terminated", "enough")


async def test_an_activity_that_takes_too_long_has_failed(path: Path) -> None:
    gateway = HangingWorker({"Group": group(("Hangs", "0"))}, {"Hangs": echo})
    async with running(path, gateway) as scheduler:
        assert await outcome(scheduler, await scheduler.start_instance("Group", None)) == (
            "Completed",
            {"results": [], "failures": [f"Activity function 'Hangs' failed: {TIMEOUT}"]},
        )
    assert gateway.timeouts == 1


async def test_operations_that_kill_their_worker_fail(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gateway = MortalWorker({}, {}, {"Kills": dict})
    async with running(path, gateway) as scheduler:
        await scheduler.signal_entity("Kills", "k", "add", "1")
        await until(lambda: f"entity @kills@k: 1 operations fail: {VERDICT}" in caplog.messages)
    assert gateway.rounds == [["@kills@k"]] * 6


async def running_killer(scheduler: Scheduler, gateway: MortalWorker) -> None:
    await scheduler.start_instance("Group", None, "i")
    await until(lambda: len(gateway.rounds) >= 2)


def killer(monkeypatch: pytest.MonkeyPatch) -> MortalWorker:
    """One whose activity is never given up."""
    monkeypatch.setattr(suspects_module, "GIVEN_UP_AFTER", 1000)
    return MortalWorker({"Group": group(("Kills", "0")), "Chain": chain("Echo", 1)}, {"Kills": echo})


async def terminate(scheduler: Scheduler, _: Store) -> None:
    await scheduler.terminate("i", None)
    assert await outcome(scheduler, "i") == ("Terminated", None)


async def purge(_: Scheduler, store: Store) -> None:
    await terminate(_, store)
    assert await store.queries.purge_one("i") == "Terminated"


@pytest.mark.parametrize("stop", [terminate, purge])
async def test_an_activity_is_not_run_again_once_nobody_waits_for_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stop: Any
) -> None:
    gateway = killer(monkeypatch)
    store = Store(path, "Hub")
    scheduler = Scheduler(store, gateway, DurableSettings())
    await scheduler.start()
    with caplog.at_level(logging.INFO):
        await running_killer(scheduler, gateway)
        await stop(scheduler, store)
        await until(lambda: "activity Kills of instance i is not run again" in caplog.messages)
    assert await store.pending_activities(0, 10) == []
    await scheduler.stop(LIMIT)
    store.close()


async def test_a_restart_drops_activities_that_nobody_waits_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redelivery, "_FIRST_DELAY", 1000.0)
    monkeypatch.setattr(redelivery, "_LONGEST_DELAY", 1000.0)
    gateway = killer(monkeypatch)
    async with running(path, gateway) as scheduler:
        await scheduler.start_instance("Group", None, "i")
        await until(lambda: gateway.rounds)
        await scheduler.terminate("i", None)
        await outcome(scheduler, "i")
    gateway.activities["Echo"] = echo
    gateway.rounds = [[]] * 3
    async with running(path, gateway) as scheduler:
        assert await outcome(scheduler, await scheduler.start_instance("Chain", None)) == ("Completed", [0])
    assert gateway.calls == {("Kills", "0"): 1, ("Echo", "0"): 1}


async def test_a_worker_that_is_merely_not_there_blames_nobody(path: Path) -> None:
    gateway = ScriptedGateway({"Chain": chain("Echo", 1)}, {"Echo": echo})
    gateway.lost = 10
    async with running(path, gateway) as scheduler:
        assert await outcome(scheduler, await scheduler.start_instance("Chain", None)) == ("Completed", [0])


# ---------------------------------------------------------------- who runs beside whom


async def lose(suspects: Suspects, key: str) -> None:
    with pytest.raises(WorkerLostError):
        async with suspects.run(key):
            raise WorkerLostError(ENDED, while_running=True)


async def made_suspect(*keys: str) -> Suspects:
    suspects = Suspects()
    for key in keys:
        for _ in range(3):
            await lose(suspects, key)
    return suspects


async def hold(suspects: Suspects, key: str, log: list[str], go_on: asyncio.Event) -> None:
    async with suspects.run(key):
        log.append(key)
        await go_on.wait()


async def test_suspects_run_one_at_a_time_and_others_have_their_turn_between_them() -> None:
    suspects = await made_suspect("s1", "s2")
    log: list[str] = []
    steps = {key: asyncio.Event() for key in ("a", "s1", "b", "s2")}
    async with asyncio.TaskGroup() as tasks:
        for key in ("a", "s1", "s2", "b"):
            tasks.create_task(hold(suspects, key, log, steps[key]))
        for number, key in enumerate(("a", "s1", "b", "s2"), 1):
            await until(partial(lambda least: len(log) >= least, number))
            assert log == ["a", "s1", "b", "s2"][:number]
            steps[key].set()


async def test_nothing_waits_for_good_for_a_suspect_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects_module, "_HOLD", 0.01)
    suspects = await made_suspect("s")
    log: list[str] = []
    go_on = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for key in ("a", "s", "b"):
            tasks.create_task(hold(suspects, key, log, go_on))
        await until(lambda: len(log) == 3)
        go_on.set()


async def test_a_loss_in_company_blames_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects_module, "_HOLD", 0.0)
    suspects = await made_suspect("s")
    async with suspects.run("a"):
        for _ in range(5):
            await lose(suspects, "s")
    assert suspects.verdict("s") is None
    for _ in range(3):
        await lose(suspects, "s")
    assert suspects.verdict("s") == VERDICT.replace("6 times", "11 times")


async def test_work_that_was_done_is_no_suspect_any_more() -> None:
    suspects = await made_suspect("s")
    suspects.forget("s")
    assert (suspects.has("s"), suspects.verdict("s")) == (False, None)


async def test_what_is_lost_together_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    log = LossLog(logging.getLogger("test"))
    for kind, delay, is_suspect in [("activity", 0.1, False), ("activity", 0.4, True), ("instance", 0.2, False)]:
        log.add(Loss(kind, f"{kind} x", delay, is_suspect), "it ended")
    log.add(Loss("instance", "instance y", 0.1, False), "none there")
    await until(lambda: caplog.messages)
    assert caplog.messages == [
        "2 activities and 1 instance are delivered again in 0.1 to 0.4 s: it ended"
        " (1 of them run one at a time, alone, to find out what ends the worker)",
        "instance y is delivered again in 0.1 s: none there",
    ]


# ---------------------------------------------------------------- a real worker

APP = """
import os
import time
import worker_ext as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def mixed(context):
    others = [context.call_activity("sleeps", number) for number in range(5)]
    try:
        yield context.task_all([context.call_activity("dies", None), *others])
    except Exception as error:
        failure = str(error)
    results = yield context.task_all(others)
    return {"failure": failure, "results": results}


@app.activity_trigger(input_name="number")
def sleeps(number: int) -> int:
    time.sleep(0.3)
    return number


@app.activity_trigger(input_name="nothing")
def dies(nothing: None) -> None:
    time.sleep(0.05)
    os._exit(3)
"""


async def test_a_real_worker_is_killed_no_longer_than_it_takes_to_find_out(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text(APP)
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    async with run_host(tmp_path) as host:
        instance_id = await host.local.scheduler.start_instance("mixed", None)
        instance = await host.local.scheduler.wait_for_completion(instance_id, PATIENCE)
        assert instance is not None
        assert instance.status == "Completed", (instance, host.printed.getvalue())
        output = json.loads(instance.output or "null")
        history = await host.local.scheduler.history(instance_id)
    assert output["results"] == [0, 1, 2, 3, 4]
    assert "Activity function 'dies' failed: the worker process ended while it ran, " in output["failure"]
    assert len([event for event in history if isinstance(event, TaskFailed)]) == 1
