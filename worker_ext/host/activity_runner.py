"""Runs activities, as many at once as the settings allow, and stores their results.

An activity is in the store until its result is, so one whose worker was lost, or whose result the store refused, is run
again if anybody still waits for it. One that takes longer than functionTimeout has failed: the orchestrator that waits
for it is told so.

Source of the rule for timeouts: durable-functions JSON protocol, activity failure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from worker_ext.errors import HostError
from worker_ext.host.activity_queue import ActivityQueue
from worker_ext.host.activity_results import activity_result
from worker_ext.host.background import Background
from worker_ext.host.durable_http import HTTP_ACTIVITY, HttpSender, http_result
from worker_ext.host.gateway import FunctionTimeoutError, Reply, WorkerGateway, WorkerLostError
from worker_ext.host.records import Activity
from worker_ext.host.redelivery import Redelivery
from worker_ext.host.rendering import render
from worker_ext.host.store import Store
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import HistoryEvent

_log = logging.getLogger(__name__)

QUEUE_LIMIT = 4096
"""How many activities may wait in memory."""

_QUEUE_KEY = "queue"


class ActivityRunner:
    """The activities of one task hub.

    Args:
        store: Where they are kept.
        gateway: What runs the app's functions.
        limit: How many may run at once.
        background: What they run in.
        redelivery: When to run again what failed.
        wake: Told every instance that gets a result.
    """

    def __init__(
        self,
        store: Store,
        gateway: WorkerGateway,
        limit: int,
        background: Background,
        redelivery: Redelivery,
        wake: Callable[[str], None],
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._limit = limit
        self._background = background
        self._redelivery = redelivery
        self._suspects = redelivery.suspects
        self._wake = wake
        self._http = HttpSender()
        self._queue = ActivityQueue(store, QUEUE_LIMIT)
        self._running = 0
        # When what runs now began, by instance and the id of the task.
        self._begun: dict[tuple[str, int], datetime] = {}

    async def close(self) -> None:
        """Closes what durable HTTP has open."""
        await self._http.close()

    def starts(self, instance_id: str) -> dict[int, datetime]:
        """When those activities of an instance began that run now, by the ids of their tasks."""
        return {task: at for (instance, task), at in self._begun.items() if instance == instance_id}

    def add(self, activities: list[Activity]) -> None:
        """Runs activities that were stored."""
        self._queue.add(activities)
        self.run()

    def run(self) -> None:
        """Runs as many activities as there are free places."""
        if not self._background.is_running:
            return
        while self._running < self._limit:
            activity = self._queue.take()
            if activity is None:
                break
            self._running += 1
            self._background.spawn(self._run_one(activity))
        if self._queue.wants_refill:
            self._background.spawn(self._refill())

    async def _refill(self) -> None:
        try:
            await self._queue.refill()
        except HostError as error:
            delay = self._redelivery.failed("the queue", "of activities", _QUEUE_KEY, error)
            self._background.after(delay, self.run)
            return
        self._redelivery.done(_QUEUE_KEY)
        self.run()

    async def _run_one(self, activity: Activity) -> None:
        try:
            await self._try(activity)
        finally:
            self._running -= 1
        self.run()

    async def _try(self, activity: Activity) -> None:
        try:
            await self._run_and_store(activity)
        except Exception as error:  # noqa: BLE001 - one activity's trouble must not stop the others; it is logged
            self._later(activity, error)
        else:
            self._forget(activity)

    def _later(self, activity: Activity, error: Exception) -> None:
        name = f"{activity.name} of instance {activity.instance_id}"
        delay = self._redelivery.failed("activity", name, _key(activity), error)
        self._background.after(delay, lambda: self._background.spawn(self._again(activity)))

    def _forget(self, activity: Activity) -> None:
        self._queue.done(activity)
        self._redelivery.done(_key(activity))

    async def _again(self, activity: Activity) -> None:
        """Runs an activity again that was begun and not done, unless nobody waits for it any more."""
        try:
            is_unwanted = bool(await self._store.drop_unwanted_activities(activity.activity_id))
        except HostError as error:
            self._later(activity, error)
            return
        if is_unwanted:
            _log.info("activity %s of instance %s is not run again", activity.name, activity.instance_id)
            self._forget(activity)
        elif self._suspects.has(_key(activity)):
            # Takes none of the places while it waits for its turn: others are to go on.
            await self._try(activity)
        else:
            self._queue.put_back(activity)
            self.run()

    async def _run_and_store(self, activity: Activity) -> None:
        event: HistoryEvent
        key = activity.instance_id, activity.task_id
        try:
            if activity.name == HTTP_ACTIVITY:
                self._begun[key] = _now()
                event = http_result(activity.task_id, await self._http.send(activity.input), _stamp())
            else:
                reply = await self._reply_of(activity)
                event = activity_result(activity.name, activity.task_id, reply, _stamp())
        finally:
            started = self._begun.pop(key, None)
        stored = self._store.complete_activity(activity.activity_id, render(event), started or _now())
        # What is claimed from now on has the result in it: one trip to the store serves both.
        self._wake(activity.instance_id)
        await stored

    async def _reply_of(self, activity: Activity) -> Reply:
        verdict = self._suspects.verdict(_key(activity))
        if verdict is not None:
            _log.error("activity %s of instance %s fails: %s", activity.name, activity.instance_id, verdict)
            return Reply(None, verdict, "")
        try:
            async with self._suspects.run(_key(activity)):
                if self._background.is_stopping:
                    raise WorkerLostError("the host is stopping")
                self._begun[activity.instance_id, activity.task_id] = _now()
                trace = activity.trace_parent or ""
                return await self._gateway.run_activity(activity.name, activity.instance_id, activity.input, trace)
        except FunctionTimeoutError as error:
            # To run it again would take as long again, and for ever.
            return Reply(None, str(error), "")


def _key(activity: Activity) -> str:
    return f"activity {activity.activity_id}"


def _now() -> datetime:
    return datetime.now(UTC)


def _stamp() -> str:
    return format_timestamp(_now())
