"""A gateway whose functions are programs of the user API, run in this process by the real engine."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from worker_ext.handlers import run_entity, run_orchestrator
from worker_ext.host.gateway import FunctionKind, Reply


class ProgramGateway:
    """Runs programs and counts what they call.

    Attributes:
        calls: How often each activity ran with which input.
        payloads: Every payload of an orchestrator, by instance.
    """

    def __init__(
        self,
        orchestrators: dict[str, Callable[..., Any]],
        activities: dict[str, Callable[[Any], Any]],
        entities: dict[str, Callable[..., Any]] | None = None,
    ) -> None:
        self._functions: dict[FunctionKind, dict[str, Callable[..., Any]]] = {
            "orchestration": orchestrators,
            "activity": activities,
            "entity": entities or {},
        }
        self.calls: Counter[tuple[str, Any]] = Counter()
        self.payloads: dict[str, list[dict[str, Any]]] = {}

    def function_names(self, kind: FunctionKind) -> frozenset[str]:
        return frozenset(self._functions[kind])

    async def run_orchestrator(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        self.payloads.setdefault(instance_id, []).append(json.loads(payload))
        return _reply(lambda: run_orchestrator(payload, self._functions["orchestration"][name]))

    async def run_activity(self, name: str, instance_id: str, input_text: str | None, trace_parent: str = "") -> Reply:
        value = None if input_text is None else json.loads(input_text)
        self.calls[name, value] += 1
        try:
            result = self._functions["activity"][name](value)
            if isinstance(result, Awaitable):
                result = await result
        except ValueError as error:
            return _failure(error)
        return Reply(json.dumps(result))

    async def run_entity(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        return _reply(lambda: run_entity(payload, self._functions["entity"][name]))


def _reply(run: Callable[[], str]) -> Reply:
    try:
        return Reply(run())
    except Exception as error:  # noqa: BLE001 - as the worker reports it
        return _failure(error)


def _failure(error: Exception) -> Reply:
    return Reply(None, f"{type(error).__name__}: {error}", "".join(traceback.format_tb(error.__traceback__)))
