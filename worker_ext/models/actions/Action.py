"""What every action has."""

from worker_ext.protocol.actions import Action

__all__ = ["Action"]
