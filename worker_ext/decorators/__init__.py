"""Blueprint and DFApp, and what they are made of.

What a worker is given for a function is never the user's function but a plain one that calls it: see `wrappers`.
"""

from worker_ext.decorators.durable_app import Blueprint, DFApp, DurableFunction
from worker_ext.decorators.metadata import ActivityTrigger, DurableClient, EntityTrigger, OrchestrationTrigger
from worker_ext.decorators.wrappers import activity_function, entity_function, orchestrator_function

__all__ = [
    "ActivityTrigger",
    "Blueprint",
    "DFApp",
    "DurableClient",
    "DurableFunction",
    "EntityTrigger",
    "OrchestrationTrigger",
    "activity_function",
    "entity_function",
    "orchestrator_function",
]
