"""The sample approval: both twins count votes, and ask the manager when too few come."""

from __future__ import annotations

from typing import Any

import pytest
from host_process import wait_until
from web_service import Reply

APP = "approval"
SETTINGS = {"MESSAGE_URL": "{web}/messages"}
TWINS = pytest.mark.parametrize("twin", ["approval", "approval_async"])


@pytest.fixture(autouse=True)
def _messages(web: Any) -> None:
    web.requests.clear()
    web.serve_in_turn("/messages", Reply())


def ask(host: Any, twin: str, seconds: float = 600) -> str:
    people = {"colleagues": ["Ann", "Bob", "Cal"], "votes": 2, "manager": "Mia"}
    instance_id: str = host.begin(twin, {"about": "chairs", **people, "seconds": seconds})
    return instance_id


def say(host: Any, instance_id: str, event: str, by: str, *, approves: bool) -> None:
    answer = host.post(f"/api/approvals/{instance_id}/{event}", {"by": by, "approves": approves})
    assert answer.status == 202, answer.text


def messages(web: Any) -> list[Any]:
    return [request.json for request in web.asked("/messages")]


@TWINS
@pytest.mark.parametrize("approves", [True, False])
def test_two_votes_decide(sample: Any, web: Any, twin: str, approves: bool) -> None:
    instance_id = ask(sample, twin)
    say(sample, instance_id, "vote", "Ann", approves=True)
    say(sample, instance_id, "vote", "Cal", approves=approves)
    assert sample.output_of(instance_id) == {"approved": approves, "by": ["Ann", "Cal"]}
    assert messages(web) == [{"who": ["Ann", "Bob", "Cal"], "text": "Please vote on chairs"}]


@TWINS
def test_who_votes_twice_has_one_vote_the_last(sample: Any, twin: str) -> None:
    instance_id = ask(sample, twin)
    for by, approves in (("Ann", False), ("Ann", True), ("Bob", True)):
        say(sample, instance_id, "vote", by, approves=approves)
    assert sample.output_of(instance_id) == {"approved": True, "by": ["Ann", "Bob"]}


@TWINS
def test_the_manager_decides_when_too_few_vote_in_time(sample: Any, web: Any, twin: str) -> None:
    instance_id = ask(sample, twin, seconds=2)
    say(sample, instance_id, "vote", "Ann", approves=False)
    wait_until(lambda: sample.status(instance_id)["customStatus"] == "escalated", "the escalation", sample.log)
    say(sample, instance_id, "decision", "Mia", approves=True)
    assert sample.output_of(instance_id) == {"approved": True, "by": ["Mia"]}
    assert messages(web)[1:] == [{"who": ["Mia"], "text": "Please decide on chairs"}]


@TWINS
def test_what_nobody_answers_is_not_approved(sample: Any, twin: str) -> None:
    assert sample.output_of(ask(sample, twin, seconds=0.3)) == {"approved": False, "by": []}


@pytest.mark.parametrize("body", [{"by": "Ann"}, {"by": "Ann", "approves": "yes"}, ["Ann", True], None])
def test_an_answer_nobody_can_read_is_the_callers_mistake(sample: Any, body: Any) -> None:
    answer = sample.post("/api/approvals/any/vote", body)
    assert (answer.status, answer.text) == (400, 'The body must be {"by": "<name>", "approves": true or false}.')


def test_an_answer_to_nothing_is_refused(sample: Any) -> None:
    answer = sample.post("/api/approvals/unknown/vote", {"by": "Ann", "approves": True})
    assert answer.status == 404
