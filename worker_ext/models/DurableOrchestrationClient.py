"""The client."""

from worker_ext.client import DurableOrchestrationClient

__all__ = ["DurableOrchestrationClient"]
