"""The decorators, seen by a worker: the declarations they make, and the functions they install."""

from __future__ import annotations

import ast
import asyncio
import functools
import inspect
import json
import traceback
import typing
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from management_host import WEBHOOK, client_payload

from worker_ext.client import DurableOrchestrationClient
from worker_ext.decorators import Blueprint, DFApp, DurableFunction, inherited
from worker_ext.entity_class import DurableEntity, operation
from worker_ext.errors import AppError, OrchestrationFailedError

if typing.TYPE_CHECKING:
    from worker_ext.context import DurableOrchestrationContext

CLIENT_TEXT = client_payload("http://127.0.0.1:17071/durabletask/")
PAYLOAD = json.dumps(
    {
        "history": [
            {"EventType": 12, "EventId": -1, "IsPlayed": False, "Timestamp": "2026-01-02T03:04:05Z"},
            {
                "OrchestrationInstance": {"InstanceId": "abc", "ExecutionId": "e1"},
                "EventType": 0,
                "ParentInstance": None,
                "Name": "Ship",
                "Version": None,
                "Input": '"\\"box\\""',
                "Tags": None,
                "EventId": -1,
                "IsPlayed": False,
                "Timestamp": "2026-01-02T03:04:04.9Z",
            },
        ],
        "input": '"box"',
        "instanceId": "abc",
        "isReplaying": False,
        "parentInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 3,
        "longRunningTimerIntervalDuration": "3.00:00:00",
        "maximumShortTimerDuration": "6.00:00:00",
        "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
    }
)


@pytest.fixture
def app() -> DFApp:
    return DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def installed(app: func.FunctionRegister) -> Callable[..., Any]:
    """What a worker is given for the app's only function."""
    function: Callable[..., Any] = only(app).get_user_function()
    return function


def only(app: func.FunctionRegister) -> Any:
    [function] = app.get_functions()
    return function


def as_a_worker_sees(function: Callable[..., Any]) -> dict[str, Any]:
    """Each parameter with the annotation that a worker resolves, `return` among them."""
    hints = typing.get_type_hints(function)
    parameters = dict.fromkeys(inspect.signature(function).parameters, inspect.Parameter.empty)
    return {**parameters, **hints}


EMPTY = inspect.Parameter.empty


# ---------------------------------------------------------------- declarations beside azure-functions' own


def test_durable_decorators_stack_with_those_of_azure_functions(app: DFApp) -> None:
    @app.function_name("Start")
    @app.route(route="orchestrators/{functionName}", methods=["POST"])
    @app.durable_client_input(client_name="client", task_hub="Hub", connection_name="Storage")
    async def http_start(req: func.HttpRequest, client: DurableOrchestrationClient) -> func.HttpResponse:
        raise NotImplementedError

    function = only(app)
    assert function.get_function_name() == "Start"
    assert [json.loads(text) for text in function.get_raw_bindings()] == [
        {
            "direction": "IN",
            "type": "durableClient",
            "name": "client",
            "taskHub": "Hub",
            "connectionName": "Storage",
        },
        {
            "direction": "IN",
            "type": "httpTrigger",
            "name": "req",
            "methods": ["POST"],
            "authLevel": "ANONYMOUS",
            "route": "orchestrators/{functionName}",
        },
        {"direction": "OUT", "type": "http", "name": "$return"},
    ]


def test_a_durable_decorator_may_stand_above_one_of_azure_functions(app: DFApp) -> None:
    @app.durable_client_input(client_name="client")
    @app.route(route="start")
    async def http_start(req: func.HttpRequest, client: DurableOrchestrationClient) -> func.HttpResponse:
        raise NotImplementedError

    assert [json.loads(text)["type"] for text in only(app).get_raw_bindings()] == [
        "httpTrigger",
        "http",
        "durableClient",
    ]


@pytest.mark.parametrize("client_first", [True, False])
def test_two_durable_decorators_stack_in_either_order(app: DFApp, client_first: bool) -> None:
    def relay(order: str, client: Any) -> tuple[str, str]:
        return order, client.task_hub_name

    decorators = [app.durable_client_input(client_name="client"), app.activity_trigger(input_name="order")]
    for decorate in decorators if client_first else decorators[::-1]:
        relay = decorate(relay)
    function = installed(app)
    assert as_a_worker_sees(function).keys() == {"order", "client"}
    assert function(order="books", client=CLIENT_TEXT) == ("books", "ThinHub")


