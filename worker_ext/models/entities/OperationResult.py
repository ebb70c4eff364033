"""How an operation ended."""

from worker_ext.protocol.entity import OperationResult

__all__ = ["OperationResult"]
