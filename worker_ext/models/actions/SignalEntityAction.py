"""Signals an entity."""

from worker_ext.protocol.actions import SignalEntity as SignalEntityAction

__all__ = ["SignalEntityAction"]
