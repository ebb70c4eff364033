"""Calls an entity."""

from worker_ext.protocol.actions import CallEntity as CallEntityAction

__all__ = ["CallEntityAction"]
