"""Payload in, payload out: everything that the decorators install, as pure calls."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from worker_ext import tracing
from worker_ext.context import DurableOrchestrationContext
from worker_ext.entity import DurableEntityContext
from worker_ext.errors import OrchestrationFailedError, OrchestratorError
from worker_ext.payloads import PLAIN, Payloads
from worker_ext.protocol.codec import check_size
from worker_ext.protocol.entity import EntityBatchRequest, Operation
from worker_ext.protocol.orchestrator import failure_message
from worker_ext.replay_logs import quiet_while_replaying
from worker_ext.turn_traces import TurnTrace

OrchestratorFunction = Callable[[DurableOrchestrationContext], Any]
"""User code: a generator function, or a plain function that returns its output at once."""

EntityFunction = Callable[[DurableEntityContext], Any]
"""User code of an entity; it is called once an operation."""


def run_orchestrator(
    payload: str | bytes, orchestrator: OrchestratorFunction, *, input_type: type | None = None
) -> str:
    """Runs one turn of an orchestrator.

    Args:
        payload: What the orchestration trigger delivered.
        orchestrator: The user's function.
        input_type: The type that `context.get_input()` reads the input as.

    Returns:
        The reply to the extension, as JSON text.

    Raises:
        PayloadError: The payload breaks the contract.
        OrchestrationFailedError: The orchestrator failed; the message carries the reply, the cause is its error.
    """
    return run_turn(DurableOrchestrationContext.from_json(payload, input_type=input_type), orchestrator)


def run_turn(context: DurableOrchestrationContext, orchestrator: OrchestratorFunction) -> str:
    """Runs the turn that a context was made for.

    Returns:
        The reply to the extension, as JSON text.

    Raises:
        OrchestrationFailedError: The orchestrator failed; the message carries the reply, the cause is its error.
        ValueError: The reply is too long for a message.
    """
    executor = context.executor
    context.orchestrator = orchestrator
    executor.start(orchestrator, context)
    try:
        with quiet_while_replaying(executor), TurnTrace(executor) as turn:
            executor.receive(executor.request.history)
            state = executor.state()
            turn.ended(state)
        if executor.error is not None:
            raise OrchestrationFailedError(check_size(failure_message(state))) from executor.error
        return check_size(state.encode())
    finally:
        executor.close()


def run_entity(payload: str | bytes, entity: EntityFunction, *, written_by: Payloads = PLAIN) -> str:
    """Runs a batch of operations on an entity.

    Args:
        payload: What the entity trigger delivered.
        entity: The user's function.
        written_by: How values are written and read.

    Returns:
        The reply to the extension, as JSON text.

    Raises:
        PayloadError: The payload breaks the contract.
    """
    request = EntityBatchRequest.decode(payload)
    return run_batch(DurableEntityContext.of(request, written_by), request.batch, entity)


def run_batch(context: DurableEntityContext, batch: Iterable[Operation], entity: EntityFunction) -> str:
    """Runs the operations of the batch that a context was made for.

    Returns:
        The reply to the extension, as JSON text.

    Raises:
        ValueError: The reply is too long for a message.
    """
    executor = context.executor
    with _Awaiting(entity) as call:
        if not tracing.is_on():
            for operation in batch:
                executor.run(operation, call, context)
        else:
            for operation in batch:
                with tracing.operation(executor.request.self, operation.name) as span:
                    error = executor.run(operation, call, context)
                    if error is not None:
                        tracing.fail(span, error)
    return check_size(executor.state().encode())


class _Awaiting:
    """Calls an entity function, and runs what it returns to its end where that is a coroutine.

    Entities are not replayed, so an ordinary event loop does; it lasts for the batch.
    """

    def __init__(self, entity: EntityFunction) -> None:
        self._entity = entity
        self._runner: asyncio.Runner | None = None

    def __enter__(self) -> EntityFunction:
        return self

    def __exit__(self, *error: object) -> None:
        if self._runner is not None:
            self._runner.close()

    def __call__(self, context: DurableEntityContext) -> None:
        outcome = self._entity(context)
        if outcome is None:
            return
        if inspect.iscoroutine(outcome):
            self._runner = self._runner or asyncio.Runner()
            self._runner.run(outcome)
        elif inspect.isgenerator(outcome) or inspect.isasyncgen(outcome):
            raise OrchestratorError(
                "the entity function is written as a generator: it yields, so nothing of it was run. Entities call "
                "what they need directly: replace `yield` by `await` in an `async def`, or leave it out"
            )
