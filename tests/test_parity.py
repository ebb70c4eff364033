"""The public face beside that of azure-functions-durable 1.7.0, by inspection of both.

Every module, public name, class and method of 1.7.0 is looked up under this package's name. A method takes the same
parameters in the same order with the same defaults; parameters by keyword only may be added. What differs is listed
with its reason, and must differ.
"""

import importlib
import inspect
import pkgutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from enum import Enum
from types import ModuleType
from typing import Any

import pytest

import worker_ext

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip("azure.durable_functions", reason="azure-functions-durable 1.7.0 is not installed")

INTERNAL = "1.7.0 uses it itself, and calls it internal or exports it nowhere"
AGENTS = "agents come later"
DATA = "the wire's own data: fields by keyword, values as JSON text, read and written by the protocol's codec"
BY_CONTEXT = "tasks are made by the context's methods and settled by the engine; apps look at them"
OPTIONS = "the engine's: a task of this kind keeps them to itself"

MODULES_LEFT_OUT = {
    "models.RpcManagementOptions": INTERNAL,
    "models.TaskOrchestrationExecutor": INTERNAL,
    "models.actions.NoOpAction": INTERNAL,
    "models.entities.RequestMessage": INTERNAL,
    "models.entities.ResponseMessage": INTERNAL,
    "models.utils.df_serialization": INTERNAL,
    "models.utils.http_utils": INTERNAL,
    "models.utils.json_utils": INTERNAL,
    "models.utils.type_discovery": INTERNAL,
    "openai_agents": AGENTS,
}
"""Modules of 1.7.0 that are not here."""

NAMES_LEFT_OUT = {
    "RequestMessage": INTERNAL,
    "validate_extension_bundles": INTERNAL,
    "validate_v1_programming_model": INTERNAL,
    "InternalEntityException": INTERNAL,
    "from_json_util": INTERNAL,
    "openai_agents": AGENTS,
}
"""Names of its modules that are not here."""

DIFFERENT = {
    # The public face.
    "DurableOrchestrationContext.__init__": "made of the engine's executor; `from_json` makes one of a payload",
    "DurableOrchestrationContext.current_utc_datetime": "the clock is history's: reading it is all there is",
    "DurableEntityContext.__init__": "made of the engine's executor; `from_json` makes one of a payload",
    "Blueprint.durable_openai_agent_orchestrator": AGENTS,
    "Blueprint.entity_trigger": "the context's name may be left out, as entities that are classes do not see it",
    # Data of the wire.
    "OrchestratorState.__init__": DATA,
    "OrchestratorState.to_json": DATA,
    "OrchestratorState.to_json_string": DATA,
    "EntityState.__init__": DATA,
    "EntityState.to_json": DATA,
    "EntityState.to_json_string": DATA,
    "OperationResult.__init__": DATA,
    "OperationResult.execution_start_time_ms": DATA,
    "OperationResult.to_json": DATA,
    "Signal.__init__": DATA,
    "CompoundAction.__init__": DATA,
    "CallActivityAction.__init__": DATA,
    "CallActivityWithRetryAction.__init__": DATA,
    "CallEntityAction.__init__": DATA,
    "CallHttpAction.__init__": DATA,
    "CallSubOrchestratorAction.__init__": DATA,
    "CallSubOrchestratorWithRetryAction.__init__": DATA,
    "ContinueAsNewAction.__init__": DATA,
    "CreateTimerAction.__init__": DATA,
    "SignalEntityAction.__init__": DATA,
    "WaitForExternalEventAction.__init__": DATA,
    # Tasks.
    "TaskBase.__init__": BY_CONTEXT,
    "TaskBase.change_state": BY_CONTEXT,
    "TaskBase.propagate": BY_CONTEXT,
    "TaskBase.set_is_played": BY_CONTEXT,
    "TaskBase.set_value": BY_CONTEXT,
    "CompoundTask.__init__": BY_CONTEXT,
    "CompoundTask.handle_completion": BY_CONTEXT,
    "CompoundTask.try_set_value": BY_CONTEXT,
    "WhenAllTask.__init__": BY_CONTEXT,
    "WhenAllTask.try_set_value": BY_CONTEXT,
    "WhenAnyTask.__init__": BY_CONTEXT,
    "WhenAnyTask.try_set_value": BY_CONTEXT,
    "TimerTask.__init__": BY_CONTEXT,
    "LongTimerTask.__init__": BY_CONTEXT,
    "LongTimerTask.add_new_child": BY_CONTEXT,
    "LongTimerTask.get_next_timer_task": BY_CONTEXT,
    "LongTimerTask.try_set_value": BY_CONTEXT,
    "RetryAbleTask.__init__": BY_CONTEXT,
    "RetryAbleTask.id_": OPTIONS,
    "RetryAbleTask.try_set_value": BY_CONTEXT,
}
"""Members of its classes that are not here, or not with its parameters."""


