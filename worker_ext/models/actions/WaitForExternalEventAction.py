"""Waits for an event."""

from worker_ext.protocol.actions import WaitForExternalEvent as WaitForExternalEventAction

__all__ = ["WaitForExternalEventAction"]
