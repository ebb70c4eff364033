"""An action made of actions."""

from worker_ext.protocol.actions import CompoundAction

__all__ = ["CompoundAction"]