def modules_of(package: ModuleType) -> Iterator[str]:
    """The names of all modules below a package, without its own."""
    prefix = f"{package.__name__}."
    for module in pkgutil.walk_packages(package.__path__, prefix, onerror=lambda name: None):
        yield module.name.removeprefix(prefix)


def is_left_out(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in MODULES_LEFT_OUT)


MODULES = ["", *(name for name in sorted(set(modules_of(peer))) if not is_left_out(name))]


def load(package: str, name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"{package}.{name}".rstrip("."))


def defined_in(module: ModuleType) -> Iterator[str]:
    """The public names of a module: those of `__all__`, and what it defines itself."""
    for name, value in vars(module).items():
        if name in getattr(module, "__all__", ()) or getattr(value, "__module__", None) == module.__name__:
            if not name.startswith("_"):
                yield name
        elif module.__name__.endswith(".constants") and name.isupper():
            yield name


NAMES = [(module, name) for module in MODULES for name in defined_in(load("azure.durable_functions", module))]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_of_1_7_0_is_here(name: str) -> None:
    assert isinstance(load("worker_ext", name), ModuleType)


@pytest.mark.parametrize("module,name", [pair for pair in NAMES if pair[1] not in NAMES_LEFT_OUT])
def test_a_public_name_of_1_7_0_is_in_the_module_of_its_name(module: str, name: str) -> None:
    own, theirs = (getattr(load(package, module), name) for package in ("worker_ext", "azure.durable_functions"))
    if isinstance(theirs, str):
        assert own == theirs
    elif isinstance(theirs, ModuleType):
        assert isinstance(own, ModuleType)


REACHED = """
import {package} as df

for path in {paths!r}:
    value = df
    for part in path.split("."):
        value = getattr(value, part, None)
    if value is not None:
        print(path)
"""


def reached(package: str, paths: list[str]) -> set[str]:
    """Those of the dotted paths that lead somewhere from a package that was imported, and nothing else was."""
    script = REACHED.format(package=package, paths=paths)
    command = [sys.executable, "-W", "ignore", "-c", script]
    return set(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split())


def test_what_the_import_of_1_7_0_alone_leads_to_is_led_to_here() -> None:
    """Annotations such as `df.models.DurableOrchestrationStatus.DurableOrchestrationStatus` are written so."""
    paths = [f"{module}.{name}".lstrip(".") for module, name in NAMES if name not in NAMES_LEFT_OUT]
    expected = reached("azure.durable_functions", paths)
    assert "models.DurableOrchestrationStatus.DurableOrchestrationStatus" in expected
    assert expected - reached("worker_ext", paths) == set()


def test_all_of_1_7_0_is_in_all() -> None:
    assert set(worker_ext.__all__) >= set(peer.__all__) - NAMES_LEFT_OUT.keys()


@pytest.mark.parametrize("name", MODULES_LEFT_OUT)
def test_a_module_that_is_said_to_be_left_out_is(name: str) -> None:
    assert name in set(modules_of(peer))
    with pytest.raises(ModuleNotFoundError):
        load("worker_ext", name)


@pytest.mark.parametrize("name", NAMES_LEFT_OUT)
def test_a_name_that_is_said_to_be_left_out_is(name: str) -> None:
    modules = [module for module, found in NAMES if found == name]
    assert modules or name == "openai_agents"  # which 1.7.0 has only where its extra dependencies are installed
    assert not [module for module in modules if hasattr(load("worker_ext", module), name)]


