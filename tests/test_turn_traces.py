"""Spans of single turns: what a turn writes, and that it writes nothing without OpenTelemetry."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import worker_ext as df
from worker_ext import flow
from worker_ext.handlers import run_entity
from worker_ext.testing import HistoryBuilder, replay

Context = df.DurableOrchestrationContext


def ship(context: Context) -> Generator[Any, Any, Any]:
    yield context.call_activity("Pack")
    yield context.create_timer(timedelta(seconds=5))
    return trace.get_current_span().get_span_context().span_id


async def ship_async(context: Context) -> Any:
    await context.call_activity("Pack")
    await asyncio.sleep(5)
    return trace.get_current_span().get_span_context().span_id


both = pytest.mark.parametrize("orchestrator", [ship, ship_async])


def packed() -> HistoryBuilder:
    return HistoryBuilder().started("Ship").scheduled("Pack", 0).batch().completed(0)


def rested() -> HistoryBuilder:
    history = packed().timer_created(1, timedelta(seconds=5))
    return history.batch(timedelta(seconds=6)).timer_fired(1)


def names(spans: tuple[ReadableSpan, ...]) -> list[str]:
    return [span.name for span in spans]


@both
def test_each_step_is_written_in_the_turn_that_sees_its_end(
    orchestrator: Callable[[Context], Any], exporter: InMemorySpanExporter
) -> None:
    replay(orchestrator, HistoryBuilder().started("Ship"))
    assert names(exporter.get_finished_spans()) == []
    replay(orchestrator, packed())
    assert names(exporter.get_finished_spans()) == ["activity:Pack"]
    exporter.clear()
    replay(orchestrator, rested())
    assert names(exporter.get_finished_spans()) == ["timer", "orchestration:Ship"]


@both
def test_a_turn_that_is_run_again_writes_the_same_spans(
    orchestrator: Callable[[Context], Any], exporter: InMemorySpanExporter
) -> None:
    for _ in range(2):
        replay(orchestrator, rested())
    spans = [(span.name, span.context.trace_id, span.context.span_id) for span in exporter.get_finished_spans()]
    assert spans[:2] == spans[2:]


@both
def test_the_span_of_the_orchestration_is_the_current_one_while_its_code_runs(
    orchestrator: Callable[[Context], Any], exporter: InMemorySpanExporter
) -> None:
    seen = replay(orchestrator, rested()).output
    assert exporter.get_finished_spans()[-1].context.span_id == seen
    assert not trace.get_current_span().get_span_context().is_valid


def leave_open(context: Context) -> Generator[Any, Any, Any]:
    yield context.task_any([context.call_activity("Pack"), context.call_activity("Weigh")])


async def leave_open_async(context: Context) -> None:
    await flow.race(context.call_activity("Pack"), context.call_activity("Weigh"))


@pytest.mark.parametrize("orchestrator", [leave_open, leave_open_async])
def test_the_end_of_an_orchestration_is_written_once_however_long_its_open_work_takes(
    orchestrator: Callable[[Context], Any], exporter: InMemorySpanExporter
) -> None:
    history = HistoryBuilder().started("Ship").scheduled("Pack", 0).scheduled("Weigh", 1).batch().completed(0)
    replay(orchestrator, history)
    assert names(exporter.get_finished_spans()) == ["activity:Pack", "orchestration:Ship"]
    exporter.clear()
    replay(orchestrator, history.batch().completed(1))
    assert names(exporter.get_finished_spans()) == ["activity:Weigh"]


def leave_locked(context: Context) -> Generator[Any, Any, None]:
    entity = df.EntityId("Counter", "a")
    yield context.lock_entities(entity)
    yield context.task_any([context.call_activity("Pack"), context.call_entity(entity, "get")])


def test_an_orchestration_ends_when_it_has_left_what_it_had_locked(exporter: InMemorySpanExporter) -> None:
    history = HistoryBuilder().started("Ship").sent(0, "@counter@a", "lock", "r1").batch().answered("r1")
    history.scheduled("Pack", 1).sent(2, "@counter@a", "get", "r2").batch().completed(1)
    assert not replay(leave_locked, history).is_done
    assert "orchestration:Ship" not in names(exporter.get_finished_spans())
    exporter.clear()
    assert replay(leave_locked, history.batch().answered("r2", 1)).is_done
    assert names(exporter.get_finished_spans())[-1] == "orchestration:Ship"


def test_a_span_says_whose_it_is_and_how_long_it_was_queued(exporter: InMemorySpanExporter) -> None:
    replay(ship, packed())
    replay(ship, rested())
    call, timer, whole = exporter.get_finished_spans()
    execution = str((whole.attributes or {})["durabletask.task.execution_id"])
    instance = {"durabletask.task.instance_id": "abc", "durabletask.task.execution_id": execution}
    assert dict(call.attributes or {}) == {
        **instance,
        "durabletask.type": "activity",
        "durabletask.task.name": "Pack",
        "durabletask.task.task_id": 0,
    }
    assert dict(timer.attributes or {}) == {
        **instance,
        "durabletask.type": "timer",
        "durabletask.fire_at": "2026-01-02T03:04:11Z",
        "durabletask.task.task_id": 1,
    }
    assert dict(whole.attributes or {}) == {
        **instance,
        "durabletask.type": "orchestration",
        "durabletask.task.name": "Ship",
        "durabletask.task.status": "Completed",
        "durabletask.queue_time_ms": 0,
    }


def test_a_timer_that_the_code_did_not_ask_for_has_no_span(exporter: InMemorySpanExporter) -> None:
    def patched(context: Context) -> Generator[Any, Any, Any]:
        context.patched("p")
        yield context.call_activity("Pack")

    from worker_ext.engine.patches import mark_of

    history = HistoryBuilder().started("Ship")
    history.timer_created(0, mark_of("p") - history.now).scheduled("Pack", 1)
    replay(patched, history.batch().timer_fired(0))
    assert names(exporter.get_finished_spans()) == []


def test_an_app_that_has_set_up_no_provider_gets_no_spans() -> None:
    assert replay(ship, rested()).is_done


WITHOUT = """
import sys
import worker_ext as df
from worker_ext.handlers import run_entity
from worker_ext.testing import HistoryBuilder, replay

