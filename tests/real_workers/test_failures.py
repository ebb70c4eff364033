"""What goes wrong inside a worker, and how the host hears of it: the same on every worker."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from real_workers.cases import HANDLERS, Case, load_all, prepare, turn
from real_workers.environments import Environments
from worker.driver import WorkerDriver, worker

from worker_ext.host.settings import load_settings
from worker_ext.host.worker_config import read_worker_config
from worker_ext.rpc import pb
from worker_ext.testing import HistoryBuilder

pytestmark = pytest.mark.asyncio(loop_scope="module")

SUCCESS, FAILURE = pb.StatusResult.Success, pb.StatusResult.Failure
MARKER = "$OutOfProcData$:"
CREDENTIALS = "Token= AccountKey= Server= Password= pwd= &sig= ?sig= SharedAccessKey= &code= ?code= key="
CASES = [
    Case("v2", "proxy", "3.13"),
    Case("v1", "proxy", "3.13"),
    Case("v1", "old", "3.11"),
    Case("v2", "own", "3.12"),
    Case("v1", "own", "3.13"),
    Case("v2", "own", "3.13", more=HANDLERS),
]


@dataclass(frozen=True)
class Served:
    """A worker that has loaded the app."""

    case: Case
    app: Path
    driver: WorkerDriver

    @property
    def keeps_causes(self) -> bool:
        """Whether the stack it reports tells what caused an error: the older worker tells its own frames only."""
        return self.case.worker != "old"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CASES, ids=str)
async def served(
    request: pytest.FixtureRequest, environments: Environments, code: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    case: Case = request.param
    app = prepare(case, environments, code, tmp_path_factory.mktemp("served"))
    config = read_worker_config(load_settings(app, environ={}).environment)
    environment = {
        "FUNCTIONS_WORKER_DIRECTORY": str(config.directory or ""),
        "AzureWebJobsScriptRoot": str(app),
        "PYTHON_THREADPOOL_THREAD_COUNT": "32",
    }
    async with worker(app, environment, command=config.command) as driver:
        await driver.started()
        assert (await driver.init(app)).result.status == SUCCESS
        await load_all(driver, case, app)
        yield Served(case, app, driver)


def as_the_host_tells_it(exception: pb.RpcException) -> str:
    """The text that extensions read: credentials are hidden up to the next `<`, `"` or `'`."""
    told = f"Result: Failure\nException: {exception.message}\nStack: {exception.stack_trace}"
    starts = "|".join(map(re.escape, CREDENTIALS.split()))
    return re.sub(rf"""(?:{starts})[^<"']*""", "[Hidden Credential]", told, flags=re.IGNORECASE)


def state_in(message: str) -> Any:
    """The state of a failed orchestrator, which goes on behind a marker up to the end of its JSON."""
    return json.JSONDecoder().raw_decode(message.partition(MARKER)[2])[0]


async def test_a_failed_orchestrators_state_survives_what_the_host_hides(served: Served) -> None:
    secret = "https://example.com/?code=abc&sig=def;AccountKey=ghi"
    answer = await served.driver.call("fails_at_once", {"context": turn("fails_at_once", secret)})
    assert (answer.result.status, MARKER in answer.result.exception.message) == (FAILURE, True)
    state = state_in(as_the_host_tells_it(answer.result.exception))
    assert (state["error"], state["customStatus"]) == (f"boom ?code=secret; key=other {len(secret)}", secret)


async def test_an_activitys_error_keeps_type_text_and_traceback(served: Served) -> None:
    answer = await served.driver.call("broken", {"value": pb.TypedData(string='"a value"')})
    exception = answer.result.exception
    assert (answer.result.status, exception.message) == (FAILURE, "LookupError: no luck with a value")
    facts = ["work.py", "in broken", *(["KeyError", "the cause", "direct cause"] if served.keeps_causes else [])]
    assert [fact for fact in facts if fact not in exception.stack_trace] == [], exception.stack_trace


async def test_a_value_for_no_parameter_is_a_failure_of_that_invocation_only(served: Served) -> None:
    answer = await served.driver.call("nothing", {"nobody": pb.TypedData(string="1")})
    assert (answer.result.status, "nobody" in answer.result.exception.message) == (FAILURE, True)
    assert (await echo(served, 1)) == 1


async def test_a_function_that_was_never_loaded_is_a_failure_of_that_invocation_only(served: Served) -> None:
    request = served.driver.request("nothing", {"value": pb.TypedData(string="1")})
    request.function_id = "unknown"
    assert (await served.driver.invoke(request)).result.status == FAILURE
    assert (await echo(served, 1)) == 1


