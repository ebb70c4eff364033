"""The sample pipelines: branches that do not wait for each other."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from host_process import PATIENCE, wait_until
from web_service import Reply, Request

APP = "pipelines"


@pytest.fixture(autouse=True)
def _fresh(web: Any) -> None:
    web.requests.clear()
    web.serve_in_turn("/published", Reply())


def until(host: Any, instance_id: str, event: str) -> None:
    def has_happened() -> bool:
        history = host.status(instance_id, "?showHistory=true").get("historyEvents", [])
        return event in {entry["EventType"] for entry in history}

    wait_until(has_happened, f"{event} in the history", host.log)


def test_a_branch_takes_its_second_step_while_another_is_at_its_first(sample: Any, web: Any) -> None:
    """The first page is not given before the second was published."""
    published = threading.Event()
    in_time: list[bool] = []

    def slow(_: Request) -> Reply:
        in_time.append(published.wait(PATIENCE / 2))
        return Reply(body="one two")

    def note(request: Request) -> Reply:
        if request.json["page"].endswith("/quick"):
            published.set()
        return Reply()

    pages = [web.serve("/slow", slow), web.serve_in_turn("/quick", Reply(body="one two three"))]
    to = web.serve("/published", note)
    assert sample.output_of(sample.begin("publish_all", {"pages": pages, "to": to})) == [2, 3]
    assert in_time == [True]
    assert [request.json["page"] for request in web.asked("/published")] == pages[::-1]


def test_no_more_than_the_limit_are_under_way_at_once(sample: Any, web: Any) -> None:
    under_way: Counter[str] = Counter()
    most = 0
    lock = threading.Lock()

    def fetched(request: Request) -> Reply:
        nonlocal most
        with lock:
            under_way[request.path] += 1
            most = max(most, under_way.total())
        return Reply(body=request.path)

    def published(request: Request) -> Reply:
        with lock:
            under_way[request.json["page"].removeprefix(web.url)] -= 1
        return Reply()

    pages = [web.serve(f"/page{number}", fetched) for number in range(8)]
    job = {"pages": pages, "to": web.serve("/published", published), "limit": 3}
    assert sample.output_of(sample.begin("publish_some_at_a_time", job)) == [1] * 8
    assert (most <= 3, under_way.total(), len(web.asked("/published"))) == (True, 0, 8)


def test_the_first_answer_counts(sample: Any, web: Any) -> None:
    asked = threading.Event()

    def never(_: Request) -> Reply:
        asked.wait(PATIENCE)
        return Reply(body="late")

    mirrors = [web.serve("/never", never), web.serve_in_turn("/fast", Reply(body="fast"))]
    instance_id = sample.begin("fetch_from_the_fastest", {"mirrors": mirrors})
    until(sample, instance_id, "TaskCompleted")
    asked.set()  # an activity that runs cannot be called back; the orchestration ends when it has
    assert sample.output_of(instance_id) == '"fast"'


def test_no_answer_in_time_is_none(sample: Any, web: Any) -> None:
    asked = threading.Event()

    def late(_: Request) -> Reply:
        asked.wait(PATIENCE)
        return Reply(body="late")

    job = {"mirrors": [web.serve("/late", late)], "seconds": 0.2}
    instance_id = sample.begin("fetch_from_the_fastest", job)
    until(sample, instance_id, "TimerFired")
    asked.set()
    assert sample.output_of(instance_id) is None
