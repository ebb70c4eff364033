"""The import paths of azure-functions-durable 1.7.0: `azure.durable_functions.models` is `worker_ext.models`.

Nothing is defined here. The names are those of 1.7.0; as there, a name in `__all__` hides the module it comes from, and
the other modules are attributes: `df.models.DurableOrchestrationStatus.DurableOrchestrationStatus`.
"""

from worker_ext.models import (  # noqa: F401 - attributes of this package
    DurableOrchestrationStatus,
    EntityStateResponse,
    FunctionContext,
    ReplaySchema,
    actions,
    entities,
    history,
    utils,
)
from worker_ext.models.DurableEntityContext import DurableEntityContext
from worker_ext.models.DurableHttpRequest import DurableHttpRequest
from worker_ext.models.DurableOrchestrationBindings import DurableOrchestrationBindings
from worker_ext.models.DurableOrchestrationClient import DurableOrchestrationClient
from worker_ext.models.DurableOrchestrationContext import DurableOrchestrationContext
from worker_ext.models.OrchestrationRuntimeStatus import OrchestrationRuntimeStatus
from worker_ext.models.OrchestratorState import OrchestratorState
from worker_ext.models.PurgeHistoryResult import PurgeHistoryResult
from worker_ext.models.RetryOptions import RetryOptions
from worker_ext.models.Task import TaskBase
from worker_ext.models.TokenSource import ManagedIdentityTokenSource

__all__ = [
    "DurableEntityContext",
    "DurableHttpRequest",
    "DurableOrchestrationBindings",
    "DurableOrchestrationClient",
    "DurableOrchestrationContext",
    "ManagedIdentityTokenSource",
    "OrchestrationRuntimeStatus",
    "OrchestratorState",
    "PurgeHistoryResult",
    "RetryOptions",
    "TaskBase",
]
