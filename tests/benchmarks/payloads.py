"""Payloads of finished workflows, in the extension's own layout (two-space indent, its order of members).

Each shape comes with its orchestrator for worker_ext and for its peer, and with the bare floor: the least a worker can
do with the same payload.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

JSON = dict[str, Any]
START = datetime(2026, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)
BATCH = 10
"""Completions that arrive together where several are under way at once."""


@dataclass(frozen=True)
class Shape:
    """A workflow of `n` steps.

    Attributes:
        name: What it is called in the report.
        history: Its events.
        orchestrator: The workflow, written against the context that worker_ext and its peer share.
        steps: Its floor: yields one action a step as a plain dict and is sent each result.
        completion: The `EventType` that completes a step.
        result: The member of that event that holds the result, or None where there is none.
        least_size: The least number of steps it is measured with.
    """

    name: str
    history: Callable[[int], Iterator[JSON]]
    orchestrator: Callable[[Any], Generator[Any, Any, Any] | Coroutine[Any, Any, Any]]
    steps: Callable[[int], Generator[JSON, Any, Any]]
    completion: int
    result: str | None
    least_size: int = 0

    def payload(self, n: int) -> str:
        """The context payload of the last turn."""
        return json.dumps(
            {
                "history": list(self.history(n)),
                "input": str(n),
                "instanceId": "benchmark",
                "isReplaying": True,
                "parentInstanceId": None,
                "sourceInstanceId": None,
                "upperSchemaVersion": 1,
                "upperSchemaVersionNew": 3,
                "longRunningTimerIntervalDuration": "3.00:00:00",
                "maximumShortTimerDuration": "6.00:00:00",
                "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
            },
            indent=2,
            ensure_ascii=False,
        )


BIG_RESULT = json.dumps([{"id": i, "name": f"item {i}", "price": i / 4, "tags": ["a", "b"]} for i in range(165)])
"""What an activity returns that has much to say: 10 kB of JSON."""


class Clock:
    """Gives each batch a time of its own, in .NET's spelling with seven digits."""

    def __init__(self) -> None:
        self._seconds = itertools.count()
        self.now = START

    def tick(self) -> str:
        """The time of the next batch."""
        self.now = START + timedelta(seconds=next(self._seconds))
        return self.text(self.now)

    @staticmethod
    def text(time: datetime) -> str:
        """A time as the extension writes it."""
        return f"{time:%Y-%m-%dT%H:%M:%S.%f}7Z"


def _event(kind: int, time: str, event_id: int = -1, **members: Any) -> JSON:
    return {"EventType": kind, **members, "EventId": event_id, "IsPlayed": True, "Timestamp": time}


def _opening(clock: Clock, n: int) -> Iterator[JSON]:
    time = clock.tick()
    yield _event(12, time)
    yield {
        "OrchestrationInstance": {"InstanceId": "benchmark", "ExecutionId": "bfd113df0b244c5b83d6bfc567bf25db"},
        "EventType": 0,
        "ParentInstance": None,
        "Name": "workflow",
        "Version": None,
        "Input": json.dumps(str(n)),
        "Tags": None,
        "Correlation": None,
        "ParentTraceContext": None,
        "ScheduledStartTime": None,
        "Generation": 0,
        "GenerateNewTrace": False,
        "EventId": -1,
        "IsPlayed": True,
        "Timestamp": time,
    }


def _new_batch(clock: Clock) -> Iterator[JSON]:
    yield _event(13, Clock.text(clock.now))
    yield _event(12, clock.tick())


def _task_scheduled(i: int, time: str) -> JSON:
    return _event(4, time, i, Name="say_hello", Version="", Input=None, ParentTraceContext=None, Tags=None)


def _task_completed(i: int, time: str) -> JSON:
    return _event(5, time, TaskScheduledId=i, Result=f'"Hello {i}!"')


def _chain_history(n: int) -> Iterator[JSON]:
    clock = Clock()
    yield from _opening(clock, n)
    for i in range(n):
        yield _task_scheduled(i, Clock.text(clock.now))
        yield from _new_batch(clock)
        yield _task_completed(i, Clock.text(clock.now))


def _big_history(n: int) -> Iterator[JSON]:
    """A chain whose activities return 10 kB each."""
    for event in _chain_history(n):
        if event["EventType"] == 5:
            event["Result"] = BIG_RESULT
        yield event


def _fan_out_history(n: int, together: int = BATCH) -> Iterator[JSON]:
    clock = Clock()
    yield from _opening(clock, n)
    for i in range(n):
        yield _task_scheduled(i, Clock.text(clock.now))
    for first in range(0, n, together):
        yield from _new_batch(clock)
        for i in range(first, min(first + together, n)):
            yield _task_completed(i, Clock.text(clock.now))


def _one_by_one_history(n: int) -> Iterator[JSON]:
    """A fan-out whose activities are done one after the other."""
    return _fan_out_history(n, 1)


