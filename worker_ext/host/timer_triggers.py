"""Timer triggers: each function is started when its schedule says so, one run at a time.

When the host was down at a time a function should have run, it is run once at the next start, told that it is past
due. `runOnStartup` runs it at each start. `useMonitor: false`, and schedules of less than a minute, remember nothing.

Source: worker protocol, section on the timer trigger; Azure Functions' documentation of it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from worker_ext.errors import HostError
from worker_ext.host.console import Console
from worker_ext.host.functions import HostFunction
from worker_ext.host.timer_schedule import Schedule, parse_schedule
from worker_ext.host.timer_statuses import TimerStatus, TimerStatuses
from worker_ext.host.workers import Workers
from worker_ext.protocol.codec import format_timestamp
from worker_ext.rpc import pb

_MONITORED = timedelta(minutes=1)
# A clock that was set is noticed after this time.
_LONGEST_SLEEP = 5.0


class TimerTriggers:
    """Runs the timer functions of an app.

    Args:
        workers: What runs functions.
        statuses: What is remembered of them.
        console: Where failures are shown.
        environment: The app's environment.
    """

    def __init__(
        self, workers: Workers, statuses: TimerStatuses, console: Console, environment: Mapping[str, str]
    ) -> None:
        self._workers = workers
        self._statuses = statuses
        self._console = console
        self._environment = environment
        self._loops: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def refresh(self) -> None:
        """Takes up the timers of the app as it is now; those that stayed the same go on."""
        functions = [function for function in self._workers.catalog.functions if function.is_timer]
        wanted = {_identity(function): function for function in functions if function.is_served}
        await self._end([key for key in self._loops if key not in wanted])
        for key, function in wanted.items():
            if key not in self._loops:
                self._loops[key] = asyncio.create_task(self._watch(function))

    async def stop(self) -> None:
        """Ends every loop."""
        await self._end(list(self._loops))

    async def _end(self, keys: list[tuple[str, str]]) -> None:
        tasks = [self._loops.pop(key) for key in keys]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, function: HostFunction) -> None:
        try:
            schedule = parse_schedule(str(function.trigger.get("schedule", "")), self._environment)
            await self._follow(function, schedule)
        except HostError as error:
            self._console.error(f"{function.name}: {error}")

    async def _follow(self, function: HostFunction, schedule: Schedule) -> None:
        """Runs a function by its schedule, for ever."""
        name = function.name
        is_monitored = _flag(function, "useMonitor", True) and _shortest(schedule) >= _MONITORED
        status = await self._statuses.get(name) if is_monitored else None
        is_past_due = status is not None and status.next < _now()
        if is_past_due or _flag(function, "runOnStartup", False):
            status = await self._fire(function, schedule, status, is_monitored, is_past_due=is_past_due)
        while True:
            due = schedule.next(_now())
            status = TimerStatus(None if status is None else status.last, due)
            if is_monitored:
                await self._statuses.put(name, status)
            await _sleep_until(due)
            status = await self._fire(function, schedule, status, is_monitored, is_past_due=False)

    async def _fire(
        self,
        function: HostFunction,
        schedule: Schedule,
        status: TimerStatus | None,
        is_monitored: bool,
        *,
        is_past_due: bool,
    ) -> TimerStatus:
        started = _now()
        data = timer_data(schedule, status if is_monitored else None, is_past_due=is_past_due)
        try:
            await self._workers.invoke(self._as_it_is_now(function), data)
        except HostError as error:
            self._console.error(f"{function.name}: {error}")
        return TimerStatus(started, schedule.next(_now()))

    def _as_it_is_now(self, function: HostFunction) -> HostFunction:
        """The function of that name: with a new worker came a new one."""
        functions = self._workers.catalog.functions
        return next((current for current in functions if current.name == function.name), function)


def timer_data(
    schedule: Schedule | None, status: TimerStatus | None = None, *, is_past_due: bool = False
) -> pb.TypedData:
    """What a timer function is given; without a schedule, as when it is started by hand."""
    kept = None
    if status is not None:
        last = datetime.min.replace(tzinfo=UTC) if status.last is None else status.last
        kept = {
            "Last": format_timestamp(last),
            "Next": format_timestamp(status.next),
            "LastUpdated": format_timestamp(last),
        }
    adjusts = True if schedule is None else schedule.adjusts_for_dst
    value = {"Schedule": {"AdjustForDST": adjusts}, "ScheduleStatus": kept, "IsPastDue": is_past_due}
    return pb.TypedData(json=msgspec.json.encode(value).decode())


def _identity(function: HostFunction) -> tuple[str, str]:
    """What makes a timer another one when it changes."""
    return function.name, msgspec.json.encode(function.trigger, order="sorted").decode()


def _flag(function: HostFunction, name: str, default: bool) -> bool:
    given: Any = next((value for key, value in function.trigger.items() if key.lower() == name.lower()), None)
    return default if given is None else str(given).lower() == "true"


def _shortest(schedule: Schedule) -> timedelta:
    """The shortest of the next few pauses."""
    first = schedule.next(_now())
    times = [first]
    for _ in range(5):
        times.append(schedule.next(times[-1]))
    return min(later - earlier for earlier, later in itertools.pairwise(times))


async def _sleep_until(due: datetime) -> None:
    while True:
        remaining = (due - _now()).total_seconds()
        if remaining <= 0:
            return
        await asyncio.sleep(min(remaining, _LONGEST_SLEEP))


def _now() -> datetime:
    return datetime.now(UTC)
