"""`@app.retry` as the host reads it."""

from __future__ import annotations

import pytest

from worker_ext.errors import AppError
from worker_ext.rpc import pb
from worker_ext.worker.retries import retry_options

LONGEST = 2_147_483_647


def options(strategy: str, count: int, **seconds: int) -> pb.RpcRetryOptions:
    return pb.RpcRetryOptions(
        retry_strategy=pb.RpcRetryOptions.RetryStrategy.Value(strategy),
        max_retry_count=count,
        delay_interval=pb.Duration(seconds=seconds["delay"]) if "delay" in seconds else None,
        minimum_interval=pb.Duration(seconds=seconds["minimum"]) if "minimum" in seconds else None,
        maximum_interval=pb.Duration(seconds=seconds["maximum"]) if "maximum" in seconds else None,
    )


@pytest.mark.parametrize(
    "policy, expected",
    [
        (None, None),
        (
            {"strategy": "fixed_delay", "max_retry_count": "3", "delay_interval": "00:01:05"},
            options("fixed_delay", 3, delay=65),
        ),
        (
            {"strategy": "exponential_backoff", "max_retry_count": "-1", "minimum_interval": "00:00:01"},
            options("exponential_backoff", -1, minimum=1, maximum=LONGEST),
        ),
        (
            {"strategy": "exponential_backoff", "max_retry_count": 2, "maximum_interval": "01:00:00"},
            options("exponential_backoff", 2, minimum=0, maximum=3600),
        ),
    ],
)
def test_policy_is_described(policy: dict[str, str] | None, expected: pb.RpcRetryOptions | None) -> None:
    assert retry_options("work", policy) == expected


@pytest.mark.parametrize(
    "policy, message",
    [
        ({"strategy": "sometimes", "max_retry_count": "1"}, "strategy must be 'fixed_delay' or 'exponential_backoff'"),
        ({"strategy": "fixed_delay", "max_retry_count": "x"}, "max_retry_count must be a whole number such as '3'"),
        ({"strategy": "fixed_delay", "max_retry_count": "1"}, "delay_interval must be a time as 'hh:mm:ss'"),
        (
            {"strategy": "fixed_delay", "max_retry_count": "1", "delay_interval": "5"},
            "delay_interval must be a time as 'hh:mm:ss', such as '00:00:10', not '5'",
        ),
    ],
)
def test_policy_no_host_could_follow_is_refused(policy: dict[str, str], message: str) -> None:
    with pytest.raises(AppError) as caught:
        retry_options("work", policy)
    assert str(caught.value).startswith(f"function 'work': @app.retry: {message}")
