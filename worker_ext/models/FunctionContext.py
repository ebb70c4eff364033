"""Members of a payload that nothing else gives."""

from worker_ext.trigger_view import FunctionContext

__all__ = ["FunctionContext"]
