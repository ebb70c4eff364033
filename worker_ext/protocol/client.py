"""The client binding's payload, the management URLs, and the bodies of the management API.

Source: durable-functions JSON protocol, sections on the durableClient payload and the HTTP APIs.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from worker_ext.errors import PayloadError
from worker_ext.protocol.codec import JSON, fault_of


class OrchestrationRuntimeStatus(Enum):
    """The state of an orchestration as the management API names it."""

    Running = "Running"
    Completed = "Completed"
    ContinuedAsNew = "ContinuedAsNew"
    Failed = "Failed"
    Canceled = "Canceled"
    Terminated = "Terminated"
    Pending = "Pending"
    Suspended = "Suspended"


TERMINAL_STATUSES = frozenset({"Completed", "Failed", "Canceled", "Terminated"})
"""Names of the states that an instance does not leave by itself."""


class ManagementUrls(Struct, frozen=True, kw_only=True, rename="camel"):
    """The URLs that manage one instance; in the binding's payload the id is a placeholder.

    The answer of a start has no `rewindPostUri` and some hosts leave newer members out.
    """

    id: str
    status_query_get_uri: str
    send_event_post_uri: str
    terminate_post_uri: str
    rewind_post_uri: str | UnsetType = UNSET
    purge_history_delete_uri: str
    restart_post_uri: str | UnsetType = UNSET
    suspend_post_uri: str | UnsetType = UNSET
    resume_post_uri: str | UnsetType = UNSET


class CreationUrls(Struct, frozen=True, kw_only=True, rename="camel"):
    """Templates of the URLs that start instances."""

    create_new_instance_post_uri: str
    create_and_wait_on_new_instance_post_uri: str


class DurableClientPayload(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the durableClient binding delivers. `rpc_base_url` ends with a slash, `base_url` does not."""

    task_hub_name: str
    connection_name: str | None = None
    creation_urls: CreationUrls
    management_urls: ManagementUrls
    base_url: str | None = None
    required_query_string_parameters: str | None = None
    rpc_base_url: str | None = None
    http_base_url: str | None = None
    max_grpc_message_size_in_bytes: int | None = None
    grpc_http_client_timeout: str | None = None

    @classmethod
    def decode(cls, text: str | bytes) -> DurableClientPayload:
        """Reads the payload.

        Raises:
            PayloadError: It breaks the contract; it says where.
        """
        try:
            return msgspec.json.decode(text, type=DurableClientPayload)
        except msgspec.DecodeError as error:
            what, path = fault_of(error)
            raise PayloadError("durableClient $" + path, what) from None

    def encode(self) -> str:
        """Writes the payload as compact JSON."""
        return msgspec.json.encode(self).decode()


class InstanceStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """The status body of an instance. Times are .NET texts with whole seconds."""

    name: str | None
    instance_id: str
    runtime_status: str
    input: JSON = None
    custom_status: JSON = None
    output: JSON = None
    created_time: str | None = None
    last_updated_time: str | None = None
    history_events: list[dict[str, Any]] | UnsetType | None = UNSET
