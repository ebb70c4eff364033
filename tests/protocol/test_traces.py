"""Trace contexts of histories; source: W3C Trace Context, and DistributedTraceContext of DurableTask.Core."""

from typing import Any

import pytest

from worker_ext.protocol.history import ExecutionStarted, OrchestrationInstance
from worker_ext.protocol.traces import (
    SpanName,
    carried,
    execution_span,
    host_writes_spans,
    step_context,
    step_span,
    trace_context,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-00"


def started(context: dict[str, Any] | None = None, execution: str = "e") -> ExecutionStarted:
    return ExecutionStarted(
        orchestration_instance=OrchestrationInstance("i", execution),
        name="Ship",
        parent_trace_context=context,
        timestamp="2026-01-02T03:04:05Z",
    )


@pytest.mark.parametrize(
    "text, name",
    [
        (PARENT, SpanName(TRACE, SPAN, "00")),
        (f"00-{TRACE}-{SPAN}-01", SpanName(TRACE, SPAN, "01")),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-may-add", SpanName(TRACE, SPAN, "01")),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        ("|4bf92f3577b34da6a3ce929d0e0e4736.00f067aa0ba902b7.", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_a_traceparent_is_read_as_w3c_has_it_and_else_ignored(text: object, name: SpanName | None) -> None:
    assert SpanName.parse(text) == name


def test_a_span_is_written_as_it_is_read() -> None:
    assert str(SpanName.parse(PARENT)) == PARENT


def test_a_context_is_what_the_extension_keeps() -> None:
    assert trace_context(PARENT, "vendor=1") == {"TraceParent": PARENT, "TraceState": "vendor=1"}
    assert trace_context(PARENT) == {"TraceParent": PARENT}
    assert trace_context("nonsense", "vendor=1") is None
    assert carried({"TraceParent": PARENT}) == SpanName(TRACE, SPAN, "00")
    assert carried(None) is None


def test_the_span_of_an_execution_follows_from_its_ids_in_the_trace_that_was_carried() -> None:
    span = execution_span(started({"TraceParent": PARENT}))
    assert (span.trace_id, span.flags, span == execution_span(started({"TraceParent": PARENT}))) == (TRACE, "00", True)
    assert span.span_id not in (SPAN, execution_span(started({"TraceParent": PARENT}, "other")).span_id)


def test_without_a_trace_it_begins_one_of_its_own() -> None:
    span, other = execution_span(started()), execution_span(started(execution="other"))
    assert SpanName.parse(str(span)) == span == execution_span(started())
    assert span.trace_id != other.trace_id


def test_where_the_host_writes_spans_the_execution_has_the_hosts() -> None:
    own = f"00-{TRACE}-00f067aa0ba902b7-01"
    event = started({"TraceParent": PARENT, "Id": own, "SpanId": "00f067aa0ba902b7"})
    assert host_writes_spans(event)
    assert str(execution_span(event)) == own
    assert not host_writes_spans(started({"TraceParent": PARENT}))


def test_each_step_is_a_span_of_its_own_in_the_same_trace() -> None:
    event = started({"TraceParent": PARENT, "TraceState": "vendor=1"})
    spans = {execution_span(event), *(step_span(event, number) for number in range(3))}
    assert len({span.span_id for span in spans}) == 4
    assert {span.trace_id for span in spans} == {TRACE}
    assert step_context(event, 1) == {"TraceParent": str(step_span(event, 1)), "TraceState": "vendor=1"}
    assert step_context(started(), 1) is None
