"""The retry policy of a function: `@app.retry`, or `retry` in its function.json, which the host carries out.

Rule: a failed execution is repeated up to `maxRetryCount` times (-1: without end), after a fixed delay or after one
that doubles from the least to the longest. Policies are for triggers that have no repetition of their own; those of
other functions are not applied, and the host says so at start.

Source: Functions worker protocol, RpcRetryOptions, RetryContext and host-side validation; Azure Functions'
documentation of retry policies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from worker_ext.errors import HostError
from worker_ext.rpc import pb

RETRIED_TRIGGERS = frozenset({"timertrigger", "eventhubtrigger", "kafkatrigger", "cosmosdbtrigger"})
"""The triggers whose functions are repeated by their policy, in lower case."""

_STRATEGIES = ("fixedDelay", "exponentialBackoff")
_LONGEST = timedelta(seconds=2**31 - 1)
_MEMBERS = {
    "fixeddelay": ("delayInterval",),
    "exponentialbackoff": ("minimumInterval", "maximumInterval"),
}


@dataclass(frozen=True)
class RetryPolicy:
    """How often a failed execution is repeated, and after which delay.

    Attributes:
        max_count: How many times at most; -1 is without end.
        shortest: The delay before the first repetition.
        longest: The longest delay; it doubles up to this one, and equals `shortest` where it is fixed.
    """

    max_count: int
    shortest: timedelta
    longest: timedelta

    def delay(self, failures: int) -> timedelta | None:
        """How long to wait after so many failures; None once no repetition is left."""
        if 0 <= self.max_count < failures:
            return None
        doubled = self.shortest.total_seconds() * 2.0 ** min(failures - 1, 1000)
        return timedelta(seconds=min(doubled, self.longest.total_seconds()))


def policy_of(options: pb.RpcRetryOptions) -> RetryPolicy:
    """The policy that a worker reports.

    Raises:
        HostError: No host could follow it.
    """
    if options.retry_strategy == pb.RpcRetryOptions.fixed_delay:
        shortest = longest = options.delay_interval.ToTimedelta()
    else:
        shortest, longest = options.minimum_interval.ToTimedelta(), options.maximum_interval.ToTimedelta()
    return _checked("its retry policy", options.max_retry_count, shortest, longest)


def read_policy(place: str, members: Any) -> RetryPolicy:
    """The policy that a function.json states; `place` names it in errors.

    Raises:
        HostError: A member is missing, or says something that no host could follow.
    """
    if not isinstance(members, dict):
        raise HostError(f"{place}: expected an object, found {_shown(members)}")
    found = {name.lower(): value for name, value in members.items()}
    strategy = found.get("strategy")
    intervals = _MEMBERS.get(str(strategy).lower())
    if intervals is None:
        expected = " or ".join(f'"{name}"' for name in _STRATEGIES)
        raise HostError(f"{place}.strategy: expected {expected}, found {_shown(strategy)}")
    count = found.get("maxretrycount")
    if not isinstance(count, int) or isinstance(count, bool):
        raise HostError(
            f"{place}.maxRetryCount: expected a whole number such as 3 (-1 is no limit), found {_shown(count)}"
        )
    times = [_interval(f"{place}.{name}", found, name) for name in intervals]
    return _checked(place, count, times[0], times[-1])


def _interval(place: str, found: Mapping[str, Any], name: str) -> timedelta:
    value = found.get(name.lower())
    match = re.fullmatch(r"(?:(\d+)\.)?(\d{1,2}):([0-5]\d):([0-5]\d)", value) if isinstance(value, str) else None
    if match is None:
        raise HostError(f'{place}: expected a time as "hh:mm:ss", such as "00:00:10", found {_shown(value)}')
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _checked(place: str, count: int, shortest: timedelta, longest: timedelta) -> RetryPolicy:
    if count < -1:
        raise HostError(f"{place}: maxRetryCount: expected -1 (no limit), 0 or more, found {count}")
    if not timedelta() <= shortest <= longest <= _LONGEST:
        raise HostError(
            f"{place}: expected intervals from 0 to {_LONGEST}, the minimum no longer than the maximum, found "
            f"{shortest} and {longest}"
        )
    return RetryPolicy(count, shortest, longest)


def retry_context(policy: RetryPolicy, failures: int, last: pb.RpcException | None) -> pb.RetryContext:
    """What a function with a policy is told at each execution."""
    context = pb.RetryContext(retry_count=failures, max_retry_count=policy.max_count)
    if last is not None:
        context.exception.CopyFrom(last)
    return context


def _shown(value: object) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()[:80]
