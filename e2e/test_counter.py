"""The sample counter: signals in, sums out."""

from __future__ import annotations

from typing import Any

import pytest
from host_process import wait_until


def until_counted(host: Any, key: str, number: int) -> None:
    def is_there() -> bool:
        answer = host.get(f"/api/counters/{key}")
        return answer.status == 200 and answer.json == number

    wait_until(is_there, f"counter {key} to be {number}", host.log)


def test_it_counts_what_it_is_sent(make_host: Any) -> None:
    host = make_host("apps/counter").start()
    answers = [host.post(f"/api/counters/{key}/add", number).status for number in range(20) for key in ("x", "y")]
    assert set(answers) == {202}
    until_counted(host, "x", 190)
    until_counted(host, "y", 190)


def test_counters_are_there_after_a_restart(make_host: Any) -> None:
    host = make_host("apps/counter").start()
    host.post("/api/counters/visits/add", 2)
    host.interrupt()
    host.start()
    host.post("/api/counters/visits/add", 3)
    until_counted(host, "visits", 5)


def test_a_deleted_counter_is_gone(make_host: Any) -> None:
    host = make_host("apps/counter").start()
    host.post("/api/counters/visits/add", 2)
    until_counted(host, "visits", 2)
    assert host.request("DELETE", "/api/counters/visits").status == 202
    wait_until(lambda: host.get("/api/counters/visits").status == 404, "the counter to be gone", host.log)


@pytest.mark.parametrize("body", [b"", b"{", b'"2"', b"true", b"1.5"])
def test_what_is_no_number_is_the_callers_mistake(make_host: Any, body: bytes) -> None:
    host = make_host("apps/counter").start()
    answer = host.post("/api/counters/visits/add", body)
    assert (answer.status, answer.text) == (400, "The body must be a whole number.")


def test_the_management_api_shows_the_counters(make_host: Any) -> None:
    host = make_host("apps/counter").start()
    host.post("/api/counters/visits/add", 2)
    until_counted(host, "visits", 2)
    (entity,) = host.get(f"{host.webhook}/entities/counter?fetchState=true").json
    assert {**entity, "lastOperationTime": ""} == {
        "entityId": {"name": "counter", "key": "visits"},
        "lastOperationTime": "",
        "state": 2,
    }
    assert host.get(f"{host.webhook}/entities/Counter/visits").json == 2
