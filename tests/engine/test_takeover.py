"""Instances that azure-functions-durable 1.7.0 began go on here, from whichever turn.

Each recorded program is run on the kernel in virtual time: once answered by this package alone, then with its first
turns answered by the real 1.7.0 and the rest by this package, for every number of first turns. The instances must end
alike. The events from outside come as they were recorded.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Generator, Iterator
from datetime import timedelta
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from recordings import HISTORIES, records_of
from takeover import Takeover, ends
from virtual_host import Outcome

from worker_ext.host.turns import TimerLimits
from worker_ext.protocol.codec import parse_timespan, parse_timestamp
from worker_ext.protocol.history import EventRaised, OrchestrationStatus
from worker_ext.protocol.orchestrator import OrchestratorRequest
from worker_ext.testing import HistoryBuilder, replay

THEMES = ["any", "chaining", "eternal", "events", "fan", "long_timers", "retries", "subs", "timers"]
PROGRAMS = ["any_tasks", "chaining", "eternal", "events", "fan", "retries", "subs", "timers"]
ENTITIES = "needs an entity"

LEFT_OUT = {
    "any_cancel_goes_on": ENTITIES,
    "any_late_cancel_entity": ENTITIES,
    "timer_naive": "its error differs on purpose",
    "retry_bad_options": "its error differs on purpose",
    "fan_empty": "task_all([]) is [] here",
    "any_empty": "task_any([]) is an error here",
    "fan_failing_caught": "what follows a failed task_all starts at once, so survivors may still be open",
}


class Case(NamedTuple):
    """One recorded instance: its program, what it was given, and the events from outside, each some time after."""

    name: str
    function: str
    input_text: str | None
    limits: TimerLimits
    events: list[tuple[timedelta, EventRaised]]


def load(package: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The recorded programs, written against a package."""
    monkeypatch.setenv("DURABLE_SDK", package)
    monkeypatch.syspath_prepend(str(HISTORIES / "programs"))
    programs: dict[str, Any] = {}
    for name in [*PROGRAMS, "activities"]:
        spec = importlib.util.spec_from_file_location(f"{package}:{name}", HISTORIES / "programs" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module: ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        programs.update(module.PROGRAMS)
    return programs


def cases(theme: str) -> Iterator[Case]:
    """The instances of a theme that a client started, without those that show a defect of 1.7.0."""
    payloads: dict[str, list[str]] = {}
    functions: dict[str, str] = {}
    for record in records_of(HISTORIES / f"gen_{theme}.jsonl"):
        name = record["case"]
        if "payload" in record and record["kind"] == "orchestrator" and not name.startswith("broken_"):
            request = json.loads(record["payload"])
            if request["instanceId"] == name and name not in LEFT_OUT:
                payloads.setdefault(name, []).append(record["payload"])
                functions[name] = record["program"].split(".py:")[1]
    for name, texts in payloads.items():
        requests = [OrchestratorRequest.decode(text) for text in texts]
        first = requests[0]
        begun = parse_timestamp(first.history[0].timestamp)
        raised = {
            (event.timestamp, event.name): event
            for request in requests
            for event in request.history
            if isinstance(event, EventRaised)
        }
        events = [(parse_timestamp(event.timestamp) - begun, event) for event in raised.values()]
        started = next(event for event in first.history if type(event).__name__ == "ExecutionStarted")
        limits = TimerLimits(
            parse_timespan(first.maximum_short_timer_duration or "0:0:0"),
            parse_timespan(first.long_running_timer_interval_duration or "0:0:0"),
        )
        yield Case(name, functions[name], started.input, limits, events)  # type: ignore[union-attr]


def run(case: Case, ours: dict[str, Any], takeover: Takeover, turns_of_theirs: int) -> Outcome:
    """Runs an instance whose first turns, and those of its children, 1.7.0 answers."""
    activities = {name: program for name, program in ours.items() if program.__module__.endswith(":activities")}
    host = takeover.host(turns_of_theirs, activities, case.limits)
    ours["flaky"].__globals__["_attempts"].clear()
    host.start(ours, case.function, case.name, case.input_text)
    for after, event in case.events:
        host.raise_event(case.name, event, after)
    return host.run(case.name)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_instances_of_1_7_0_end_as_ours_do(theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = load("worker_ext", monkeypatch), load("azure.durable_functions", monkeypatch)
    takeover = Takeover(theirs, ours)
    compared = 0
    different = []
    for case in cases(theme):
        straight, *taken_over = ends(partial(run, case, ours, takeover))
        assert straight.status in (OrchestrationStatus.COMPLETED, OrchestrationStatus.FAILED), case.name
        for turns, end in enumerate(taken_over, 1):
            compared += 1
            if end.result != straight.result:
                different.append((case.name, turns, end, straight))
    assert different == []
    assert compared


def give_up_early(context: Any) -> Generator[Any, Any, Any]:
    """Cancels a timer of thirty days after five, and goes on for longer than a piece of it."""
    timer = context.create_timer(context.current_utc_datetime + timedelta(days=30))
    winner = yield context.task_any([context.call_activity("Work", 5), timer])
    timer.cancel()
    return [winner.result, (yield context.call_activity("Work", 20))]


def work(days: int) -> int:
    time.sleep(timedelta(days=days).total_seconds())
    return days


def wait_on(context: Any) -> Generator[Any, Any, Any]:
    """Leaves long timers open, and sets others that the extension starts whole only by 1.7.0's list."""
    now = context.current_utc_datetime
    yield context.task_any([context.create_timer(now + timedelta(days=days)) for days in (7, 9, 5)])
    yield context.task_any([context.call_activity("Work", 1), context.create_timer(now + timedelta(days=10))])
    return (yield context.call_activity("Work", 3))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "flow, turns_of_theirs, output",
    [
        *((give_up_early, turns, "[5,20]") for turns in range(6)),
        *((wait_on, turns, "3") for turns in range(8)),
    ],
)
def test_long_timers_of_1_7_0_are_those_of_history(flow: Any, turns_of_theirs: int, output: str) -> None:
    """It starts the next piece whenever one fires, cancelled or not, and sets no timers for the extension's clock."""
    host = Takeover({"Flow": flow}, {"Flow": flow}).host(turns_of_theirs, {"Work": work})
    host.start(["Flow"], "Flow", "abc", None)
    assert host.run("abc").result == (OrchestrationStatus.COMPLETED, output)


def test_a_timer_of_the_code_that_ends_with_a_cancelled_one_is_no_piece_of_it() -> None:
    def keep_a_deadline(context: Any) -> Generator[Any, Any, Any]:
        deadline = context.current_utc_datetime + timedelta(days=8)
        timer = context.create_timer(deadline)
        yield context.task_any([context.call_activity("A"), timer])
        timer.cancel()
        yield context.call_activity("B")
        yield context.create_timer(deadline)
        return "in time"

    day = timedelta(days=1)
    history = HistoryBuilder().started().scheduled("A", 0).timer_created(1, 3 * day)
    history.batch(day).completed(0).scheduled("B", 2).batch(2 * day).timer_fired(1)
    history.batch(day).completed(2).timer_created(3, 4 * day).batch(4 * day).timer_fired(3)
    assert replay(keep_a_deadline, history).output == "in time"
