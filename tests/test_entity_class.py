"""Entities as classes: fields are the state, methods are the operations, proxies have the methods."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

import worker_ext as df
from worker_ext.errors import AppError, OrchestratorError
from worker_ext.protocol.actions import CallEntity, EntityLock, LockEntities, SignalEntity
from worker_ext.testing import HistoryBuilder, replay

Steps = Generator[Any, Any, Any]
Context = df.DurableOrchestrationContext

app = df.DFApp()


@dataclass
class Note:
    text: str
    day: date


@app.entity_trigger(context_name="context")
@dataclass
class Counter(df.DurableEntity):
    """Counts, and keeps notes."""

    value: int = 0
    notes: list[Note] = field(default_factory=list)

    @df.operation
    def add(self, amount: int = 1) -> int:
        self.value += amount
        if self.value > 100:
            raise ValueError("more than a hundred")
        return self.value

    @df.operation
    async def add_later(self, amount: int) -> int:
        self.value += amount
        await asyncio.sleep(0)
        if amount < 0:
            raise ValueError("too little")
        return self.value

    @df.operation
    def note(self, text: str, day: date, *, loud: bool = False) -> list[Note]:
        self.notes.append(Note(text.upper() if loud else text, day))
        return self.notes

    @df.operation
    def tell(self, note: Note | None) -> str:
        context = df.DurableEntityContext.current()
        context.entity(Counter, "other").signal.note("from " + context.entity_key, date(2026, 1, 2))
        context.entity("Log", "main").signal.write({"a": note is None})
        return f"{context.entity_name} {context.operation_name}"

    @df.operation
    def fail_after_telling(self) -> None:
        self.tell(None)
        self.value = 77
        raise LookupError("no")

    def reset(self) -> None:
        """No operation."""
        self.value = 0


def run(
    cls: type[Any], *operations: tuple[str, Any], state: Any = None, exists: bool | None = None, levels: int = 2
) -> dict[str, Any]:
    """The reply to a batch of operations, as orchestrations and clients send them (or curl, with one level)."""

    def text(value: Any) -> str | None:
        return None if value is ... else json.dumps(value) if levels == 1 else json.dumps(json.dumps(value))

    batch = [{"name": name, "input": text(value), "isSignal": True} for name, value in operations]
    payload = {
        "self": {"name": "counter", "key": "k"},
        "exists": state is not None if exists is None else exists,
        "state": None if state is None else json.dumps(state),
        "batch": batch,
    }
    reply: dict[str, Any] = json.loads(df.Entity.create(cls)(json.dumps(payload)))
    return reply


def results(reply: dict[str, Any]) -> list[Any]:
    """Values, and the errors as they are told to callers."""
    return [("error" if result["isError"] else "value", json.loads(result["result"])) for result in reply["results"]]


def test_the_class_stays_an_ordinary_one() -> None:
    counter = Counter(3)
    assert (counter.add(2), counter.value) == (5, 5)
    assert asyncio.run(counter.add_later(1)) == 6


def test_fields_are_the_state_and_methods_the_operations() -> None:
    reply = run(Counter, ("add", 2), ("add", 3), state={"value": 1, "notes": []})
    assert results(reply) == [("value", 3), ("value", 6)]
    assert (reply["entityExists"], json.loads(reply["entityState"])) == (True, {"value": 6, "notes": []})


def test_a_new_entity_begins_with_the_defaults() -> None:
    assert json.loads(run(Counter, ("add", 1))["entityState"]) == {"value": 1, "notes": []}
    assert json.loads(run(Counter, ("add", 1), exists=True, state=None)["entityState"])["value"] == 1


@pytest.mark.parametrize("levels", [1, 2], ids=["from curl", "from clients"])
def test_several_parameters_are_an_object_by_their_names(levels: int) -> None:
    reply = run(Counter, ("note", {"text": "a", "day": "2026-01-02", "loud": True}), levels=levels)
    assert results(reply) == [("value", [{"text": "A", "day": "2026-01-02"}])]


@pytest.mark.parametrize("value", [..., None], ids=["no input", "null"])
def test_one_parameter_may_be_left_to_its_default(value: Any) -> None:
    assert results(run(Counter, ("add", value))) == [("value", 1)]


@pytest.mark.parametrize(
    "operation,value,error",
    [
        ("add", "x", "$: Expected `int`, got `str`"),
        ("note", {"text": "a", "day": "x"}, "$.day: Invalid RFC3339 encoded date, got 'x'"),
        ("note", {"text": "a"}, "$: Object missing required field `day`"),
        ("note", {"text": "a", "day": "2026-01-02", "colour": 1}, "$.colour: Expected one of text, day, loud"),
        ("note", ["a"], "$: Expected an object of text, day, loud, got `list`"),
        ("tell", {"text": "a", "day": 5}, "$.day: Expected `date`, got `int`"),
    ],
)
def test_input_that_does_not_fit_fails_the_operation_with_its_place(operation: str, value: Any, error: str) -> None:
    reply = run(Counter, (operation, value))
    [(kind, text)] = results(reply)
    assert (kind, error in text) == ("error", True), text
    assert reply["entityExists"] is False


def test_state_that_does_not_fit_fails_the_operation_and_stays() -> None:
    reply = run(Counter, ("add", 1), state={"value": "many"})
    assert results(reply) == [("error", "$.value: Expected `int`, got `str`")]
    assert json.loads(reply["entityState"]) == {"value": "many"}


@pytest.mark.parametrize("name", ["reset", "_secret", "nothing", "__init__", "value"])
def test_what_is_not_marked_is_no_operation(name: str) -> None:
    [(kind, text)] = results(run(Counter, (name, 1)))
    assert kind == "error"
    assert text == (
        f"the operation's name: entity 'Counter' has no operation {name!r}; it has add, add_later, delete, "
        "fail_after_telling, note, tell"
    )


def test_case_of_an_operation_does_not_matter() -> None:
    assert results(run(Counter, ("Add", 2))) == [("value", 2)]


def test_a_failed_operation_leaves_state_and_signals_as_they_were() -> None:
    reply = run(Counter, ("add", 60), ("add", 60), ("fail_after_telling", ...), ("add_later", -1), ("add", 2))
    assert results(reply) == [
        ("value", 60),
        ("error", "more than a hundred"),
        ("error", "no"),
        ("error", "too little"),
        ("value", 62),
    ]
    assert (json.loads(reply["entityState"])["value"], reply["signals"]) == (62, [])


def test_async_operations_run_one_after_the_other() -> None:
    assert results(run(Counter, ("add_later", 1), ("add", 1), ("add_later", 1))) == [
        ("value", 1),
        ("value", 2),
        ("value", 3),
    ]


@dataclass
class Bare:
    """A class without the base."""

    value: int = 0

    @df.operation
    def add(self) -> None:
        self.value += 1


@pytest.mark.parametrize("cls", [Counter, Bare])
def test_delete_is_an_operation_of_every_class(cls: type[Any]) -> None:
    reply = run(cls, ("add", ...), ("delete", ...))
    assert (reply["entityExists"], reply["entityState"]) == (False, "null")
    reply = run(cls, ("delete", ...), ("add", ...), state={"value": 5})
    assert (reply["entityExists"], json.loads(reply["entityState"])["value"]) == (True, 1)


def test_an_operation_knows_its_entity_and_signals_others() -> None:
    reply = run(Counter, ("tell", None))
    assert results(reply) == [("value", "counter tell")]
    assert [
        (signal["target"], signal["name"], json.loads(json.loads(signal["input"]))) for signal in reply["signals"]
    ] == [
        ({"name": "counter", "key": "other"}, "note", {"text": "from k", "day": "2026-01-02"}),
        ({"name": "log", "key": "main"}, "write", {"a": True}),
    ]


def test_there_is_no_context_outside_of_operations() -> None:
    with pytest.raises(OrchestratorError, match="no operation of a class entity is running here"):
        Counter().tell(None)


class Model(pydantic.BaseModel, df.DurableEntity):
    value: int = 0

    @df.operation
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value


@attrs.define
class Attrs(df.DurableEntity):
    value: int = 0

    @df.operation
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value


class Struct(msgspec.Struct):
    value: int = 0

    @df.operation
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value


class Custom:
    """A class that writes itself."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    @staticmethod
    def to_json(custom: Custom) -> int:
        return custom.value

    @staticmethod
    def from_json(value: int) -> Custom:
        return Custom(value)

    @df.operation
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value


