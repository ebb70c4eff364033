"""Claims due work, has a worker do it, commits the result.

Three kinds of work wait in the store: instances with messages, activities, timers. An instance is worked by one turn at
a time; whatever arrives meanwhile is one batch of the next turn. Nothing here is the truth: the caches and queues are
rebuilt from the store at start, and a turn or an activity that was not committed is done again.

A worker that is lost is the platform's fault, never a function's: its work comes back with a growing delay. So does
work whose commit the store refuses (a full disk); a turn on outdated ground is worked out again at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from worker_ext.errors import HostError
from worker_ext.host import kernel
from worker_ext.host.durable_http import HTTP_ACTIVITY, HttpSender, http_result
from worker_ext.host.gateway import WorkerGateway, WorkerLostError
from worker_ext.host.kernel import Batch, EngineOptions, KnownFunctions, Turn, Waiting
from worker_ext.host.rendering import PayloadWriter, layout, parse_event, parse_events, render, render_batch
from worker_ext.host.replay import TimerLimits
from worker_ext.host.replies import activity_result
from worker_ext.host.settings import DurableSettings
from worker_ext.host.store import (
    BATCH_LIMIT,
    OVER,
    Activity,
    Claim,
    Instance,
    InstanceExistsError,
    NewActivity,
    NewInstance,
    NewMessage,
    NewTimer,
    StaleTurnError,
    Store,
    StoredMessage,
    TurnRecord,
)
from worker_ext.protocol.codec import format_timespan, format_timestamp
from worker_ext.protocol.history import (
    Event,
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestrationInstance,
    OrchestrationStatus,
)

__all__ = ["Instance", "InstanceExistsError", "Scheduler"]

_log = logging.getLogger(__name__)

_REPLACEABLE = {"NonRunningStates": OVER, "AnyState": frozenset(OrchestrationStatus)}
_CACHE_BYTES = 128 << 20
_QUEUE_LIMIT = 4096
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 30.0
# A wall clock that was set forward is noticed after this time at the latest.
_LONGEST_SLEEP = 5.0


class _Known:
    """What is remembered of an instance between turns: the events of its execution, typed and laid out."""

    __slots__ = ("events", "execution_id", "key", "layouts", "size", "started", "turns")

    def __init__(self, key: int, execution_id: str) -> None:
        self.key = key
        self.execution_id = execution_id
        self.events: list[HistoryEvent] = []
        self.layouts: list[str] = []
        self.started: ExecutionStarted | None = None
        self.turns = 0
        self.size = 0

    def append(self, events: list[HistoryEvent], text: str) -> None:
        """Adds a batch as it was stored."""
        self.events += events
        self.layouts.append(layout(text))
        self.turns += 1
        # Typed events take about as much again as their texts.
        self.size += 3 * len(self.layouts[-1])


class Scheduler:
    """Runs the orchestrations of one task hub.

    Args:
        store: Where they are kept; the scheduler does not close it.
        gateway: What runs the app's functions.
        settings: `extensions.durableTask` of host.json.
        timers: How long a timer may be in one piece.
    """

    def __init__(
        self,
        store: Store,
        gateway: WorkerGateway,
        settings: DurableSettings,
        timers: TimerLimits = TimerLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._settings = settings
        self._options = EngineOptions(
            timers=timers,
            max_actions=settings.max_orchestration_actions,
            store_inputs=settings.store_inputs_in_orchestration_history,
            default_version=settings.default_version,
            http_delay=timedelta(milliseconds=settings.default_async_request_sleep_time_milliseconds),
        )
        self._http = HttpSender()
        self._payloads = PayloadWriter(
            format_timespan(timers.maximum_short),
            format_timespan(timers.long_interval),
            settings.default_async_request_sleep_time_milliseconds,
        )
        self._functions: tuple[Any, KnownFunctions] | None = None
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._known_bytes = 0
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._active: dict[str, bool] = {}
        self._resting: set[str] = set()
        self._claiming = False
        self._activities: deque[Activity] = deque()
        self._in_memory: set[int] = set()
        self._stored_after: int | None = None
        self._loading = False
        self._running_activities = 0
        self._delays: dict[str, float] = {}
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._handles: set[asyncio.TimerHandle] = set()
        self._next_due: datetime | None = None
        self._due_changed = asyncio.Event()
        self._timer_task: asyncio.Task[None] | None = None
        self._started = False
        self._stopping = False

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        """Takes up everything the store holds."""
        for instance_id in await self._store.waiting_instances():
            self._ready[instance_id] = None
        self._next_due = await self._store.next_due()
        self._stored_after = 0
        self._started = True
        self._timer_task = asyncio.create_task(self._deliver_timers())
        self._dispatch()
        self._run_activities()

    async def stop(self, grace: float) -> None:
        """Starts nothing more and waits up to `grace` seconds for what runs; the rest is done again after a restart."""
        self._stopping = True
        for handle in self._handles:
            handle.cancel()
        if self._timer_task is not None:
            self._timer_task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *filter(None, [self._timer_task]), return_exceptions=True)
        await self._http.close()
        for instance_id in self._waiters:
            self._release_waiters(instance_id)

    # ------------------------------------------------------------ clients

    async def start_instance(
        self, name: str, input_text: str | None, instance_id: str | None = None, version: str | None = None
    ) -> str:
        """Starts an orchestration; `input_text` is JSON text. Returns its id, a new one if none is given.

        Raises:
            InstanceExistsError: An instance of that id is running.
        """
        now = _now()
        chosen = instance_id or uuid.uuid4().hex
        started = ExecutionStarted(
            orchestration_instance=OrchestrationInstance(chosen, str(uuid.uuid4())),
            name=name,
            version=version if version is not None else self._settings.default_version,
            input=input_text,
            timestamp=format_timestamp(now),
        )
        replaceable = _REPLACEABLE[self._settings.overridable_existing_instance_states]
        await self._store.create(_new_instance(started), replaceable, now)
        self._wake(chosen)
        return chosen

    async def raise_event(self, instance_id: str, event_name: str, input_text: str | None) -> bool:
        """Sends an external event; whether the instance exists and is not over."""
        event = EventRaised(name=event_name, input=input_text, timestamp=format_timestamp(_now()))
        return await self._post(instance_id, event)

    async def terminate(self, instance_id: str, reason: str | None) -> bool:
        """Asks an instance to end; whether it exists and is not over."""
        return await self._post(instance_id, ExecutionTerminated(input=reason, timestamp=format_timestamp(_now())))

    async def suspend(self, instance_id: str, reason: str | None) -> bool:
        """Asks an instance to pause; whether it exists and is not over."""
        return await self._post(instance_id, ExecutionSuspended(reason=reason, timestamp=format_timestamp(_now())))

    async def resume(self, instance_id: str, reason: str | None) -> bool:
        """Asks an instance to go on; whether it exists and is not over."""
        return await self._post(instance_id, ExecutionResumed(reason=reason, timestamp=format_timestamp(_now())))

    async def get(self, instance_id: str) -> Instance | None:
        """An instance's status."""
        return await self._store.get(instance_id)

    async def history(self, instance_id: str) -> list[HistoryEvent]:
        """The events of an instance's current execution; none if it does not exist or has not begun."""
        return parse_events(await self._store.history(instance_id))

    async def wait_for_completion(self, instance_id: str, timeout: float | None) -> Instance | None:
        """An instance's status once it is over, or after `timeout` seconds."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(instance_id, [])
        waiters.append(waiter)
        try:
            found = await self._store.get(instance_id)
            if found is None or found.is_over:
                return found
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(waiter, timeout)
            return await self._store.get(instance_id)
        finally:
            waiters.remove(waiter)
            if not waiters:
                self._waiters.pop(instance_id, None)

    async def _post(self, instance_id: str, event: Event) -> bool:
        is_there = await self._store.post(NewMessage(instance_id, render(event)))
        if is_there:
            self._wake(instance_id)
        return is_there

    # ------------------------------------------------------------ instances

    def _wake(self, instance_id: str) -> None:
        """Something waits for an instance."""
        if instance_id in self._active:
            self._active[instance_id] = True
        elif instance_id not in self._resting:
            self._ready[instance_id] = None
            self._dispatch()

    def _dispatch(self) -> None:
        """Claims as many ready instances as there are free places."""
        if not self._ready or self._claiming or not self._started or self._stopping:
            return
        if len(self._active) < self._settings.max_concurrent_orchestrator_functions:
            self._claiming = True
            # In a later step of the loop, so that what becomes ready in this one is claimed together.
            asyncio.get_running_loop().call_soon(self._claim)

    def _claim(self) -> None:
        self._claiming = False
        free = self._settings.max_concurrent_orchestrator_functions - len(self._active)
        chosen: list[str] = []
        while self._ready and len(chosen) < free:
            instance_id, _ = self._ready.popitem(last=False)
            self._active[instance_id] = False
            chosen.append(instance_id)
        if chosen:
            self._spawn(self._work_claims(chosen))

    async def _work_claims(self, instance_ids: list[str]) -> None:
        keys = [(name, None if (known := self._known.get(name)) is None else known.key) for name in instance_ids]
        try:
            claims = await self._store.claim(keys)
        except HostError as error:
            for instance_id in instance_ids:
                self._later(instance_id, error)
            return
        if self._stopping:
            return
        for instance_id, claim in zip(instance_ids[1:], claims[1:], strict=True):
            self._spawn(self._work(instance_id, claim))
        await self._work(instance_ids[0], claims[0])

    async def _work(self, instance_id: str, claim: Claim | None) -> None:
        """One turn of an instance, from its claim to its commit."""
        try:
            if claim is None or not claim.messages:
                self._forget(instance_id)
            else:
                await self._turn(instance_id, claim)
        except (asyncio.CancelledError, GeneratorExit):
            self._forget(instance_id)
            raise
        except StaleTurnError:
            self._forget(instance_id)
            self._active[instance_id] = True
        except Exception as error:  # noqa: BLE001 - one instance's trouble must not stop the others; it is logged
            self._forget(instance_id)
            self._later(instance_id, error)
            return
        else:
            self._delays.pop(instance_id, None)
        if self._active.pop(instance_id):
            self._ready[instance_id] = None
        self._dispatch()

    async def _turn(self, instance_id: str, claim: Claim) -> None:
        known = self._recall(instance_id, claim)
        consumed = [message.message_id for message in claim.messages]
        record = TurnRecord(
            instance_key=claim.instance_key, execution_id=claim.execution_id, consumed=consumed, at=_now()
        )
        batch = None
        if not claim.is_over:
            batch = kernel.open_batch(known.events, [_waiting(message) for message in claim.messages], record.at)
        if batch is None:
            await self._store.commit(record)
            return
        turn, batch, sent = await self._generations(instance_id, known, batch)
        events = [*batch.events, *turn.events]
        record.at = _now()
        record.status, record.output, record.custom_status = turn.status, turn.output, turn.custom_status
        if batch.started.orchestration_instance.execution_id != known.execution_id:
            known = _Known(known.key, batch.started.orchestration_instance.execution_id or "")
            record.new_execution_id, record.new_input = known.execution_id, batch.started.input
        record.turn = known.turns
        record.events = render_batch(batch.events, turn.events)
        record.activities = [NewActivity(item.task_id, item.name, item.input) for item in turn.activities]
        record.timers = [NewTimer(timer.due, render(timer.event)) for timer in turn.timers]
        for earlier in [*sent, turn]:
            record.children = [
                *record.children,
                *((_new_instance(child.started), render(child.if_taken)) for child in earlier.children),
            ]
            record.messages = [
                *record.messages,
                *(NewMessage(item.instance_id, render(item.event), item.execution_id) for item in earlier.messages),
            ]
        result = await self._store.commit(record)
        if len(consumed) == BATCH_LIMIT:
            self._active[instance_id] = True
        known.append(events, record.events)
        known.started = batch.started
        self._remember(instance_id, known, turn)
        self._set_in_motion(instance_id, result.activities, result.woken, turn)

    async def _generations(self, instance_id: str, known: _Known, batch: Batch) -> tuple[Turn, Batch, list[Turn]]:
        """Invokes the worker until the instance waits or ends: a new generation is run at once.

        Returns the last turn, its batch, and the turns of the generations before.
        """
        history, layouts = known.events, known.layouts
        sent: list[Turn] = []
        while True:
            turn = await self._invoke(instance_id, history, layouts, batch)
            if turn.next is None:
                return turn, batch, sent
            sent.append(turn)
            batch, history, layouts = turn.next, [], []

    async def _invoke(self, instance_id: str, history: list[HistoryEvent], layouts: list[str], batch: Batch) -> Turn:
        functions = self._known_functions()
        if not functions.has_orchestration(batch.started.name):
            return kernel.fail_unknown(history, batch, functions=functions, options=self._options, now=_now())
        text = layout(",".join(map(render, batch.events)))
        payload = self._payloads.write([*layouts, text], batch.started, batch.is_replaying)
        reply = await self._gateway.run_orchestrator(batch.started.name, instance_id, payload)
        return kernel.decide(
            history,
            batch,
            reply,
            functions=self._known_functions(),
            options=self._options,
            now=_now(),
            new_id=_new_execution_id,
        )

    def _known_functions(self) -> KnownFunctions:
        """The app's functions; made anew only when the gateway names others."""
        names = (self._gateway.function_names("orchestration"), self._gateway.function_names("activity"))
        if self._functions is None or self._functions[0] != names:
            self._functions = (names, KnownFunctions(*names))
        return self._functions[1]

    def _set_in_motion(self, instance_id: str, activities: list[Activity], woken: list[str], turn: Turn) -> None:
        for other in woken:
            self._wake(other)
        if activities:
            self._enqueue(activities)
        if turn.timers and turn.status not in OVER:
            self._expect_timer(min(timer.due for timer in turn.timers))
        if turn.status in OVER:
            self._release_waiters(instance_id)

    def _release_waiters(self, instance_id: str) -> None:
        for waiter in self._waiters.get(instance_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    def _later(self, instance_id: str, error: Exception) -> None:
        """Delivers an instance's work again after a delay that grows with every failure in a row."""
        delay = self._report(f"instance {instance_id}", instance_id, error)
        self._active.pop(instance_id, None)
        self._resting.add(instance_id)
        self._after(delay, lambda: self._rested(instance_id))
        self._dispatch()

    def _rested(self, instance_id: str) -> None:
        self._resting.discard(instance_id)
        self._wake(instance_id)

    def _report(self, what: str, key: str, error: Exception) -> float:
        delay = self._delays.get(key, _FIRST_DELAY)
        self._delays[key] = min(2 * delay, _LONGEST_DELAY)
        if isinstance(error, WorkerLostError):
            _log.warning("%s is delivered again in %.1f s: %s", what, delay, error)
        else:
            _log.error("%s is delivered again in %.1f s", what, delay, exc_info=error)
        return delay

    # ------------------------------------------------------------ memory

    def _recall(self, instance_id: str, claim: Claim) -> _Known:
        """What is remembered of an instance, or its history read again."""
        known = self._known.get(instance_id)
        if known is not None and known.key == claim.instance_key and known.execution_id == claim.execution_id:
            self._known.move_to_end(instance_id)
            return known
        if claim.batches is None:
            raise StaleTurnError(f"instance {instance_id} was replaced")
        known = _Known(claim.instance_key, claim.execution_id)
        for text in claim.batches:
            known.append(parse_events([text]), text)
        return known

    def _remember(self, instance_id: str, known: _Known, turn: Turn) -> None:
        self._forget(instance_id)
        if turn.status in OVER:
            return
        self._known[instance_id] = known
        self._known_bytes += known.size
        while self._known_bytes > _CACHE_BYTES and len(self._known) > 1:
            _, oldest = self._known.popitem(last=False)
            self._known_bytes -= oldest.size

    def _forget(self, instance_id: str) -> None:
        known = self._known.pop(instance_id, None)
        if known is not None:
            self._known_bytes -= known.size

    # ------------------------------------------------------------ activities

    def _enqueue(self, activities: list[Activity]) -> None:
        """Queues activities that are not in memory yet; beyond a bound they stay in the store until there is room."""
        for activity in activities:
            if activity.activity_id in self._in_memory:
                continue
            if len(self._activities) < _QUEUE_LIMIT:
                self._in_memory.add(activity.activity_id)
                self._activities.append(activity)
            else:
                self._leave_in_store(activity.activity_id - 1)
        self._run_activities()

    def _leave_in_store(self, after: int) -> None:
        """Notes that the store has activities with an id higher than `after` which are not in memory."""
        self._stored_after = after if self._stored_after is None else min(after, self._stored_after)

    def _run_activities(self) -> None:
        if self._stopping or not self._started:
            return
        while self._activities and self._running_activities < self._settings.max_concurrent_activity_functions:
            self._running_activities += 1
            self._spawn(self._run_activity(self._activities.popleft()))
        if self._stored_after is not None and len(self._activities) <= _QUEUE_LIMIT // 2 and not self._loading:
            self._loading = True
            self._spawn(self._load_activities(self._stored_after))

    async def _load_activities(self, after: int) -> None:
        """Fills the queue from the store, where activities with an id higher than `after` were left."""
        self._stored_after = None
        limit = _QUEUE_LIMIT // 2
        try:
            found = await self._store.pending_activities(after, limit)
        except HostError as error:
            self._after(self._report("the queue of activities", "queue", error), self._run_activities)
            self._leave_in_store(after)
            return
        finally:
            self._loading = False
        self._delays.pop("queue", None)
        if len(found) == limit:
            self._leave_in_store(found[-1].activity_id)
        self._enqueue(found)

    async def _run_activity(self, activity: Activity) -> None:
        try:
            await self._activity(activity)
        except Exception as error:  # noqa: BLE001 - one activity's trouble must not stop the others; it is logged
            key = f"activity {activity.activity_id}"
            delay = self._report(f"activity {activity.name} of instance {activity.instance_id}", key, error)
            self._after(delay, lambda: self._again(activity))
        else:
            self._in_memory.discard(activity.activity_id)
            self._delays.pop(f"activity {activity.activity_id}", None)
        finally:
            self._running_activities -= 1
        self._run_activities()

    def _again(self, activity: Activity) -> None:
        self._activities.append(activity)
        self._run_activities()

    async def _activity(self, activity: Activity) -> None:
        event: HistoryEvent
        if activity.name == HTTP_ACTIVITY:
            event = http_result(activity.task_id, await self._http.send(activity.input), format_timestamp(_now()))
        else:
            reply = await self._gateway.run_activity(activity.name, activity.instance_id, activity.input)
            event = activity_result(activity.name, activity.task_id, reply, format_timestamp(_now()))
        woken = await self._store.complete_activity(activity.activity_id, render(event))
        if woken is not None:
            self._wake(woken)

    # ------------------------------------------------------------ timers

    def _expect_timer(self, due: datetime | None) -> None:
        if due is not None and (self._next_due is None or due < self._next_due):
            self._next_due = due
            self._due_changed.set()

    async def _deliver_timers(self) -> None:
        """Sleeps until the earliest timer is due, and makes messages of those that are."""
        while True:
            self._due_changed.clear()
            wait = None if self._next_due is None else (self._next_due - _now()) / timedelta(seconds=1)
            if wait is None or wait > 0:
                with contextlib.suppress(TimeoutError):
                    limit = None if wait is None else min(wait, _LONGEST_SLEEP)
                    await asyncio.wait_for(self._due_changed.wait(), limit)
                continue
            self._next_due = None
            try:
                woken, next_due = await self._store.deliver_due(_now())
            except HostError as error:
                delay = self._report("a timer", "timers", error)
                self._next_due = _now() + timedelta(seconds=delay)
                continue
            self._delays.pop("timers", None)
            self._expect_timer(next_due)
            for instance_id in woken:
                self._wake(instance_id)

    # ------------------------------------------------------------ tasks

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _after(self, delay: float, action: Callable[[], None]) -> None:
        if self._stopping:
            return

        def run() -> None:
            self._handles.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(delay, run)
        self._handles.add(handle)


def _now() -> datetime:
    return datetime.now(UTC)


def _new_execution_id() -> str:
    return uuid.uuid4().hex


def _new_instance(started: ExecutionStarted) -> NewInstance:
    instance, parent = started.orchestration_instance, started.parent_instance
    return NewInstance(
        instance_id=instance.instance_id,
        execution_id=instance.execution_id or "",
        name=started.name,
        version=started.version,
        input=started.input,
        parent_id=None if parent is None else parent.orchestration_instance.instance_id,
        started=render(started),
    )


def _waiting(message: StoredMessage) -> Waiting:
    return Waiting(parse_event(message.event), message.execution_id)
