"""A request that the host sends."""

from worker_ext.protocol.durable_http import DurableHttpRequest

__all__ = ["DurableHttpRequest"]
