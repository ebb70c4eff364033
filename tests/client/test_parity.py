"""The client's public face beside that of azure-functions-durable 1.7.0, by inspection of both."""

import importlib
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import worker_ext
from worker_ext import status

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip("azure.durable_functions", reason="azure-functions-durable 1.7.0 is not installed")

MODELS = ["DurableOrchestrationStatus", "EntityStateResponse", "PurgeHistoryResult"]


def model(name: str) -> Any:
    return getattr(importlib.import_module(f"azure.durable_functions.models.{name}"), name)


PAIRS = [
    (worker_ext.DurableOrchestrationClient, peer.DurableOrchestrationClient),
    (worker_ext.Blueprint, peer.Blueprint),
    (worker_ext.DFApp, peer.DFApp),
    *((getattr(status, name), model(name)) for name in MODELS),
]
LATER = {
    "Blueprint.durable_openai_agent_orchestrator": "agents come later",
    "Blueprint.orchestration_trigger": "`input_type` comes with typed payloads",
}
"""What 1.7.0 has and this package does not have yet."""


def public_members(cls: type) -> Iterator[tuple[str, Any]]:
    """What a class says itself, not what it takes from azure-functions."""
    for name, member in vars(cls).items():
        if not name.startswith("_") or name == "__init__":
            yield name, member


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    """Name, kind and default of what a caller of 1.7.0 can pass."""
    found = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default) for one in found if one.kind is not one.KEYWORD_ONLY]


CASES = [
    pytest.param(ours, name, member, id=f"{theirs.__name__}.{name}")
    for ours, theirs in PAIRS
    for name, member in public_members(theirs)
    if f"{theirs.__name__}.{name}" not in LATER
]


@pytest.mark.parametrize("ours,name,theirs", CASES)
def test_a_public_member_of_1_7_0_is_here_with_its_parameters(ours: type, name: str, theirs: Any) -> None:
    own = inspect.getattr_static(ours, name)
    if isinstance(theirs, classmethod | staticmethod):
        assert type(own) is type(theirs)
        own, theirs = own.__func__, theirs.__func__
    if isinstance(theirs, property):
        assert isinstance(own, property)
        return
    assert inspect.iscoroutinefunction(own) == inspect.iscoroutinefunction(theirs)
    assert parameters(own) == parameters(theirs)


@pytest.mark.parametrize("name", LATER)
def test_what_is_said_to_come_later_is_not_here_yet(name: str) -> None:
    """When this fails, the entry in LATER has done its service."""
    cls, member = name.split(".")
    own = getattr(getattr(worker_ext, cls), member, None)
    theirs = getattr(getattr(peer, cls), member)
    assert own is None or parameters(own) != parameters(theirs)


def test_states_are_those_of_1_7_0() -> None:
    ours = {state.name: state.value for state in worker_ext.OrchestrationRuntimeStatus}
    assert ours == {state.name: state.value for state in peer.OrchestrationRuntimeStatus}
