"""Starts a child again when it fails."""

from worker_ext.protocol.actions import CallSubOrchestratorWithRetry as CallSubOrchestratorWithRetryAction

__all__ = ["CallSubOrchestratorWithRetryAction"]