def test_a_retry_policy_goes_on_an_activity(app: DFApp) -> None:
    @app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:01")
    @app.activity_trigger(input_name="name")
    def hello(name: str) -> str:
        return name

    assert only(app).get_settings_dict("retry_policy") == {
        "setting_name": "retry_policy",
        "strategy": "fixed_delay",
        "max_retry_count": "3",
        "delay_interval": "00:00:01",
    }


def test_the_functions_of_a_blueprint_come_into_an_app(app: DFApp) -> None:
    blueprint = Blueprint()

    @blueprint.activity_trigger(input_name="name", activity="SayHello")
    def hello(name: str) -> str:
        return name

    app.register_functions(blueprint)
    assert [json.loads(text) for text in only(app).get_raw_bindings()] == [
        {"direction": "IN", "type": "activityTrigger", "name": "name", "activity": "SayHello"}
    ]


def test_a_function_app_of_azure_functions_takes_a_blueprint() -> None:
    blueprint, app = Blueprint(), func.FunctionApp()

    @blueprint.activity_trigger(input_name="name")
    def hello(name: str) -> str:
        return name

    app.register_blueprint(blueprint)
    assert installed(app)(name="Tokyo") == "Tokyo"


def test_the_app_has_its_http_auth_level() -> None:
    assert [DFApp().auth_level, DFApp("ADMIN").auth_level] == [func.AuthLevel.FUNCTION, func.AuthLevel.ADMIN]


def test_a_second_trigger_is_refused(app: DFApp) -> None:
    with pytest.raises(ValueError, match="trigger was already registered"):

        @app.activity_trigger(input_name="name")
        @app.activity_trigger(input_name="name")
        def hello(name: str) -> str:
            return name


# ---------------------------------------------------------------- called directly, as a unit test does


def test_a_decorated_function_shows_the_users_signature(app: DFApp) -> None:
    def hello(name: str, greeting: str = "Hello") -> str:
        raise NotImplementedError

    decorated = app.function_name("Greet")(app.activity_trigger(input_name="name")(hello))
    assert inspect.signature(decorated) == inspect.signature(hello)
    assert (inspect.unwrap(decorated), decorated.__qualname__) == (hello, hello.__qualname__)


def test_no_decorator_of_azure_functions_is_without_its_types() -> None:
    """They are restated for type checkers, which would lose the function's signature under them."""
    source = ast.parse(inspect.getsource(inherited))
    restated = {node.name for node in ast.walk(source) if isinstance(node, ast.FunctionDef)}
    own = {"orchestration_trigger", "activity_trigger", "entity_trigger", "durable_client_input"}
    apis = func.TriggerApi, func.BindingApi, func.SettingsApi
    decorators = {name for api in apis for name, member in inspect.getmembers(api, inspect.isfunction)}
    assert {name for name in decorators if not name.startswith("_")} - own <= restated


def test_a_decorated_activity_is_called_as_it_is_written(app: DFApp) -> None:
    @app.activity_trigger(input_name="name")
    def hello(name: str, greeting: str = "Hello") -> str:
        """Greets."""
        return f"{greeting} {name}!"

    typing.assert_type(hello("Tokyo"), str)
    assert [hello("Tokyo"), hello(name="Tokyo", greeting="Hi")] == ["Hello Tokyo!", "Hi Tokyo!"]
    assert (hello.__name__, hello.__doc__, type(hello)) == ("hello", "Greets.", DurableFunction)


def test_a_decorated_orchestrator_is_called_as_it_is_written(app: DFApp) -> None:
    @app.orchestration_trigger(context_name="context")
    def ship(context: Any) -> Generator[str, str, str]:
        answer = yield f"pack {context}"
        return answer.upper()

    generator = ship("books")
    typing.assert_type(generator, Generator[str, str, str])
    assert next(generator) == "pack books"
    with pytest.raises(StopIteration) as end:
        generator.send("done")
    assert end.value.value == "DONE"


