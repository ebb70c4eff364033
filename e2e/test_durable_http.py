"""The sample durable_http: what the host sends, and what it makes of the answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from web_service import Reply

APP = "durable_http"
SETTINGS = {"IDENTITY_ENDPOINT": "{web}/identity", "IDENTITY_HEADER": "open sesame"}


@pytest.fixture(autouse=True)
def _fresh(web: Any) -> None:
    web.requests.clear()


def run(host: Any, orchestrator: str, **job: Any) -> Any:
    output = host.output_of(host.begin(orchestrator, job))
    return {**output, "content": json.loads(output["content"] or "null")}


def test_a_slow_answer_is_followed_to_its_end(sample: Any, web: Any) -> None:
    look_again = {"Location": "/orders/1", "Retry-After": "1"}
    url = web.serve_in_turn("/orders", Reply(202, headers=look_again))
    web.serve_in_turn("/orders/1", Reply(202, headers=look_again), Reply(body={"order": 1, "state": "ready"}))
    assert run(sample, "order", url=url, order=1) == {"status": 200, "content": {"order": 1, "state": "ready"}}
    assert [(request.method, request.path) for request in web.requests] == [
        ("POST", "/orders"),
        ("GET", "/orders/1"),
        ("GET", "/orders/1"),
    ]
    assert web.asked("/orders")[0].json == {"order": 1}


def test_answers_that_say_later_are_tried_again(sample: Any, web: Any) -> None:
    url = web.serve_in_turn("/page", Reply(503), Reply(503), Reply(body="fine"))
    assert run(sample, "fetch", url=url, first_delay=10) == {"status": 200, "content": "fine"}
    assert len(web.asked("/page")) == 3


def test_the_last_answer_is_given_when_there_were_enough(sample: Any, web: Any) -> None:
    url = web.serve_in_turn("/page", Reply(503, "busy"))
    assert run(sample, "fetch", url=url, first_delay=10) == {"status": 503, "content": "busy"}
    assert len(web.asked("/page")) == 4


def test_an_answer_that_is_an_error_is_an_answer(sample: Any, web: Any) -> None:
    assert run(sample, "fetch", url=f"{web.url}/missing") == {"status": 404, "content": None}


def test_the_host_puts_the_token_on(sample: Any, web: Any) -> None:
    web.serve("/identity", lambda asked: Reply(body={"access_token": f"for {asked.query['resource']}"}))
    url = web.serve("/secret", lambda asked: Reply(body=asked.headers.get("Authorization")))
    instance_id = sample.begin("fetch_as_the_app", {"url": url, "resource": "https://vault.azure.net"})
    assert json.loads(sample.output_of(instance_id)["content"]) == "Bearer for https://vault.azure.net"
    (asked,) = web.asked("/identity")
    assert asked.headers["X-IDENTITY-HEADER"] == "open sesame"
