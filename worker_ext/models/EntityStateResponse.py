"""The state of an entity."""

from worker_ext.status import EntityStateResponse

__all__ = ["EntityStateResponse"]