def test_a_decorated_coroutine_function_is_awaited_with_whatever_plays_the_context(app: DFApp) -> None:
    @app.orchestration_trigger(context_name="context")
    async def ship(context: Any) -> str:
        return f"{await context.call_activity('Pack')}!"

    class Context:
        @staticmethod
        async def call_activity(name: str) -> str:
            return f"{name}ed"

    assert inspect.iscoroutinefunction(inspect.unwrap(ship))
    assert asyncio.run(ship(Context())) == "Packed!"


def test_a_decorated_entity_is_called_as_it_is_written(app: DFApp) -> None:
    @app.entity_trigger(context_name="context")
    def counter(context: Any, step: int = 1) -> int:
        return int(context.get_input()) + step

    class Context:
        @staticmethod
        def get_input() -> int:
            return 2

    assert [counter(Context()), counter(Context(), step=5)] == [3, 7]
    assert str(inspect.signature(counter)) == "(context: 'Any', step: 'int' = 1) -> 'int'"


def test_a_decorated_class_is_made_and_used_as_it_is_written(app: DFApp) -> None:
    @app.entity_trigger()
    @dataclass
    class Counter(DurableEntity):
        value: int = 0

        @operation
        def add(self, amount: int) -> int:
            self.value += amount
            return self.value

    counter = Counter(2)
    assert (counter.add(3), counter.value, isinstance(counter, DurableEntity)) == (5, 5, True)


def test_a_function_with_a_client_is_called_with_whatever_plays_the_client(app: DFApp) -> None:
    @app.function_name("Other")
    @app.route(route="start")
    @app.durable_client_input(client_name="client")
    async def start(req: Any, client: Any) -> Any:
        return req, client

    assert asyncio.run(start("request", client="a stand-in")) == ("request", "a stand-in")


def test_user_functions_are_found_where_1_7_0_keeps_them(app: DFApp) -> None:
    def ship(context: Any) -> Any:
        raise NotImplementedError

    def start(client: Any) -> Any:
        raise NotImplementedError

    orchestrator = app.orchestration_trigger(context_name="context")(ship)
    client = app.durable_client_input(client_name="client")(start)
    assert vars(orchestrator._function.get_user_function())["orchestrator_function"] is ship
    assert vars(client._function.get_user_function())["client_function"] is start


# ---------------------------------------------------------------- orchestrators


@pytest.mark.parametrize("context_name", ["context", "ctx", "my_context", "_context"])
def test_an_orchestrators_binding_may_have_any_name(app: DFApp, context_name: str) -> None:
    @app.orchestration_trigger(context_name=context_name)
    def ship(the_context: DurableOrchestrationContext) -> Any:
        return the_context.get_input()

    function = installed(app)
    assert as_a_worker_sees(function) == {context_name: EMPTY}
    reply = json.loads(function(**{context_name: func.OrchestrationContext(PAYLOAD)}))
    assert (reply["isDone"], reply["output"]) == (True, "box")


def test_an_orchestrator_may_be_a_generator(app: DFApp) -> None:
    @app.orchestration_trigger(context_name="context")
    def ship(context: DurableOrchestrationContext) -> Generator[Any, Any, Any]:
        return (yield context.call_activity("Pack", 1))

    reply = json.loads(installed(app)(context=func.OrchestrationContext(PAYLOAD)))
    assert reply["isDone"] is False
    assert [action["functionName"] for batch in reply["actions"] for action in batch] == ["Pack"]


def test_an_orchestrator_takes_the_payload_itself_too(app: DFApp) -> None:
    @app.orchestration_trigger(context_name="context")
    def ship(context: DurableOrchestrationContext) -> Any:
        return context.instance_id

    assert json.loads(installed(app)(PAYLOAD))["output"] == "abc"


def test_a_failing_orchestrator_names_the_users_error(app: DFApp) -> None:
    @app.orchestration_trigger(context_name="context")
    def ship(context: DurableOrchestrationContext) -> Any:
        raise ValueError("no such box")

    with pytest.raises(OrchestrationFailedError, match="no such box") as failure:
        installed(app)(context=func.OrchestrationContext(PAYLOAD))
    assert isinstance(failure.value.__cause__, ValueError)


def test_an_orchestrators_turn_is_for_a_thread(app: DFApp) -> None:
    @app.orchestration_trigger(context_name="context")
    async def ship(context: Any) -> None:
        raise NotImplementedError

    assert not inspect.iscoroutinefunction(installed(app))


# ---------------------------------------------------------------- entities

