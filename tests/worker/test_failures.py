"""Errors as the host is told them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker_ext.errors import AppError
from worker_ext.rpc import pb
from worker_ext.worker import failures, invocation
from worker_ext.worker.checks import Signature
from worker_ext.worker.indexing import AppFunction


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raised(call: Callable[[], Any]) -> BaseException:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - sys.exit() is one of the cases
        return error
    raise AssertionError("nothing was raised")


def boom() -> None:
    raise ValueError("no")


def chained() -> None:
    try:
        boom()
    except ValueError as error:
        raise KeyError("later") from error


def grouped() -> None:
    raise BaseExceptionGroup("several", [raised(boom), OSError("disk")])


@pytest.mark.parametrize(
    "call, message",
    [
        (boom, "ValueError: no"),
        (chained, "KeyError: 'later'"),
        (lambda: exit(3), "SystemExit: 3"),
        (
            lambda: (_ for _ in ()).throw(UnspeakableError()),
            "UnspeakableError: <its text cannot be made: RuntimeError>",
        ),
    ],
)
def test_message_is_type_and_text(call: Callable[[], Any], message: str) -> None:
    assert failures.message(raised(call)) == message


def test_result_holds_message_stack_and_type() -> None:
    result = pb.StatusResult(status=pb.StatusResult.Success)
    error = raised(boom)
    failures.fail(result, error)
    assert result == pb.StatusResult(
        status=pb.StatusResult.Failure,
        exception=pb.RpcException(
            message="ValueError: no", stack_trace=failures.stack(error), type="ValueError", is_user_exception=True
        ),
    )


def test_fault_found_by_the_worker_is_told_in_its_own_words() -> None:
    result = pb.StatusResult()
    failures.fail(result, AppError("function 'work': no"))
    assert (result.exception.message, result.exception.is_user_exception) == ("function 'work': no", False)


def test_stack_of_an_invocation_holds_no_frame_of_the_worker() -> None:
    function = AppFunction("work", "id", chained, False, "", Signature({}, {}, None, False), pb.RpcFunctionMetadata())
    reply = pb.InvocationResponse()
    invocation.call_sync(function, pb.InvocationRequest(), reply)
    stack = reply.result.exception.stack_trace
    assert str(Path(failures.__file__).parent) not in stack
    assert [line.strip() for line in stack.splitlines() if line.startswith("  File")] == [
        f'File "{__file__}", line {line}, in {name}'
        for line, name in [
            (chained.__code__.co_firstlineno + 2, "chained"),
            (boom.__code__.co_firstlineno + 1, "boom"),
            (chained.__code__.co_firstlineno + 4, "chained"),
        ]
    ]
    assert "The above exception was the direct cause of the following exception" in stack


def test_stack_of_a_group_holds_every_member() -> None:
    stack = failures.stack(raised(grouped))
    assert ("ValueError: no" in stack, "OSError: disk" in stack) == (True, True)


def test_lone_surrogates_are_written_out() -> None:
    result = pb.StatusResult()
    failures.fail(result, ValueError("\ud800"))
    assert result.exception.message == "ValueError: \\ud800"
