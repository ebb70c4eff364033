"""One event of a history."""

from worker_ext.trigger_view import HistoryEvent

__all__ = ["HistoryEvent"]
