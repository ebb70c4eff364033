"""The sample hello_v1: an app of function.json files, from an HTTP request to its result."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

APP = Path(__file__).parent / "apps" / "hello_v1"


def test_the_workflow_runs_as_its_readme_says(make_host: Any) -> None:
    host = make_host(APP).start()
    assert host.output_of(host.begin("hello_sequence", ["Oslo", "Lima"])) == ["Hello Oslo!", "Hello Lima!"]


def test_without_an_input_it_greets_its_own_cities(make_host: Any) -> None:
    host = make_host(APP).start()
    assert host.output_of(host.begin("hello_sequence")) == ["Hello Tokyo!", "Hello Seattle!", "Hello London!"]


@pytest.mark.local_host("Core Tools print the same in other words")
def test_the_functions_are_printed_as_those_of_the_other_model(make_host: Any) -> None:
    host = make_host(APP).start()
    assert {
        f"http_start: [POST] {host.url}/api/orchestrators/{{functionName}}",
        "hello_sequence: orchestrationTrigger",
        "say_hello: activityTrigger",
    } <= set(host.listed())


def test_work_goes_on_after_the_host_was_killed(make_host: Any) -> None:
    host = make_host(APP).start()
    instance_id = host.begin("hello_sequence", [f"city {number}" for number in range(30)])
    host.kill()
    host.start()
    assert host.output_of(instance_id) == [f"Hello city {number}!" for number in range(30)]


@pytest.mark.local_host("the message is the local host's")
def test_an_app_of_both_models_is_refused(make_host: Any, tmp_path: Path) -> None:
    app = Path(shutil.copytree(APP, tmp_path / "app"))
    shutil.copy(APP.parent / "hello_sequence" / "function_app.py", app)
    host = make_host(app)
    host.launch()
    code = host.wait()
    assert (code, host.log()) == (
        1,
        f"worker-ext: {app}: expected an app of one programming model, found function_app.py (v2) and the "
        "function.json of hello_sequence, http_start, say_hello (v1). Move the functions of one model to the other, or "
        "to an app of their own",
    )
