"""What the client binding says."""

from worker_ext.trigger_view import DurableOrchestrationBindings

__all__ = ["DurableOrchestrationBindings"]
