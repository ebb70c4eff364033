"""replay(): one turn of an orchestrator over a history, by the engine that runs it for real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker_ext.decorators.durable_app import DurableFunction
from worker_ext.errors import OrchestrationFailedError
from worker_ext.handlers import run_orchestrator
from worker_ext.protocol.actions import AnyAction
from worker_ext.protocol.codec import decode_value
from worker_ext.protocol.orchestrator import OrchestratorState, parse_failure
from worker_ext.testing.histories import HistoryBuilder


@dataclass(frozen=True)
class Turn:
    """What an orchestrator decided.

    Attributes:
        state: The reply to the extension.
        error: What the orchestrator failed with, or None.
    """

    state: OrchestratorState
    error: BaseException | None = None

    @property
    def actions(self) -> list[AnyAction]:
        """Everything scheduled so far, as listed."""
        return [action for row in self.state.actions for action in row]

    @property
    def is_done(self) -> bool:
        """Whether the orchestrator returned or continues as new."""
        return self.state.is_done

    @property
    def output(self) -> Any:
        """What it returned."""
        return _value(self.state.output)

    @property
    def custom_status(self) -> Any:
        """The custom status it set."""
        return _value(self.state.custom_status)


def _value(raw: Any) -> Any:
    return decode_value(bytes(raw).decode()) if raw else None


def _reply(orchestrator: Callable[[Any], Any], payload: str) -> str:
    """What a worker would answer: a decorated function goes by what its decorator says, such as the input's type."""
    if not isinstance(orchestrator, DurableFunction):
        return run_orchestrator(payload, orchestrator)
    reply: str = orchestrator.build().get_user_function()(payload)
    return reply


def _payload(history: HistoryBuilder | str | Path) -> str:
    if isinstance(history, Path):
        return history.read_text("utf-8")
    return history if isinstance(history, str) else history.payload()


def replay(orchestrator: Callable[[Any], Any], history: HistoryBuilder | str | Path) -> Turn:
    """Runs one turn of an orchestrator.

    Args:
        orchestrator: The user's function, decorated or not.
        history: What happened so far: built, as the payload of the trigger, or the file of one, such as
            `worker-ext export` writes.

    Returns:
        What the orchestrator decided; its failure too is a decision.

    Raises:
        OSError: The file cannot be read.
        PayloadError: The payload breaks the contract.
    """
    payload = _payload(history)
    try:
        return Turn(OrchestratorState.decode(_reply(orchestrator, payload)))
    except OrchestrationFailedError as failure:
        state = parse_failure(str(failure))
        assert state is not None, "a failure always carries the state"
        return Turn(state, failure.__cause__)
