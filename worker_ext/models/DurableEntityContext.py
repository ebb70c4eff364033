"""The context of an entity."""

from worker_ext.entity import DurableEntityContext

__all__ = ["DurableEntityContext"]
