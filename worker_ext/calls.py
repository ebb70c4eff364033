"""What every group of calls of an orchestrator is made on: the executor, and how values are written and read."""

from __future__ import annotations

from worker_ext import payloads
from worker_ext.engine.orchestration import OrchestrationExecutor


class Calls:
    """A part of the context: methods that each make one action and one task.

    Args:
        executor: The executor of this turn; it owns the state.
        written_by: How values are written and read.
    """

    def __init__(self, executor: OrchestrationExecutor, written_by: payloads.Payloads) -> None:
        self._executor = executor
        self._schedule = executor.schedule
        self._payloads = written_by
        self._encode = executor.encode = written_by.encode
        self._is_plain = written_by is payloads.PLAIN

    @property
    def _is_checked(self) -> bool:
        """Whether a value of another type than code names is always an error: 1.7.0 has no such orchestrators."""
        return self._schedule.loop is not None
