"""The client for code without an event loop: scripts, notebooks, functions that are not `async def`.

Each call is a call of the asynchronous client on an event loop of its own, in a thread that ends with the process; what
it takes, gives and raises is said there. What that client calls back, such as `progress`, it calls in that thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast, overload

from worker_ext.client import DurableOrchestrationClient
from worker_ext.http_transport import Transport
from worker_ext.payload_converter import PayloadConverter

if TYPE_CHECKING:
    from worker_ext.entity_proxy import SyncClientEntity

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E")


def _waiting(
    method: Callable[Concatenate[DurableOrchestrationClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncDurableOrchestrationClient, P], T]:
    """A method that waits for what a coroutine method of the other client gives."""

    @wraps(method)
    def call(self: SyncDurableOrchestrationClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(method(self._client, *args, **kwargs))

    return call


def _stepping(
    method: Callable[Concatenate[DurableOrchestrationClient, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[SyncDurableOrchestrationClient, P], Iterator[T]]:
    """A method that goes through what an asynchronous iterator of the other client gives."""

    @wraps(method)
    def call(self: SyncDurableOrchestrationClient, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        items = method(self._client, *args, **kwargs)
        try:
            while (item := self._run(_next(items))) is not _END:
                yield cast("T", item)
        finally:
            self._run(items.aclose())

    return call


_END = object()


async def _next(items: AsyncGenerator[T, None]) -> T | object:
    return await anext(items, _END)


class SyncDurableOrchestrationClient:
    """DurableOrchestrationClient with plain methods; any thread may use it, several at a time too.

        with SyncDurableOrchestrationClient.connect() as client:
            instance_id = client.start_new("ship_order", client_input={"order": 17})

    Args:
        context: The text of the durable client binding.
        transport: How requests are sent.
        payload_converter: The converter of the app, where it has one.

    Raises:
        PayloadError: The text is not what the binding delivers.
    """

    def __init__(
        self,
        context: str,
        *,
        transport: Transport | None = None,
        payload_converter: PayloadConverter | None = None,
    ) -> None:
        self._serve(DurableOrchestrationClient(context, transport=transport, payload_converter=payload_converter))

    @classmethod
    def connect(
        cls,
        url: str | None = None,
        key: str | None = None,
        task_hub_name: str | None = None,
        *,
        transport: Transport | None = None,
        payload_converter: PayloadConverter | None = None,
    ) -> Self:
        """A client of a host that runs anywhere; see `DurableOrchestrationClient.connect`."""
        client = cls.__new__(cls)
        connected = DurableOrchestrationClient.connect(
            url, key, task_hub_name, transport=transport, payload_converter=payload_converter
        )
        client._serve(connected)
        return client

    def _serve(self, client: DurableOrchestrationClient) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="worker-ext-client", daemon=True)
        self._thread.start()

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

    start_new = _waiting(DurableOrchestrationClient.start_new)
    get_status = _waiting(DurableOrchestrationClient.get_status)
    export_history = _waiting(DurableOrchestrationClient.export_history)
    missing = _waiting(DurableOrchestrationClient.missing)
    wait_for_completion = _waiting(DurableOrchestrationClient.wait_for_completion)
    wait_for_result = _waiting(DurableOrchestrationClient.wait_for_result)
    raise_event = _waiting(DurableOrchestrationClient.raise_event)
    send_event = _waiting(DurableOrchestrationClient.send_event)
    terminate = _waiting(DurableOrchestrationClient.terminate)
    suspend = _waiting(DurableOrchestrationClient.suspend)
    resume = _waiting(DurableOrchestrationClient.resume)
    rewind = _waiting(DurableOrchestrationClient.rewind)
    purge_instance_history = _waiting(DurableOrchestrationClient.purge_instance_history)

    def restart(self, instance_id: str, restart_with_new_instance_id: bool = True) -> str:
        """Starts an instance again with the input it had; gives the ID of the new run."""
        answer = self._run(self._client.restart(instance_id, restart_with_new_instance_id))
        return str(answer["id"] if isinstance(answer, dict) else answer)

    # ------------------------------------------------------------ many instances

    list_instances = _stepping(DurableOrchestrationClient.list_instances)
    get_status_all = _waiting(DurableOrchestrationClient.get_status_all)
    get_status_by = _waiting(DurableOrchestrationClient.get_status_by)
    purge_instance_history_by = _waiting(DurableOrchestrationClient.purge_instance_history_by)
    terminate_each = _waiting(DurableOrchestrationClient.terminate_each)
    purge_each = _waiting(DurableOrchestrationClient.purge_each)

    # ------------------------------------------------------------ entities

    @overload
    def entity(self, entity: type[E], key: str) -> SyncClientEntity[E]: ...
    @overload
    def entity(self, entity: str, key: str) -> SyncClientEntity[Any]: ...
    def entity(self, entity: Any, key: str) -> SyncClientEntity[Any]:
        """An entity, with its operations as methods and its state as an object of its class; see the other client."""
        from worker_ext.entity_proxy import SyncClientEntity

        return SyncClientEntity(self._client.entity(entity, key), self._run)

    list_entities = _stepping(DurableOrchestrationClient.list_entities)
    read_entity_state = _waiting(DurableOrchestrationClient.read_entity_state)
    signal_entity = _waiting(DurableOrchestrationClient.signal_entity)