BATCH = {
    "self": {"name": "counter", "key": "k"},
    "exists": True,
    "state": "5",
    "batch": [{"name": "add", "input": '"3"', "isSignal": False, "id": "126680b5-3a5e-4264-98a6-0a1bf5f0f6be"}],
}


def test_an_entity_answers_a_batch(app: DFApp) -> None:
    @app.entity_trigger(context_name="my_context", entity_name="Counter")
    def counter(context: Any) -> None:
        total = context.get_state() + int(context.get_input())
        context.set_state(total)
        context.set_result(total)

    function = installed(app)
    assert as_a_worker_sees(function) == {"my_context": EMPTY}
    reply = json.loads(function(my_context=func.EntityContext(json.dumps(BATCH))))
    assert (reply["entityExists"], reply["entityState"]) == (True, "8")
    assert [result["result"] for result in reply["results"]] == ["8"]


# ---------------------------------------------------------------- what a worker looks at


def test_an_activitys_annotations_are_hidden_from_workers(app: DFApp) -> None:
    @app.activity_trigger(input_name="orders")
    def pack(orders: list[Missing] | None, context: func.Context) -> Unknown:  # type: ignore[name-defined]  # noqa: F821
        return orders

    assert as_a_worker_sees(installed(app)) == {"orders": EMPTY, "context": func.Context}


def test_a_clients_annotation_is_hidden_and_the_others_stay(app: DFApp) -> None:
    @app.durable_client_input(client_name="client")
    @app.queue_output(arg_name="out", queue_name="q", connection="AzureWebJobsStorage")
    @app.route(route="start")
    def start(req: func.HttpRequest, out: func.Out[str], client: Missing) -> func.HttpResponse:  # type: ignore[name-defined]  # noqa: F821
        raise NotImplementedError

    assert as_a_worker_sees(installed(app)) == {
        "req": func.HttpRequest,
        "out": func.Out[str],
        "client": EMPTY,
        "return": func.HttpResponse,
    }


def test_the_users_own_annotations_stay_as_they_are(app: DFApp) -> None:
    def pack(orders: list[int]) -> int:
        return len(orders)

    app.activity_trigger(input_name="orders")(pack)
    assert pack.__annotations__ == {"orders": "list[int]", "return": "int"}


def test_what_is_installed_is_a_plain_function_in_the_users_file(app: DFApp) -> None:
    @app.activity_trigger(input_name="name")
    def hello(name: str) -> str:
        return name

    function = installed(app)
    assert inspect.isfunction(function)
    assert not hasattr(function, "__wrapped__")
    assert Path(inspect.getfile(function)) == Path(__file__)
    assert (function.__name__, function.__module__) == ("hello", __name__)


