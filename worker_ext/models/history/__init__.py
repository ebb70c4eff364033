"""The history of an instance."""

from worker_ext.models.history.HistoryEvent import HistoryEvent
from worker_ext.models.history.HistoryEventType import HistoryEventType

__all__ = [
    "HistoryEvent",
    "HistoryEventType",
]
