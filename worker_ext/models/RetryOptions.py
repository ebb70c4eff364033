"""How failed calls are repeated."""

from worker_ext import RetryOptions

__all__ = ["RetryOptions"]
