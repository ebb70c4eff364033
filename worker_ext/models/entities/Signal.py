"""An operation that an entity sends."""

from worker_ext.protocol.entity import Signal

__all__ = ["Signal"]
