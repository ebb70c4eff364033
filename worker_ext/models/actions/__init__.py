"""What orchestrators ask the extension to do: as data, with all fields by name.

As in 1.7.0 some names are classes, and the others are modules with the class of that name.
"""

from worker_ext.models.actions import (  # noqa: F401 - attributes of this package
    CallEntityAction,
    CallSubOrchestratorWithRetryAction,
    CompoundAction,
    ContinueAsNewAction,
    SignalEntityAction,
)
from worker_ext.models.actions.Action import Action
from worker_ext.models.actions.ActionType import ActionType
from worker_ext.models.actions.CallActivityAction import CallActivityAction
from worker_ext.models.actions.CallActivityWithRetryAction import CallActivityWithRetryAction
from worker_ext.models.actions.CallHttpAction import CallHttpAction
from worker_ext.models.actions.CallSubOrchestratorAction import CallSubOrchestratorAction
from worker_ext.models.actions.CreateTimerAction import CreateTimerAction
from worker_ext.models.actions.WaitForExternalEventAction import WaitForExternalEventAction
from worker_ext.models.actions.WhenAllAction import WhenAllAction
from worker_ext.models.actions.WhenAnyAction import WhenAnyAction

__all__ = [
    "Action",
    "ActionType",
    "CallActivityAction",
    "CallActivityWithRetryAction",
    "CallHttpAction",
    "CallSubOrchestratorAction",
    "CreateTimerAction",
    "WaitForExternalEventAction",
    "WhenAllAction",
    "WhenAnyAction",
]
