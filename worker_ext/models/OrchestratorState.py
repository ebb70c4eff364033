"""The reply of an orchestrator."""

from worker_ext.protocol.orchestrator import OrchestratorState

__all__ = ["OrchestratorState"]
