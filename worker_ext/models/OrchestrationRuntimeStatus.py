"""The states of an instance."""

from worker_ext.protocol.client import OrchestrationRuntimeStatus

__all__ = ["OrchestrationRuntimeStatus"]