app = df.DFApp()

@app.activity_trigger(input_name="item")
def pack(item: str) -> str:
    return item

assert app.get_functions()[0].get_user_function()(item="x") == "x"
assert replay(lambda context: 1, HistoryBuilder().started()).output == 1
assert not [name for name in sys.modules if name.startswith("opentelemetry")], "it was imported"
"""


def test_nothing_of_opentelemetry_is_imported_where_the_app_does_not_use_it() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT], check=True)


def test_spans_that_the_host_writes_itself_are_left_to_it(exporter: InMemorySpanExporter) -> None:
    """Distributed tracing V2 of the extension: the execution has a span, whose id the history keeps."""
    own = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
    parent = {"TraceParent": own.replace("00f067aa0ba902b7", "b7ad6b7169203331"), "TraceState": None}
    payload = json.loads(rested().payload())
    payload["history"][1]["ParentTraceContext"] = {**parent, "Id": own, "SpanId": "00f067aa0ba902b7"}
    assert replay(ship, json.dumps(payload)).output == 0x00F067AA0BA902B7
    assert exporter.get_finished_spans() == ()


def test_an_entity_has_a_span_for_each_operation_and_a_failed_one_says_why(exporter: InMemorySpanExporter) -> None:
    def counter(context: df.DurableEntityContext) -> None:
        if context.operation_name == "break":
            raise LookupError("no such thing")

    operations = [{"name": name, "input": None, "isSignal": True, "id": name} for name in ("add", "break")]
    batch = {"self": {"name": "Counter", "key": "k"}, "exists": False, "state": None, "batch": operations}
    run_entity(json.dumps(batch), counter)
    found = [(span.name, span.status.description) for span in exporter.get_finished_spans()]
    assert found == [("entity:counter:add", None), ("entity:counter:break", "LookupError: no such thing")]
    assert {(span.attributes or {})["durabletask.task.instance_id"] for span in exporter.get_finished_spans()} == {
        "@counter@k"
    }


def test_a_failed_orchestration_says_what_is_in_its_group_of_errors(exporter: InMemorySpanExporter) -> None:
    def fail(context: Context) -> None:
        raise ExceptionGroup("two", [ValueError("a"), KeyError("b")])

    replay(fail, HistoryBuilder().started("Ship"))
    [span] = exporter.get_finished_spans()
    assert span.status.description == "ExceptionGroup: two (2 sub-exceptions): ValueError: a; KeyError: 'b'"


def test_a_provider_that_is_out_of_order_costs_no_turn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(TracerProvider):
        def get_tracer(self, *args: Any, **options: Any) -> Any:
            return object()

    provider = Broken()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    assert replay(ship, rested()).is_done
    assert caplog.messages == ["the spans of instance 'abc' could not be written"]
    provider.shutdown()
