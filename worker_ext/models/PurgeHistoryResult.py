"""How much a purge deleted."""

from worker_ext.status import PurgeHistoryResult

__all__ = ["PurgeHistoryResult"]
