"""Invocations in a real worker process, over a real stream."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from worker.driver import REQUEST_ID, WorkerDriver, worker

from worker_ext.rpc import pb

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP = """
    import asyncio
    import contextvars
    import logging
    import sys
    import threading
    import time

    import azure.functions as func

    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    left_behind = contextvars.ContextVar("left_behind", default="nothing")
    everyone = threading.Barrier(100)
    together = []
    released = threading.Event()


    def generic(function):
        return app.generic_trigger(arg_name="x", type="anything")(function)


    @app.route("hello/{name}")
    def hello(req: func.HttpRequest) -> func.HttpResponse:
        who = req.route_params["name"], req.params["greeting"], req.headers["X-Who"], req.get_json()["age"]
        return func.HttpResponse(repr(who), status_code=202, headers={"Location": "/there"})

    @app.route("text")
    async def text(req: func.HttpRequest) -> str:
        return req.method

    @app.route("nothing")
    def nothing(req: func.HttpRequest):
        return None

    @generic
    def echo(x):
        return x

    @generic
    async def echo_async(x):
        await asyncio.sleep(0)
        return x

    @generic
    def about_context(x, context: func.Context):
        trace, retry = context.trace_context, context.retry_context
        return {
            "invocation_id": context.invocation_id,
            "function_name": context.function_name,
            "function_directory": context.function_directory,
            "trace": [trace.trace_parent, trace.trace_state, trace.attributes],
            "retry": [retry.retry_count, retry.max_retry_count, retry.exception.message],
        }

    @app.queue_trigger(arg_name="msg", queue_name="in", connection="c")
    @app.queue_output(arg_name="out", queue_name="out", connection="c")
    @app.queue_output(arg_name="unset", queue_name="unset", connection="c")
    def forward(msg: func.QueueMessage, out: func.Out[str], unset: func.Out[str]) -> None:
        out.set(f"{msg.id}: {msg.get_body().decode()}")

    @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
    def tick(timer: func.TimerRequest):
        return timer.past_due

    @generic
    def fail(x):
        raise ValueError(f"no {x}")

    @generic
    async def fail_async(x):
        raise ValueError(f"no {x}")

    @generic
    def leave(x):
        sys.exit(3)

    @generic
    async def leave_async(x):
        sys.exit(3)

    @generic
    def unencodable(x):
        return chr(0xD800)

    @generic
    def log(x):
        logging.getLogger("app").warning("sync %s", x)

    @generic
    async def log_async(x):
        await asyncio.gather(*(asyncio.to_thread(logging.info, "async %s %d", x, number) for number in range(2)))

    @generic
    def log_in_thread(x, context):
        def work():
            context.thread_local_storage.invocation_id = context.invocation_id
            logging.info("thread %s", x)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    @generic
    def remember(x):
        before = left_behind.get()
        left_behind.set(x)
        return before

    @generic
    async def remember_async(x):
        before = left_behind.get()
        left_behind.set(x)
        return before

    @generic
    def meet(x):
        everyone.wait(30)
        return x

    @generic
    async def meet_async(x):
        together.append(x)
        while len(together) < 100:
            await asyncio.sleep(0.001)
        return x

    @generic
    async def block(x):
        logging.info("blocking %s", x)
        await asyncio.Event().wait()

    @generic
    async def tidy(x):
        try:
            logging.info("working %s", x)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "tidied"

    @generic
    def hold(x):
        logging.info("holding %s", x)
        released.wait(30)
        return x

    @generic
    async def release(x):
        released.set()

    @generic
    async def cancel_own_task(x):
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        await task
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerDriver]:
    folder = tmp_path_factory.mktemp("app")
    (folder / "function_app.py").write_text(textwrap.dedent(APP))
    async with worker(folder, {"PYTHON_THREADPOOL_THREAD_COUNT": "1000"}) as driver:
        await driver.open(folder)
        yield driver


@pytest.fixture
def folder(opened: WorkerDriver) -> Path:
    return Path(opened.functions["echo"].directory)


SUCCESS = pb.StatusResult(status=pb.StatusResult.Success)


def string(text: str) -> dict[str, pb.TypedData]:
    return {"x": pb.TypedData(string=text)}


def http(**members: Any) -> dict[str, pb.TypedData]:
    return {"req": pb.TypedData(http=pb.RpcHttp(url="http://localhost/api/x", **members))}


# ---------------------------------------------------------------- values


async def test_request_becomes_a_response(opened: WorkerDriver) -> None:
    request = http(
        method="POST",
        headers={"x-who": "test"},
        params={"name": "Ada"},
        query={"greeting": "hi"},
        body=pb.TypedData(bytes=b'{"age": 36}'),
    )
    reply = await opened.call("hello", request)
    assert (reply.result, reply.return_value) == (
        SUCCESS,
        pb.TypedData(
            http=pb.RpcHttp(
                status_code="202",
                headers={"Location": "/there", "content-type": "text/plain; charset=utf-8"},
                body=pb.TypedData(bytes=b"('Ada', 'hi', 'test', 36)"),
            )
        ),
    )


