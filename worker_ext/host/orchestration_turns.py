"""One turn of an orchestration: from what was claimed, by the worker's reply, to what is committed."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime, timedelta

from worker_ext.host import kernel
from worker_ext.host.app_functions import AppFunctions
from worker_ext.host.gateway import Reply, WorkerGateway
from worker_ext.host.instance_cache import InstanceCache, KnownInstance
from worker_ext.host.progress import Progress
from worker_ext.host.records import OVER, Claim, StoredMessage, TurnRecord
from worker_ext.host.rendering import PayloadWriter, layout, parse_event, parse_events, render
from worker_ext.host.settings import DurableSettings
from worker_ext.host.store import Store
from worker_ext.host.suspects import Suspects
from worker_ext.host.turn_effects import NOTHING, TurnEffects
from worker_ext.host.turn_records import fill
from worker_ext.host.turns import Batch, EngineOptions, TimerLimits, Turn, Waiting
from worker_ext.host.versions import VersionRejectedError, mismatch
from worker_ext.protocol.codec import format_timespan
from worker_ext.protocol.history import ExecutionStarted, ExecutionTerminated, HistoryEvent
from worker_ext.protocol.orchestrator import OrchestratorState
from worker_ext.protocol.traces import execution_trace

_log = logging.getLogger(__name__)

CACHE_BYTES = 128 << 20
"""How much memory the histories of instances may take between their turns."""

# What stands for the reply of an orchestrator that is terminated without being run.
_NOTHING_MORE = Reply(OrchestratorState(is_done=False, actions=[]).encode())


class OrchestrationTurns:
    """Works turns of orchestrations.

    Args:
        store: Where they are committed.
        gateway: What runs the app's functions.
        functions: What can be called.
        settings: `extensions.durableTask` of host.json.
        timers: How long a timer may be in one piece.
        suspects: Which instances kill their worker.
    """

    def __init__(
        self,
        store: Store,
        gateway: WorkerGateway,
        functions: AppFunctions,
        settings: DurableSettings,
        timers: TimerLimits,
        suspects: Suspects,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._functions = functions
        self._suspects = suspects
        self._settings = settings
        self._options = EngineOptions(
            timers=timers,
            max_actions=settings.max_orchestration_actions,
            store_inputs=settings.store_inputs_in_orchestration_history,
            default_version=settings.default_version,
            http_delay=timedelta(milliseconds=settings.default_async_request_sleep_time_milliseconds),
        )
        self._payloads = PayloadWriter(
            format_timespan(timers.maximum_short),
            format_timespan(timers.long_interval),
            settings.default_async_request_sleep_time_milliseconds,
        )
        self._known = InstanceCache(CACHE_BYTES)

    def key_of(self, instance_id: str) -> int | None:
        """The store's key of an instance whose history is in memory."""
        return self._known.key_of(instance_id)

    def forget(self, instance_id: str) -> None:
        """Drops the history of an instance from memory."""
        self._known.forget(instance_id)

    def recording(self, batches: list[str]) -> str | None:
        """The payload that would deliver these batches of a history; None where they start nothing."""
        starts = (event for event in parse_events(batches) if isinstance(event, ExecutionStarted))
        if (started := next(starts, None)) is None:
            return None
        return self._payloads.write([layout(batch) for batch in batches], started, True)

    async def run(self, instance_id: str, claim: Claim) -> TurnEffects:
        """Works the messages of a claim.

        Raises:
            StaleTurnError: It was worked out on a state that is not the stored one any more.
            WorkerLostError: There is no answer from a worker.
        """
        known = self._known.take(instance_id, claim)
        consumed = [message.message_id for message in claim.messages]
        record = TurnRecord(
            instance_key=claim.instance_key, execution_id=claim.execution_id, consumed=consumed, at=_now()
        )
        batch = None
        if not claim.is_over:
            batch = kernel.open_batch(known.events, [_waiting(message) for message in claim.messages], record.at)
        if batch is None:
            await self._store.commit(record)
            return NOTHING
        turn, batch, progress, earlier = await self._generations(instance_id, known, batch)
        execution_id = batch.started.orchestration_instance.execution_id or ""
        if execution_id != known.execution_id:
            known = KnownInstance(known.key, execution_id)
            known.progress = progress
            record.new_execution_id, record.new_input = execution_id, batch.started.input
        fill(record, known.turns, batch, turn, earlier, _now())
        result = await self._store.commit(record)
        if turn.status in OVER:
            return TurnEffects(result.activities, result.woken, is_over=True)
        known.append([*batch.events, *turn.events], record.events or "")
        self._known.put(instance_id, known)
        due = min((timer.due for timer in turn.timers), default=None)
        return TurnEffects(result.activities, result.woken, due)

    async def _generations(
        self, instance_id: str, known: KnownInstance, batch: Batch
    ) -> tuple[Turn, Batch, Progress, list[Turn]]:
        """Invokes the worker until the instance waits or ends: a new generation is run at once.

        Returns the last turn, its batch, where its replay stands, and the turns of the generations before.
        """
        history, layouts, progress = known.events, known.layouts, known.progress
        sent: list[Turn] = []
        while True:
            turn = await self._invoke(instance_id, history, layouts, batch, progress)
            if turn.next is None:
                return turn, batch, progress, sent
            sent.append(turn)
            batch, history, layouts, progress = turn.next, [], [], Progress()

    async def _invoke(
        self, instance_id: str, history: list[HistoryEvent], layouts: list[str], batch: Batch, progress: Progress
    ) -> Turn:
        functions = self._functions.known
        if not functions.has_orchestration(batch.started.name):
            return kernel.fail_unknown(history, batch, functions=functions, options=self._options, now=_now())
        if (reason := self._mismatch(batch)) is not None:
            return kernel.fail(
                history,
                batch,
                reason,
                error_type="VersionMismatch",
                functions=functions,
                options=self._options,
                now=_now(),
            )
        if self._suspects.is_troubled(instance_id) and any(
            isinstance(event, ExecutionTerminated) for event in batch.events
        ):
            reply = _NOTHING_MORE
        elif (verdict := self._suspects.verdict(instance_id)) is not None:
            _log.error("instance %s fails: %s", instance_id, verdict)
            return kernel.fail(history, batch, verdict, functions=functions, options=self._options, now=_now())
        else:
            text = layout(",".join(map(render, batch.events)))
            payload = self._payloads.write([*layouts, text], batch.started, batch.is_replaying)
            async with self._suspects.run(instance_id):
                trace = execution_trace(batch.started)
                reply = await self._gateway.run_orchestrator(batch.started.name, instance_id, payload, trace)
        return kernel.decide(
            history,
            batch,
            reply,
            functions=self._functions.known,
            options=self._options,
            now=_now(),
            new_id=_new_execution_id,
            progress=progress,
        )

    def _mismatch(self, batch: Batch) -> str | None:
        """Why an instance fails for its version.

        Raises:
            VersionRejectedError: The app does not run it, and it is to wait.
        """
        settings = self._settings
        reason = mismatch(batch.started.version, settings.default_version, settings.version_match_strategy)
        if reason is not None and settings.version_failure_strategy == "Reject":
            raise VersionRejectedError(f"{reason}; it waits for an app that runs it (versionFailureStrategy is Reject)")
        return reason


def _waiting(message: StoredMessage) -> Waiting:
    return Waiting(parse_event(message.event), message.execution_id)


def _now() -> datetime:
    return datetime.now(UTC)


def _new_execution_id() -> str:
    return uuid.uuid4().hex
