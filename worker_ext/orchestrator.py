"""Where azure-functions-durable 1.7.0 has `Orchestrator`."""

from worker_ext.v1_model import Orchestrator

__all__ = ["Orchestrator"]