# ---------------------------------------------------------------- classes


def classes() -> dict[str, tuple[Any, type]]:
    """Ours and theirs by name, each class once."""
    found: dict[str, tuple[Any, type]] = {}
    for module, name in NAMES:
        theirs = getattr(load("azure.durable_functions", module), name)
        if isinstance(theirs, type) and name not in NAMES_LEFT_OUT:
            found[name] = getattr(load("worker_ext", module), name), theirs
    return found


CLASSES = classes()


def public_members(cls: type) -> Iterator[tuple[str, Any]]:
    """What a class says itself, not what it takes from azure-functions."""
    for name, member in vars(cls).items():
        if not name.startswith("_") or (name == "__init__" and not issubclass(cls, Exception)):
            yield name, member


MEMBERS = [
    pytest.param(ours, name, member, id=f"{cls}.{name}")
    for cls, (ours, theirs) in CLASSES.items()
    for name, member in public_members(theirs)
    if not issubclass(theirs, Enum)
]


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    """Name, kind and default of what a caller of 1.7.0 can pass."""
    found = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default) for one in found if one.kind is not one.KEYWORD_ONLY]


def is_the_same(ours: Any, name: str, theirs: Any) -> bool:
    """Whether a member is here, is of the same kind, and takes what it takes in 1.7.0."""
    kinds = ours.__args__ if hasattr(ours, "__args__") else (ours,)
    same = _is_same_property if isinstance(theirs, property) else _is_same_callable
    return all(same(kind, name, theirs) for kind in kinds)


def _is_same_property(ours: type, name: str, theirs: property) -> bool:
    own = inspect.getattr_static(ours, name, None)
    has_setter = isinstance(own, property) and own.fset is not None
    is_field = name in getattr(ours, "__dataclass_fields__", {})
    return (own is not None or is_field) and (theirs.fset is None or has_setter)


def _is_same_callable(ours: type, name: str, theirs: Any) -> bool:
    own = inspect.getattr_static(ours, name, None)
    if isinstance(theirs, classmethod | staticmethod):
        if type(own) is not type(theirs):
            return False
        own, theirs = own.__func__, theirs.__func__
    if own is None:
        return False
    if own is object.__init__:
        return len(parameters(theirs)) == 1
    same_kind = inspect.iscoroutinefunction(own) == inspect.iscoroutinefunction(theirs)
    return same_kind and parameters(own) == parameters(theirs)


@pytest.mark.parametrize("ours,name,theirs", MEMBERS)
def test_a_public_member_of_1_7_0_is_here_with_its_parameters(
    ours: Any, name: str, theirs: Any, request: pytest.FixtureRequest
) -> None:
    listed = request.node.callspec.id in DIFFERENT
    assert is_the_same(ours, name, theirs) is not listed


def test_every_listed_difference_is_one_of_a_member() -> None:
    assert DIFFERENT.keys() <= {parameter.id for parameter in MEMBERS}


ENUMS = [name for name, (_, theirs) in CLASSES.items() if issubclass(theirs, Enum)]


@pytest.mark.parametrize("name", ENUMS)
def test_an_enum_has_the_members_of_1_7_0(name: str) -> None:
    enums: tuple[Any, Any] = CLASSES[name]
    ours, theirs = ({member.name: member.value for member in enum} for enum in enums)
    assert theirs.items() <= ours.items()


def test_a_context_of_1_7_0_has_no_public_property_that_is_not_here() -> None:
    """Attributes that 1.7.0 sets in `__init__` are its own bookkeeping; properties are what it offers."""
    offered = [
        name for name, member in public_members(peer.DurableOrchestrationContext) if isinstance(member, property)
    ]
    assert [name for name in offered if not hasattr(worker_ext.DurableOrchestrationContext, name)] == []


def test_the_functions_of_1_7_0_take_its_parameters() -> None:
    theirs = importlib.import_module("azure.durable_functions.testing").orchestrator_generator_wrapper
    ours = importlib.import_module("worker_ext.testing").orchestrator_generator_wrapper
    assert parameters(ours) == [(name, kind, default) for name, kind, default in parameters(theirs)]
