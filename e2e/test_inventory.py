"""The sample inventory: typed values from end to end, and an entity that is a class."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from host_process import wait_until

APP = "inventory"
TWINS = pytest.mark.parametrize("twin", ["buy", "buy_steps"])
NO_PRICE = "$.lines[1].price: Expected `decimal`, got `null`"
CARD = {"kind": "card", "number": "4111111111111111"}


def stocked(host: Any, count: int) -> str:
    sku = uuid4().hex
    assert host.post(f"/api/stock/{sku}", count).status == 202
    wait_until(lambda: in_stock(host, sku) == count, f"{count} of {sku} in stock", host.log)
    return sku


def in_stock(host: Any, sku: str) -> int | None:
    answer = host.get(f"/api/stock/{sku}")
    return int(answer.text) if answer.status == 200 else None


def line(sku: str, count: int, price: Any = "3.50") -> dict[str, Any]:
    return {"sku": sku, "count": count, "price": price}


@TWINS
def test_an_order_is_typed_inside_and_plain_json_outside(sample: Any, twin: str) -> None:
    tea, cake = stocked(sample, 10), stocked(sample, 5)
    order = {"lines": [line(tea, 2), line(cake, 1, "0.25")], "payment": CARD, "speed": "express"}
    started = sample.begin(twin, order)
    assert sample.output_of(started) == {
        "total": "7.25",
        "paid_by": "card 1111",
        "arrives": "2026-01-02",
        "left": {tea: 8, cake: 4},
    }
    assert (in_stock(sample, tea), in_stock(sample, cake)) == (8, 4)
    assert sample.get(f"/api/receipts/{started}").text == "7.25 by card 1111, arrives on Friday"


@TWINS
def test_another_way_to_pay_is_another_class(sample: Any, twin: str) -> None:
    tea = stocked(sample, 1)
    order = {"lines": [line(tea, 1)], "payment": {"kind": "invoice", "customer": 17}}
    receipt = sample.output_of(sample.begin(twin, order))
    assert (receipt["paid_by"], receipt["arrives"]) == ("customer 17", "2026-01-04")


@TWINS
@pytest.mark.parametrize(
    "order,fault",
    [
        ({"lines": [line("a", 1), line("b", 1, None)], "payment": CARD}, NO_PRICE),
        ({"lines": [], "payment": {"kind": "cash"}}, "$.payment.kind: Expected one of 'card', 'invoice', got 'cash'"),
        ({"lines": [], "payment": CARD, "speed": "slow"}, "$.speed: Expected one of 'standard', 'express', got 'slow'"),
    ],
    ids=["price", "payment", "speed"],
)  # fmt: skip
def test_a_wrong_order_fails_with_the_place(sample: Any, twin: str, order: Any, fault: str) -> None:
    started = sample.begin(twin, order)
    result = sample.result(started)
    assert (result["runtimeStatus"], fault in result["output"]) == ("Failed", True), result
    assert sample.get(f"/api/receipts/{started}").status == 404


@TWINS
def test_what_is_not_there_is_not_taken(sample: Any, twin: str) -> None:
    tea = stocked(sample, 1)
    result = sample.result(sample.begin(twin, {"lines": [line(tea, 2)], "payment": CARD}))
    assert (result["runtimeStatus"], "1 left, 2 wanted" in result["output"]) == ("Failed", True), result
    assert in_stock(sample, tea) == 1


def test_orders_at_once_never_take_more_than_there_is(sample: Any) -> None:
    tea = stocked(sample, 6)
    order = {"lines": [line(tea, 2)], "payment": CARD}
    results = [sample.result(started) for started in [sample.begin("buy", order) for _ in range(5)]]
    assert sorted(result["runtimeStatus"] for result in results) == ["Completed"] * 3 + ["Failed"] * 2
    assert in_stock(sample, tea) == 0


def test_what_is_no_operation_changes_nothing(sample: Any) -> None:
    tea = stocked(sample, 1)
    address = f"{sample.webhook}/entities/Stock/{tea}"
    assert sample.post(f"{address}?op=_change", 5).status == 202
    assert sample.post(f"{address}?op=receive", 1).status == 202
    wait_until(lambda: in_stock(sample, tea) == 2, "one more in stock", sample.log)
