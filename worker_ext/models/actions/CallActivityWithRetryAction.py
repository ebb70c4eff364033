"""Runs an activity again when it fails."""

from worker_ext.protocol.actions import CallActivityWithRetry as CallActivityWithRetryAction

__all__ = ["CallActivityWithRetryAction"]
