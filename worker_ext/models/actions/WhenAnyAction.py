"""Is complete with the first."""

from worker_ext.protocol.actions import WhenAny as WhenAnyAction

__all__ = ["WhenAnyAction"]
