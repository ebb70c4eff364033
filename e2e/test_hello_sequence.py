"""The sample hello_sequence, from an HTTP request to its result."""

from __future__ import annotations

from typing import Any

import pytest
from real_workers.cases import Case

APP = "hello_sequence"
WORKERS = ["own worker", "own worker over gRPC", Case("v2", "proxy", "3.13")]
GREETINGS = ["Hello Tokyo!", "Hello Seattle!", "Hello London!"]


def test_greets_three_cities_in_turn(sample: Any) -> None:
    assert sample.output_of(sample.begin("hello_sequence")) == GREETINGS


def test_start_answers_202_with_links_that_work(sample: Any) -> None:
    answer = sample.post("/api/orchestrators/hello_sequence", {"any": "input"})
    links = answer.json
    instance = f"{sample.webhook}/instances/{links['id']}"
    query = links["statusQueryGetUri"].partition("?")[2]
    assert (answer.status, answer.headers["Location"], answer.headers["Retry-After"]) == (
        202,
        links["statusQueryGetUri"],
        "10",
    )
    assert links == {
        "id": links["id"],
        "statusQueryGetUri": f"{instance}?{query}",
        "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{query}",
        "terminatePostUri": f"{instance}/terminate?reason={{text}}&{query}",
        "rewindPostUri": f"{instance}/rewind?reason={{text}}&{query}",
        "purgeHistoryDeleteUri": f"{instance}?{query}",
        "restartPostUri": f"{instance}/restart?{query}",
        "suspendPostUri": f"{instance}/suspend?reason={{text}}&{query}",
        "resumePostUri": f"{instance}/resume?reason={{text}}&{query}",
    }
    sample.result(links["id"])
    status = sample.get(links["statusQueryGetUri"]).json
    assert {**status, "createdTime": None, "lastUpdatedTime": None} == {
        "name": "hello_sequence",
        "instanceId": links["id"],
        "runtimeStatus": "Completed",
        "input": '{"any": "input"}',
        "customStatus": None,
        "output": GREETINGS,
        "createdTime": None,
        "lastUpdatedTime": None,
    }


def test_a_body_that_is_not_json_is_the_callers_mistake(sample: Any) -> None:
    answer = sample.post("/api/orchestrators/hello_sequence", b"{not json")
    assert (answer.status, answer.text.startswith("The body must be JSON: ")) == (400, True)


def test_every_start_is_an_instance_of_its_own(sample: Any) -> None:
    started = {sample.begin("hello_sequence") for _ in range(20)}
    assert (len(started), [sample.output_of(instance_id) for instance_id in started]) == (20, [GREETINGS] * 20)


@pytest.mark.local_host("Core Tools print the same in other words")
def test_the_functions_and_their_addresses_are_printed(make_host: Any) -> None:
    host = make_host("apps/hello_sequence").start()
    assert {
        f"http_start: [POST] {host.url}/api/orchestrators/{{functionName}}",
        "hello_sequence: orchestrationTrigger",
        "say_hello: activityTrigger",
    } <= set(host.listed())


@pytest.mark.local_host("what Core Tools do with a signal is theirs")
def test_ctrl_c_ends_the_host_cleanly_and_results_stay(make_host: Any) -> None:
    host = make_host("apps/hello_sequence").start()
    instance_id = host.begin("hello_sequence")
    host.output_of(instance_id)
    workers = host.workers()
    code = host.interrupt()
    assert (code, [line for line in host.output if "Traceback" in line]) == (0, []), host.log()
    host.start()
    assert (host.output_of(instance_id), set(workers) & set(host.workers())) == (GREETINGS, set())
