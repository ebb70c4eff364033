"""The sample http_start: any orchestrator, under any id, waited for or not."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

APP = "http_start"


def new_id() -> str:
    return uuid4().hex


def test_it_starts_an_orchestrator_under_the_callers_id(sample: Any) -> None:
    instance_id = new_id()
    answer = sample.post(f"/api/orchestrators/greet/{instance_id}", "Ann")
    assert (answer.status, answer.json["id"], answer.headers["Location"]) == (
        202,
        instance_id,
        answer.json["statusQueryGetUri"],
    )
    assert sample.output_of(instance_id) == {"greeting": "Hello Ann!", "instance": instance_id}


def test_it_makes_an_id_up_where_none_is_given(sample: Any) -> None:
    instance_id = sample.begin("greet")
    assert sample.output_of(instance_id) == {"greeting": "Hello world!", "instance": instance_id}


def test_it_waits_for_the_output(sample: Any) -> None:
    instance_id = new_id()
    answer = sample.post(f"/api/wait/greet/{instance_id}?seconds=30", "Bob")
    assert (answer.status, answer.json) == (200, {"greeting": "Hello Bob!", "instance": instance_id})


def test_it_answers_with_the_links_when_that_takes_too_long(sample: Any) -> None:
    answer = sample.post("/api/wait/greet_when_told?seconds=0.2")
    assert answer.status == 202
    sample.post(answer.json["sendEventPostUri"].replace("{eventName}", "name"), "Cal")
    assert sample.output_of(answer.json["id"]) == "Hello Cal!"


def test_an_id_that_runs_is_not_started_again(sample: Any) -> None:
    instance_id = new_id()
    sample.post(f"/api/orchestrators/greet_when_told/{instance_id}")
    again = sample.post(f"/api/orchestrators/greet_when_told/{instance_id}")
    assert (again.status, instance_id in again.text) == (409, True)


def test_an_orchestrator_that_is_not_there_gives_an_instance_that_fails(sample: Any) -> None:
    status = sample.result(sample.begin("missing"))
    assert (status["runtimeStatus"], "Orchestrator function 'missing' failed" in status["output"]) == ("Failed", True)
    waited = sample.post("/api/wait/missing?seconds=30")
    assert (waited.status, waited.json["output"]) == (500, status["output"])


def test_what_cannot_be_read_is_the_callers_mistake(sample: Any) -> None:
    answers = [
        sample.post("/api/orchestrators/greet", b"{"),
        *(sample.post(f"/api/wait/greet?seconds={seconds}") for seconds in ("soon", "-1", "31", "nan")),
    ]
    assert {answer.status for answer in answers} == {400}