async def test_text_answers_a_request_as_text(opened: WorkerDriver) -> None:
    reply = await opened.call("text", http(method="get"))
    assert (reply.result, reply.return_value) == (SUCCESS, pb.TypedData(string="GET"))


@pytest.mark.parametrize("name", ["echo", "echo_async"])
@pytest.mark.parametrize(
    "sent, returned",
    [
        (pb.TypedData(string="text"), pb.TypedData(string="text")),
        (pb.TypedData(json='{"a": 1}'), pb.TypedData(string='{"a": 1}')),
        (pb.TypedData(bytes=b"\0\xff"), pb.TypedData(bytes=b"\0\xff")),
        (pb.TypedData(), pb.TypedData()),
    ],
    ids=["string", "json", "bytes", "nothing"],
)
async def test_generic_values_pass_through(
    opened: WorkerDriver, name: str, sent: pb.TypedData, returned: pb.TypedData
) -> None:
    request = opened.request(name, {"x": sent})
    assert await opened.invoke(request) == pb.InvocationResponse(
        invocation_id=request.invocation_id, result=SUCCESS, return_value=returned
    )


async def test_large_values_pass_through(opened: WorkerDriver) -> None:
    large = "ü" * 5_000_000
    reply = await opened.call("echo", string(large))
    assert (reply.result, reply.return_value.string == large) == (SUCCESS, True)


async def test_context_tells_about_the_invocation(opened: WorkerDriver, folder: Path) -> None:
    request = opened.request(
        "about_context",
        string(""),
        trace_context=pb.RpcTraceContext(trace_parent="00-a-b-01", trace_state="s=1", attributes={"k": "v"}),
        retry_context=pb.RetryContext(retry_count=1, max_retry_count=3, exception=pb.RpcException(message="no")),
    )
    reply = await opened.invoke(request)
    assert json.loads(reply.return_value.json) == {
        "invocation_id": request.invocation_id,
        "function_name": "about_context",
        "function_directory": str(folder),
        "trace": ["00-a-b-01", "s=1", {"k": "v"}],
        "retry": [1, 3, "no"],
    }


async def test_output_parameters_leave_as_output_data(opened: WorkerDriver) -> None:
    message = {"msg": pb.TypedData(string="hello")}
    reply = await opened.call("forward", message, trigger_metadata={"Id": pb.TypedData(string="7")})
    assert (reply.result, list(reply.output_data)) == (
        SUCCESS,
        [pb.ParameterBinding(name="out", data=pb.TypedData(string="7: hello"))],
    )


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("name", ["fail", "fail_async"])
async def test_error_of_the_function_is_its_failure(opened: WorkerDriver, folder: Path, name: str) -> None:
    reply = await opened.call(name, string("way"))
    line = next(
        number for number, text in enumerate(textwrap.dedent(APP).splitlines(), 1) if text.endswith(f"def {name}(x):")
    )
    trace = (
        "Traceback (most recent call last):\n"
        f'  File "{folder}/function_app.py", line {line + 1}, in {name}\n'
        '    raise ValueError(f"no {x}")\n'
        "ValueError: no way\n"
    )
    assert reply == pb.InvocationResponse(
        invocation_id=reply.invocation_id,
        result=pb.StatusResult(
            status=pb.StatusResult.Failure,
            exception=pb.RpcException(
                message="ValueError: no way", stack_trace=trace, type="ValueError", is_user_exception=True
            ),
        ),
    )


@pytest.mark.parametrize(
    "name, inputs, message",
    [
        ("nothing", http(), "TypeError: the return value: the binding 'http' cannot carry None"),
        (
            "tick",
            {"timer": pb.TypedData(json="{}")},
            "TypeError: the function returned a value of type 'bool', but none of its bindings takes a return value: "
            "return nothing, or bind '$return'",
        ),
        (
            "tick",
            {"timer": pb.TypedData(string="{}")},
            "TypeError: parameter 'timer': the host sent a value of kind 'string', which the binding 'timerTrigger' "
            "cannot take",
        ),
        ("echo", {"y": pb.TypedData()}, "PayloadError: input_data['y']: function 'echo' has the inputs ['x']"),
        ("echo", {}, "PayloadError: input_data: the host sent no value for 'x'"),
        ("leave", string(""), "SystemExit: 3"),
        ("leave_async", string(""), "SystemExit: 3"),
        ("cancel_own_task", string(""), "CancelledError: "),
        ("unencodable", string(""), "UnicodeEncodeError: 'utf-8' codec can't encode character '\\ud800' in position 0"),
    ],
)
async def test_what_cannot_be_done_is_a_failure(
    opened: WorkerDriver, name: str, inputs: dict[str, pb.TypedData], message: str
) -> None:
    reply = await opened.call(name, inputs)
    assert reply.result.status == pb.StatusResult.Failure
    assert reply.result.exception.message.startswith(message)
    assert not reply.HasField("return_value")


