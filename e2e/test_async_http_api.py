"""The sample async_http_api: callers poll the app's own addresses, and need to know no others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from host_process import PATIENCE, wait_until
from web_service import Reply, Request

APP = "async_http_api"


@contextmanager
def held_back(web: Any, path: str, body: object) -> Iterator[tuple[str, Callable[[], None]]]:
    """A page that is not answered before it is let go."""
    open_ = threading.Event()

    def answer(_: Request) -> Reply:
        open_.wait(PATIENCE)
        return Reply(body=body)

    try:
        yield web.serve(path, answer), open_.set
    finally:
        open_.set()


def order(host: Any, *pages: str) -> tuple[str, str]:
    """Orders a report; returns its id and where to ask for it."""
    answer = host.post("/api/reports", {"pages": list(pages)})
    assert (answer.status, answer.json["progress"], answer.headers["Retry-After"]) == (202, "ordered", "1")
    return answer.json["id"], answer.headers["Location"]


def ended(host: Any, location: str) -> Any:
    """The first answer that is not 202."""
    answers: list[Any] = []

    def has_ended() -> bool:
        answers.append(host.get(location))
        return answers[-1].status != 202

    wait_until(has_ended, "the report to be made", host.log)
    return answers[-1]


def test_a_report_is_ordered_polled_and_fetched(sample: Any, web: Any) -> None:
    short = web.serve_in_turn("/short", Reply(body="one two"))
    with held_back(web, "/long", "one two three") as (long, let_go):
        report, location = order(sample, short, long)
        assert location == f"{sample.url}/api/reports/{report}"
        progress = {"id": report, "progress": "1 of 2 pages"}
        wait_until(lambda: sample.get(location).json == progress, "the second page to be read", sample.log)
        under_way = sample.get(location)
        assert (under_way.status, under_way.headers["Location"]) == (202, location)
        let_go()
        answer = ended(sample, location)
    assert (answer.status, answer.json) == (200, {"words": {short: 2, long: 3}, "total": 5})


def test_a_report_that_cannot_be_made_says_why(sample: Any, web: Any) -> None:
    _, location = order(sample, f"{web.url}/missing")
    answer = ended(sample, location)
    assert (answer.status, "HTTP Error 404" in answer.text) == (500, True)


def test_a_report_can_be_cancelled(sample: Any, web: Any) -> None:
    with held_back(web, "/never", "") as (page, _):
        _, location = order(sample, page)
        assert sample.request("DELETE", location).status == 202
        answer = ended(sample, location)
        assert (answer.status, answer.text) == (410, "The report was cancelled.")
        assert sample.request("DELETE", location).status == 202, "once more changes nothing"


def test_nobody_knows_a_report_that_was_never_ordered(sample: Any) -> None:
    answers = [sample.request(method, "/api/reports/unknown") for method in ("GET", "DELETE")]
    assert [answer.status for answer in answers] == [404, 404]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"pages": [1]}', b'{"pages": ["file:///etc/passwd"]}'])
def test_an_order_that_cannot_be_read_is_the_callers_mistake(sample: Any, body: bytes) -> None:
    answer = sample.post("/api/reports", body)
    assert (answer.status, answer.text) == (400, 'The body must be {"pages": [<url>, ...]}.')
