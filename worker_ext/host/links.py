"""The URLs of the management API, as the durableClient binding and the answers of a start carry them.

Source: durable-functions JSON protocol, sections on the durableClient payload and the check-status body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from worker_ext.protocol.client import CreationUrls, DurableClientPayload, ManagementUrls

WEBHOOK_PATH = "/runtime/webhooks/durabletask"
FIRST_WEBHOOK_PATH = "/admin/extensions/DurableTaskExtension"
"""Where it was on version 1 of the Functions host; scripts of that time still find it. Links never name it."""

CONNECTION = "Storage"
_PLACEHOLDER = "INSTANCEID"


@dataclass(frozen=True)
class Links:
    """Where the management API of this host is.

    Attributes:
        origin: Scheme, host and port of the public listener.
        rpc_base_url: The URL that the language's client uses, with a slash at the end; None without such a listener.
        hub: The task hub.
        key: The system key that the URLs carry, or None where no key is asked for.
    """

    origin: str
    rpc_base_url: str | None
    hub: str
    key: str | None = None

    def client_payload(self, binding: Mapping[str, Any]) -> str:
        """The text of a durableClient binding; the binding may name another hub."""
        hub = binding.get("taskHub") or self.hub
        base = f"{self.origin}{WEBHOOK_PATH}"
        start = f"{base}/orchestrators/{{functionName}}[/{{instanceId}}]"
        wait = "timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}"
        return DurableClientPayload(
            task_hub_name=hub,
            creation_urls=CreationUrls(
                create_new_instance_post_uri=start + (f"?{self._code}" if self.key else ""),
                create_and_wait_on_new_instance_post_uri=f"{start}?{wait}" + (f"&{self._code}" if self.key else ""),
            ),
            management_urls=self._management_urls(self.origin, _PLACEHOLDER, hub),
            base_url=base,
            required_query_string_parameters=self._code if self.key else "",
            rpc_base_url=self._rpc_base(hub),
        ).encode()

    def _rpc_base(self, hub: str) -> str | None:
        """Where the language's client works on a hub: in what it asks for there it does not name the hub."""
        if self.rpc_base_url is None or hub == self.hub:
            return self.rpc_base_url
        return f"{self.rpc_base_url}taskhubs/{quote(hub, safe='')}/"

    def check_status(self, origin: str, instance_id: str) -> ManagementUrls:
        """The body of a start's answer: the URLs of an instance, without the one for rewind."""
        urls = self._management_urls(origin, instance_id, self.hub)
        return msgspec.structs.replace(urls, rewind_post_uri=msgspec.UNSET)

    @property
    def _code(self) -> str:
        return f"code={self.key}"

    def _management_urls(self, origin: str, instance_id: str, hub: str) -> ManagementUrls:
        instance = f"{origin}{WEBHOOK_PATH}/instances/{quote(instance_id, safe='')}"
        common = f"taskHub={hub}&connection={CONNECTION}" + (f"&{self._code}" if self.key else "")
        reason = f"reason={{text}}&{common}"
        return ManagementUrls(
            id=instance_id,
            status_query_get_uri=f"{instance}?{common}",
            send_event_post_uri=f"{instance}/raiseEvent/{{eventName}}?{common}",
            terminate_post_uri=f"{instance}/terminate?{reason}",
            rewind_post_uri=f"{instance}/rewind?{reason}",
            purge_history_delete_uri=f"{instance}?{common}",
            restart_post_uri=f"{instance}/restart?{common}",
            suspend_post_uri=f"{instance}/suspend?{reason}",
            resume_post_uri=f"{instance}/resume?{reason}",
        )
