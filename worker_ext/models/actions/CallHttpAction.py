"""Sends an HTTP request."""

from worker_ext.protocol.actions import CallHttp as CallHttpAction

__all__ = ["CallHttpAction"]
