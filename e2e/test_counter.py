"""The sample counter: signals in, sums out."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from host_process import wait_until

APP = "counter"


@pytest.fixture
def key() -> str:
    """A counter that nobody else counts on."""
    return uuid4().hex


def until_counted(host: Any, key: str, number: int) -> None:
    def is_there() -> bool:
        answer = host.get(f"/api/counters/{key}")
        return answer.status == 200 and answer.json == number

    wait_until(is_there, f"counter {key} to be {number}", host.log)


def test_it_counts_what_it_is_sent(sample: Any, key: str) -> None:
    keys = (f"{key}-x", f"{key}-y")
    answers = [sample.post(f"/api/counters/{key}/add", number).status for number in range(20) for key in keys]
    assert set(answers) == {202}
    for key in keys:
        until_counted(sample, key, 190)


def test_counters_are_there_after_a_restart(make_host: Any) -> None:
    host = make_host("apps/counter").start()
    host.post("/api/counters/visits/add", 2)
    host.interrupt()
    host.start()
    host.post("/api/counters/visits/add", 3)
    until_counted(host, "visits", 5)


def test_a_deleted_counter_is_gone(sample: Any, key: str) -> None:
    sample.post(f"/api/counters/{key}/add", 2)
    until_counted(sample, key, 2)
    assert sample.request("DELETE", f"/api/counters/{key}").status == 202
    wait_until(lambda: sample.get(f"/api/counters/{key}").status == 404, "the counter to be gone", sample.log)


@pytest.mark.parametrize("body", [b"", b"{", b'"2"', b"true", b"1.5"])
def test_what_is_no_number_is_the_callers_mistake(sample: Any, body: bytes) -> None:
    answer = sample.post("/api/counters/visits/add", body)
    assert (answer.status, answer.text) == (400, "The body must be a whole number.")


def test_the_management_api_shows_the_counters(sample: Any, key: str) -> None:
    sample.post(f"/api/counters/{key}/add", 2)
    until_counted(sample, key, 2)
    listed = sample.get(f"{sample.webhook}/entities/counter?fetchState=true").json
    assert [{**entity, "lastOperationTime": ""} for entity in listed if entity["entityId"]["key"] == key] == [
        {"entityId": {"name": "counter", "key": key}, "lastOperationTime": "", "state": 2}
    ]
    assert sample.get(f"{sample.webhook}/entities/Counter/{key}").json == 2
