"""The identity of an entity."""

from worker_ext.protocol.entity import EntityId

__all__ = ["EntityId"]
