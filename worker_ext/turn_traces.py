"""Spans of orchestrations and their steps: written by the turn that sees their end.

They last longer than any turn. Their ids follow from the ids of the execution, so that a turn which is run again writes
the same spans once more, and the host can name them to activities and children before they are written. Where the host
writes such spans itself (distributed tracing V2 of the extension), they are left to it.

Source: names and attributes are those of the Durable Task libraries; see `worker_ext.protocol.traces` for contexts.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from worker_ext import tracing
from worker_ext.errors import text_of
from worker_ext.protocol.codec import decode_json, parse_timestamp
from worker_ext.protocol.history import (
    EventRaised,
    EventSent,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from worker_ext.protocol.traces import SpanName, carried, execution_span, host_writes_spans, step_span
from worker_ext.tracing import EXECUTION, FIRE_AT, INSTANCE, NAME, QUEUED, STATUS, TASK, TYPE, VERSION

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.trace import Tracer

    from worker_ext.engine.orchestration import OrchestrationExecutor
    from worker_ext.protocol.orchestrator import OrchestratorState


_log = logging.getLogger("worker_ext.orchestrator")


class TurnTrace:
    """One turn of an orchestration, as its trace sees it: `with TurnTrace(executor) as turn: ...; turn.ended(state)`.

    While it runs, the orchestration's span is the current one: what the code logs belongs to it.
    """

    def __init__(self, executor: OrchestrationExecutor) -> None:
        self._executor = executor
        self._tracer = tracing.tracer_of_app()
        self._token: Token[Any] | None = None
        self._started: ExecutionStarted | None = None
        if self._tracer is not None:
            events = executor.request.history
            self._started = next((event for event in events if isinstance(event, ExecutionStarted)), None)

    def __enter__(self) -> TurnTrace:
        if self._tracer is not None and self._started is not None:
            self._token = tracing.attach(str(execution_span(self._started)))
        return self

    def __exit__(self, *error: object) -> None:
        tracing.detach(self._token)

    def ended(self, state: OrchestratorState) -> None:
        """Writes the spans of the steps that the turn saw end, and that of the orchestration if it has ended."""
        if self._tracer is None or self._started is None or host_writes_spans(self._started):
            return
        try:
            self._write(self._tracer, self._started, state)
        except Exception:  # noqa: BLE001 - whatever is wrong with a trace must not cost the turn; it is logged
            _log.exception("the spans of instance %r could not be written", self._executor.request.instance_id)

    def _write(self, tracer: Tracer, started: ExecutionStarted, state: OrchestratorState) -> None:
        executor = self._executor
        writer = _Writer(tracer, started, executor.request.history, executor.request.instance_id)
        is_hidden = {leaf.id for leaf in executor.schedule.leaves if getattr(leaf, "hidden", False)}
        for event in writer.new_events():
            writer.write_step(event, is_hidden)
        if executor.has_told_end:
            return
        if executor.error is not None:
            writer.write_execution("Failed", f"{type(executor.error).__name__}: {text_of(executor.error)}")
        elif state.is_done:
            writer.write_execution("ContinuedAsNew" if executor.continues_as_new else "Completed", None)


_Answer: TypeAlias = TaskCompleted | TaskFailed | SubOrchestrationInstanceCompleted | SubOrchestrationInstanceFailed


class _Writer:
    """Writes spans that have ended.

    Args:
        tracer: The tracer.
        started: The start of the execution.
        events: Its history.
        instance_id: The instance.
    """

    def __init__(self, tracer: Tracer, started: ExecutionStarted, events: list[HistoryEvent], instance_id: str) -> None:
        self._tracer = tracer
        self._started = started
        self._events = events
        self._common = {INSTANCE: instance_id, EXECUTION: started.orchestration_instance.execution_id}
        self._steps: dict[int, HistoryEvent] = {}

    def new_events(self) -> list[HistoryEvent]:
        """The events of the last batch."""
        begin = max(index for index, event in enumerate(self._events) if isinstance(event, OrchestratorStarted))
        return self._events[begin:]

    def write_step(self, answer: HistoryEvent, hidden: set[int]) -> None:
        """Writes the span of the step that an event is the answer to, if it is one."""
        match answer:
            case (
                TaskCompleted() | TaskFailed() | SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed()
            ):
                self._called(answer, self._step(answer.task_scheduled_id))
            case TimerFired() if answer.timer_id not in hidden:
                timer = self._step(answer.timer_id)
                if isinstance(timer, TimerCreated):
                    end = max(parse_timestamp(timer.fire_at), parse_timestamp(timer.timestamp))
                    attributes = {TYPE: "timer", FIRE_AT: timer.fire_at}
                    self._write("timer", "INTERNAL", timer, end, attributes)
            case EventRaised():
                self._answered(answer)
            case _:
                pass

    def write_execution(self, status: str, error: str | None) -> None:
        """Writes the span of the execution, which has ended now."""
        started, batches = self._started, [e for e in self._events if isinstance(e, OrchestratorStarted)]
        begin, last = parse_timestamp(batches[0].timestamp), parse_timestamp(batches[-1].timestamp)
        attributes = {
            TYPE: "orchestration",
            NAME: started.name,
            VERSION: started.version or None,
            STATUS: status,
            QUEUED: max(_nanoseconds(begin) - _nanoseconds(parse_timestamp(started.timestamp)), 0) // 1_000_000,
        }
        self._emit(
            f"orchestration:{started.name}",
            "SERVER",
            execution_span(started),
            carried(started.parent_trace_context),
            (_nanoseconds(begin), max(time.time_ns(), _nanoseconds(last))),
            attributes,
            error,
        )

    def _step(self, event_id: int) -> HistoryEvent | None:
        """The event that started a step."""
        if not self._steps:
            kinds = (TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated)
            self._steps = {event.event_id: event for event in self._events if isinstance(event, kinds)}
        return self._steps.get(event_id)

    def _called(self, answer: _Answer, step: HistoryEvent | None) -> None:
        if not isinstance(step, TaskScheduled | SubOrchestrationInstanceCreated):
            return
        what = "activity" if isinstance(step, TaskScheduled) else "orchestration"
        attributes: dict[str, Any] = {TYPE: what, NAME: step.name}
        error = None
        if isinstance(answer, TaskFailed | SubOrchestrationInstanceFailed):
            error = answer.reason or "it failed"
        self._write(f"{what}:{step.name}", "CLIENT", step, parse_timestamp(answer.timestamp), attributes, error)

    def _answered(self, answer: EventRaised) -> None:
        """Writes the span of the call of an entity whose answer has come."""
        mark = f'"id":"{answer.name}"'
        sent = (event for event in self._events if isinstance(event, EventSent))
        call = next((event for event in sent if mark in (event.input or "").replace('": "', '":"')), None)
        if call is None:
            return  # an external event
        entity = (call.instance_id or "@").split("@")[1]
        name = _operation(call.input)
        attributes = {TYPE: "entity", NAME: f"{entity}:{name}"}
        error = "the operation failed" if '"exceptionType"' in (answer.input or "") else None
        self._write(f"entity:{entity}:{name}", "CLIENT", call, parse_timestamp(answer.timestamp), attributes, error)

    def _write(
        self,
        title: str,
        kind: str,
        step: HistoryEvent,
        end: datetime,
        attributes: dict[str, Any],
        error: str | None = None,
    ) -> None:
        begin = parse_timestamp(step.timestamp)
        self._emit(
            title,
            kind,
            step_span(self._started, step.event_id),
            execution_span(self._started),
            (_nanoseconds(begin), max(_nanoseconds(end), _nanoseconds(begin))),
            {**attributes, TASK: step.event_id},
            error,
        )

    def _emit(
        self,
        title: str,
        kind: str,
        name: SpanName,
        parent: SpanName | None,
        period: tuple[int, int],
        attributes: dict[str, Any],
        error: str | None,
    ) -> None:
        from opentelemetry import context
        from opentelemetry.trace import SpanKind

        present = {key: value for key, value in {**self._common, **attributes}.items() if value is not None}
        ids = getattr(self._tracer, "id_generator", None)
        root = context.Context() if parent is None else _as_context(parent)
        begin, end = period
        kinds: SpanKind = SpanKind[kind]
        if isinstance(ids, tracing.ChosenIds):
            with ids.chosen(name):
                span = self._tracer.start_span(title, root, kinds, present, start_time=begin)
        else:
            span = self._tracer.start_span(title, root, kinds, present, start_time=begin)
        if error is not None:
            tracing.fail(span, error)
        span.end(end)


def _as_context(parent: SpanName) -> Any:
    """A context in which a span that was written elsewhere is the current one."""
    from opentelemetry import context, trace

    span = trace.SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), True, trace.TraceFlags(int(parent.flags, 16))
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(span), context.Context())


def _operation(text: str | None) -> str:
    """What a request asks of an entity: an operation, or a lock."""
    request = decode_json(text or "{}")
    return str(request.get("op") or "lock") if isinstance(request, dict) else "lock"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _nanoseconds(moment: datetime) -> int:
    """A time as OpenTelemetry counts it."""
    span = moment - _EPOCH
    return ((span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds) * 1000
