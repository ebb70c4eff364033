"""The retry policy of a function, as `@app.retry` states it and as the host wants it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from worker_ext.errors import AppError
from worker_ext.rpc import pb

_LONGEST = 2_147_483_647  # seconds: what the newer workers send for a bound that is not set


def retry_options(function_name: str, policy: Mapping[str, Any] | None) -> pb.RpcRetryOptions | None:
    """Describe a retry policy; None if the function has none.

    Raises:
        AppError: The policy says something that no host could follow.
    """
    if not policy:
        return None
    place = f"function {function_name!r}: @app.retry"
    options = pb.RpcRetryOptions(max_retry_count=_count(place, policy.get("max_retry_count")))
    match policy.get("strategy"):
        case "fixed_delay":
            options.retry_strategy = pb.RpcRetryOptions.fixed_delay
            options.delay_interval.seconds = _seconds(place, "delay_interval", policy.get("delay_interval"))
        case "exponential_backoff":
            options.retry_strategy = pb.RpcRetryOptions.exponential_backoff
            low, high = policy.get("minimum_interval"), policy.get("maximum_interval")
            options.minimum_interval.seconds = _seconds(place, "minimum_interval", low) if low else 0
            options.maximum_interval.seconds = _seconds(place, "maximum_interval", high) if high else _LONGEST
        case other:
            raise AppError(f"{place}: strategy must be 'fixed_delay' or 'exponential_backoff', not {other!r}")
    return options


def _count(place: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise AppError(
            f"{place}: max_retry_count must be a whole number such as '3' (-1 is no limit), not {value!r}"
        ) from None


def _seconds(place: str, name: str, value: Any) -> int:
    match = re.fullmatch(r"(\d{1,2}):([0-5]?\d):([0-5]?\d)", str(value))
    if match is None:
        raise AppError(f"{place}: {name} must be a time as 'hh:mm:ss', such as '00:00:10', not {value!r}")
    hours, minutes, seconds = (int(part) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds
