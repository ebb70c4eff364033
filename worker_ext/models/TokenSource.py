"""Where the tokens of HTTP requests come from."""

from worker_ext.protocol.durable_http import ManagedIdentityTokenSource, TokenSource

__all__ = [
    "ManagedIdentityTokenSource",
    "TokenSource",
]
