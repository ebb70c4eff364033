"""Trace contexts as histories carry them, and the spans that follow from them.

A span of an orchestration lasts longer than any turn, and each turn is run by code that remembers nothing. So its id,
and the ids of its steps, follow from the ids of the execution and of the step: the host names them to activities and
children before the worker has written them.

Source: DurableTask.Core, DistributedTraceContext (members TraceParent, TraceState, Id, SpanId); W3C Trace Context.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, NamedTuple

from worker_ext.protocol.history import ExecutionStarted

_TRACE_PARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED = "01"


class SpanName(NamedTuple):
    """A span, named as on the wire: lower-case hexadecimal digits."""

    trace_id: str
    span_id: str
    flags: str = _SAMPLED

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    @classmethod
    def parse(cls, text: object) -> SpanName | None:
        """Reads a `traceparent`; None where it is none, which W3C has receivers ignore."""
        match = _TRACE_PARENT.fullmatch(text) if isinstance(text, str) else None
        if match is None or not int(match[1], 16) or not int(match[2], 16):
            return None
        return cls(*match.groups())


def trace_context(trace_parent: str | None, trace_state: str | None = None) -> dict[str, Any] | None:
    """A context as events carry it; None where there is no valid `traceparent`."""
    if SpanName.parse(trace_parent) is None:
        return None
    return {"TraceParent": trace_parent, **({"TraceState": trace_state} if trace_state else {})}


def carried(context: dict[str, Any] | None) -> SpanName | None:
    """The span that an event's context names."""
    return SpanName.parse((context or {}).get("TraceParent"))


def host_writes_spans(started: ExecutionStarted) -> bool:
    """Whether the host itself writes the spans of the execution: then it keeps the id of its own in the context."""
    return bool((started.parent_trace_context or {}).get("SpanId"))


def execution_span(started: ExecutionStarted) -> SpanName:
    """The span of an execution."""
    context = started.parent_trace_context
    own = SpanName.parse((context or {}).get("Id"))
    if own is not None:
        return own
    parent, execution = carried(context), _execution(started)
    trace_id = parent.trace_id if parent is not None else _digits(f"{execution}:trace", 32)
    return SpanName(trace_id, _digits(execution, 16), _SAMPLED if parent is None else parent.flags)


def execution_trace(started: ExecutionStarted) -> str:
    """The `traceparent` that the turns of an execution are told; empty where it was told of no trace."""
    return "" if started.parent_trace_context is None else str(execution_span(started))


def step_span(started: ExecutionStarted, event_id: int) -> SpanName:
    """The span of a step of an execution, from its start to its answer.

    Args:
        started: The start of the execution.
        event_id: The id of the event that started the step.
    """
    return execution_span(started)._replace(span_id=_digits(f"{_execution(started)}:{event_id}", 16))


def step_context(started: ExecutionStarted, event_id: int) -> dict[str, Any] | None:
    """What a step is told of its trace; None where the execution was told of none."""
    context = started.parent_trace_context
    if carried(context) is None:
        return None
    return trace_context(str(step_span(started, event_id)), (context or {}).get("TraceState"))


def _execution(started: ExecutionStarted) -> str:
    instance = started.orchestration_instance
    return f"{instance.instance_id}:{instance.execution_id}"


def _digits(text: str, count: int) -> str:
    return sha256(text.encode()).hexdigest()[:count]
