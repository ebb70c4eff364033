"""Folders with a function.json, as the host reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from worker_ext.host.functions import HostFunction
from worker_ext.host.settings import load_settings
from worker_ext.host.v1_functions import read_function_folders
from worker_ext.rpc import pb

TRIGGER = {"name": "x", "type": "activityTrigger", "direction": "in"}
GOOD = {"scriptFile": "__init__.py", "bindings": [TRIGGER]}


def app_of(folder: Path, **functions: Any) -> Path:
    """An app with one folder a function; text is written as it stands, all else as JSON."""
    (folder / "host.json").write_text('{"version": "2.0"}')
    for name, content in functions.items():
        (folder / name).mkdir()
        (folder / name / "function.json").write_text(content if isinstance(content, str) else json.dumps(content))
        (folder / name / "__init__.py").write_text("")
    return folder


def read(app: Path, **environment: str) -> dict[str, HostFunction]:
    catalog = read_function_folders(load_settings(app, environ=environment))
    return {function.name: function for function in catalog.functions}


def test_a_function_is_described_as_a_worker_expects_it(tmp_path: Path) -> None:
    trigger = {"name": "msg", "type": "queueTrigger", "direction": "in", "dataType": "Binary", "queueName": "%QUEUE%"}
    output = {"name": "$return", "type": "http", "direction": "OUT", "extra": None}
    app = app_of(tmp_path, work={"entryPoint": "run", "bindings": [trigger, output]})
    function = read(app, QUEUE="jobs")["work"]
    expected = pb.RpcFunctionMetadata(
        name="work",
        function_id=function.function_id,
        directory=str(app / "work"),
        script_file=str(app / "work" / "__init__.py"),
        entry_point="run",
        language="python",
        raw_bindings=[json.dumps(trigger, separators=(",", ":")), '{"name":"$return","type":"http","direction":"OUT"}'],
    )
    # `in` is a word of Python's, so the direction has to be written as a value.
    direction = pb.BindingInfo.Direction
    queue, http = expected.bindings["msg"], expected.bindings["$return"]
    queue.type, queue.direction, queue.data_type = "queueTrigger", direction.Value("in"), pb.BindingInfo.binary
    http.type, http.direction = "http", direction.Value("out")
    assert function.metadata == expected
    assert function.bindings == (
        {**trigger, "queueName": "jobs"},
        {"name": "$return", "type": "http", "direction": "OUT"},
    )


def test_ids_are_of_this_run(tmp_path: Path) -> None:
    app = app_of(tmp_path, one=GOOD, two=GOOD)
    ids = [function.function_id for _ in range(2) for function in read(app).values()]
    assert len(set(ids)) == 4


def test_comments_are_read_over(tmp_path: Path) -> None:
    app = app_of(tmp_path, f='{\n  // what it does\n  "bindings": [' + json.dumps(TRIGGER) + ",]\n}")
    assert read(app)["f"].is_served is True


@pytest.mark.parametrize(
    "files, script_file, found",
    [
        pytest.param(["a.py"], "a.py", "a.py", id="named"),
        pytest.param(["a.py"], None, "a.py", id="the only one"),
        pytest.param(["a.py", "run.py", "__init__.py"], None, "run.py", id="run"),
        pytest.param(["a.py", "__init__.py"], None, "__init__.py", id="init"),
        pytest.param(["a.py", "../shared.py"], "../shared.py", "../shared.py", id="beside the folder"),
    ],
)
def test_the_script(tmp_path: Path, files: list[str], script_file: str | None, found: str) -> None:
    app = app_of(tmp_path, f={"bindings": [TRIGGER], **({"scriptFile": script_file} if script_file else {})})
    (app / "f" / "__init__.py").unlink()
    for name in files:
        (app / "f" / name).write_text("")
    function = read(app)["f"]
    assert (function.fault, function.metadata.script_file) == (None, str((app / "f" / found).resolve()))


@pytest.mark.parametrize(
    "disabled, environment, expected",
    [
        (True, {}, True),
        (False, {}, False),
        ("OFF", {"OFF": "1"}, True),
        ("%OFF%", {"OFF": "true"}, True),
        ("OFF", {"OFF": "0"}, False),
        ("OFF", {}, False),
        (False, {"AzureWebJobs.f.Disabled": "true"}, True),
    ],
)
def test_a_function_can_be_disabled(tmp_path: Path, disabled: Any, environment: dict[str, str], expected: bool) -> None:
    function = read(app_of(tmp_path, f={**GOOD, "disabled": disabled}), **environment)["f"]
    assert (function.disabled, function.is_served, function.fault) == (expected, not expected, None)


@pytest.mark.parametrize(
    "content, fault",
    [
        pytest.param("{", "not valid JSON", id="no JSON"),
        pytest.param("[]", "expected a JSON object, found list", id="no object"),
        pytest.param({}, "bindings: expected a list of bindings, found nothing", id="no bindings"),
        pytest.param({"bindings": []}, "bindings: expected a list of bindings, found []", id="empty bindings"),
        pytest.param({"bindings": ["x"]}, 'bindings[0]: expected an object, found "x"', id="text as binding"),
        pytest.param(
            {"bindings": [{"type": "activityTrigger"}]}, "bindings[0]: name: expected text, found nothing", id="no name"
        ),
        pytest.param({"bindings": [{"name": "x"}]}, "bindings[0]: type: expected text, found nothing", id="no type"),
        pytest.param(
            {"bindings": [{**TRIGGER, "direction": "up"}]},
            'bindings[0]: direction: expected "in" or "out", found "up"',
            id="direction",
        ),
        pytest.param(
            {"bindings": [{**TRIGGER, "dataType": "text"}]},
            'bindings[0]: dataType: expected one of string, binary, stream, found "text"',
            id="data type",
        ),
        pytest.param({**GOOD, "scriptFile": "b.py"}, "scriptFile: expected a file, found nothing at", id="no script"),
        pytest.param({**GOOD, "scriptFile": 5}, "scriptFile: expected text, found 5", id="script is a number"),
        pytest.param({**GOOD, "disabled": 1}, "disabled: expected true, false or the name of", id="disabled"),
        pytest.param({"bindings": [TRIGGER, TRIGGER]}, "expected one trigger, found activityTrigger, act", id="two"),
        pytest.param(
            {"bindings": [{"name": "o", "type": "queue", "direction": "out"}]},
            "expected one trigger, found none",
            id="no trigger",
        ),
    ],
)
def test_a_folder_that_cannot_be_served_leaves_the_others_alone(tmp_path: Path, content: Any, fault: str) -> None:
    functions = read(app_of(tmp_path, bad=content, good=GOOD))
    found = functions["bad"].fault or ""
    assert (fault in found, functions["bad"].is_served, functions["good"].is_served) == (True, False, True), found


@pytest.mark.parametrize("name", ["1st", "host", "a.b", "x" * 129])
def test_a_folder_whose_name_is_no_function_name(tmp_path: Path, name: str) -> None:
    function = read(app_of(tmp_path, **{name: GOOD}))[name]
    assert "Rename the folder" in (function.fault or "")


def test_a_folder_with_several_files_and_no_usual_one(tmp_path: Path) -> None:
    app = app_of(tmp_path, f={"bindings": [TRIGGER]})
    (app / "f" / "__init__.py").unlink()
    for name in ("a.py", "b.py"):
        (app / "f" / name).write_text("")
    assert "scriptFile is missing" in (read(app)["f"].fault or "")
