"""The reply of an entity, as data."""

from worker_ext.models.entities.EntityState import EntityState
from worker_ext.models.entities.OperationResult import OperationResult
from worker_ext.models.entities.Signal import Signal

__all__ = [
    "EntityState",
    "OperationResult",
    "Signal",
]
