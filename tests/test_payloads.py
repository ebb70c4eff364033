"""Values of a type that code names, beside azure-functions' own `df_loads`, which 1.7.0 reads them with."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Generator
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from azure.functions._durable_functions import df_loads

import worker_ext as df
from worker_ext import payloads
from worker_ext.errors import PayloadError
from worker_ext.status import DurableOrchestrationStatus, EntityStateResponse
from worker_ext.testing import HistoryBuilder, replay

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers

Steps = Generator[Any, Any, Any]


class Order:
    """A custom object as apps write them."""

    def __init__(self, number: int, parts: list[Any]) -> None:
        self.number = number
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    @staticmethod
    def to_json(order: Order) -> dict[str, Any]:
        return {"number": order.number, "parts": order.parts}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Order:
        return cls(data["number"], data["parts"])


class Invoice(Order):
    """Another one."""


def envelope(cls: str, data: Any, module: str = __name__) -> dict[str, Any]:
    return {"__class__": cls, "__module__": module, "__data__": data}


PART = envelope("Order", {"number": 2, "parts": []})
ORDER = envelope("Order", {"number": 1, "parts": [PART]})

VALUES = [5, 1.5, "text", True, [1, {"a": None}], {"a": [1]}, [PART], ORDER]
TYPES = [int, float, str, bool, list, dict, Order, Invoice, list[int], int | None, Any]


@pytest.fixture(params=["loose", "strict"])
def strict(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "1" if request.param == "strict" else "0")
    return bool(request.param == "strict")


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING)
    return caplog


def outcome(read: Any, text: str, expected_type: Any) -> Any:
    try:
        return read(text, expected_type)
    except TypeError:
        return TypeError
    except AttributeError:  # what 1.7.0 does with `int | None` and a custom object
        return TypeError


@pytest.mark.filterwarnings("ignore::DeprecationWarning:azure.functions")
@pytest.mark.parametrize("expected_type", TYPES, ids=str)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_read_is_what_1_7_0_reads(
    value: Any, expected_type: Any, strict: bool, warned: pytest.LogCaptureFixture
) -> None:
    """Any is no type that says anything, which strict typing of 1.7.0 refuses for custom objects; so do we."""
    text = json.dumps(value)
    expected = outcome(df_loads, text, expected_type)
    if expected is TypeError and not strict:
        expected = outcome(df_loads, text, None)
    theirs = bool(warned.records)
    warned.clear()
    assert outcome(lambda text, kind: payloads.decode_as(kind, text), text, expected_type) == expected
    if (
        isinstance(expected_type, type) and expected_type is not Any
    ):  # list[int] and its like are looked through, which 1.7.0 does not do
        assert bool(warned.records) == theirs


def test_a_mismatch_is_logged_with_both_types(warned: pytest.LogCaptureFixture) -> None:
    payloads.decode_as(int, '"x"')
    payloads.decode_as(Invoice, json.dumps(PART))
    assert [record.getMessage() for record in warned.records] == [
        "expected a value of type <class 'int'>, found str; it is passed on as it is",
        f"expected a value of type {Invoice!r}, found {__name__}.Order; it is passed on as it is",
    ]


def test_a_mismatch_under_strict_typing_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "yes")
    with pytest.raises(TypeError) as caught:
        payloads.decode_as(int, '"x"')
    assert str(caught.value) == (
        "expected a value of type <class 'int'>, found str. Name the type it has, or send one of this type"
    )


def test_a_class_that_code_names_may_lie_anywhere() -> None:
    """A payload could not choose it: it is no member of its module."""

    class Local(Order):
        pass

    text = json.dumps(envelope("Local", {"number": 3, "parts": []}))
    with pytest.raises(PayloadError, match="expected a class of the app's own"):
        payloads.decode_as(Order, text)
    assert payloads.decode_as(Local, text) == Local(3, [])


@pytest.mark.parametrize("expected_type", [int, Order, Any, None])
def test_no_text_is_none(expected_type: Any) -> None:
    assert payloads.decode_as(expected_type, None) is None
    assert payloads.decode_as(expected_type, "null") is None


def test_data_that_from_json_refuses_are_a_payload_error() -> None:
    with pytest.raises(PayloadError, match=r"custom object .*Order: its from_json raised KeyError: 'parts'"):
        payloads.decode_as(Order, json.dumps(envelope("Order", {"number": 1})))


# ---------------------------------------------------------------- what decorated functions say they return

app = df.DFApp()


@app.activity_trigger(input_name="number")
def find_order(number: int) -> Order:
    return Order(number, [])


@app.activity_trigger(input_name="number")
async def count(number: int) -> int:
    return number


@app.activity_trigger(input_name="number")
def says_nothing(number):  # type: ignore[no-untyped-def]
    return number


@app.activity_trigger(input_name="number")
def says_what_is_in_a_list(number: int) -> list[int]:
    return [number]


@app.activity_trigger(input_name="number")
def says_any(number: int) -> Any:
    return number


@app.activity_trigger(input_name="number")
def returns_nothing(number: int) -> None:
    return None


@app.activity_trigger(input_name="number")
def says_what_only_checkers_know(number: int) -> OnlyForCheckers:
    raise NotImplementedError


@app.orchestration_trigger(context_name="context")
def as_generator(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Order]:
    return (yield context.call_activity(find_order, 1))  # type: ignore[no-any-return]


@app.orchestration_trigger(context_name="context")
def as_steps(context: df.DurableOrchestrationContext) -> Steps:
    return (yield context.call_activity(find_order, 1))


@app.orchestration_trigger(context_name="context")
def plainly(context: df.DurableOrchestrationContext) -> Order:
    return Order(1, [])


@pytest.mark.parametrize(
    "function,returned",
    [
        (find_order, Order),
        (count, int),
        (says_nothing, None),
        (says_what_is_in_a_list, list[int]),
        (says_any, None),
        (returns_nothing, None),
        (says_what_only_checkers_know, None),
        (as_generator, Order),
        (as_steps, None),
        (plainly, Order),
        ("find_order", None),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_type_is_what_the_function_says_it_returns(function: Any, returned: Any) -> None:
    assert payloads.returned_type(function) == returned


# ---------------------------------------------------------------- in an orchestrator

LOCAL = envelope("Hidden", {"number": 7, "parts": []})


def hidden() -> type[Order]:
    """A class that only code can name."""

    class Hidden(Order):
        pass

    return Hidden


HIDDEN = hidden()
OPTIONS = df.RetryOptions(1000, 3)
POLICY = df.RetryOptions(1000, 3, jitter=0.1)
ENTITY = df.EntityId("Store", "k")


def completed() -> HistoryBuilder:
    return HistoryBuilder().started().scheduled("A", 0).batch().completed(0, LOCAL)


def child_completed() -> HistoryBuilder:
    return HistoryBuilder().started().child_created("A", 0).batch().child_completed(0, LOCAL)


def raised() -> HistoryBuilder:
    return HistoryBuilder().started().batch().raised("A", LOCAL)


def answered() -> HistoryBuilder:
    return HistoryBuilder().started().sent(0, "@store@k", "A").batch().answered("r1", LOCAL)


CALLS = [
    pytest.param(lambda context, **typed: context.call_activity("A", 1, **typed), completed, id="activity"),
    pytest.param(
        lambda context, **typed: context.call_activity_with_retry("A", OPTIONS, 1, **typed), completed, id="retried"
    ),
    pytest.param(
        lambda context, **typed: context.call_activity_with_retry("A", POLICY, 1, **typed), completed, id="by policy"
    ),
    pytest.param(lambda context, **typed: context.call_sub_orchestrator("A", 1, **typed), child_completed, id="child"),
    pytest.param(
        lambda context, **typed: context.call_sub_orchestrator_with_retry("A", OPTIONS, 1, **typed),
        child_completed,
        id="child retried",
    ),
    pytest.param(lambda context, **typed: context.wait_for_external_event("A", **typed), raised, id="event"),
    pytest.param(lambda context, **typed: context.call_entity(ENTITY, "A", 1, **typed), answered, id="entity"),
]


@pytest.mark.parametrize("call,history", CALLS)
def test_a_result_is_read_as_the_type_that_the_call_names(call: Any, history: Any) -> None:
    def orchestrator(context: df.DurableOrchestrationContext) -> Steps:
        result = yield call(context, expected_type=HIDDEN)
        return [type(result) is HIDDEN, result.number]

    assert replay(orchestrator, history()).output == [True, 7]


@pytest.mark.parametrize("call,history", CALLS)
def test_a_result_that_cannot_be_read_fails_at_the_yield(call: Any, history: Any) -> None:
    """It is no failure of the attempt: an activity that ended well is not run again."""

    def orchestrator(context: df.DurableOrchestrationContext) -> Steps:
        try:
            yield call(context)
        except PayloadError as error:
            return error.what

    turn = replay(orchestrator, history())
    assert turn.output == "expected a class of the app's own with a `from_json`, found none of that name"


@pytest.mark.parametrize("call,history", CALLS)
def test_a_result_of_another_type_fails_at_the_yield_under_strict_typing(
    call: Any, history: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "1")

    def orchestrator(context: df.DurableOrchestrationContext) -> Steps:
        try:
            yield call(context, expected_type=int)
        except TypeError as error:
            return str(error)

    turn = replay(orchestrator, history())
    assert turn.output == (
        f"expected a value of type <class 'int'>, found {__name__}.Hidden. Name the type it has, or send one of this "
        "type"
    )


def test_later_attempts_of_a_retry_are_read_as_the_type_too() -> None:
    def orchestrator(context: df.DurableOrchestrationContext) -> Steps:
        result = yield context.call_activity_with_retry("A", OPTIONS, expected_type=HIDDEN)
        return result.number

    history = HistoryBuilder().started().scheduled("A", 0).batch().failed(0).timer_created(1).batch().timer_fired(1)
    history.scheduled("A", 2).batch().completed(2, LOCAL)
    assert replay(orchestrator, history).output == 7


def test_the_type_that_an_activity_says_it_returns_is_used_when_it_is_passed_itself() -> None:
    def orchestrator(context: df.DurableOrchestrationContext) -> Steps:
        return (yield context.call_activity(find_order, 1)).number

    history = HistoryBuilder().started().scheduled("find_order", 0).batch().completed(0, PART)
    assert replay(orchestrator, history).output == 2


@pytest.mark.parametrize("as_text", [True, False], ids=["from a client of ours", "from curl"])
def test_the_input_is_read_as_the_type_that_the_call_or_the_decorator_names(as_text: bool) -> None:
    def orchestrator(context: df.DurableOrchestrationContext) -> Any:
        return [type(context.get_input(expected_type=HIDDEN)) is HIDDEN]

    def by_decorator(context: df.DurableOrchestrationContext) -> Any:
        return [type(context.get_input()) is HIDDEN]

    payload = json.loads(HistoryBuilder().started().payload())
    payload["input"] = json.dumps(LOCAL) if as_text else LOCAL
    text = json.dumps(payload)
    assert replay(orchestrator, text).output == [True]
    declared = df.DFApp().orchestration_trigger("context", input_type=HIDDEN)(by_decorator)
    installed = declared.build().get_user_function()
    assert json.loads(installed(text))["output"] == [True]


@pytest.mark.parametrize("levels", [1, 2], ids=["from curl", "from a client of ours"])
def test_an_entity_reads_input_and_state_as_types(levels: int) -> None:
    def entity(context: df.DurableEntityContext) -> None:
        given, state = context.get_input(expected_type=HIDDEN), context.get_state(HIDDEN, HIDDEN)
        context.set_result([type(given) is HIDDEN, type(state) is HIDDEN, given.number + state.number])

    text = json.dumps(LOCAL) if levels == 1 else json.dumps(json.dumps(LOCAL))
    batch = [{"name": "add", "input": text, "isSignal": False}]
    payload = {"self": {"name": "store", "key": "k"}, "exists": True, "state": json.dumps(LOCAL), "batch": batch}
    reply = json.loads(df.Entity.create(entity)(json.dumps(payload)))
    assert json.loads(reply["results"][0]["result"]) == [True, True, 14]
    assert json.loads(reply["entityState"]) == LOCAL


# ---------------------------------------------------------------- annotations


@dataclasses.dataclass
class Line:
    price: float
    due: date


@dataclasses.dataclass
class Bill:
    lines: list[Line]
    paid: set[str] = dataclasses.field(default_factory=set)


BILL = Bill([Line(1.5, date(2026, 1, 2))], {"a"})
AS_JSON = {"lines": [{"price": 1.5, "due": "2026-01-02"}], "paid": ["a"]}
WRONG = {"lines": [{"price": 1.5, "due": "2026-01-02"}, {"price": "x"}]}
FAULT = "$.lines[1].price: Expected `float`, got `str`"


@app.activity_trigger(input_name="bill")
def pay(bill: Bill, context: Any = None) -> Bill:
    return Bill(bill.lines, {*bill.paid, "now"})


@app.activity_trigger(input_name="bill")
async def pay_later(bill: Bill | None = None) -> list[Bill]:
    return [] if bill is None else [bill]


@app.orchestration_trigger(context_name="context")
async def settle(context: df.DurableOrchestrationContext) -> Bill:
    return await context.call_activity(pay, context.get_input(expected_type=Bill))


def called(activity: Any, **arguments: Any) -> Any:
    """What a worker gets of an activity; its converter reads JSON and knows nothing of types."""
    return activity.build().get_user_function()(**arguments)


def test_an_activity_gets_its_input_as_the_type_of_its_parameter() -> None:
    assert called(pay, bill=AS_JSON) == Bill(BILL.lines, {"a", "now"})
    assert asyncio.run(called(pay_later, bill=AS_JSON)) == [BILL]
    assert asyncio.run(called(pay_later, bill=None)) == []


def test_an_activity_that_is_sent_something_else_fails_with_the_place() -> None:
    with pytest.raises(PayloadError) as caught:
        called(pay, bill=WRONG)
    assert str(caught.value) == FAULT


@pytest.mark.parametrize("annotation", ["str", str, dict, "Any", Any, None, "OnlyForCheckers", list[int], "Generator"])
def test_an_activity_that_does_not_say_more_than_on_1_7_0_gets_what_it_got_there(annotation: Any) -> None:
    def activity(value) -> Any:  # type: ignore[no-untyped-def]
        return value

    activity.__annotations__["value"] = annotation
    declared = df.DFApp().activity_trigger(input_name="value")(activity)
    assert called(declared, value=[{"a": "x"}]) == [{"a": "x"}]


def test_a_plain_type_that_does_not_fit_is_logged_with_the_place(warned: pytest.LogCaptureFixture) -> None:
    assert payloads.decode_as(dict[str, int], '{"a": "x"}') == {"a": "x"}
    assert [record.getMessage() for record in warned.records] == [
        "expected a value of type dict[str, int], found at $.a: Expected `int`, got `str`; it is passed on as it is"
    ]


def pay_result(value: Any) -> HistoryBuilder:
    return HistoryBuilder().started(input_=AS_JSON).scheduled("pay", 0).batch().completed(0, value)


def test_results_are_read_by_the_annotation_of_the_function_that_is_called() -> None:
    def as_generator(context: df.DurableOrchestrationContext) -> Steps:
        bill = yield context.call_activity(pay, BILL)
        return bill.lines[0].due.year

    async def as_coroutine(context: df.DurableOrchestrationContext) -> Any:
        return (await context.call_activity(pay, BILL)).lines[0].due.year

    for orchestrator in (as_generator, as_coroutine):
        first = replay(orchestrator, HistoryBuilder().started())
        assert json.loads(first.actions[0].input) == AS_JSON  # type: ignore[union-attr]
        assert replay(orchestrator, pay_result(AS_JSON)).output == 2026
        error = replay(orchestrator, pay_result(WRONG)).error
        assert (type(error), str(error)) == (PayloadError, FAULT)


def test_an_orchestrator_gives_and_takes_typed_values() -> None:
    turn = replay(settle._user_function, pay_result(AS_JSON))
    assert turn.output == AS_JSON


def test_the_input_is_read_as_the_type_that_the_context_is_annotated_with() -> None:
    def as_generator(context: df.DurableOrchestrationContext[Bill]) -> Steps:
        yield context.task_all([])
        return context.get_input().lines[0].due.year

    async def as_coroutine(context: df.DurableOrchestrationContext[Bill]) -> int:
        return context.get_input().lines[0].due.year

    for orchestrator in (as_generator, as_coroutine):
        assert replay(orchestrator, HistoryBuilder().started(input_=AS_JSON)).output == 2026
        error = replay(orchestrator, HistoryBuilder().started(input_=WRONG)).error
        assert (type(error), str(error)) == (PayloadError, FAULT)


def test_plain_types_are_checked_where_1_7_0_has_no_say() -> None:
    """An app of 1.7.0 has no orchestrators that are `async def`."""

    def as_generator(context: df.DurableOrchestrationContext) -> Steps:
        return (yield context.call_activity("pay", expected_type=dict[str, int]))

    async def as_coroutine(context: df.DurableOrchestrationContext) -> Any:
        return await context.call_activity("pay", expected_type=dict[str, int])

    history = pay_result({"a": "x"})
    assert replay(as_generator, history).output == {"a": "x"}
    error = replay(as_coroutine, history).error
    assert (type(error), str(error)) == (PayloadError, "$.a: Expected `int`, got `str`")


def test_an_event_that_a_client_sent_as_json_text_is_read_as_its_type() -> None:
    async def orchestrator(context: df.DurableOrchestrationContext) -> Any:
        return (await context.wait_for_external_event("bill", Bill)).paid

    for value in (AS_JSON, json.dumps(AS_JSON)):
        turn = replay(orchestrator, HistoryBuilder().started().batch().raised("bill", value))
        assert turn.output == ["a"]


def test_a_status_gives_input_output_and_custom_status_as_types() -> None:
    status = DurableOrchestrationStatus(
        instanceId="i", runtimeStatus="Completed", input=json.dumps(AS_JSON), output=AS_JSON, customStatus="2026-01-02"
    )
    assert (status.get_input(Bill), status.get_output(Bill), status.get_custom_status(date)) == (
        BILL,
        BILL,
        date(2026, 1, 2),
    )
    with pytest.raises(PayloadError, match=r"^\$: Expected `array`, got `object`$"):
        status.get_output(list[Bill])


@pytest.mark.parametrize("state,output", [("Failed", "boom"), ("Running", None)])
def test_an_instance_that_has_not_ended_well_has_no_output(state: str, output: Any) -> None:
    status = DurableOrchestrationStatus(instanceId="i", runtimeStatus=state, output=output)
    text = "" if output is None else f": {output}"
    with pytest.raises(ValueError, match=f"^instance 'i' has no output, its status is {state}{text}$"):
        status.get_output(Bill)


def test_the_state_of_an_entity_is_read_as_a_type() -> None:
    assert EntityStateResponse(True, AS_JSON).get_state(Bill) == BILL
    assert EntityStateResponse(False).get_state(Bill) is None
