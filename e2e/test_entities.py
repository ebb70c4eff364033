"""Entities through the whole host: critical sections, and what is left of them when everything is killed.

Each kill test draws its kill points from a seed that it prints; WORKER_EXT_KILL_SEED=<n> runs it with another one.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any

import pytest
from host_process import wait_until

KILLS = 5
TALLIES = 6
TIMES = 25
"""Deposits by call, and as many by signal, of one tally."""

TRANSFERS = 8
SEEDS = [int(os.environ["WORKER_EXT_KILL_SEED"])] if "WORKER_EXT_KILL_SEED" in os.environ else [1, 2]


def start(host: Any, orchestrator: str, instance_id: str, input_: Any = None) -> None:
    """Starts an instance without the help of a worker."""
    answer = host.post(f"{host.webhook}/orchestrators/{orchestrator}/{instance_id}", input_)
    assert answer.status == 202, f"{answer.status} {answer.text}\n{host.log()}"


def deposit(host: Any, key: str, amount: int) -> None:
    """Signals an account without the help of a worker; once answered, it must not be lost."""
    answer = host.post(f"{host.webhook}/entities/account/{key}?op=deposit", str(amount))
    assert answer.status == 202, f"{answer.status} {answer.text}\n{host.log()}"


def balance(host: Any, key: str) -> int | None:
    answer = host.get(f"{host.webhook}/entities/account/{key}")
    return int(answer.json) if answer.status == 200 else None


def until_balance(host: Any, key: str, amount: int) -> None:
    wait_until(lambda: balance(host, key) == amount, f"{key} to have {amount}", host.log)


def test_money_moves_between_two_locked_accounts(make_host: Any) -> None:
    host = make_host("apps_for_tests/bank").start()
    deposit(host, "rich", 100)
    start(host, "transfer", "t1", {"from": "rich", "to": "poor", "amount": 30})
    start(host, "transfer", "t2", {"from": "poor", "to": "rich", "amount": 1000})
    assert (host.output_of("t1"), host.output_of("t2")) == (True, False)
    until_balance(host, "rich", 70)
    until_balance(host, "poor", 30)


def test_transfers_both_ways_at_once_do_not_block_each_other(make_host: Any) -> None:
    host = make_host("apps_for_tests/bank").start()
    for key in ("a", "b"):
        deposit(host, key, 1000)
    for number in range(10):
        start(host, "transfer", f"forth-{number}", {"from": "a", "to": "b", "amount": 3})
        start(host, "transfer", f"back-{number}", {"from": "b", "to": "a", "amount": 1})
    results = [host.output_of(f"{way}-{number}") for way in ("forth", "back") for number in range(10)]
    assert set(results) == {True}
    until_balance(host, "a", 980)
    until_balance(host, "b", 1020)


def test_an_error_of_an_operation_reaches_the_orchestrator_and_changes_nothing(make_host: Any) -> None:
    host = make_host("apps_for_tests/bank").start()
    start(host, "overdraw", "o")
    assert "poor has 0, not 5" in host.output_of("o")
    assert balance(host, "poor") is None


@pytest.mark.parametrize("victim", ["host", "workers"])
@pytest.mark.parametrize("seed", SEEDS)
def test_kill_9_neither_loses_an_operation_nor_repeats_one(make_host: Any, seed: int, victim: str) -> None:
    host = make_host("apps_for_tests/bank").start()
    chance = random.Random(seed)
    print(f"kill points drawn from seed {seed}")
    for key in ("a", "b"):
        deposit(host, key, 500)
    for number in range(TALLIES):
        start(host, "tally", f"tally-{number}", {"to": "counted", "times": TIMES})
    for number in range(TRANSFERS):
        way = ("a", "b") if number % 2 else ("b", "a")
        start(host, "transfer", f"transfer-{number}", {"from": way[0], "to": way[1], "amount": number})
    busy = 0
    for number in range(KILLS):
        deposit(host, "counted", 1000)
        delay = chance.choice([0.0, chance.uniform(0, 0.4)])
        time.sleep(delay)
        is_working = any(host.status(f"tally-{number}")["runtimeStatus"] != "Completed" for number in range(TALLIES))
        print(f"kill {number} after {delay:.3f} s, {'in the middle' if is_working else 'when all was done'}")
        busy += is_working
        if victim == "host":
            host.kill()
            host.start()
        else:
            host.kill_workers()
    assert busy >= 2, "the work was done before there was much to kill"
    assert [host.output_of(f"tally-{number}") for number in range(TALLIES)] == [TIMES] * TALLIES
    assert {host.output_of(f"transfer-{number}") for number in range(TRANSFERS)} == {True}
    until_balance(host, "counted", 2 * TALLIES * TIMES + 1000 * KILLS)
    until_balance(host, "ledger", TALLIES)
    moved = sum(number if number % 2 else -number for number in range(TRANSFERS))
    until_balance(host, "a", 500 - moved)
    until_balance(host, "b", 500 + moved)
    for key in ("a", "b"):
        assert host.status(f"@account@{key}")["customStatus"] == {"entityExists": True}
