"""orchestrator_generator_wrapper(), beside that of azure-functions-durable 1.7.0."""

import importlib
import warnings
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, PropertyMock

import pytest

from worker_ext.testing import orchestrator_generator_wrapper

Steps = Generator[Any, Any, Any]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip("azure.durable_functions.testing")


def succeeding(name: str) -> Any:
    return SimpleNamespace(name=name, result=f"result of {name}")


def failing(name: str) -> Any:
    stand_in = Mock()
    type(stand_in).result = PropertyMock(side_effect=ValueError(name))
    return stand_in


A, B, BAD = succeeding("a"), succeeding("b"), failing("bad")


def chain() -> Steps:
    first = yield A
    return [first, (yield B)]


def catches() -> Steps:
    try:
        yield BAD
    except ValueError as error:
        return [str(error), (yield A)]


def fails() -> Steps:
    yield A
    yield BAD


def returns_nothing() -> Steps:
    yield A


@pytest.mark.parametrize(
    "orchestrator", [chain, catches, fails, returns_nothing], ids=lambda function: function.__name__
)
def test_it_does_what_that_of_1_7_0_does(orchestrator: Callable[[], Steps]) -> None:
    def outcome(wrapper: Any) -> Any:
        values = []
        try:
            for value in wrapper(orchestrator()):
                values.append(value)  # noqa: PERF402 - what comes before an error counts too
        except ValueError as error:
            values.append(repr(error))
        return values

    assert outcome(orchestrator_generator_wrapper) == outcome(peer.orchestrator_generator_wrapper)


def test_tasks_and_then_the_output_are_given() -> None:
    assert list(orchestrator_generator_wrapper(chain())) == [A, B, ["result of a", "result of b"]]


def test_an_orchestrator_that_yields_nothing_gives_its_output() -> None:
    """Where 1.7.0 raises RuntimeError."""

    def orchestrator() -> Steps:
        yield from ()
        return 7

    assert list(orchestrator_generator_wrapper(orchestrator())) == [7]


def test_it_is_in_the_module_of_its_name() -> None:
    module = importlib.import_module("worker_ext.testing.OrchestratorGeneratorWrapper")
    assert module.orchestrator_generator_wrapper is orchestrator_generator_wrapper
