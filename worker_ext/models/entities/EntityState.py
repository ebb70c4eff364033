"""The reply to a batch."""

from worker_ext.protocol.entity import EntityState

__all__ = ["EntityState"]
