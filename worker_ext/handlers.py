"""Payload in, payload out: everything that the decorators install, as pure calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from worker_ext.context import DurableOrchestrationContext
from worker_ext.engine.entity import EntityExecutor
from worker_ext.engine.orchestration import OrchestrationExecutor
from worker_ext.entity import DurableEntityContext
from worker_ext.errors import OrchestrationFailedError
from worker_ext.protocol.entity import EntityBatchRequest
from worker_ext.protocol.orchestrator import OrchestratorRequest, failure_message

OrchestratorFunction = Callable[[DurableOrchestrationContext], Any]
"""User code: a generator function, or a plain function that returns its output at once."""

EntityFunction = Callable[[DurableEntityContext], Any]
"""User code of an entity; it is called once an operation."""


def run_orchestrator(payload: str | bytes, orchestrator: OrchestratorFunction) -> str:
    """Runs one turn of an orchestrator.

    Args:
        payload: What the orchestration trigger delivered.
        orchestrator: The user's function.

    Returns:
        The reply to the extension, as JSON text.

    Raises:
        PayloadError: The payload breaks the contract.
        OrchestrationFailedError: The orchestrator failed; the message carries the reply, the cause is its error.
    """
    request = OrchestratorRequest.decode(payload)
    executor = OrchestrationExecutor(request)
    executor.start(orchestrator, DurableOrchestrationContext(executor))
    executor.receive(request.history)
    state = executor.state()
    if executor.error is not None:
        raise OrchestrationFailedError(failure_message(state)) from executor.error
    return state.encode()


def run_entity(payload: str | bytes, entity: EntityFunction) -> str:
    """Runs a batch of operations on an entity.

    Args:
        payload: What the entity trigger delivered.
        entity: The user's function.

    Returns:
        The reply to the extension, as JSON text.

    Raises:
        PayloadError: The payload breaks the contract.
    """
    request = EntityBatchRequest.decode(payload)
    executor = EntityExecutor(request, lambda: time.time_ns() // 1_000_000)
    context = DurableEntityContext(executor)
    for operation in request.batch:
        executor.run(operation, entity, context)
    return executor.state().encode()


class Orchestrator:
    """An orchestrator of the v1 programming model: `main = Orchestrator.create(function)`."""

    @classmethod
    def create(cls, fn: OrchestratorFunction) -> Callable[[Any], str]:
        """Makes the function that the host calls.

        Args:
            fn: The user's orchestrator.
        """

        def handle(context: Any) -> str:
            body = getattr(context, "body", context)
            return run_orchestrator(body, fn)

        handle.orchestrator_function = fn  # type: ignore[attr-defined]
        return handle


class Entity:
    """An entity of the v1 programming model: `main = Entity.create(function)`."""

    @classmethod
    def create(cls, fn: EntityFunction) -> Callable[[Any], str]:
        """Makes the function that the host calls.

        Args:
            fn: The user's entity function.
        """

        def handle(context: Any) -> str:
            body = getattr(context, "body", context)
            return run_entity(body, fn)

        handle.entity_function = fn  # type: ignore[attr-defined]
        return handle
