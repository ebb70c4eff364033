"""Functions of the v1 model: loaded one by one, as the host has read their function.json, and invoked."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from worker.driver import WorkerDriver, worker
from worker.v1_apps import IN, INOUT, OUT, Bindings, described, write

from worker_ext.errors import AppError
from worker_ext.rpc import pb
from worker_ext.worker import v1_functions

SUCCESS = pb.StatusResult(status=pb.StatusResult.Success)
HTTP = {"req": ("httpTrigger", IN), "$return": ("http", OUT)}
GENERIC = {"x": ("anything", IN)}

FILES = {
    "greet/__init__.py": """
        import azure.functions as func
        from __app__.shared import words
        from ..shared.words import HELLO
        from . import polite

        def main(req: func.HttpRequest) -> func.HttpResponse:
            return func.HttpResponse(f"{HELLO} {req.route_params['name']}{polite.END}{words.MARK}")
    """,
    "greet/polite.py": "END = ', please'",
    "shared/words.py": "HELLO, MARK = 'Hello', '!'",
    "other/handler.py": """
        import logging
        import azure.functions as func

        async def run(x, out: func.Out[str], context: func.Context):
            logging.warning("in %s", context.function_name)
            out.set(f"{context.function_directory} got {x}")
    """,
    "counter/__init__.py": """
        import worker_ext as df

        def count(context: df.DurableEntityContext):
            value = context.get_state(lambda: 0) + context.get_input()
            context.set_state(value)
            context.set_result(value)

        main = df.Entity.create(count)
    """,
    "flow/__init__.py": """
        import worker_ext as df

        def flow(context: df.DurableOrchestrationContext):
            return (yield context.call_activity("A", {"ret": "a"}))

        main = df.Orchestrator.create(flow)
    """,
    "act/__init__.py": """
        def main(value: dict) -> list:
            return sorted(value.items())
    """,
    "start/__init__.py": """
        import worker_ext as df

        async def main(x, starter: str):
            client = df.DurableOrchestrationClient(starter)
            return client.create_http_management_payload("i")["id"] + x
    """,
}


async def load(driver: WorkerDriver, metadata: pb.RpcFunctionMetadata) -> pb.StatusResult:
    answer = await driver.load(metadata)
    assert answer.function_id == metadata.function_id
    driver.functions[metadata.name] = metadata
    return answer.result


async def test_the_host_is_told_to_read_function_json_itself(tmp_path: Path) -> None:
    app = write(tmp_path, {**FILES, "greet/function.json": "{}"})
    async with worker(app) as driver:
        await driver.started()
        assert (await driver.init(app)).result == SUCCESS
        answer = await driver.metadata(app)
        assert answer == pb.FunctionMetadataResponse(use_default_metadata_indexing=True, result=SUCCESS)


async def test_a_function_imports_from_its_folder_and_from_the_app(tmp_path: Path) -> None:
    app = write(tmp_path, FILES)
    async with worker(app) as driver:
        await driver.started()
        await driver.init(app)
        assert await load(driver, described(app, "greet", HTTP)) == SUCCESS
        request = pb.TypedData(http=pb.RpcHttp(method="GET", params={"name": "you"}))
        answer = await driver.call("greet", {"req": request})
        assert (answer.result, answer.return_value.http.body.bytes) == (SUCCESS, b"Hello you, please!")


async def test_a_script_and_an_entry_point_of_another_name(tmp_path: Path) -> None:
    app = write(tmp_path, FILES)
    bindings = {**GENERIC, "out": ("queue", OUT)}
    async with worker(app) as driver:
        await driver.started()
        await driver.init(app)
        assert await load(driver, described(app, "other", bindings, "handler.py", "run")) == SUCCESS
        request = driver.request("other", {"x": pb.TypedData(string="a value")})
        answer = await driver.invoke(request)
        sent = pb.ParameterBinding(name="out", data=pb.TypedData(string=f"{app / 'other'} got a value"))
        assert (answer.result, list(answer.output_data)) == (SUCCESS, [sent])
        assert (await driver.log("in other")).invocation_id == request.invocation_id


async def test_an_entity(tmp_path: Path) -> None:
    app = write(tmp_path, FILES)
    batch = {
        "self": {"name": "counter", "key": "k"},
        "exists": True,
        "state": "40",
        "batch": [{"name": "add", "input": "2", "id": "1", "signal": False}],
    }
    async with worker(app) as driver:
        await driver.started()
        await driver.init(app)
        assert await load(driver, described(app, "counter", {"context": ("entityTrigger", IN)})) == SUCCESS
        answer = await driver.call("counter", {"context": pb.TypedData(string=json.dumps(batch))})
        state = json.loads(answer.return_value.json)
        assert (answer.result, state["entityState"], state["results"][0]["result"]) == (SUCCESS, "42", "42")


async def test_an_orchestrator_its_activity_and_its_starter(tmp_path: Path, repository: Path) -> None:
    app = write(tmp_path, FILES)
    async with worker(app) as driver:
        await driver.started()
        await driver.init(app)
        loads = [
            described(app, "flow", {"context": ("orchestrationTrigger", IN)}),
            described(app, "act", {"value": ("activityTrigger", IN)}),
            described(app, "start", {**GENERIC, "starter": ("durableClient", IN)}),
        ]
        assert [await load(driver, metadata) for metadata in loads] == [SUCCESS] * 3
        turn = sample(repository, "orchestrationTrigger", "chain_first_turn")
        answer = await driver.call("flow", {"context": pb.TypedData(string=json.dumps(turn["request"]))})
        assert json.loads(answer.return_value.json) == turn["response"]
        done = await driver.call("act", {"value": pb.TypedData(string='{"b": 1, "a": 2}')})
        assert json.loads(done.return_value.json) == [["a", 2], ["b", 1]]
        text = json.dumps(sample(repository, "durableClient", "local_host")["request"])
        started = await driver.call("start", {"x": pb.TypedData(string="!"), "starter": pb.TypedData(string=text)})
        assert (started.result, started.return_value.string) == (SUCCESS, "i!")


def sample(repository: Path, binding: str, name: str) -> Any:
    """A request and its response, as the repository shows them."""
    return json.loads((repository / "bindings" / binding / "samples" / f"{name}.json").read_text(encoding="utf-8"))


async def test_every_function_answers_a_hundred_calls_at_once(tmp_path: Path) -> None:
    app = write(tmp_path, FILES)
    async with worker(app) as driver:
        await driver.started()
        await driver.init(app)
        assert await load(driver, described(app, "act", {"value": ("activityTrigger", IN)})) == SUCCESS
        calls = [driver.call("act", {"value": pb.TypedData(string=f'{{"n": {number}}}')}) for number in range(100)]
        answers = await asyncio.gather(*calls)
        assert [json.loads(answer.return_value.json) for answer in answers] == [
            [["n", number]] for number in range(100)
        ]


@pytest.fixture
def no_namespace() -> Iterator[None]:
    """Forget what was imported for a function of a test."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.usefixtures("no_namespace")