async def test_shared_memory_is_refused(opened: WorkerDriver) -> None:
    request = opened.request("echo")
    request.input_data.add(name="x").rpc_shared_memory.name = "region"
    reply = await opened.invoke(request)
    assert reply.result.exception.message == (
        "PayloadError: input_data['x']: expected the value itself, found a shared memory region"
    )


async def test_function_that_was_never_loaded_is_a_failure(opened: WorkerDriver) -> None:
    request = opened.request("echo")
    request.function_id = "unknown"
    reply = await opened.invoke(request)
    assert (reply.result.status, reply.result.exception.message) == (
        pb.StatusResult.Failure,
        "there is no function with the id 'unknown': it was never loaded",
    )


# ---------------------------------------------------------------- side by side


@pytest.mark.parametrize("name", ["meet", "meet_async"])
async def test_hundred_invocations_run_at_once(opened: WorkerDriver, name: str) -> None:
    """None of them returns before all have begun."""
    replies = await asyncio.gather(*(opened.call(name, string(str(number))) for number in range(100)))
    assert [reply.return_value.string for reply in replies] == [str(number) for number in range(100)]


@pytest.mark.parametrize("name", ["remember", "remember_async"])
async def test_context_variables_end_with_their_invocation(opened: WorkerDriver, name: str) -> None:
    replies = [await opened.call(name, string(text)) for text in ("first", "second", "third")]
    assert [reply.return_value.string for reply in replies] == ["nothing"] * 3


async def test_request_id_is_echoed_where_there_is_one(opened: WorkerDriver) -> None:
    with_id = pb.StreamingMessage(request_id="mine", invocation_request=opened.request("echo", string("")))
    without = pb.StreamingMessage(invocation_request=opened.request("echo", string("")))
    replies = [await opened.post(message.invocation_request.invocation_id, message) for message in (with_id, without)]
    assert [reply.request_id for reply in replies] == ["mine", REQUEST_ID]


# ---------------------------------------------------------------- logs


@pytest.mark.parametrize(
    "name, texts, category, level",
    [
        ("log", ["sync {}"], "app", pb.RpcLog.Warning),
        ("log_async", ["async {} 0", "async {} 1"], "root", pb.RpcLog.Information),
        ("log_in_thread", ["thread {}"], "root", pb.RpcLog.Information),
    ],
)
async def test_logs_carry_their_invocation_and_come_before_its_end(
    opened: WorkerDriver, name: str, texts: list[str], category: str, level: pb.RpcLog.Level
) -> None:
    before = len(opened.logs)
    request = opened.request(name, string("of test"))
    await opened.invoke(request)
    logs = sorted(opened.logs[before:], key=lambda log: log.message)
    assert logs == [
        pb.RpcLog(invocation_id=request.invocation_id, category=category, level=level, message=text.format("of test"))
        for text in texts
    ]


# ---------------------------------------------------------------- cancel


@pytest.mark.parametrize(
    "name, began, result, returned",
    [
        ("block", "blocking", pb.StatusResult(status=pb.StatusResult.Cancelled), pb.TypedData()),
        ("tidy", "working", SUCCESS, pb.TypedData(string="tidied")),
    ],
)
async def test_async_function_is_cancelled_and_may_tidy_up(
    opened: WorkerDriver, name: str, began: str, result: pb.StatusResult, returned: pb.TypedData
) -> None:
    request = opened.request(name, string(name))
    reply = opened.post_invocation(request)
    await opened.log(f"{began} {name}")
    opened.cancel(request)
    answered = (await reply).invocation_response
    assert (answered.result, answered.return_value) == (result, returned)


async def test_cancelled_before_its_first_step_is_answered_too(opened: WorkerDriver) -> None:
    request = opened.request("block", string("never"))
    reply = opened.post_invocation(request)
    opened.cancel(request)
    assert (await reply).invocation_response.result.status == pb.StatusResult.Cancelled


async def test_sync_function_that_runs_ends_normally_when_cancelled(opened: WorkerDriver) -> None:
    request = opened.request("hold", string("on"))
    reply = opened.post_invocation(request)
    await opened.log("holding on")
    opened.cancel(request)
    await opened.call("release", string(""))
    answered = (await reply).invocation_response
    assert (answered.result, answered.return_value) == (SUCCESS, pb.TypedData(string="on"))


async def test_cancelling_what_has_ended_does_nothing(opened: WorkerDriver) -> None:
    request = opened.request("echo", string("x"))
    await opened.invoke(request)
    opened.cancel(request)
    assert (await opened.call("echo", string("y"))).return_value.string == "y"
