"""Starts the next generation."""

from worker_ext.protocol.actions import ContinueAsNew as ContinueAsNewAction

__all__ = ["ContinueAsNewAction"]
