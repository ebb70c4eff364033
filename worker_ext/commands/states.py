"""Which instances have ended and which have not, and the refusal of commands that come too late."""

from __future__ import annotations

from worker_ext.client import DurableOrchestrationClient
from worker_ext.errors import ClientError
from worker_ext.protocol.client import TERMINAL_STATUSES, OrchestrationRuntimeStatus

ENDED = [status for status in OrchestrationRuntimeStatus if status.value in TERMINAL_STATUSES]
OPEN = [status for status in OrchestrationRuntimeStatus if status.value not in TERMINAL_STATUSES]


async def expect_open(client: DurableOrchestrationClient, instance_id: str) -> None:
    """Looks whether an instance can still be told something: the client, like 1.7.0, is silent where it cannot.

    Raises:
        ClientError: It has ended, or there is none.
    """
    status = await client.get_status(instance_id)
    if not status:
        raise await client.missing(instance_id)
    if status.runtime_status in ENDED:
        raise ClientError(410, instance_id, f"has already ended ({status.runtime_status.value})")
