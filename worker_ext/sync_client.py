"""The client for code without an event loop: scripts, notebooks, functions that are not `async def`.

Each call is a call of the asynchronous client on an event loop of its own, in a thread that ends with the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from worker_ext.bulk import BulkResult, Progress
from worker_ext.client import DurableOrchestrationClient
from worker_ext.connection import connection_payload
from worker_ext.http_transport import Transport
from worker_ext.protocol.client import OrchestrationRuntimeStatus
from worker_ext.protocol.entity import EntityId
from worker_ext.status import DurableOrchestrationStatus, EntityStateResponse, PurgeHistoryResult

T = TypeVar("T")


class SyncDurableOrchestrationClient:
    """DurableOrchestrationClient with plain methods; any thread may use it, several at a time too.

        with SyncDurableOrchestrationClient.connect() as client:
            instance_id = client.start_new("ship_order", client_input={"order": 17})

    Args:
        context: The text of the durable client binding.
        transport: How requests are sent.

    Raises:
        PayloadError: The text is not what the binding delivers.
    """

    def __init__(self, context: str, *, transport: Transport | None = None) -> None:
        self._client = DurableOrchestrationClient(context, transport=transport)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="worker-ext-client", daemon=True)
        self._thread.start()

    @classmethod
    def connect(
        cls,
        url: str | None = None,
        key: str | None = None,
        task_hub_name: str | None = None,
        *,
        transport: Transport | None = None,
    ) -> Self:
        """A client of a host that runs anywhere; see `DurableOrchestrationClient.connect`."""
        return cls(connection_payload(url, key, task_hub_name).encode(), transport=transport)

    def close(self) -> None:
        """Closes its connections; it cannot be used afterwards."""
        if self._loop.is_closed():
            return
        self._run(self._loop.shutdown_asyncgens())
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise RuntimeError("the client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C comes to the thread that waits
            future.cancel()
            raise

    # ------------------------------------------------------------ one instance

    def start_new(
        self,
        orchestration_function_name: str,
        instance_id: str | None = None,
        client_input: Any = None,
        version: str | None = None,
    ) -> str:
        """Starts an instance; gives its ID."""
        return self._run(self._client.start_new(orchestration_function_name, instance_id, client_input, version))

    def get_status(
        self,
        instance_id: str,
        show_history: bool = False,
        show_history_output: bool = False,
        show_input: bool = False,
        *,
        show_starts: bool = False,
    ) -> DurableOrchestrationStatus:
        """The status of an instance; false when there is no such instance."""
        return self._run(
            self._client.get_status(instance_id, show_history, show_history_output, show_input, show_starts=show_starts)
        )

    def export_history(self, instance_id: str) -> str:
        """An instance as a recording for tests, as JSON text."""
        return self._run(self._client.export_history(instance_id))

    def wait_for_completion(
        self, instance_id: str, timeout: timedelta | None = None, poll_interval: timedelta = timedelta(seconds=1)
    ) -> DurableOrchestrationStatus:
        """Waits until an instance has ended, in whatever way; its status tells.

        Raises:
            TimeoutError: It had not ended in time.
        """
        return self._run(self._client.wait_for_completion(instance_id, timeout, poll_interval))

    @overload
    def wait_for_result(
        self,
        instance_id: str,
        expected_type: type[T],
        timeout: timedelta | None = None,
        poll_interval: timedelta = timedelta(seconds=1),
    ) -> T: ...

    @overload
    def wait_for_result(
        self,
        instance_id: str,
        expected_type: None = None,
        timeout: timedelta | None = None,
        poll_interval: timedelta = timedelta(seconds=1),
    ) -> Any: ...

    def wait_for_result(
        self,
        instance_id: str,
        expected_type: type[Any] | None = None,
        timeout: timedelta | None = None,
        poll_interval: timedelta = timedelta(seconds=1),
    ) -> Any:
        """Waits until an instance has completed, and gives what its orchestrator returned.

        Raises:
            InstanceFailedError: It ended otherwise than completed.
            PayloadError: What it returned is not of the type.
            TimeoutError: It had not ended in time.
        """
        return self._run(self._client.wait_for_result(instance_id, expected_type, timeout, poll_interval))

    def raise_event(self, instance_id: str, event_name: str, event_data: Any = None) -> None:
        """Sends an event to an instance, with the value's JSON text."""
        self._run(self._client.raise_event(instance_id, event_name, event_data))

    def send_event(self, instance_id: str, event_name: str, value: Any = None) -> None:
        """Sends an event to an instance, with the value as it is."""
        self._run(self._client.send_event(instance_id, event_name, value))

    def terminate(self, instance_id: str, reason: str) -> None:
        """Ends an instance at once."""
        self._run(self._client.terminate(instance_id, reason))

    def suspend(self, instance_id: str, reason: str) -> None:
        """Stops an instance from going on until it is resumed."""
        self._run(self._client.suspend(instance_id, reason))

    def resume(self, instance_id: str, reason: str) -> None:
        """Lets a suspended instance go on."""
        self._run(self._client.resume(instance_id, reason))

    def rewind(self, instance_id: str, reason: str) -> None:
        """Takes a failed instance back to where it was before its failures."""
        self._run(self._client.rewind(instance_id, reason))

    def restart(self, instance_id: str, restart_with_new_instance_id: bool = True) -> str:
        """Starts an instance again with the input it had; gives the ID of the new run."""
        answer = self._run(self._client.restart(instance_id, restart_with_new_instance_id))
        return str(answer["id"] if isinstance(answer, dict) else answer)

    def purge_instance_history(self, instance_id: str) -> PurgeHistoryResult:
        """Deletes an instance that has ended."""
        return self._run(self._client.purge_instance_history(instance_id))

    # ------------------------------------------------------------ many instances

    def list_instances(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None,
        instance_id_prefix: str | None = None,
        *,
        show_input: bool = True,
        page_size: int | None = None,
    ) -> Iterator[DurableOrchestrationStatus]:
        """Goes through the instances that fit, a page at a time."""
        statuses = self._client.list_instances(
            created_time_from,
            created_time_to,
            runtime_status,
            instance_id_prefix,
            show_input=show_input,
            page_size=page_size,
        )
        try:
            while (status := self._run(_next(statuses))) is not None:
                yield status
        finally:
            self._run(statuses.aclose())

    def get_status_all(self) -> list[DurableOrchestrationStatus]:
        """The status of every instance."""
        return self._run(self._client.get_status_all())

    def get_status_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None,
        instance_id_prefix: str | None = None,
    ) -> list[DurableOrchestrationStatus]:
        """The status of every instance that fits."""
        return self._run(
            self._client.get_status_by(created_time_from, created_time_to, runtime_status, instance_id_prefix)
        )

    def purge_instance_history_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None,
    ) -> PurgeHistoryResult:
        """Deletes every instance that fits and has ended."""
        return self._run(self._client.purge_instance_history_by(created_time_from, created_time_to, runtime_status))

    def terminate_each(self, instance_ids: Iterable[str], reason: str, progress: Progress | None = None) -> BulkResult:
        """Ends many instances, several at a time; `progress` is called in the client's own thread."""
        return self._run(self._client.terminate_each(instance_ids, reason, progress))

    def purge_each(self, instance_ids: Iterable[str], progress: Progress | None = None) -> BulkResult:
        """Deletes many instances that have ended; `progress` is called in the client's own thread."""
        return self._run(self._client.purge_each(instance_ids, progress))

    # ------------------------------------------------------------ entities

    def read_entity_state(self, entityId: EntityId) -> EntityStateResponse:  # noqa: N803
        """The state of an entity."""
        return self._run(self._client.read_entity_state(entityId))

    def signal_entity(self, entityId: EntityId, operation_name: str, operation_input: Any = None) -> None:  # noqa: N803
        """Sends an operation to an entity and does not wait for it."""
        self._run(self._client.signal_entity(entityId, operation_name, operation_input))


async def _next(statuses: Any) -> DurableOrchestrationStatus | None:
    status: DurableOrchestrationStatus | None = await anext(statuses, None)
    return status
