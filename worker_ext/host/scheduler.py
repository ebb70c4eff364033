"""Claims due work, has a worker do it, commits the result.

Three kinds of work wait in the store: instances with messages, activities, timers. An instance is worked by one turn at
a time; whatever arrives meanwhile is one batch of the next turn. Nothing here is the truth: the caches and queues are
rebuilt from the store at start, and a turn or an activity that was not committed is done again.

A worker that is lost is the platform's fault, not a function's: its work comes back with a growing delay, if anybody
still waits for it. So does work whose commit the store refuses (a full disk); a turn on outdated ground is worked out
again at once. Only what ends its worker again and again while it runs alone fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from worker_ext.errors import HostError
from worker_ext.host import entities, kernel
from worker_ext.host.activity_queue import ActivityQueue
from worker_ext.host.durable_http import HTTP_ACTIVITY, HttpSender, http_result
from worker_ext.host.entities import UnknownEntityError
from worker_ext.host.entity_messages import entity_instance, is_entity, split_instance
from worker_ext.host.entity_queries import EntityPage, EntityStatus
from worker_ext.host.gateway import Reply, WorkerGateway, WorkerLostError
from worker_ext.host.instance_cache import InstanceCache, KnownInstance
from worker_ext.host.lanes import Lane
from worker_ext.host.loss_log import Loss, LossLog
from worker_ext.host.records import (
    OVER,
    Activity,
    Claim,
    Instance,
    NewMessage,
    StoredMessage,
    TurnRecord,
)
from worker_ext.host.rendering import PayloadWriter, layout, parse_event, parse_events, render
from worker_ext.host.replies import activity_result
from worker_ext.host.settings import DurableSettings
from worker_ext.host.store import BATCH_LIMIT, InstanceExistsError, StaleTurnError, Store
from worker_ext.host.suspects import Suspects
from worker_ext.host.turn_records import entity_record, fill, new_instance, new_message
from worker_ext.host.turns import Batch, EngineOptions, KnownFunctions, Message, TimerLimits, Turn, Waiting
from worker_ext.protocol.codec import format_timespan, format_timestamp
from worker_ext.protocol.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestrationInstance,
    OrchestrationStatus,
)
from worker_ext.protocol.orchestrator import OrchestratorState

__all__ = ["Instance", "InstanceExistsError", "Scheduler", "UnknownEntityError"]

_log = logging.getLogger(__name__)

_REPLACEABLE = {"NonRunningStates": OVER, "AnyState": frozenset(OrchestrationStatus)}
CACHE_BYTES = 128 << 20
"""How much memory the histories of instances may take between their turns."""

QUEUE_LIMIT = 4096
"""How many activities may wait in memory."""

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 30.0
# What stands for the reply of an orchestrator that is terminated without being run.
_NOTHING_MORE = Reply(OrchestratorState(is_done=False, actions=[]).encode())
# A wall clock that was set forward is noticed after this time at the latest.
_LONGEST_SLEEP = 5.0


class Scheduler:
    """Runs the orchestrations and entities of one task hub.

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
        self._known = InstanceCache(CACHE_BYTES)
        self._orchestrations = Lane(settings.max_concurrent_orchestrator_functions)
        self._entities = Lane(settings.max_concurrent_entity_functions)
        self._active: dict[str, bool] = {}
        self._resting: set[str] = set()
        self._claiming = False
        self._activities = ActivityQueue(store, QUEUE_LIMIT)
        self._running_activities = 0
        # When what runs now began, by instance and the id of the task.
        self._begun: dict[tuple[str, int], datetime] = {}
        self._delays: dict[str, float] = {}
        self._suspects = Suspects()
        self._loss_log = LossLog(_log)
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
        """Takes up everything the store holds that somebody waits for."""
        await self._store.drop_unwanted_activities()
        for instance_id in await self._store.waiting_instances():
            self._lane(instance_id).ready[instance_id] = None
        self._next_due = await self._store.next_due()
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
        await self._store.create(new_instance(started), replaceable, now)
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

    async def starts(self, instance_id: str) -> dict[int, datetime]:
        """When activities of an instance began to run, by the ids of their tasks; those that wait are not in it."""
        running = {task: at for (instance, task), at in self._begun.items() if instance == instance_id}
        return running | await self._store.starts(instance_id)

    async def recording(self, instance_id: str) -> str | None:
        """The payload that an orchestration trigger would deliver with all that has happened, as JSON text.

        None if there is no such instance, or it has not begun.
        """
        batches = await self._store.history(instance_id)
        starts = (event for event in parse_events(batches) if isinstance(event, ExecutionStarted))
        if (started := next(starts, None)) is None:
            return None
        return self._payloads.write([layout(batch) for batch in batches], started, True)

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

    async def signal_entity(self, name: str, key: str, operation: str, input_text: str | None) -> None:
        """Sends an operation to an entity, which is made if there is none; `input_text` is JSON text.

        Raises:
            UnknownEntityError: The app has no such entity function.
        """
        functions, name = self._known_functions(), name.lower()
        if not functions.has_entity(name):
            raise UnknownEntityError(functions.no_entity(name))
        event = entities.client_signal(operation, input_text, _new_request_id(), _now())
        instance_id = entity_instance(name, key)
        await self._store.post(new_message(Message(instance_id, event)))
        self._wake(instance_id)

    async def read_entity(self, name: str, key: str) -> EntityStatus | None:
        """An entity; None where it does not exist."""
        return await self._store.entities.read(name, key)

    async def list_entities(
        self,
        name: str = "",
        *,
        last_from: datetime | None = None,
        last_to: datetime | None = None,
        top: int = 100,
        token: str = "",
    ) -> EntityPage:
        """Some of the entities that exist: those of a name, or all.

        Raises:
            BadTokenError: The token is not one of this list.
        """
        return await self._store.entities.page(name, last_from=last_from, last_to=last_to, top=top, token=token)

    async def _post(self, instance_id: str, event: HistoryEvent) -> bool:
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
            self._lane(instance_id).ready[instance_id] = None
            self._dispatch()

    def _lane(self, instance_id: str) -> Lane:
        return self._entities if is_entity(instance_id) else self._orchestrations

    def _dispatch(self) -> None:
        """Claims as many ready instances as there are free places."""
        if self._claiming or not self._started or self._stopping:
            return
        if self._orchestrations.has_work or self._entities.has_work:
            self._claiming = True
            # In a later step of the loop, so that what becomes ready in this one is claimed together.
            asyncio.get_running_loop().call_soon(self._claim)

    def _claim(self) -> None:
        self._claiming = False
        chosen = [*self._orchestrations.take(), *self._entities.take()]
        self._active.update(dict.fromkeys(chosen, False))
        if chosen:
            self._spawn(self._work_claims(chosen))

    def _leave(self, instance_id: str) -> bool:
        """Gives an instance's place back; whether something came for it meanwhile."""
        self._lane(instance_id).running -= 1
        return self._active.pop(instance_id)

    async def _work_claims(self, instance_ids: list[str]) -> None:
        try:
            claims = await self._store.claim([(name, self._known.key_of(name)) for name in instance_ids])
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
                self._known.forget(instance_id)
            elif claim.is_entity:
                await self._entity_turn(instance_id, claim)
            else:
                await self._turn(instance_id, claim)
        except StaleTurnError:
            self._active[instance_id] = True
        except Exception as error:  # noqa: BLE001 - one instance's trouble must not stop the others; it is logged
            self._later(instance_id, error)
            return
        else:
            self._delays.pop(instance_id, None)
            self._suspects.forget(instance_id)
        if self._leave(instance_id):
            self._lane(instance_id).ready[instance_id] = None
        self._dispatch()

    async def _turn(self, instance_id: str, claim: Claim) -> None:
        known = self._known.take(instance_id, claim)
        consumed = [message.message_id for message in claim.messages]
        record = TurnRecord(
            instance_key=claim.instance_key, execution_id=claim.execution_id, consumed=consumed, at=_now()
        )
        if len(consumed) == BATCH_LIMIT:
            self._active[instance_id] = True
        batch = None
        if not claim.is_over:
            batch = kernel.open_batch(known.events, [_waiting(message) for message in claim.messages], record.at)
        if batch is None:
            await self._store.commit(record)
            return
        turn, batch, earlier = await self._generations(instance_id, known, batch)
        execution_id = batch.started.orchestration_instance.execution_id or ""
        if execution_id != known.execution_id:
            known = KnownInstance(known.key, execution_id)
            record.new_execution_id, record.new_input = execution_id, batch.started.input
        fill(record, known.turns, batch, turn, earlier, _now())
        result = await self._store.commit(record)
        if turn.status not in OVER:
            known.append([*batch.events, *turn.events], record.events or "")
            self._known.put(instance_id, known)
        self._set_in_motion(instance_id, result.activities, result.woken, turn)

    async def _generations(
        self, instance_id: str, known: KnownInstance, batch: Batch
    ) -> tuple[Turn, Batch, list[Turn]]:
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
        if self._suspects.has(instance_id) and any(isinstance(event, ExecutionTerminated) for event in batch.events):
            reply = _NOTHING_MORE
        elif (verdict := self._suspects.verdict(instance_id)) is not None:
            _log.error("instance %s fails: %s", instance_id, verdict)
            return kernel.fail(history, batch, verdict, functions=functions, options=self._options, now=_now())
        else:
            text = layout(",".join(map(render, batch.events)))
            payload = self._payloads.write([*layouts, text], batch.started, batch.is_replaying)
            async with self._suspects.run(instance_id):
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

    async def _entity_turn(self, instance_id: str, claim: Claim) -> None:
        """One batch of an entity's operations, from its claim to its commit."""
        if len(claim.messages) == BATCH_LIMIT:
            self._active[instance_id] = True
        events = [parse_event(message.event) for message in claim.messages]
        limit = self._settings.max_entity_operation_batch_size
        batch = entities.open_batch(claim.entity, events, limit, _now())
        reply = await self._run_entity(instance_id, batch) if batch.operations else None
        functions = self._known_functions()
        turn = entities.decide(instance_id, batch, reply, functions=functions, now=_now(), new_id=_new_request_id)
        result = await self._store.commit(entity_record(claim, turn, _now()))
        for note in turn.notes:
            _log.error("entity %s: dropped %s", instance_id, note)
        for other in result.woken:
            self._wake(other)
        if turn.timers:
            self._expect_timer(min(timer.due for timer in turn.timers))

    async def _run_entity(self, instance_id: str, batch: entities.EntityBatch) -> entities.EntityReply:
        name, _ = split_instance(instance_id)
        functions = self._known_functions()
        if not functions.has_entity(name):
            text = functions.no_entity(name)
            _log.error("entity %s: %d operations fail: %s", instance_id, len(batch.operations), text)
            return entities.reply_for_missing(batch, text)
        verdict = self._suspects.verdict(instance_id)
        if verdict is not None:
            _log.error("entity %s: %d operations fail: %s", instance_id, len(batch.operations), verdict)
            return entities.reply_for_missing(batch, verdict)
        async with self._suspects.run(instance_id):
            reply = await self._gateway.run_entity(name, instance_id, entities.payload(instance_id, batch))
        return entities.read_reply(batch, reply)

    def _known_functions(self) -> KnownFunctions:
        """The app's functions; made anew only when the gateway names others."""
        gateway = self._gateway
        names = tuple(gateway.function_names(kind) for kind in ("orchestration", "activity", "entity"))
        if self._functions is None or self._functions[0] != names:
            self._functions = (names, KnownFunctions(*names))
        return self._functions[1]

    def _set_in_motion(self, instance_id: str, activities: list[Activity], woken: list[str], turn: Turn) -> None:
        for other in woken:
            self._wake(other)
        if activities:
            self._activities.add(activities)
            self._run_activities()
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
        delay = self._report("instance", instance_id, instance_id, error)
        self._leave(instance_id)
        self._resting.add(instance_id)
        self._after(delay, lambda: self._rested(instance_id))
        self._dispatch()

    def _rested(self, instance_id: str) -> None:
        self._resting.discard(instance_id)
        self._wake(instance_id)

    def _report(self, kind: str, name: str, key: str, error: Exception) -> float:
        delay = self._delays.get(key, _FIRST_DELAY)
        self._delays[key] = min(2 * delay, _LONGEST_DELAY)
        what = f"{kind} {name}"
        if isinstance(error, WorkerLostError):
            if self._stopping:
                return delay  # it is taken up by the next start, which says nothing of it either
            if self._suspects.verdict(key) is not None:
                return 0.0  # it fails next, which is told then
            self._loss_log.add(Loss(kind, what, delay, self._suspects.has(key)), str(error))
        else:
            _log.error("%s is delivered again in %.1f s", what, delay, exc_info=error)
        return delay

    # ------------------------------------------------------------ activities

    def _run_activities(self) -> None:
        """Runs as many activities as there are free places."""
        if self._stopping or not self._started:
            return
        while self._running_activities < self._settings.max_concurrent_activity_functions:
            activity = self._activities.take()
            if activity is None:
                break
            self._running_activities += 1
            self._spawn(self._run_activity(activity))
        if self._activities.wants_refill:
            self._spawn(self._refill_activities())

    async def _refill_activities(self) -> None:
        try:
            await self._activities.refill()
        except HostError as error:
            self._after(self._report("the queue", "of activities", "queue", error), self._run_activities)
            return
        self._delays.pop("queue", None)
        self._run_activities()

    async def _run_activity(self, activity: Activity) -> None:
        try:
            await self._try_activity(activity)
        finally:
            self._running_activities -= 1
        self._run_activities()

    async def _try_activity(self, activity: Activity) -> None:
        try:
            await self._activity(activity)
        except Exception as error:  # noqa: BLE001 - one activity's trouble must not stop the others; it is logged
            self._activity_later(activity, error)
        else:
            self._forget_activity(activity)

    def _activity_later(self, activity: Activity, error: Exception) -> None:
        name = f"{activity.name} of instance {activity.instance_id}"
        delay = self._report("activity", name, _key(activity), error)
        self._after(delay, lambda: self._spawn(self._again(activity)))

    def _forget_activity(self, activity: Activity) -> None:
        self._activities.done(activity)
        self._delays.pop(_key(activity), None)
        self._suspects.forget(_key(activity))

    async def _again(self, activity: Activity) -> None:
        """Runs an activity again that was begun and not done, unless nobody waits for it any more."""
        try:
            is_unwanted = bool(await self._store.drop_unwanted_activities(activity.activity_id))
        except HostError as error:
            self._activity_later(activity, error)
            return
        if is_unwanted:
            _log.info("activity %s of instance %s is not run again", activity.name, activity.instance_id)
            self._forget_activity(activity)
        elif self._suspects.has(_key(activity)):
            # Takes none of the places while it waits for its turn: others are to go on.
            await self._try_activity(activity)
        else:
            self._activities.put_back(activity)
            self._run_activities()

    async def _activity(self, activity: Activity) -> None:
        event: HistoryEvent
        key = activity.instance_id, activity.task_id
        try:
            if activity.name == HTTP_ACTIVITY:
                self._begun[key] = _now()
                event = http_result(activity.task_id, await self._http.send(activity.input), format_timestamp(_now()))
            else:
                reply = await self._reply_of(activity)
                event = activity_result(activity.name, activity.task_id, reply, format_timestamp(_now()))
        finally:
            started = self._begun.pop(key, None)
        woken = await self._store.complete_activity(activity.activity_id, render(event), started or _now())
        if woken is not None:
            self._wake(woken)

    async def _reply_of(self, activity: Activity) -> Reply:
        verdict = self._suspects.verdict(_key(activity))
        if verdict is not None:
            _log.error("activity %s of instance %s fails: %s", activity.name, activity.instance_id, verdict)
            return Reply(None, verdict, "")
        async with self._suspects.run(_key(activity)):
            if self._stopping:
                raise WorkerLostError("the host is stopping")
            self._begun[activity.instance_id, activity.task_id] = _now()
            return await self._gateway.run_activity(activity.name, activity.instance_id, activity.input)

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
                delay = self._report("a", "timer", "timers", error)
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


def _key(activity: Activity) -> str:
    return f"activity {activity.activity_id}"


def _now() -> datetime:
    return datetime.now(UTC)


def _new_execution_id() -> str:
    return uuid.uuid4().hex


def _new_request_id() -> str:
    return str(uuid.uuid4())


def _waiting(message: StoredMessage) -> Waiting:
    return Waiting(parse_event(message.event), message.execution_id)
