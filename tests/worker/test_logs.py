"""`logging` to RpcLog."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator

import pytest

from worker_ext.rpc import pb
from worker_ext.worker import logs
from worker_ext.worker.context import INVOCATION_ID, THREAD_LOCAL
from worker_ext.worker.outbox import Outbox


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    """What the logger `app` and its children would send."""
    outbox, logger = Outbox(), logging.getLogger("app")
    handler = logs.RpcLogHandler(outbox, "the request id")
    logger.addHandler(handler)
    logger.setLevel(1)
    logger.propagate = False
    yield outbox
    logger.removeHandler(handler)


def sent(outbox: Outbox) -> list[pb.RpcLog]:
    found = []
    while (message := outbox.take()) is not None:
        assert message.request_id == "the request id"
        found.append(message.rpc_log)
    return found


def test_record_becomes_a_log_of_its_invocation(outbox: Outbox) -> None:
    token = INVOCATION_ID.set("the invocation")
    logging.getLogger("app.part").info("%d of %d", 1, 2)
    INVOCATION_ID.reset(token)
    assert sent(outbox) == [
        pb.RpcLog(
            invocation_id="the invocation",
            category="app.part",
            level=pb.RpcLog.Information,
            message="1 of 2",
            log_category=pb.RpcLog.User,
        )
    ]


@pytest.mark.parametrize(
    "level, expected",
    [
        (60, "Critical"),
        (logging.CRITICAL, "Critical"),
        (logging.ERROR, "Error"),
        (35, "Warning"),
        (logging.WARNING, "Warning"),
        (logging.INFO, "Information"),
        (logging.DEBUG, "Debug"),
        (5, "None"),
    ],
)
def test_levels_are_the_hosts(outbox: Outbox, level: int, expected: str) -> None:
    logging.getLogger("app").log(level, "x")
    assert [pb.RpcLog.Level.Name(log.level) for log in sent(outbox)] == [expected]


@pytest.mark.parametrize(
    "name, category",
    [
        ("root", pb.RpcLog.User),
        ("worker_ext", pb.RpcLog.User),
        ("worker_ext.worker.dispatcher", pb.RpcLog.System),
        ("azure.functions", pb.RpcLog.System),
        ("azure_functions_worker", pb.RpcLog.System),
    ],
)
def test_worker_and_sdk_log_to_the_system(outbox: Outbox, name: str, category: pb.RpcLog.RpcLogCategory) -> None:
    logs.RpcLogHandler(outbox, "the request id").handle(logging.LogRecord(name, 20, "", 0, "x", (), None))
    assert [log.log_category for log in sent(outbox)] == [category]


def test_traceback_is_part_of_the_message(outbox: Outbox) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("app").exception("failed")
    (log,) = sent(outbox)
    assert log.message.startswith("failed\nTraceback (most recent call last):\n")
    assert log.message.endswith("ValueError: no")


def test_thread_of_the_apps_own_may_say_its_invocation(outbox: Outbox) -> None:
    def work() -> None:
        THREAD_LOCAL.invocation_id = "the invocation"
        logging.getLogger("app").info("x")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    logging.getLogger("app").info("y")
    assert [(log.message, log.invocation_id) for log in sent(outbox)] == [("x", "the invocation"), ("y", "")]


def test_text_the_wire_cannot_carry_is_written_out(outbox: Outbox) -> None:
    logging.getLogger("app").info("\ud800")
    assert [log.message for log in sent(outbox)] == ["\\ud800"]


def test_record_that_cannot_be_formatted_does_not_reach_the_caller(
    outbox: Outbox, capsys: pytest.CaptureFixture[str]
) -> None:
    record = logging.LogRecord("app", logging.INFO, "", 0, "%d", ("x",), None)
    logs.RpcLogHandler(outbox, "the request id").handle(record)
    assert sent(outbox) == []
    assert "--- Logging error ---" in capsys.readouterr().err


@pytest.mark.parametrize(
    "setting, level", [("1", logging.DEBUG), ("Yes", logging.DEBUG), ("0", logging.INFO), ("", 20)]
)
def test_debug_logging_is_a_setting(monkeypatch: pytest.MonkeyPatch, setting: str, level: int) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setenv("PYTHON_ENABLE_DEBUG_LOGGING", setting)
    logs.set_level()
    assert root.level == level
    root.setLevel(logging.WARNING)


def test_logs_that_were_never_sent_are_printed_for_the_host(outbox: Outbox) -> None:
    logging.getLogger("app").info("one\ntwo")
    outbox.put(pb.StreamingMessage(worker_status_response=pb.WorkerStatusResponse()))
    printed = io.StringIO()
    logs.print_unsent(outbox, printed)
    assert printed.getvalue() == "LanguageWorkerConsoleLogone\nLanguageWorkerConsoleLogtwo\n"
