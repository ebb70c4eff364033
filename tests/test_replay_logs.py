"""Logging from orchestrators: said once, in the turn in which the code runs for the first time."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import worker_ext as df
from worker_ext.entity import DurableEntityContext
from worker_ext.handlers import run_entity
from worker_ext.testing import HistoryBuilder, replay

Context = df.DurableOrchestrationContext
Program = Callable[[Context], Any]

LOG = logging.getLogger("app")


def in_generator(context: Context) -> Generator[Any, Any, Any]:
    LOG.info("begun")
    yield context.call_activity("A")
    LOG.getChild("steps").warning("after A")
    try:
        yield context.call_activity("B")
    except df.TaskFailedError:
        LOG.exception("B failed")
    finally:
        LOG.error("after B")


async def in_coroutine(context: Context) -> Any:
    LOG.info("begun")
    await context.call_activity("A")
    LOG.getChild("steps").warning("after A")
    try:
        await asyncio.gather(context.call_activity("B"))
    except df.TaskFailedError:
        LOG.exception("B failed")
    finally:
        LOG.error("after B")


both = pytest.mark.parametrize("orchestrator", [in_generator, in_coroutine])


def begun() -> HistoryBuilder:
    return HistoryBuilder().started()


def after_a() -> HistoryBuilder:
    return begun().scheduled("A", 0).batch().completed(0)


def after_b() -> HistoryBuilder:
    return after_a().scheduled("B", 1).batch().failed(1)


TURNS = [(begun, ["begun"]), (after_a, ["after A"]), (after_b, ["B failed", "after B"])]


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield


@both
@pytest.mark.parametrize("history, said", TURNS)
def test_a_turn_says_only_what_is_new(
    orchestrator: Program, history: Callable[[], HistoryBuilder], said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    replay(orchestrator, history())
    assert caplog.messages == said


@both
@pytest.mark.parametrize("value", ["true", "1"])
def test_an_app_setting_lets_replays_be_seen(
    orchestrator: Program, value: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_EXT_LOG_REPLAYS", value)
    replay(orchestrator, after_b())
    assert caplog.messages == ["begun", "after A", "B failed", "after B"]


@contextmanager
def handled(name: str, **options: Any) -> Iterator[list[str]]:
    """What a handler of a logger's own is given; the logger passes nothing on."""

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    said: list[str] = []
    logger, handler = logging.getLogger(name), Keeping(**options)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


@both
@pytest.mark.parametrize("name", ["app", "app.steps"])
def test_loggers_with_handlers_of_their_own_are_silent_too(orchestrator: Program, name: str) -> None:
    with handled(name) as said:
        replay(orchestrator, after_b())
    assert "begun" not in said
    assert "after A" not in said


@both
def test_a_logger_that_was_never_configured_is_silent_too(
    orchestrator: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler of last resort prints what nothing else handles."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    replay(orchestrator, after_a().scheduled("B", 1).batch())
    assert capsys.readouterr().err == ""


@both
def test_the_record_factory_of_the_app_still_makes_the_records(
    orchestrator: Program, caplog: pytest.LogCaptureFixture
) -> None:
    before = logging.getLogRecordFactory()

    class Record(logging.LogRecord):
        tenant = "north"

    logging.setLogRecordFactory(Record)
    try:
        replay(orchestrator, after_b())
        replay(orchestrator, after_b())
    finally:
        logging.setLogRecordFactory(before)
    assert [(record.getMessage(), getattr(record, "tenant", None)) for record in caplog.records] == [
        ("B failed", "north"),
        ("after B", "north"),
    ] * 2


def test_what_other_threads_say_meanwhile_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    def orchestrator(context: Context) -> Generator[Any, Any, Any]:
        other = threading.Thread(target=LOG.warning, args=["another function"])
        other.start()
        other.join()
        LOG.warning("the orchestrator")
        yield context.call_activity("A")

    replay(orchestrator, after_a())
    assert caplog.messages == ["another function"]


def test_a_turn_within_a_turn_is_silent_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Code that tests orchestrators may replay one while another runs."""

    def outer(context: Context) -> Generator[Any, Any, Any]:
        replay(in_generator, begun())
        LOG.warning("outer")
        yield context.call_activity("A")

    replay(outer, after_a())
    assert caplog.messages == ["begun"]


def test_entities_always_log(caplog: pytest.LogCaptureFixture) -> None:
    def counter(context: DurableEntityContext) -> None:
        LOG.info("counted")
        context.set_state(1)

    operation = {"name": "add", "input": "1", "isSignal": True, "id": "0"}
    batch = {"self": {"name": "counter", "key": "k"}, "exists": False, "state": None, "batch": [operation] * 2}
    run_entity(json.dumps(batch), counter)
    assert caplog.messages == ["counted", "counted"]


@both
def test_code_that_is_only_closed_until_the_next_turn_is_silent(
    orchestrator: Program, caplog: pytest.LogCaptureFixture
) -> None:
    """Its `finally` runs with every turn."""
    replay(orchestrator, after_a().scheduled("B", 1).batch())
    assert "after B" not in caplog.messages


def test_what_is_said_of_a_result_that_has_just_come_is_heard_once(caplog: pytest.LogCaptureFixture) -> None:
    """It may be read before the code that waits for it goes on."""

    def orchestrator(context: Context) -> Generator[Any, Any, Any]:
        yield context.task_all([context.call_activity("A", expected_type=int)])
        yield context.call_activity("B")

    came = begun().scheduled("A", 0).batch().completed(0, "x")
    replay(orchestrator, came)
    assert [message.partition(",")[0] for message in caplog.messages] == ["expected a value of type <class 'int'>"]
    caplog.clear()
    replay(orchestrator, came.scheduled("B", 1).batch().completed(1))
    assert caplog.messages == []
