"""Durable Functions for Python: orchestrators, activities and their clients on the Azure Functions host, or without it.

    import azure.functions as func
    import worker_ext as df

    app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

The names in `__all__` are the promise; everything else may change.
"""

from worker_ext import flow
from worker_ext.client import DurableOrchestrationClient
from worker_ext.context import DurableOrchestrationContext
from worker_ext.decorators import Blueprint, DFApp
from worker_ext.engine.retries import RetryContext, RetryOptions
from worker_ext.engine.tasks import Task
from worker_ext.entity import DurableEntityContext
from worker_ext.errors import (
    AppError,
    ClientError,
    DurableError,
    HostError,
    NonDeterminismError,
    OrchestrationFailedError,
    OrchestratorError,
    PayloadError,
    TaskFailedError,
)
from worker_ext.protocol.client import OrchestrationRuntimeStatus
from worker_ext.protocol.durable_http import ManagedIdentityTokenSource
from worker_ext.protocol.entity import EntityId
from worker_ext.replacement import DurableFunctionsCompatibilityWarning, replace_durable_functions
from worker_ext.v1_model import Entity, Orchestrator

__all__ = [
    "AppError",
    "Blueprint",
    "ClientError",
    "DFApp",
    "DurableEntityContext",
    "DurableError",
    "DurableFunctionsCompatibilityWarning",
    "DurableOrchestrationClient",
    "DurableOrchestrationContext",
    "Entity",
    "EntityId",
    "HostError",
    "ManagedIdentityTokenSource",
    "NonDeterminismError",
    "OrchestrationFailedError",
    "OrchestrationRuntimeStatus",
    "Orchestrator",
    "OrchestratorError",
    "PayloadError",
    "RetryContext",
    "RetryOptions",
    "Task",
    "TaskFailedError",
    "flow",
    "replace_durable_functions",
]
