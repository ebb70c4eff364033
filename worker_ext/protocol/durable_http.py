"""Durable HTTP: requests that the extension sends, and where their tokens come from.

Source: durable-functions JSON protocol, section 2.3.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from worker_ext.protocol.codec import format_timespan


class TokenSource:
    """Where the token of a durable HTTP request comes from."""

    def to_json(self) -> dict[str, Any]:
        """The source as the request carries it."""
        raise NotImplementedError


@dataclass(frozen=True)
class ManagedIdentityTokenSource(TokenSource):
    """A token of the function app's managed identity.

    Args:
        resource: The identifier of the service that is called, such as `https://management.core.windows.net/`.
        authority_host: Another Microsoft Entra authority; None for the default.
        tenant_id: Another tenant; None for the app's own.
    """

    resource: str
    authority_host: str | None = field(default=None, kw_only=True)
    tenant_id: str | None = field(default=None, kw_only=True)

    def to_json(self) -> dict[str, Any]:
        """The source as the request carries it."""
        options = {"authorityhost": self.authority_host, "tenantid": self.tenant_id}
        given = {name: value for name, value in options.items() if value is not None}
        return {"resource": self.resource, "kind": "AzureManagedIdentity", **({"options": given} if given else {})}


@dataclass(frozen=True)
class DurableHttpRequest:
    """A request for the extension to send; `content` is the body's text."""

    method: str
    uri: str
    content: str | None = None
    headers: dict[str, str] | None = None
    token_source: TokenSource | None = None
    timeout: timedelta | None = field(default=None, kw_only=True)

    def to_json(self) -> dict[str, Any]:
        """The request as the action carries it."""
        members: dict[str, Any] = {
            "method": self.method,
            "uri": self.uri,
            "content": self.content,
            "headers": self.headers,
        }
        if self.token_source is not None:
            members["tokenSource"] = self.token_source.to_json()
        if self.timeout is not None:
            members["timeout"] = format_timespan(self.timeout)
        return members
