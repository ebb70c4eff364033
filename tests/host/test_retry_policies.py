"""Retry policies of functions: how they are read, when a repetition is due, and that the host carries them out."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from running_host import run_host

from worker_ext.errors import HostError
from worker_ext.host.retry_policies import RetryPolicy, policy_of, read_policy
from worker_ext.host.settings import load_settings
from worker_ext.host.v1_functions import read_function_folders
from worker_ext.rpc import pb

FIXED = {"strategy": "fixedDelay", "maxRetryCount": 3, "delayInterval": "00:00:10"}
GROWING = {
    "strategy": "exponentialBackoff",
    "maxRetryCount": -1,
    "minimumInterval": "00:00:01",
    "maximumInterval": "1.00:00:00",
}
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    "members, policy",
    [
        (FIXED, RetryPolicy(3, 10 * SECOND, 10 * SECOND)),
        (GROWING, RetryPolicy(-1, SECOND, timedelta(days=1))),
        (
            {"Strategy": "FIXEDDELAY", "MaxRetryCount": 0, "DelayInterval": "1:00:00"},
            RetryPolicy(0, *[3600 * SECOND] * 2),
        ),
    ],
)
def test_what_function_json_states_is_read(members: dict[str, Any], policy: RetryPolicy) -> None:
    assert read_policy("retry", members) == policy


@pytest.mark.parametrize(
    "members, fault",
    [
        ([], "retry: expected an object, found []"),
        (
            {**FIXED, "strategy": "never"},
            'retry.strategy: expected "fixedDelay" or "exponentialBackoff", found "never"',
        ),
        ({"maxRetryCount": 1}, 'retry.strategy: expected "fixedDelay" or "exponentialBackoff", found nothing'),
        (
            {**FIXED, "maxRetryCount": "3"},
            'retry.maxRetryCount: expected a whole number such as 3 (-1 is no limit), found "3"',
        ),
        ({**FIXED, "maxRetryCount": -2}, "retry: maxRetryCount: expected -1 (no limit), 0 or more, found -2"),
        (
            {**FIXED, "delayInterval": "10 s"},
            'retry.delayInterval: expected a time as "hh:mm:ss", such as "00:00:10", found "10 s"',
        ),
        (
            {**GROWING, "maximumInterval": None},
            'retry.maximumInterval: expected a time as "hh:mm:ss", such as "00:00:10", found nothing',
        ),
        (
            {**GROWING, "maximumInterval": "00:00:00"},
            "retry: expected intervals from 0 to 24855 days, 3:14:07, the minimum no longer than the maximum, found "
            "0:00:01 and 0:00:00",
        ),
    ],
)
def test_what_no_host_could_follow_is_a_fault(members: Any, fault: str) -> None:
    with pytest.raises(HostError) as error:
        read_policy("retry", members)
    assert str(error.value) == fault


def test_what_a_worker_reports_is_read() -> None:
    fixed = pb.RpcRetryOptions(max_retry_count=2, retry_strategy=pb.RpcRetryOptions.fixed_delay)
    fixed.delay_interval.seconds = 5
    growing = pb.RpcRetryOptions(max_retry_count=-1, retry_strategy=pb.RpcRetryOptions.exponential_backoff)
    growing.maximum_interval.seconds = 2**31 - 1
    assert [policy_of(fixed), policy_of(growing)] == [
        RetryPolicy(2, 5 * SECOND, 5 * SECOND),
        RetryPolicy(-1, timedelta(), (2**31 - 1) * SECOND),
    ]


@pytest.mark.parametrize(
    "policy, delays",
    [
        (RetryPolicy(2, 10 * SECOND, 10 * SECOND), [10, 10, None]),
        (RetryPolicy(0, SECOND, SECOND), [None]),
        (RetryPolicy(-1, SECOND, 5 * SECOND), [1, 2, 4, 5, 5]),
        (RetryPolicy(4, timedelta(), 5 * SECOND), [0, 0, 0, 0, None]),
    ],
)
def test_the_delay_after_each_failure(policy: RetryPolicy, delays: list[int | None]) -> None:
    found = [policy.delay(failures) for failures in range(1, len(delays) + 1)]
    assert found == [None if delay is None else delay * SECOND for delay in delays]


def test_the_delay_stays_the_longest_however_often_it_fails() -> None:
    assert RetryPolicy(-1, SECOND, 5 * SECOND).delay(1_000_000) == 5 * SECOND


def test_a_folder_whose_policy_is_wrong_is_a_function_with_a_fault(tmp_path: Path) -> None:
    write_v1(tmp_path, {**FIXED, "maxRetryCount": None})
    [function] = read_function_folders(load_settings(tmp_path, environ={})).functions
    assert function.fault == (
        f"{tmp_path / 'flaky' / 'function.json'}: retry.maxRetryCount: expected a whole number such as 3 (-1 is no "
        "limit), found nothing"
    )


FLAKY = """
import azure.functions as func

def flaky(timer: func.TimerRequest, context: func.Context) -> None:
    retry = context.retry_context
    print(f"try {retry.retry_count} of {retry.max_retry_count}, after '{retry.exception.message}'")
    if retry.retry_count < 2:
        raise LookupError(f"no luck {retry.retry_count}")
"""


def write_v1(app: Path, retry: dict[str, Any]) -> None:
    """An app of one timer function that fails twice."""
    timer = {
        "name": "timer",
        "type": "timerTrigger",
        "direction": "in",
        "schedule": "0 0 0 1 1 *",
        "runOnStartup": True,
    }
    (app / "host.json").write_text('{"version": "2.0"}')
    (app / "flaky").mkdir()
    content = {"scriptFile": "__init__.py", "entryPoint": "flaky", "bindings": [timer], "retry": retry}
    (app / "flaky" / "function.json").write_text(json.dumps(content))
    (app / "flaky" / "__init__.py").write_text(FLAKY)


def write_v2(app: Path, retry: dict[str, Any]) -> None:
    """The same, declared by decorators."""
    arguments = {"strategy": "fixed_delay", "max_retry_count": str(retry["maxRetryCount"])}
    (app / "host.json").write_text('{"version": "2.0"}')
    (app / "function_app.py").write_text(
        f"{FLAKY}\nimport worker_ext as df\n\napp = df.DFApp()\n"
        'app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)(\n'
        f"    app.retry(**{arguments!r}, delay_interval={retry['delayInterval']!r})(flaky)\n)\n"
    )


@pytest.mark.parametrize("write", [write_v1, write_v2])
@pytest.mark.parametrize("count, tries", [(3, 3), (1, 2)])
async def test_a_timer_function_that_fails_is_run_again(tmp_path: Path, write: Any, count: int, tries: int) -> None:
    write(tmp_path, {**FIXED, "maxRetryCount": count, "delayInterval": "00:00:00"})
    said = [
        f"try 0 of {count}, after ''",
        f"try 1 of {count}, after 'LookupError: no luck 0'",
        f"try 2 of {count}, after 'LookupError: no luck 1'",
    ]
    async with run_host(tmp_path) as host:
        [function] = host.local.workers.catalog.functions
        await host.until(lambda: said[tries - 1] in host.printed.getvalue(), said[tries - 1])
        await host.until(lambda: host.local.workers.running == 0, "the last try to end")
        assert function.retry == RetryPolicy(count, timedelta(), timedelta())
        assert [line for line in said if line in host.printed.getvalue()] == said[:tries]
