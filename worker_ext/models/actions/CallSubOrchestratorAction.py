"""Starts a child."""

from worker_ext.protocol.actions import CallSubOrchestrator as CallSubOrchestratorAction

__all__ = ["CallSubOrchestratorAction"]