@pytest.mark.parametrize(
    "source, entry_point, bindings, fact",
    [
        pytest.param("", "", GENERIC, "must hold the function 'main', which is not there", id="no entry point"),
        pytest.param("main = 5", "", GENERIC, "which is an object of type 'int'", id="entry point is no function"),
        pytest.param("def other(x): ...", "othre", GENERIC, "'othre', which is not there", id="entry point misspelt"),
        pytest.param("import nowhere", "", GENERIC, "Is it in requirements.txt", id="package missing"),
        pytest.param("def main(:", "", GENERIC, "line 1", id="syntax error"),
        pytest.param("raise SystemExit(3)", "", GENERIC, "ended the process", id="exit"),
        pytest.param(
            "def main(y): ...",
            "",
            GENERIC,
            "parameter 'y' has no binding: add a binding of that name to function.json, or take it out",
            id="name in code",
        ),
        pytest.param(
            "def main(): ...",
            "",
            GENERIC,
            "binding 'x' has no parameter: give the function a parameter",
            id="name in json",
        ),
        pytest.param("def main(x): ...", "", {"x": ("queueTrigger", INOUT)}, "'inout' is not supported", id="inout"),
        pytest.param(
            "import azure.functions as func\ndef main(x: func.Out[str]): ...",
            "",
            GENERIC,
            'give its binding in function.json the direction "out"',
            id="output that is an input",
        ),
        pytest.param(
            "def main(context): ...",
            "",
            {"context": ("orchestrationTrigger", IN)},
            None,
            id="a binding called context is a binding",
        ),
        pytest.param(
            "import worker_ext as df\ndef flow(context): ...\nmain = df.Orchestrator.create(flow)",
            "",
            {"ctx": ("orchestrationTrigger", IN)},
            "binding 'ctx' has no parameter: give the function a parameter of that name, or correct the name in "
            "function.json",
            id="the binding of an orchestrator is called context",
        ),
        pytest.param(
            "import worker_ext as df\nmain = df.Orchestrator.create(5)",
            "",
            {"context": ("orchestrationTrigger", IN)},
            "Orchestrator.create was given 5, which is no function",
            id="orchestrator of a number",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_fix(
    tmp_path: Path, source: str, entry_point: str, bindings: Bindings, fact: str | None
) -> None:
    app = write(tmp_path, {"f/__init__.py": source})
    metadata = described(app, "f", bindings, entry_point=entry_point)
    if fact is None:
        assert v1_functions.load("1", metadata).name == "f"
        return
    with pytest.raises(AppError) as caught:
        v1_functions.load("1", metadata)
    message = str(caught.value)
    assert (message.startswith("function 'f': "), fact in message) == (True, True), message


@pytest.mark.parametrize(
    "script, fact",
    [("missing.py", "does not exist"), ("data.txt", "no Python file"), ("../../outside.py", "not in the app's folder")],
)
def test_a_script_that_cannot_be_one(tmp_path: Path, script: str, fact: str) -> None:
    app = write(tmp_path / "app", {"f/data.txt": ""})
    metadata = described(app, "f", GENERIC)
    metadata.script_file = str((app / "f" / script).resolve())
    with pytest.raises(AppError, match=fact):
        v1_functions.load("1", metadata)


async def test_one_function_that_cannot_be_loaded_leaves_the_others_alone(tmp_path: Path) -> None:
    app = write(tmp_path, {**FILES, "broken/__init__.py": "import nowhere"})
    async with worker(app) as driver:
        await driver.started()
        await driver.init(app)
        refused = await load(driver, described(app, "broken", GENERIC))
        assert (refused.status, "No module named 'nowhere'" in refused.exception.message) == (
            pb.StatusResult.Failure,
            True,
        )
        assert await load(driver, described(app, "act", {"value": ("activityTrigger", IN)})) == SUCCESS
        failed = await driver.call("broken", {"x": pb.TypedData(string="")})
        assert failed.result.exception.message == (
            "there is no function with the id 'id of broken': it was never loaded"
        )


async def test_a_reload_imports_the_scripts_again(tmp_path: Path) -> None:
    first = write(tmp_path / "first", {"f/__init__.py": "def main(x):\n    return 'first'"})
    second = write(tmp_path / "second", {"f/__init__.py": "def main(x):\n    return 'second'"})
    async with worker(first) as driver:
        await driver.started()
        await driver.init(first)
        assert await load(driver, described(first, "f", GENERIC)) == SUCCESS
        assert (await driver.call("f", {"x": pb.TypedData(string="")})).return_value.string == "first"
        reload = pb.FunctionEnvironmentReloadRequest(function_app_directory=str(second))
        await driver.ask(pb.StreamingMessage(function_environment_reload_request=reload))
        assert await load(driver, described(second, "f", GENERIC)) == SUCCESS
        assert (await driver.call("f", {"x": pb.TypedData(string="")})).return_value.string == "second"