def test_a_decorated_function_of_the_user_is_taken_with_its_decorator(app: DFApp) -> None:
    def loud(function: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(function)
        def shout(*args: Any, **kwargs: Any) -> str:
            return function(*args, **kwargs).upper()

        return shout

    @app.activity_trigger(input_name="name")
    @loud
    def hello(name: list[int]) -> str:
        return f"hello {name}"

    function = installed(app)
    assert as_a_worker_sees(function) == {"name": EMPTY}
    assert function(name="Tokyo") == "HELLO TOKYO"
    assert Path(inspect.getfile(function)) == Path(__file__)


def test_an_object_that_is_called_like_a_function_works(app: DFApp) -> None:
    class Hello:
        __name__ = "hello"

        async def __call__(self, name: str) -> str:
            return f"Hello {name}!"

    app.activity_trigger(input_name="name")(Hello())
    function = installed(app)
    assert inspect.iscoroutinefunction(function)
    assert asyncio.run(function(name="Tokyo")) == "Hello Tokyo!"


@pytest.mark.parametrize(
    "decorator,argument", [("activity_trigger", "input_name"), ("durable_client_input", "client_name")]
)
def test_a_function_stays_sync_or_async(decorator: str, argument: str) -> None:
    def sync(x: Any) -> Any:
        raise NotImplementedError

    async def asynchronous(x: Any) -> Any:
        raise NotImplementedError

    kinds = []
    for function in (sync, asynchronous):
        builder = getattr(DFApp(), decorator)(**{argument: "x"})(function)
        kinds.append(inspect.iscoroutinefunction(builder._function.get_user_function()))
    assert kinds == [False, True]


def test_a_failure_is_traced_to_the_users_line(app: DFApp) -> None:
    @app.activity_trigger(input_name="name")
    def hello(name: str) -> str:
        raise ValueError(name)

    with pytest.raises(ValueError, match="Tokyo") as failure:
        installed(app)(name="Tokyo")
    last = traceback.extract_tb(failure.tb)[-1]
    assert (last.filename, last.line) == (__file__, "raise ValueError(name)")


# ---------------------------------------------------------------- clients


def test_an_async_function_gets_a_client_made_of_the_text(app: DFApp) -> None:
    @app.route(route="start")
    @app.durable_client_input(client_name="client")
    async def start(req: func.HttpRequest, client: DurableOrchestrationClient) -> Any:
        return client

    client = asyncio.run(installed(app)(req=None, client=CLIENT_TEXT))
    assert isinstance(client, DurableOrchestrationClient)
    assert client.create_http_management_payload("abc")["statusQueryGetUri"].startswith(f"{WEBHOOK}/instances/abc?")


def test_a_sync_function_gets_a_client_too(app: DFApp) -> None:
    @app.route(route="start")
    @app.durable_client_input(client_name="starter")
    def start(req: func.HttpRequest, starter: DurableOrchestrationClient) -> Any:
        return starter.task_hub_name

    assert installed(app)(req=None, starter=CLIENT_TEXT) == "ThinHub"


def test_a_client_that_is_no_text_is_passed_on(app: DFApp) -> None:
    @app.route(route="start")
    @app.durable_client_input(client_name="client")
    def start(req: Any, client: Any) -> Any:
        return client

    stand_in = object()
    assert installed(app)(req=None, client=stand_in) is stand_in


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "decorator,arguments,expected",
    [
        (
            "activity_trigger",
            {"input_name": "name"},
            "function 'hello' has no parameter 'name', which activity_trigger(input_name='name') names; "
            "its parameters are (town)",
        ),
        (
            "durable_client_input",
            {"client_name": "client"},
            "function 'hello' has no parameter 'client', which durable_client_input(client_name='client') names; "
            "its parameters are (town)",
        ),
        (
            "orchestration_trigger",
            {"context_name": "my context"},
            "context_name='my context' names the binding; expected a Python name such as 'context'",
        ),
    ],
)
def test_a_name_that_cannot_be_bound_is_refused(app: DFApp, decorator: str, arguments: Any, expected: str) -> None:
    def hello(town: str) -> str:
        return town

    with pytest.raises(AppError) as refusal:
        getattr(app, decorator)(**arguments)(hello)
    assert str(refusal.value) == expected
    assert app.get_functions() == []


def test_an_orchestrator_of_two_parameters_is_refused(app: DFApp) -> None:
    with pytest.raises(AppError) as refusal:

        @app.orchestration_trigger(context_name="context")
        def ship(context: Any, order: str) -> None:
            raise NotImplementedError

    assert str(refusal.value) == (
        "orchestrator 'ship' is called with one argument, the context, but is written as ship(context, order). "
        "Other values reach it as its input"
    )


@pytest.mark.parametrize("target", [functools.partial(print, "x"), "hello", None])
def test_what_is_no_function_is_refused(app: DFApp, target: Any) -> None:
    with pytest.raises(AppError, match=r"a durable decorator was applied to .* which is no function with a name"):
        app.activity_trigger(input_name="name")(target)


@pytest.mark.parametrize(
    "decorator, use",
    [
        ("orchestration_trigger", '@app.orchestration_trigger(context_name="context")'),
        ("activity_trigger", '@app.activity_trigger(input_name="..."), with the name of the parameter'),
        ("entity_trigger", '@app.entity_trigger(context_name="context")'),
        ("durable_client_input", '@app.durable_client_input(client_name="..."), with the name of the parameter'),
    ],
)
def test_a_decorator_without_brackets_is_refused(decorator: str, use: str) -> None:
    def work(context: Any) -> None: ...

    app = DFApp()
    with pytest.raises(AppError) as refusal:
        getattr(app, decorator)(work)
    assert str(refusal.value) == f"the decorator of 'work' has no brackets, so it decorates nothing. Write {use}"
    assert app.get_functions() == []
