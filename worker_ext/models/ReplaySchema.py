"""Versions of the reply."""

from worker_ext.protocol.orchestrator import ReplaySchema

__all__ = ["ReplaySchema"]
