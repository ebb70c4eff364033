"""The sample hello_v1: an app of function.json files, from an HTTP request to its result."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from host_process import wait_until
from real_workers.cases import Case

APP = "hello_v1"
FOLDER = Path(__file__).parent / "apps" / APP
WORKERS = ["own worker", "own worker over gRPC", Case("v1", "proxy", "3.13"), Case("v1", "old", "3.11")]


def test_the_workflow_runs_as_its_readme_says(sample: Any) -> None:
    assert sample.output_of(sample.begin("hello_sequence", ["Oslo", "Lima"])) == ["Hello Oslo!", "Hello Lima!"]


def test_without_an_input_it_greets_its_own_cities(sample: Any) -> None:
    greetings = ["Hello Tokyo!", "Hello Seattle!", "Hello London!"]
    assert sample.output_of(sample.begin("hello_sequence")) == greetings


def test_its_entities_count_the_greetings_of_each_city(sample: Any) -> None:
    sample.output_of(sample.begin("hello_sequence", ["Bergen", "Quito", "Bergen"]))

    def counted(city: str) -> str:
        return str(sample.get(f"/api/greeted/{city}").text)

    wait_until(lambda: (counted("Bergen"), counted("Quito")) == ("2", "1"), "three greetings to be counted", sample.log)
    assert sample.get("/api/greeted/Nowhere").status == 404


@pytest.mark.local_host("Core Tools print the same in other words")
def test_the_functions_are_printed_as_those_of_the_other_model(make_host: Any) -> None:
    host = make_host(FOLDER).start()
    assert {
        f"http_start: [POST] {host.url}/api/orchestrators/{{functionName}}",
        "greeted: entityTrigger",
        "hello_sequence: orchestrationTrigger",
        "say_hello: activityTrigger",
    } <= set(host.listed())


def test_work_goes_on_after_the_host_was_killed(make_host: Any) -> None:
    host = make_host(FOLDER).start()
    instance_id = host.begin("hello_sequence", [f"city {number}" for number in range(30)])
    host.kill()
    host.start()
    assert host.output_of(instance_id) == [f"Hello city {number}!" for number in range(30)]


@pytest.mark.local_host("the message is the local host's")
def test_an_app_of_both_models_is_refused(make_host: Any, tmp_path: Path) -> None:
    app = Path(shutil.copytree(FOLDER, tmp_path / "app"))
    shutil.copy(FOLDER.parent / "hello_sequence" / "function_app.py", app)
    host = make_host(app)
    host.launch()
    code = host.wait()
    assert (code, host.log()) == (
        1,
        f"worker-ext: {app}: expected an app of one programming model, found function_app.py (v2) and the "
        "function.json of greeted, hello_sequence, how_often, http_start, say_hello (v1). Move the functions of one "
        "model to the other, or to an app of their own",
    )
