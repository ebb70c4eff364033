"""What orchestrators ask the extension to do: as data, with all fields by name."""

from worker_ext.models.actions.Action import Action
from worker_ext.models.actions.ActionType import ActionType
from worker_ext.models.actions.CallActivityAction import CallActivityAction
from worker_ext.models.actions.CallActivityWithRetryAction import CallActivityWithRetryAction
from worker_ext.models.actions.CallEntityAction import CallEntityAction
from worker_ext.models.actions.CallHttpAction import CallHttpAction
from worker_ext.models.actions.CallSubOrchestratorAction import CallSubOrchestratorAction
from worker_ext.models.actions.CallSubOrchestratorWithRetryAction import CallSubOrchestratorWithRetryAction
from worker_ext.models.actions.CompoundAction import CompoundAction
from worker_ext.models.actions.ContinueAsNewAction import ContinueAsNewAction
from worker_ext.models.actions.CreateTimerAction import CreateTimerAction
from worker_ext.models.actions.SignalEntityAction import SignalEntityAction
from worker_ext.models.actions.WaitForExternalEventAction import WaitForExternalEventAction
from worker_ext.models.actions.WhenAllAction import WhenAllAction
from worker_ext.models.actions.WhenAnyAction import WhenAnyAction

__all__ = [
    "Action",
    "ActionType",
    "CallActivityAction",
    "CallActivityWithRetryAction",
    "CallEntityAction",
    "CallHttpAction",
    "CallSubOrchestratorAction",
    "CallSubOrchestratorWithRetryAction",
    "CompoundAction",
    "ContinueAsNewAction",
    "CreateTimerAction",
    "SignalEntityAction",
    "WaitForExternalEventAction",
    "WhenAllAction",
    "WhenAnyAction",
]
