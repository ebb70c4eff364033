"""How long a failed attempt waits for the next one.

Source: durable-functions JSON protocol, retry options (2.3.1) and the retry algorithm (2.3.2); RetryInterceptor.cs.
"""

from __future__ import annotations

from datetime import timedelta

from worker_ext.protocol.actions import RetryOptions

_DEFAULT_MAX_RETRY_INTERVAL = timedelta(days=6)


def longest_delay(options: RetryOptions) -> timedelta:
    """The longest delay between two attempts."""
    longest = options.max_retry_interval_in_milliseconds
    return _DEFAULT_MAX_RETRY_INTERVAL if longest is None else _milliseconds(longest)


def _milliseconds(count: float) -> timedelta:
    try:
        return timedelta(milliseconds=count)
    except OverflowError:
        return timedelta.max


def retry_delay(options: RetryOptions, attempt: int, elapsed: timedelta) -> timedelta:
    """The delay after an attempt (the first is 1) that failed `elapsed` after the first one started."""
    timeout = options.retry_timeout_in_milliseconds
    if timeout is not None and elapsed >= _milliseconds(timeout):
        return timedelta(0)
    try:
        delay = options.first_retry_interval_in_milliseconds * options.backoff_coefficient ** (attempt - 1)
    except OverflowError:
        return longest_delay(options)
    return min(_milliseconds(delay), longest_delay(options))
