"""The kinds of events."""

from worker_ext.trigger_view import HistoryEventType

__all__ = ["HistoryEventType"]
