"""Where azure-functions-durable 1.7.0 has `orchestrator_generator_wrapper`."""

from worker_ext.testing.generators import orchestrator_generator_wrapper

__all__ = ["orchestrator_generator_wrapper"]