async def test_a_history_of_five_megabytes_is_replayed_to_its_end(served: Served) -> None:
    steps, result = 5000, "x" * 1000
    history = HistoryBuilder().started("adds_up", steps)
    for number in range(steps):
        history.scheduled("nothing", number).batch().completed(number, result)
    payload = history.payload()
    assert len(payload) > 5_000_000
    answer = await served.driver.call("adds_up", {"context": pb.TypedData(string=payload)})
    assert answer.result.status == SUCCESS, answer.result.exception
    state = json.loads(answer.return_value.json)
    assert (state["isDone"], state["output"], len(state["actions"][0])) == (True, steps * len(result), steps)


async def test_five_megabytes_pass(served: Served) -> None:
    text = "history " * 650_000
    assert (await echo(served, text)) == text
    answer = await served.driver.call("fails_at_once", {"context": turn("fails_at_once", text)})
    assert state_in(answer.result.exception.message)["error"] == f"boom ?code=secret; key=other {len(text)}"


async def test_a_hundred_turns_and_activities_at_once(served: Served) -> None:
    turns = [served.driver.call("everything", {"context": turn("everything", number)}) for number in range(100)]
    echoes = [echo(served, number) for number in range(100)]
    answers, values = await asyncio.gather(asyncio.gather(*turns), asyncio.gather(*echoes))
    assert ({answer.result.status for answer in answers}, values) == ({SUCCESS}, list(range(100)))


async def echo(served: Served, value: Any) -> Any:
    """What an activity that returns its input makes of a value."""
    answer = await served.driver.call("nothing", {"value": pb.TypedData(string=json.dumps(value))})
    assert answer.result.status == SUCCESS, answer.result.exception
    return json.loads(answer.return_value.json)


async def test_an_invocation_that_is_cancelled_is_answered(served: Served) -> None:
    """Those that do not know the message, and code in a thread, go on to their end."""
    request = served.driver.request("slow", {"value": pb.TypedData(string="0.3")})
    answer = served.driver.post_invocation(request)
    await served.driver.log("slow has begun")
    served.driver.cancel(request)
    response = (await answer).invocation_response
    assert (response.result.status, response.return_value.json) == (SUCCESS, '"slow has ended"')


@pytest.mark.parametrize("more", [(), HANDLERS], ids=["our handlers", "Microsoft's handlers"])
async def test_our_worker_finishes_what_it_runs_when_told_to_end(
    more: tuple[str, ...], environments: Environments, code: Path, tmp_path: Path
) -> None:
    case = Case("v2", "own", "3.13", more=more)
    app = prepare(case, environments, code, tmp_path)
    config = read_worker_config(load_settings(app, environ={}).environment)
    async with worker(app, command=config.command) as driver:
        await driver.started()
        await driver.init(app)
        await load_all(driver, case, app)
        answer = driver.post_invocation(driver.request("slow", {"value": pb.TypedData(string="0.5")}))
        await driver.log("slow has begun")
        terminate = pb.WorkerTerminate()
        terminate.grace_period.seconds = 20
        driver.send(pb.StreamingMessage(worker_terminate=terminate))
        assert (await answer).invocation_response.return_value.json == '"slow has ended"'
        code_, _, said = await driver.ended()
        assert (code_, said) == (0, "")


@pytest.mark.parametrize(
    "choice, said",
    [
        ("neither", "the setting WORKER_EXT_HANDLERS must be 'own', 'microsoft' or absent, not 'neither'"),
        ("microsoft", "but azure-functions-runtime is not installed for"),
    ],
)
async def test_handlers_that_cannot_be_had_are_a_failure(
    choice: str, said: str, environments: Environments, code: Path, tmp_path: Path
) -> None:
    app = prepare(Case("v2", "own", "3.13"), environments, code, tmp_path)
    config = read_worker_config(load_settings(app, environ={}).environment)
    async with worker(app, {"WORKER_EXT_HANDLERS": choice}, command=config.command) as driver:
        await driver.started()
        result = (await driver.init(app)).result
        assert (result.status, said in result.exception.message) == (FAILURE, True), result


async def test_our_handlers_can_be_chosen_where_both_are_installed(
    environments: Environments, code: Path, tmp_path: Path
) -> None:
    app = prepare(Case("v2", "own", "3.13", more=HANDLERS), environments, code, tmp_path)
    config = read_worker_config(load_settings(app, environ={}).environment)
    async with worker(app, {"WORKER_EXT_HANDLERS": "own"}, command=config.command) as driver:
        await driver.started()
        ours = (await driver.init(app)).capabilities
        assert "HandlesInvocationCancelMessage" in ours
