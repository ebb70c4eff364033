"""The context of an orchestrator."""

from worker_ext.context import DurableOrchestrationContext

__all__ = ["DurableOrchestrationContext"]
