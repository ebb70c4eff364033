"""Starts a timer."""

from worker_ext.protocol.actions import CreateTimer as CreateTimerAction

__all__ = ["CreateTimerAction"]
