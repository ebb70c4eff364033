"""The sample instance_manager: what the durable client does, as its callers see it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from host_process import wait_until

APP = "instance_manager"
SETTINGS = {"KEEP_DAYS": "0"}


def state(host: Any, instance_id: str) -> Any:
    answer = host.get(f"/api/instances/{instance_id}")
    return answer.json["state"] if answer.status == 200 else None


def until(host: Any, instance_id: str, expected: str | None) -> None:
    wait_until(lambda: state(host, instance_id) == expected, f"{instance_id} to be {expected}", host.log)


def manage(host: Any, instance_id: str, verb: str, reason: str = "") -> Any:
    answer = host.request("POST", f"/api/instances/{instance_id}/{verb}", reason.encode())
    assert answer.status == 200, answer.text
    return answer.json


def waiting(host: Any) -> str:
    instance_id: str = host.begin("wait_for_go", {"some": "input"})
    until(host, instance_id, "Running")
    return instance_id


def go(host: Any, instance_id: str, value: Any) -> None:
    host.post(f"{host.webhook}/instances/{instance_id}/raiseEvent/go", value)


def test_an_instance_is_shown_with_its_history(sample: Any) -> None:
    instance_id = waiting(sample)
    go(sample, instance_id, "now")
    until(sample, instance_id, "Completed")
    assert sample.get(f"/api/instances/{instance_id}").json == {
        "state": "Completed",
        "output": "now",
        "events": ["ExecutionStarted", "EventRaised", "ExecutionCompleted"],
    }


def test_a_suspended_instance_takes_no_step_until_it_is_resumed(sample: Any) -> None:
    instance_id = waiting(sample)
    manage(sample, instance_id, "suspend", "a pause")
    until(sample, instance_id, "Suspended")
    go(sample, instance_id, "later")
    assert state(sample, instance_id) == "Suspended"
    manage(sample, instance_id, "resume")
    assert sample.output_of(instance_id) == "later"


def test_a_terminated_instance_keeps_the_reason(sample: Any) -> None:
    instance_id = waiting(sample)
    manage(sample, instance_id, "terminate", "enough")
    until(sample, instance_id, "Terminated")
    assert sample.status(instance_id)["output"] == "enough"


def test_a_restarted_instance_is_a_new_one_with_the_same_input(sample: Any) -> None:
    instance_id = waiting(sample)
    again = manage(sample, instance_id, "restart")
    until(sample, again, "Running")
    assert (again != instance_id, sample.status(again)["input"]) == (True, '{"some": "input"}')


def test_a_purged_instance_is_gone(sample: Any) -> None:
    instance_id = waiting(sample)
    manage(sample, instance_id, "terminate")
    until(sample, instance_id, "Terminated")
    assert manage(sample, instance_id, "purge") == 1
    assert sample.get(f"/api/instances/{instance_id}").status == 404


def test_what_the_host_refuses_is_passed_on(sample: Any) -> None:
    instance_id = waiting(sample)
    answers = [
        sample.post("/api/instances/unknown/terminate"),
        sample.post(f"/api/instances/{instance_id}/purge"),
        sample.post(f"/api/instances/{instance_id}/dance"),
    ]
    assert [answer.status for answer in answers] == [404, 412, 404]


def test_instances_are_counted_and_ended_by_the_beginning_of_their_ids(sample: Any) -> None:
    """More than one page of them."""
    prefix = uuid4().hex
    for number in range(105):
        sample.post(f"{sample.webhook}/orchestrators/wait_for_go/{prefix}-{number}")
    counts = f"/api/instances?prefix={prefix}"
    wait_until(lambda: sample.get(counts).json == {"Running": 105}, "all to run", sample.log)
    assert sample.post(f"/api/shut-down?prefix={prefix}").json == {"terminated": 105, "refused": 0}
    wait_until(lambda: sample.get(counts).json == {"Terminated": 105}, "all to be ended", sample.log)


def test_what_has_ended_is_purged_at_night_and_what_runs_stays(sample: Any) -> None:
    ended, running = waiting(sample), waiting(sample)
    manage(sample, ended, "terminate")
    until(sample, ended, "Terminated")
    assert sample.post("/admin/functions/purge_nightly", {}).status == 202
    until(sample, ended, None)
    assert state(sample, running) == "Running"
