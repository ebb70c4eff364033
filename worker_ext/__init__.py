"""Durable Functions for Python: orchestrators, activities and their clients on the Azure Functions host, or without it.

    import azure.functions as func
    import worker_ext as df

    app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

The names in `__all__` are the promise; everything else may change. Each is imported when it is first asked for, so that
an app pays for what it uses.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from worker_ext import flow, limits
    from worker_ext.client import DurableOrchestrationClient
    from worker_ext.context import DurableOrchestrationContext
    from worker_ext.decorators import Blueprint, DFApp
    from worker_ext.engine.retries import RetryContext, RetryOptions
    from worker_ext.engine.tasks import Task
    from worker_ext.entity import DurableEntityContext
    from worker_ext.entity_class import DurableEntity, operation
    from worker_ext.errors import (
        AppError,
        ClientError,
        DurableError,
        HostError,
        InstanceFailedError,
        NonDeterminismError,
        OrchestrationFailedError,
        OrchestratorError,
        PayloadError,
        TaskFailedError,
    )
    from worker_ext.payload_converter import PayloadConverter
    from worker_ext.protocol.client import OrchestrationRuntimeStatus
    from worker_ext.protocol.durable_http import ManagedIdentityTokenSource
    from worker_ext.protocol.entity import EntityId
    from worker_ext.replacement import DurableFunctionsCompatibilityWarning, replace_durable_functions
    from worker_ext.sync_client import SyncDurableOrchestrationClient
    from worker_ext.v1_model import Activity, Entity, Orchestrator

__all__ = [
    "Activity",
    "AppError",
    "Blueprint",
    "ClientError",
    "DFApp",
    "DurableEntity",
    "DurableEntityContext",
    "DurableError",
    "DurableFunctionsCompatibilityWarning",
    "DurableOrchestrationClient",
    "DurableOrchestrationContext",
    "Entity",
    "EntityId",
    "HostError",
    "InstanceFailedError",
    "ManagedIdentityTokenSource",
    "NonDeterminismError",
    "OrchestrationFailedError",
    "OrchestrationRuntimeStatus",
    "Orchestrator",
    "OrchestratorError",
    "PayloadConverter",
    "PayloadError",
    "RetryContext",
    "RetryOptions",
    "SyncDurableOrchestrationClient",
    "Task",
    "TaskFailedError",
    "flow",
    "limits",
    "operation",
    "replace_durable_functions",
]

_NAMES = {
    "worker_ext.client": ("DurableOrchestrationClient",),
    "worker_ext.context": ("DurableOrchestrationContext",),
    "worker_ext.decorators": ("Blueprint", "DFApp"),
    "worker_ext.engine.retries": ("RetryContext", "RetryOptions"),
    "worker_ext.engine.tasks": ("Task",),
    "worker_ext.entity": ("DurableEntityContext",),
    "worker_ext.entity_class": ("DurableEntity", "operation"),
    "worker_ext.errors": (
        "AppError",
        "ClientError",
        "DurableError",
        "HostError",
        "InstanceFailedError",
        "NonDeterminismError",
        "OrchestrationFailedError",
        "OrchestratorError",
        "PayloadError",
        "TaskFailedError",
    ),
    "worker_ext.payload_converter": ("PayloadConverter",),
    "worker_ext.protocol.client": ("OrchestrationRuntimeStatus",),
    "worker_ext.protocol.durable_http": ("ManagedIdentityTokenSource",),
    "worker_ext.protocol.entity": ("EntityId",),
    "worker_ext.replacement": ("DurableFunctionsCompatibilityWarning", "replace_durable_functions"),
    "worker_ext.sync_client": ("SyncDurableOrchestrationClient",),
    "worker_ext.v1_model": ("Activity", "Entity", "Orchestrator"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

if not typing.TYPE_CHECKING:  # a type checker would take any name for one of this package

    def __getattr__(name):
        """A public name, or a submodule, imported now."""
        if name in _HOMES:
            value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
            return value
        missing = AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        if name.startswith("_"):
            raise missing
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
            raise missing from None

    def __dir__():
        """What there is, and what is to be had."""
        return sorted({*globals(), *__all__})
