"""The sample bank_transfer: money is moved whole, and nobody sees it on its way."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from host_process import wait_until
from real_workers.cases import Case

APP = "bank_transfer"
WORKERS = ["own worker", "own worker over gRPC", Case("v2", "proxy", "3.13")]
TWINS = pytest.mark.parametrize("twin", ["transfer", "transfer_async"])


def new_account(host: Any, amount: int) -> str:
    owner = uuid4().hex
    assert host.post(f"/api/accounts/{owner}/deposit", amount).status == 202
    until(host, owner, {"balance": amount, "entries": [amount]})
    return owner


def until(host: Any, owner: str, state: Any) -> None:
    def is_there() -> bool:
        answer = host.get(f"/api/accounts/{owner}")
        return answer.status == 200 and answer.json == state

    wait_until(is_there, f"{owner} to have {state}", host.log)


def audited(host: Any, owner: str) -> int:
    answer = host.get(f"{host.webhook}/entities/audit/{owner}")
    return int(answer.json) if answer.status == 200 else 0


@TWINS
def test_money_moves_from_one_account_to_the_other(sample: Any, twin: str) -> None:
    source, target = new_account(sample, 100), uuid4().hex
    assert sample.output_of(sample.begin(twin, {"from": source, "to": target, "amount": 30})) is True
    until(sample, source, {"balance": 70, "entries": [100, -30]})
    until(sample, target, {"balance": 30, "entries": [30]})


@TWINS
def test_what_is_not_there_is_not_moved(sample: Any, twin: str) -> None:
    source, target = new_account(sample, 10), uuid4().hex
    assert sample.output_of(sample.begin(twin, {"from": source, "to": target, "amount": 30})) is False
    until(sample, source, {"balance": 10, "entries": [10]})
    assert sample.get(f"/api/accounts/{target}").status == 404


@TWINS
def test_transfers_at_once_see_each_others_end(sample: Any, twin: str) -> None:
    """Ten want 30 of 100, half of them back again: who looks before another has paid would overdraw."""
    a, b = new_account(sample, 100), new_account(sample, 100)
    ways = [(a, b), (b, a)] * 5
    transfers = [sample.begin(twin, {"from": source, "to": target, "amount": 30}) for source, target in ways]
    moved = [sample.output_of(transfer) for transfer in transfers]
    forth, back = sum(moved[::2]), sum(moved[1::2])
    for owner, balance in ((a, 100 - 30 * forth + 30 * back), (b, 100 + 30 * forth - 30 * back)):
        state = sample.get(f"/api/accounts/{owner}").json
        assert state["balance"] == sum(state["entries"]) == balance
        assert min(sum(state["entries"][:count]) for count in range(1, len(state["entries"]) + 1)) >= 0


def test_an_operation_that_fails_leaves_nothing_behind(sample: Any) -> None:
    owner = new_account(sample, 10)
    assert (
        sample.output_of(sample.begin("withdraw", {"from": owner, "amount": 30})) == f"refused: {owner} has 10, not 30"
    )
    assert sample.output_of(sample.begin("withdraw", {"from": owner, "amount": 3})) == 7
    until(sample, owner, {"balance": 7, "entries": [10, -3]})
    wait_until(lambda: audited(sample, owner) >= 2, "two movements to be counted", sample.log)
    assert audited(sample, owner) == 2
