"""Spans of OpenTelemetry for clients, orchestrations and their steps, activities and entities.

They are written where the app has set up a tracer provider of OpenTelemetry, by the extra `[otel]` or by itself; else
nothing of it is imported and this costs a look into a dictionary.

    create_orchestration:Ship     the client's call
      orchestration:Ship          from the first turn to the last
        activity:Pack             from its scheduling to its answer; before the inner span begins, it was queued
          activity:Pack           what the activity took to run
        timer
        entity:cart:add           likewise
          entity:cart:add

Spans of orchestrations and their steps are written by `worker_ext.turn_traces`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from worker_ext.protocol.traces import SpanName

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.trace import Span, Tracer, TracerProvider

    from worker_ext.protocol.entity import EntityName

API = "opentelemetry.trace"
"""The module that is loaded where the app uses OpenTelemetry."""
_SCOPE = "worker_ext"


# ---------------------------------------------------------------- the tracer


class ChosenIds:
    """Gives spans the ids that were chosen for them, and others those of the app's own generator.

    Args:
        inner: The app's generator.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._chosen = threading.local()

    @contextmanager
    def chosen(self, name: SpanName) -> Iterator[None]:
        """The spans that this thread starts meanwhile have this name."""
        self._chosen.name = name
        try:
            yield
        finally:
            self._chosen.name = None

    def generate_trace_id(self) -> int:
        """The trace of a span without a parent."""
        name = getattr(self._chosen, "name", None)
        return int(self._inner.generate_trace_id() if name is None else int(name.trace_id, 16))

    def generate_span_id(self) -> int:
        """The id of a span."""
        name = getattr(self._chosen, "name", None)
        return int(self._inner.generate_span_id() if name is None else int(name.span_id, 16))

    def is_trace_id_random(self) -> bool:
        """Whether trace ids are random, which W3C has a flag for."""
        is_random = getattr(self._inner, "is_trace_id_random", bool)
        return getattr(self._chosen, "name", None) is None and bool(is_random())


_tracers: dict[str, tuple[TracerProvider, Tracer]] = {}
"""The tracer that was made last, and by which provider."""


def tracer_of_app() -> Tracer | None:
    """The tracer of this package, where the app has set up OpenTelemetry."""
    api = sys.modules.get(API)
    if api is None or not _has_provider(api):
        return None
    provider: TracerProvider = api.get_tracer_provider()
    known = _tracers.get(_SCOPE)
    if known is not None and known[0] is provider:
        return known[1]
    if isinstance(provider, (api.ProxyTracerProvider, api.NoOpTracerProvider)):
        return None
    tracer = provider.get_tracer(_SCOPE)
    inner = getattr(tracer, "id_generator", None)  # of the SDK's tracer, which others need not have
    if inner is not None and not isinstance(inner, ChosenIds):
        tracer.id_generator = ChosenIds(inner)  # type: ignore[attr-defined]
    _tracers[_SCOPE] = provider, tracer
    return tracer


def _has_provider(api: Any) -> bool:
    """Whether there may be a provider, as far as that is quickly told."""
    return getattr(api, "_TRACER_PROVIDER", api) is not None or _is_provider_named()


@cache
def _is_provider_named() -> bool:
    """Whether the environment names a provider; OpenTelemetry's API asks that anew each time, which takes longer."""
    return "OTEL_PYTHON_TRACER_PROVIDER" in os.environ


def is_on() -> bool:
    """Whether the app uses OpenTelemetry. Every activity asks, so the common answers are found quickly."""
    api = sys.modules.get(API)
    return api is not None and _has_provider(api) and tracer_of_app() is not None


# ---------------------------------------------------------------- what workers and clients need


def attach(trace_parent: str, trace_state: str = "") -> Token[Any] | None:
    """Makes the span that a host names the parent of what is begun next; undone by `detach`."""
    if not trace_parent or API not in sys.modules:
        return None
    from opentelemetry import context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {"traceparent": trace_parent, "tracestate": trace_state}
    return context.attach(TraceContextTextMapPropagator().extract(carrier))


def detach(token: Token[Any] | None) -> None:
    """Takes back what `attach` did."""
    if token is not None:
        from opentelemetry import context

        context.detach(token)


def headers() -> dict[str, str]:
    """The current span, as requests tell of it."""
    if API not in sys.modules:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier


@contextmanager
def starting(name: str, instance_id: str | None, version: str | None) -> Iterator[None]:
    """A client starts an orchestration."""
    attributes = {INSTANCE: instance_id or None, VERSION: version}
    with _span("orchestration", name, "PRODUCER", attributes, prefix="create_orchestration"):
        yield


@contextmanager
def activity(name: str) -> Iterator[None]:
    """An activity runs."""
    with _span("activity", name, "SERVER"):
        yield


@contextmanager
def operation(entity: EntityName, name: str | None) -> Iterator[Span | None]:
    """An operation of an entity runs; whoever knows that it failed says so with `fail`."""
    target = {INSTANCE: f"@{entity.name.lower()}@{entity.key}"}
    with _span("entity", f"{entity.name.lower()}:{name}", "SERVER", target) as span:
        yield span


def fail(span: Span | None, error: BaseException | str) -> None:
    """Marks a span as failed."""
    if span is not None:
        from opentelemetry.trace import StatusCode

        if isinstance(error, BaseException):
            span.record_exception(error)
            error = f"{type(error).__name__}: {error}"
        span.set_status(StatusCode.ERROR, error)


TYPE, NAME, VERSION = "durabletask.type", "durabletask.task.name", "durabletask.task.version"
INSTANCE, EXECUTION = "durabletask.task.instance_id", "durabletask.task.execution_id"
TASK, STATUS, FIRE_AT = "durabletask.task.task_id", "durabletask.task.status", "durabletask.fire_at"
QUEUED = "durabletask.queue_time_ms"


@contextmanager
def _span(
    what: str, name: str, kind: str, attributes: dict[str, Any] | None = None, prefix: str | None = None
) -> Iterator[Span | None]:
    tracer = tracer_of_app()
    if tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind

    given = {TYPE: what, NAME: name, **(attributes or {})}
    present = {key: value for key, value in given.items() if value is not None}
    title = f"{prefix or what}:{name}"
    with tracer.start_as_current_span(title, kind=SpanKind[kind], attributes=present) as span:
        yield span