def _timer_history(n: int) -> Iterator[JSON]:
    clock = Clock()
    yield from _opening(clock, n)
    for i in range(n):
        # What workers of Python send has microseconds, and the extension keeps it as it was sent.
        fire_at = f"{clock.now + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S.%fZ}"
        yield _event(10, Clock.text(clock.now), i, FireAt=fire_at)
        yield from _new_batch(clock)
        yield _event(11, Clock.text(clock.now), TimerId=i, FireAt=fire_at)


def _child_history(n: int) -> Iterator[JSON]:
    clock = Clock()
    yield from _opening(clock, n)
    for i in range(n):
        name = {"Name": "child", "Version": None, "InstanceId": f"bfd113df0b244c5b83d6bfc567bf25db:{i}"}
        yield _event(7, Clock.text(clock.now), i, **name, Input=None, ClientSpanId=None, Tags=None)
        yield from _new_batch(clock)
        yield _event(8, Clock.text(clock.now), TaskScheduledId=i, Result=f'"Hello {i}!"')


def _event_history(n: int) -> Iterator[JSON]:
    clock = Clock()
    yield from _opening(clock, n)
    for i in range(n):
        yield from _new_batch(clock)
        yield _event(15, Clock.text(clock.now), Name="approval", Input=f'"Hello {i}!"', ParentTraceContext=None)


# ---------------------------------------------------------------- the workflows


def _chain(context: Any) -> Generator[Any, Any, int]:
    for i in range(context.get_input()):
        yield context.call_activity("say_hello", i)
    return int(context.get_input())


def _fan_out(context: Any) -> Generator[Any, Any, int]:
    results = yield context.task_all([context.call_activity("say_hello", i) for i in range(context.get_input())])
    return len(results)


def _timers(context: Any) -> Generator[Any, Any, int]:
    for _ in range(context.get_input()):
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
    return int(context.get_input())


def _children(context: Any) -> Generator[Any, Any, int]:
    for i in range(context.get_input()):
        yield context.call_sub_orchestrator("child", i)
    return int(context.get_input())


def _events(context: Any) -> Generator[Any, Any, int]:
    for _ in range(context.get_input()):
        yield context.wait_for_external_event("approval")
    return int(context.get_input())


# ---------------------------------------------------------------- the same as `async def`


async def _chain_async(context: Any) -> int:
    for i in range(context.get_input()):
        await context.call_activity("say_hello", i)
    return int(context.get_input())


async def _fan_out_async(context: Any) -> int:
    return len(await asyncio.gather(*(context.call_activity("say_hello", i) for i in range(context.get_input()))))


async def _timers_async(context: Any) -> int:
    for _ in range(context.get_input()):
        await context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
    return int(context.get_input())


async def _sleeps(context: Any) -> int:
    for _ in range(context.get_input()):
        await asyncio.sleep(1)
    return int(context.get_input())


async def _children_async(context: Any) -> int:
    for i in range(context.get_input()):
        await context.call_sub_orchestrator("child", i)
    return int(context.get_input())


async def _events_async(context: Any) -> int:
    for _ in range(context.get_input()):
        await context.wait_for_external_event("approval")
    return int(context.get_input())


# ---------------------------------------------------------------- their floors


def _bare_calls(n: int) -> Generator[JSON, Any, int]:
    for i in range(n):
        yield {"actionType": 0, "functionName": "say_hello", "input": str(i)}
    return n


def _bare_timers(n: int) -> Generator[JSON, Any, int]:
    for _ in range(n):
        yield {"actionType": 5, "fireAt": "2026-01-02T03:04:06.123456Z", "isCanceled": False}
    return n


def _bare_children(n: int) -> Generator[JSON, Any, int]:
    for i in range(n):
        yield {"actionType": 2, "functionName": "child", "input": str(i), "instanceId": None, "version": None}
    return n


def _bare_waits(n: int) -> Generator[JSON, Any, int]:
    for _ in range(n):
        yield {"actionType": 6, "externalEventName": "approval", "reason": "ExternalEvent"}
    return n


SHAPES = [
    Shape("chain", _chain_history, _chain, _bare_calls, 5, "Result"),
    Shape("fan-out", _fan_out_history, _fan_out, _bare_calls, 5, "Result"),
    Shape("timers", _timer_history, _timers, _bare_timers, 11, None),
    Shape("sub-orchestrations", _child_history, _children, _bare_children, 8, "Result"),
    Shape("chain of 10 kB", _big_history, _chain, _bare_calls, 5, "Result", least_size=1000),
    Shape("events", _event_history, _events, _bare_waits, 15, "Input"),
    Shape("async chain", _chain_history, _chain_async, _bare_calls, 5, "Result"),
    Shape("async fan-out", _fan_out_history, _fan_out_async, _bare_calls, 5, "Result"),
    Shape("async one by one", _one_by_one_history, _fan_out_async, _bare_calls, 5, "Result"),
    Shape("async timers", _timer_history, _timers_async, _bare_timers, 11, None),
    Shape("async sleep", _timer_history, _sleeps, _bare_timers, 11, None),
    Shape("async sub-orchestrations", _child_history, _children_async, _bare_children, 8, "Result"),
    Shape("async events", _event_history, _events_async, _bare_waits, 15, "Input"),
]