@pytest.mark.parametrize("cls", [Model, Attrs, Struct, Custom])
def test_any_class_that_travels_can_be_an_entity(cls: type[Any]) -> None:
    state = json.loads(run(cls, ("add", 2))["entityState"])
    assert results(run(cls, ("add", 3), state=state)) == [("value", 5)]


class Derived(Counter):
    """Inherits operations, and replaces one."""

    @df.operation
    def add(self, amount: int = 10) -> int:
        return super().add(amount)


def test_operations_are_inherited() -> None:
    assert results(run(Derived, ("add", ...), ("note", {"text": "a", "day": "2026-01-02"})))[0] == ("value", 10)


def logged(method: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that knows nothing of coroutines."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return call


@dataclass
class Decorated:
    value: int = 0

    @df.operation
    @logged
    async def add(self, amount: int) -> int:
        self.value += amount
        return self.value


def test_an_async_operation_may_be_decorated_by_a_plain_function() -> None:
    reply = run(Decorated, ("add", 3), ("add", "x"), ("add", 4))
    assert results(reply) == [("value", 3), ("error", "$: Expected `int`, got `str`"), ("value", 7)]
    assert json.loads(reply["entityState"]) == {"value": 7}


# ---------------------------------------------------------------- registering


class NoOperations(df.DurableEntity):
    value: int = 0


class NoFields:
    @df.operation
    def add(self) -> None: ...


@dataclass
class NeedsOwner:
    owner: str

    @df.operation
    def add(self) -> None: ...


@dataclass
class Unmarked(Counter):
    def add(self, amount: int = 1) -> int:
        return amount


def test_a_class_that_can_be_no_entity_is_refused_where_it_is_declared() -> None:
    with pytest.raises(AppError, match="'Unmarked' is declared as an entity, and overrides the operation 'add'"):
        df.DFApp().entity_trigger()(Unmarked)
    with pytest.raises(AppError, match="'NoOperations' is declared as an entity, and has no operations"):
        df.DFApp().entity_trigger()(dataclass(NoOperations))
    with pytest.raises(AppError, match="'NoFields' is declared as an entity, and says nothing of its state"):
        df.DFApp().entity_trigger()(NoFields)
    with pytest.raises(AppError, match="'NeedsOwner' is declared as an entity, and cannot be made without owner"):
        df.DFApp().entity_trigger()(NeedsOwner)
    df.Entity.create(Bare)
    with pytest.raises(AppError, match="'Bare' is registered as entity 'Bare' already"):
        df.DFApp().entity_trigger(entity_name="Other")(Bare)


@pytest.mark.parametrize(
    "source,problem",
    [
        ("def add(self, *amounts): ...", r"has the parameter '\*amounts'"),
        ("def add(self, **amounts): ...", r"has the parameter '\*\*amounts'"),
        ("def add(self, amount, /): ...", "has the parameter 'amount'"),
        ("def _add(self): ...", "begins with `_`"),
        ("def signal(self): ...", "has a name that proxies need"),
        ("@staticmethod\ndef add(amount): ...", "is a staticmethod, .*Write it as a method with `self`"),
        ("@classmethod\ndef add(cls, amount): ...", "is a classmethod"),
    ],
)
def test_a_method_that_cannot_be_an_operation_is_refused(source: str, problem: str) -> None:
    names: dict[str, Any] = {}
    exec(source, names)
    with pytest.raises(AppError, match=problem):
        df.operation(next(value for name, value in names.items() if name != "__builtins__"))


def test_a_registered_class_is_an_entity_trigger_in_the_file_it_is_written_in() -> None:
    [declared] = [function for function in app.get_functions() if function.get_function_name() == "Counter"]
    trigger: Any = declared.get_trigger()
    assert (trigger.type, trigger.name, trigger.entity_name) == ("entityTrigger", "context", None)
    installed: Any = declared.get_user_function()
    assert (installed.__code__.co_filename, list(installed.__annotations__)) == (__file__, [])


# ---------------------------------------------------------------- proxies in orchestrators

ADD = CallEntity(instance_id="@counter@a", operation="add", input="1")
SIGNAL = SignalEntity(instance_id="@counter@a", operation="add", input="1")
LOCK = LockEntities(lock_set=(EntityLock("counter", "a"), EntityLock("counter", "b")))


def in_generator(context: Context) -> Steps:
    total = yield context.entity(Counter, "a").add()
    notes = yield context.entity(Counter, "a").note("x", day=date(2026, 1, 2))
    return [total, notes[0].day.year]


async def in_coroutine(context: Context) -> list[int]:
    counter = context.entity(Counter, "a")
    total = await counter.add(1)
    notes = await counter.note(text="x", day=date(2026, 1, 2))
    return [total, notes[0].day.year]


@pytest.mark.parametrize("orchestrator", [in_generator, in_coroutine])
def test_a_proxy_calls_operations_with_typed_input_and_result(orchestrator: Callable[[Context], Any]) -> None:
    history = HistoryBuilder().started()
    assert replay(orchestrator, history).actions == [ADD]
    history.sent(0, "@counter@a", "add", "r1").batch().answered("r1", 5)
    [_, note] = replay(orchestrator, history).actions
    assert isinstance(note, CallEntity)
    assert json.loads(str(note.input)) == {"text": "x", "day": "2026-01-02"}
    history.sent(1, "@counter@a", "note", "r2").batch().answered("r2", [{"text": "x", "day": "2026-01-02"}])
    assert replay(orchestrator, history).output == [5, 2026]


@pytest.mark.parametrize("orchestrator", [in_generator, in_coroutine])
def test_a_result_of_another_type_is_a_payload_error(orchestrator: Callable[[Context], Any]) -> None:
    history = HistoryBuilder().started().sent(0, "@counter@a", "add", "r1").batch().answered("r1", "five")
    error = replay(orchestrator, history).error
    assert (type(error), str(error)) == (df.PayloadError, "$: Expected `int`, got `str`")


def test_a_proxy_signals_without_waiting() -> None:
    def steps(context: Context) -> Steps:
        context.entity(Counter, "a").signal.add(1)
        yield context.task_all([])

    async def coroutine(context: Context) -> None:
        context.entity(Counter, "a").signal.add(1)

    for orchestrator in (steps, coroutine):
        assert replay(orchestrator, HistoryBuilder().started()).actions[0] == SIGNAL


def test_proxies_can_be_locked() -> None:
    async def coroutine(context: Context) -> None:
        one, other = context.entity(Counter, "a"), context.entity(Counter, "b")
        async with context.lock(other, one):
            await one.add(1)

    def steps(context: Context) -> Steps:
        one, other = context.entity(Counter, "a"), context.entity(Counter, "b")
        with (yield context.lock_entities(one, other.entity_id)):
            yield one.add(1)

    for orchestrator in (steps, coroutine):
        history = HistoryBuilder().started()
        assert replay(orchestrator, history).actions == [LOCK]
        history.sent(0, "@counter@a", "op", "l").batch().answered("l", "Lock Acquisition Completed")
        assert replay(orchestrator, history).actions == [LOCK, ADD]


def test_an_entity_that_is_known_by_name_alone_has_any_operation() -> None:
    async def coroutine(context: Context) -> Any:
        return await context.entity("Counter", "a").add(1)

    history = HistoryBuilder().started()
    assert replay(coroutine, history).actions == [ADD]
    history.sent(0, "@counter@a", "add", "r1").batch().answered("r1", {"any": 1})
    assert replay(coroutine, history).output == {"any": 1}


def test_a_class_is_addressed_by_the_name_it_is_registered_under() -> None:
    @df.DFApp().entity_trigger(entity_name="Tally")
    @dataclass
    class Named(df.DurableEntity):
        value: int = 0

        @df.operation
        def add(self) -> None: ...

    def orchestrator(context: Context) -> Steps:
        yield context.entity(Named, "a").add()

    [action] = replay(orchestrator, HistoryBuilder().started()).actions
    assert isinstance(action, CallEntity)
    assert action.instance_id == "@tally@a"


@pytest.mark.parametrize(
    "use,error,message",
    [
        (lambda proxy: proxy.reset(), AttributeError, "entity 'Counter' has no operation 'reset'; it has add"),
        (lambda proxy: proxy._add(), AttributeError, "'_add' begins with `_`"),
        (lambda proxy: proxy.add(1, 2), TypeError, "operation 'add': too many positional arguments"),
        (lambda proxy: proxy.note("x"), TypeError, "operation 'note': missing a required argument: 'day'"),
        (lambda proxy: proxy.delete("x"), TypeError, "operation 'delete': too many positional arguments"),
    ],
)
def test_a_call_that_the_class_does_not_know_fails_at_that_line(
    use: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    def orchestrator(context: Context) -> Steps:
        yield use(context.entity(Counter, "a"))

    found = replay(orchestrator, HistoryBuilder().started()).error
    assert type(found) is error
    assert str(found).startswith(message)


@dataclass
class Shelf(df.DurableEntity):
    books: int = 0

    @df.operation
    def delete(self, reason: str, *, hard: bool = False) -> None:  # type: ignore[override]
        super().delete()


def test_a_delete_of_the_class_itself_is_called_as_it_is_written() -> None:
    def orchestrator(context: Context) -> Steps:
        yield context.entity(Shelf, "a").delete("old", hard=True)

    [action] = replay(orchestrator, HistoryBuilder().started()).actions
    assert isinstance(action, CallEntity)
    assert (action.operation, json.loads(str(action.input))) == ("delete", {"reason": "old", "hard": True})


@pytest.mark.parametrize("use", [lambda proxy: proxy.add(1, 2), lambda proxy: proxy.signal.add(amount=1)])
def test_an_operation_that_is_known_by_name_alone_takes_one_input(use: Callable[[Any], Any]) -> None:
    found = replay(lambda context: use(context.entity("Counter", "a")), HistoryBuilder().started()).error
    assert isinstance(found, TypeError)
    assert str(found).startswith("operation 'add' is known by its name alone, so it takes one input or none")


def test_an_entity_that_is_neither_a_class_nor_a_name_is_refused() -> None:
    found = replay(lambda context: context.entity(Counter(), "a"), HistoryBuilder().started()).error
    assert str(found) == f"expected an entity class or the name of an entity function, found {Counter()!r}"
