"""The sample reminders: signals between entities, at once and later."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from host_process import wait_until

APP = "reminders"
SETTINGS = {"REMIND_AFTER_SECONDS": "1"}


def use(host: Any, key: str, operation: str, item: str = "") -> None:
    assert host.request("POST", f"/api/carts/{key}/{operation}", item.encode()).status == 202


def look(host: Any, entity: str, key: str) -> Any:
    answer = host.get(f"/api/look/{entity}/{key}")
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


def until(host: Any, entity: str, key: str, state: Any) -> None:
    wait_until(lambda: look(host, entity, key) == state, f"{entity} {key} to be {state}", host.log)


def sold(host: Any) -> int:
    return look(host, "sales", "today") or 0


def test_who_leaves_something_in_a_cart_is_reminded_once_and_later(sample: Any) -> None:
    key = uuid4().hex
    for item in ("a cup", "a book"):
        use(sample, key, "add", item)
    until(sample, "cart", key, ["a cup", "a book"])
    until(sample, "mailbox", key, ["You have left a cup, a book in your cart."])


def test_carts_do_nothing_else(sample: Any) -> None:
    assert sample.post("/api/carts/any/steal").status == 404


def test_what_is_checked_out_is_counted_and_not_reminded_of(sample: Any) -> None:
    before, left, bought = sold(sample), uuid4().hex, uuid4().hex
    use(sample, bought, "add", "a cup")
    until(sample, "cart", bought, ["a cup"])
    use(sample, bought, "check_out")
    wait_until(lambda: sold(sample) == before + 1, "the sale to be counted", sample.log)
    assert look(sample, "cart", bought) is None
    use(sample, left, "add", "a book")  # its reminder is sent after the other's would have been
    until(sample, "mailbox", left, ["You have left a book in your cart."])
    assert look(sample, "mailbox", bought) is None
