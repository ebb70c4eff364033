"""The sample order_saga: both twins take everything or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from host_process import wait_until

APP = "order_saga"
TWINS = pytest.mark.parametrize("twin", ["order", "order_async"])


@pytest.fixture(autouse=True)
def _ten_cups_and_a_hundred_crowns(sample: Any) -> None:
    for key, number in (("cups", 10), ("ann", 100)):
        missing = number - held(sample, key)
        sample.post(f"/api/holdings/{key}", missing)
        wait_until(lambda key=key, number=number: held(sample, key) == number, f"{number} {key}", sample.log)


def held(host: Any, key: str) -> int:
    return int(host.get(f"/api/holdings/{key}").json)


def order(**differs: Any) -> dict[str, Any]:
    return {"product": "cups", "customer": "ann", "pieces": 2, "price": 30, "country": "Norway", **differs}


@TWINS
def test_an_order_takes_goods_and_money(sample: Any, twin: str) -> None:
    assert sample.output_of(sample.begin(twin, order())) == {"parcel": "parcel to Norway"}
    assert (held(sample, "cups"), held(sample, "ann")) == (8, 70)


@TWINS
@pytest.mark.parametrize(
    "differs, why",
    [
        ({"pieces": 11}, "cups has 10, not 11"),
        ({"price": 101}, "ann has 100, not 101"),
        ({"country": "Atlantis"}, "no courier goes to Atlantis"),
    ],
    ids=["no goods", "no money", "no courier"],
)
def test_an_order_that_fails_at_any_step_takes_nothing(
    sample: Any, twin: str, differs: dict[str, Any], why: str
) -> None:
    status = sample.result(sample.begin(twin, order(**differs)))
    assert (status["runtimeStatus"], why in status["output"]) == ("Failed", True), status["output"]
    assert (held(sample, "cups"), held(sample, "ann")) == (10, 100)
