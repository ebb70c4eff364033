"""What the real worker refuses to load, ours refuses, and says what to do; what it takes, ours takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_workers.cases import Case, prepare
from real_workers.environments import Environments
from worker.driver import WorkerDriver, worker
from worker.v1_apps import IN, INOUT, OUT, Bindings, described, write

from worker_ext.host.settings import load_settings
from worker_ext.host.worker_config import read_worker_config
from worker_ext.rpc import pb

ACTIVITY: Bindings = {"x": ("activityTrigger", IN)}
QUEUE: Bindings = {"x": ("queueTrigger", IN)}
HTTP: Bindings = {"x": ("httpTrigger", IN), "$return": ("http", OUT)}
OUTPUT: Bindings = {**ACTIVITY, "out": ("queue", OUT)}
PREAMBLE = """
import functools, typing
import azure.functions as func
import worker_ext as df
T = typing.TypeVar("T")

class Order: ...
class Box(typing.Generic[T]): ...
class Caller:
    def __call__(self, x): ...

df.Orchestrator.create(lambda context: None)
"""

# What a function says: its bindings, its source, and what our worker answers, None where it takes the function.
FUNCTIONS: dict[str, tuple[Bindings, str, str | None]] = {
    "plain": (ACTIVITY, "def main(x): ...", None),
    "coroutine": (ACTIVITY, "async def main(x): ...", None),
    "generator": (ACTIVITY, "def main(x): yield", None),
    "decorated": (ACTIVITY, "@functools.lru_cache\ndef main(x): ...", None),
    "wrapped": (
        ACTIVITY,
        "def f(x): ...\n@functools.wraps(f)\ndef main(*args, **kwargs): ...",
        None,
    ),
    "partial": (ACTIVITY, "main = functools.partial(lambda y, x: None, 1)", "only functions written with 'def'"),
    "object": (ACTIVITY, "main = Caller()", "only functions written with 'def'"),
    "method": (ACTIVITY, "main = Caller().__call__", None),
    "text": (ACTIVITY, "def main(x: str): ...", None),
    "own_class": (ACTIVITY, "def main(x: Order): ...", None),
    "any": (ACTIVITY, "def main(x: typing.Any): ...", None),
    "annotated": (ACTIVITY, "def main(x: typing.Annotated[int, 1]): ...", None),
    "named": (ACTIVITY, "def main(x: 'Order'): ...", None),
    "default": (ACTIVITY, "def main(x: int = None): ...", None),
    "unresolved": (ACTIVITY, "def main(x: 'Missing'): ...", "an annotation cannot be resolved"),
    "list_of": (ACTIVITY, "def main(x: list[int]): ...", "annotate plain 'list', or nothing"),
    "union": (ACTIVITY, "def main(x: int | None): ...", "the worker takes no unions and no Optional"),
    "optional": (ACTIVITY, "def main(x: typing.Optional[int]): ...", "the worker takes no unions and no Optional"),
    "returns": (ACTIVITY, "def main(x) -> list[int]: ...", None),
    "one_more": (ACTIVITY, "def main(x, y=1): ...", "parameter 'y' has no binding"),
    "many_more": (ACTIVITY, "def main(x, **more): ...", "parameter 'more' has no binding"),
    "none_there": (ACTIVITY, "def main(): ...", "binding 'x' has no parameter"),
    "context": (ACTIVITY, "def main(x, context: func.Context): ...", None),
    "bare_context": (ACTIVITY, "def main(x, context): ...", None),
    "wrong_context": (ACTIVITY, "def main(x, context: int): ...", "its annotation must be azure.functions.Context"),
    "output": (OUTPUT, "def main(x, out: func.Out[str]): ...", None),
    "bare_output": (OUTPUT, "def main(x, out): ...", None),
    "no_output": (OUTPUT, "def main(x, out: str): ...", "its annotation must be func.Out"),
    "input_as_output": (ACTIVITY, "def main(x: func.Out[str]): ...", "is an input, so its annotation cannot be"),
    "both_ways": ({"x": ("queueTrigger", INOUT)}, "def main(x): ...", "the direction 'inout' is not supported"),
    "return_in": ({**ACTIVITY, "$return": ("http", IN)}, "def main(x): ...", "must have the direction 'out'"),
    "queue": (QUEUE, "def main(x: func.QueueMessage): ...", None),
    "not_a_queue": (QUEUE, "def main(x: func.HttpRequest): ...", "does not accept the annotation"),
    "http": (HTTP, "def main(x: func.HttpRequest) -> func.HttpResponse: ...", None),
    "http_text": (HTTP, "def main(x: func.HttpRequest) -> str: ...", None),
    "http_number": (HTTP, "def main(x: func.HttpRequest) -> int: ...", "does not fit the binding 'http'"),
    "http_union": (HTTP, "def main(x: func.HttpRequest) -> str | None: ...", "the return annotation"),
    "http_out": (HTTP, "def main(x: func.HttpRequest) -> func.Out[str]: ...", "cannot be func.Out[...]"),
    "absent": (ACTIVITY, "def other(x): ...", "must hold the function 'main'"),
    "unknown_package": (ACTIVITY, "import nowhere\ndef main(x): ...", "Is it in requirements.txt"),
    "syntax": (ACTIVITY, "def main(x: ...", "'(' was never closed"),
}


async def verdicts(case: Case, environments: Environments, code: Path, folder: Path) -> dict[str, str | None]:
    """What a worker says of each function; None where it loads it."""
    app = prepare(case, environments, code, folder)
    write(app, {f"{name}/__init__.py": f"{PREAMBLE}\n{source}\n" for name, (_, source, _) in FUNCTIONS.items()})
    config = read_worker_config(load_settings(app, environ={}).environment)
    environment = {"AzureWebJobsScriptRoot": str(app), "FUNCTIONS_WORKER_DIRECTORY": str(config.directory or "")}
    async with worker(app, environment, command=config.command) as driver:
        await driver.started()
        assert (await driver.init(app)).result.status == pb.StatusResult.Success
        if config.finds_functions:
            await driver.metadata(app)
        return {name: await verdict(driver, app, name) for name in FUNCTIONS}


async def verdict(driver: WorkerDriver, app: Path, name: str) -> str | None:
    result = (await driver.load(described(app, name, FUNCTIONS[name][0]))).result
    return None if result.status == pb.StatusResult.Success else result.exception.message


@pytest.mark.parametrize("worker_name, version", [("old", "3.11"), ("proxy", "3.13"), ("proxy", "3.14")])
async def test_our_worker_takes_what_the_real_one_takes(
    worker_name: str, version: str, environments: Environments, code: Path, tmp_path: Path
) -> None:
    real = await verdicts(Case("v1", worker_name, version), environments, code, tmp_path / "real")
    own = await verdicts(Case("v1", "own", version), environments, code, tmp_path / "own")
    assert {name: said is None for name, said in own.items()} == {name: said is None for name, said in real.items()}


@pytest.mark.parametrize("version", ["3.11", "3.13", "3.14"])
async def test_our_worker_says_what_to_do(version: str, environments: Environments, code: Path, tmp_path: Path) -> None:
    own = await verdicts(Case("v1", "own", version), environments, code, tmp_path)
    expected = {name: answer for name, (_, _, answer) in FUNCTIONS.items()}
    if version == "3.14":  # it can read the annotations of any object
        expected |= {"partial": None, "object": None}
    wrong = {name: said for name, said in own.items() if (said is None) != (expected[name] is None)}
    unhelpful = {name: said for name, said in own.items() if said and (expected[name] or "") not in said}
    assert (wrong, unhelpful) == ({}, {})


# What an app of the v2 model says, and what our worker answers, None where it takes the app.
V2_PREAMBLE = """
import functools
import azure.functions as func
import worker_ext as df
app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

