"""Runs an activity."""

from worker_ext.protocol.actions import CallActivity as CallActivityAction

__all__ = ["CallActivityAction"]
