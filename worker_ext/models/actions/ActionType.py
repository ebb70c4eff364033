"""The numbers of actions."""

from worker_ext.protocol.actions import ActionType

__all__ = ["ActionType"]
