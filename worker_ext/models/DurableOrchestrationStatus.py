"""The status of an instance."""

from worker_ext.status import DurableOrchestrationStatus

__all__ = ["DurableOrchestrationStatus"]
