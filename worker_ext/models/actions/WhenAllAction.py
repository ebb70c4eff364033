"""Is complete with all."""

from worker_ext.protocol.actions import WhenAll as WhenAllAction

__all__ = ["WhenAllAction"]
