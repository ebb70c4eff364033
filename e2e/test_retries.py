"""The sample retries: how often a service is asked before it is given up."""

from __future__ import annotations

from typing import Any

import pytest
from web_service import Reply

APP = "retries"
BUSY, BROKEN, REFUSED, FINE = Reply(503), Reply(500), Reply(404), Reply(body="fine")


@pytest.fixture
def fetch(sample: Any, web: Any) -> Any:
    """Runs an orchestrator on a service that gives these answers; returns its status and the number of requests."""

    def run(orchestrator: str, *replies: Reply) -> tuple[Any, int]:
        web.requests.clear()
        url = web.serve_in_turn("/page", *replies)
        status = sample.result(sample.begin(orchestrator, {"url": url, "first_delay": 10}))
        return status, len(web.asked("/page"))

    return run


@pytest.mark.parametrize("orchestrator", ["fetch_with_backoff", "fetch_unless_refused"])
def test_a_service_that_recovers_is_asked_until_then(fetch: Any, orchestrator: str) -> None:
    status, requests = fetch(orchestrator, BROKEN, BUSY, FINE)
    assert (status["output"], requests) == ('"fine"', 3)


def test_a_service_that_stays_down_is_asked_five_times(fetch: Any, web: Any) -> None:
    status, requests = fetch("fetch_with_backoff", BROKEN)
    assert (status["runtimeStatus"], requests) == ("Failed", 5)
    assert f"ConnectionError: {web.url}/page answered 500" in status["output"]


def test_what_is_refused_is_not_asked_again(fetch: Any, web: Any) -> None:
    status, requests = fetch("fetch_unless_refused", BUSY, REFUSED)
    assert (status["output"], requests) == (f"RefusedError: {web.url}/page answered 404", 2)


def test_code_decides_after_each_failure(fetch: Any) -> None:
    status, requests = fetch("fetch_while_busy", *[BUSY] * 6, FINE)
    assert (status["output"], requests) == ('"fine"', 7)


def test_code_may_give_up(fetch: Any) -> None:
    status, requests = fetch("fetch_while_busy", BUSY, BROKEN, FINE)
    assert (status["runtimeStatus"], requests) == ("Failed", 2)