"""
APPS: dict[str, tuple[str, str | None]] = {
    "plain": ('@app.route("a")\ndef a(req: func.HttpRequest) -> str: ...', None),
    "modern_activity": ('@app.activity_trigger("x")\ndef a(x: list[int] | None) -> dict[str, int]: ...', None),
    "unresolved_activity": ('@app.activity_trigger("x")\ndef a(x: "Missing"): ...', None),
    "modern_http": ('@app.route("a")\ndef a(req: list[int]): ...', "annotate plain 'list', or nothing"),
    "unresolved_http": ('@app.route("a")\ndef a(req: "Missing"): ...', "an annotation cannot be resolved"),
    "one_more": ('@app.route("a")\ndef a(req, more=1): ...', "parameter 'more' has no binding"),
    "one_less": (
        '@app.queue_output("out", "q", "c")\n@app.route("a")\ndef a(req): ...',
        "binding 'out' has no parameter",
    ),
    "no_output": ('@app.queue_output("out", "q", "c")\n@app.route("a")\ndef a(req, out: str): ...', "must be func.Out"),
    "no_trigger": ('@app.queue_output("out", "q", "c")\ndef a(out: func.Out[str]): ...', "trigger"),
    "same_names": (
        '@app.route("a")\ndef a(req): ...\n@app.route("b")\n@app.function_name("a")\ndef b(req): ...',
        "does not have a unique function name",
    ),
    "two_apps": ("other = func.FunctionApp()", "holds 2 apps (app, other), expected one"),
    "no_app": ("app = None", "holds no app, expected one such as app = azure.functions.FunctionApp()"),
    "only_a_blueprint": ("app = df.Blueprint()", "the blueprint 'app' is no app: register it with one"),
    "unknown_package": ("import nowhere", "Is it in requirements.txt"),
    "raises": ("raise LookupError('no luck')", "LookupError: no luck"),
    "syntax": ("def a(: ...", 'function_app.py", line 7'),
    "object": (
        "a = functools.partial(lambda req: None)\na.__name__ = 'a'\napp.route('a')(a)",
        "only functions written with 'def'",
    ),
}


async def app_verdict(case: Case, source: str, environments: Environments, code: Path, folder: Path) -> str | None:
    """What a worker says of an app, at whichever step it looks at it; None where it takes it."""
    app = prepare(case, environments, code, folder)
    (app / "function_app.py").write_text(f"{V2_PREAMBLE}{source}\n")
    config = read_worker_config(load_settings(app, environ={}).environment)
    environment = {"AzureWebJobsScriptRoot": str(app), "FUNCTIONS_WORKER_DIRECTORY": str(config.directory or "")}
    async with worker(app, environment, command=config.command) as driver:
        await driver.started()
        result = (await driver.init(app)).result
        if result.status == pb.StatusResult.Success:
            result = (await driver.metadata(app)).result
    return None if result.status == pb.StatusResult.Success else result.exception.message


@pytest.mark.parametrize("name", APPS)
async def test_our_worker_takes_the_apps_that_the_real_one_takes(
    name: str, environments: Environments, code: Path, tmp_path: Path
) -> None:
    source, answer = APPS[name]
    real = await app_verdict(Case("v2", "proxy", "3.13"), source, environments, code, tmp_path / "real")
    own = await app_verdict(Case("v2", "own", "3.13"), source, environments, code, tmp_path / "own")
    assert (real is None, own is None) == (answer is None, answer is None), (real, own)
    assert (answer or "") in (own or ""), own
