"""DurableOrchestrationClient: starts, queries and manages instances through the host's management API.

Names, parameters, defaults and results are those of azure-functions-durable 1.7.0. Where that raised a bare Exception,
a ClientError with status, instance and the host's message is raised; errors of the connection are the transport's own.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from msgspec.structs import replace

from worker_ext import management, payloads, recording, tracing
from worker_ext.bulk import BulkResult, Progress, for_each
from worker_ext.connection import connection_payload
from worker_ext.errors import ClientError, InstanceFailedError
from worker_ext.http_transport import AiohttpTransport, Response, Transport
from worker_ext.payload_converter import PayloadConverter, payloads_of
from worker_ext.protocol import codec
from worker_ext.protocol.client import DurableClientPayload, OrchestrationRuntimeStatus
from worker_ext.protocol.entity import EntityId
from worker_ext.references import FunctionRef, name_of
from worker_ext.status import DurableOrchestrationStatus, EntityStateResponse, EntityStatus, PurgeHistoryResult

if TYPE_CHECKING:
    from collections.abc import Callable

    import azure.functions as func
    from typing_extensions import TypeForm

    from worker_ext.context import DurableOrchestrationContext
    from worker_ext.entity_proxy import ClientEntity

E = TypeVar("E")
T = TypeVar("T")
In = TypeVar("In")

_DEFAULT_TRANSPORT = AiohttpTransport()
_ENDED_ALREADY = "the instance has ended and takes no events"


class DurableOrchestrationClient:
    """Starts, queries and manages orchestration instances and entities.

    An ID or a name that is empty or only dots raises ValueError: the host would read it as part of another address.

    Args:
        context: The text of the durable client binding.
        function_invocation_id: The invocation that uses the client; the host writes it in its logs.
        transport: How requests are sent; by default over one aiohttp session for each event loop.
        payload_converter: The converter of the app, where it has one. A client that a binding gives has it already.

    Raises:
        PayloadError: The text is not what the binding delivers.
    """

    def __init__(
        self,
        context: str,
        function_invocation_id: str | None = None,
        *,
        transport: Transport | None = None,
        payload_converter: PayloadConverter | None = None,
    ) -> None:
        self._payloads = payloads_of(payload_converter)
        payload = DurableClientPayload.decode(context)
        self.task_hub_name: str = payload.task_hub_name
        # An address that a person gave may be wrong; a binding's never is.
        self._checks_address = False
        self._context = context
        self._endpoint = management.Endpoint(payload, function_invocation_id)
        self._transport = transport if transport is not None else _DEFAULT_TRANSPORT

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
        """A client of a host that runs anywhere, without a binding.

        Args:
            url: The host, such as `https://my-app.azurewebsites.net`; by default what WORKER_EXT_URL says in the
                environment or in `Values` of local.settings.json in the current folder, else the local host:
                `http://localhost:7071`, or another port by `Host.LocalHttpPort` of that file.
            key: The system key `durabletask_extension` or the master key of that host; by default what WORKER_EXT_KEY
                says. The local host asks for none.
            task_hub_name: The task hub; by default the host's.
            transport: How requests are sent.
            payload_converter: The converter of the app, where it has one.

        Raises:
            ValueError: The URL is not one of a host, or local.settings.json cannot be read.
        """
        text = connection_payload(url, key, task_hub_name).encode()
        client = cls(text, transport=transport, payload_converter=payload_converter)
        client._checks_address = True
        return client

    @overload
    async def start_new(
        self,
        orchestration_function_name: str,
        instance_id: str | None = None,
        client_input: Any = None,
        version: str | None = None,
    ) -> str: ...
    @overload
    async def start_new(
        self,
        orchestration_function_name: Callable[[DurableOrchestrationContext[In]], Any],
        instance_id: str | None = None,
        *,
        client_input: In,
        version: str | None = None,
    ) -> str: ...
    @overload
    async def start_new(
        self,
        orchestration_function_name: Callable[[DurableOrchestrationContext[In]], Any],
        instance_id: str | None,
        client_input: In,
        version: str | None = None,
    ) -> str: ...
    @overload
    async def start_new(
        self,
        orchestration_function_name: Callable[[DurableOrchestrationContext[None]], Any],
        instance_id: str | None = None,
        client_input: None = None,
        version: str | None = None,
    ) -> str: ...
    async def start_new(
        self,
        orchestration_function_name: FunctionRef,
        instance_id: str | None = None,
        client_input: Any = None,
        version: str | None = None,
    ) -> str:
        """Starts an instance.

        An instance of the same ID that has ended is replaced; one that still runs makes the host refuse.

        Args:
            orchestration_function_name: The orchestrator's name, or the decorated function.
            instance_id: The new instance's ID; the host makes one up where it is None or empty.
            client_input: What `context.get_input()` gives: a JSON value or an object with `to_json`.
            version: What `context.version` gives; by default `defaultVersion` of host.json.

        Returns:
            The instance's ID.

        Raises:
            ClientError: The host refused; its message says why.
            TypeError: The input cannot be written as JSON.
            ValueError: The function passed is no orchestrator.
        """
        function = orchestration_function_name
        name = function if isinstance(function, str) else name_of(function, "orchestration")
        names = (name, instance_id) if instance_id else (name,)
        text = None if client_input is None else self._payloads.encode_for_apps(client_input)
        with tracing.starting(name, instance_id, version):
            path = management.path("orchestrators", *names)
            response = await self._send("POST", path, {"version": version}, text, tracing.headers())
            management.expect(response, {200, 201, 202}, instance_id, management.STARTING)
        started = management.read_object(management.body(response), response, instance_id)
        return str(started["id"])

    async def get_status(
        self,
        instance_id: str,
        show_history: bool = False,
        show_history_output: bool = False,
        show_input: bool = False,
        *,
        show_starts: bool = False,
    ) -> DurableOrchestrationStatus:
        """The status of an instance; false (`if not status`) when there is no such instance.

        It is false too when the host answers 400 or 500 with something that is no status; members of that answer, such
        as `Message`, are its attributes.

        Args:
            instance_id: The instance.
            show_history: Whether `history` is filled.
            show_history_output: Whether the history shows results.
            show_input: Asks for the input. The host shows it without being asked as well.
            show_starts: Whether events of the history tell when their activity began to run, as `StartedTime`, and the
                first one when the first turn did. The local host knows; others leave it out.

        Raises:
            ClientError: The host could not answer.
        """
        query = {
            "showInput": "True" if show_input else None,
            "showHistory": "True" if show_history else None,
            "showHistoryOutput": "True" if show_history_output else None,
            "showStarts": "True" if show_starts else None,
        }
        response = await self._send("GET", management.path("instances", instance_id), query)
        management.expect(response, {200, 202, 400, 404, 500}, instance_id)
        answer = management.body(response)
        if answer is None or isinstance(answer, str):
            return DurableOrchestrationStatus.from_json(answer or "")
        return self._status(management.read_object(answer, response, instance_id))

    async def export_history(self, instance_id: str) -> str:
        """An instance as a recording for tests: `worker_ext.testing.replay` runs today's code over it.

        The local host tells its history as it is; of another host's it is worked out from what the management API shows
        (see `worker_ext.recording`).

        Returns:
            JSON text: the payload of the orchestration trigger with the whole history of the current execution, and
            the status of the instance as the member `instance`.

        Raises:
            ClientError: There is no such instance, it has no history yet, or the host could not answer.
        """
        query = {"showInput": "true", "showHistory": "true", "showHistoryOutput": "true"}
        response = await self._send("GET", management.path("instances", instance_id), query)
        await self._expect(response, {200, 202}, instance_id)
        status = management.read_object(management.body(response), response, instance_id)
        response = await self._send("GET", management.path("instances", instance_id, "history"))
        if response.status == 200:
            payload = management.read_object(management.body(response), response, instance_id)
            return recording.text(recording.from_payload(payload, status))
        management.expect(response, {404}, instance_id)
        if not status.get("historyEvents"):
            raise ClientError(404, instance_id, "the instance has no history yet: it has not begun, or is an entity")
        return recording.text(recording.from_status(status))

    async def get_status_all(self) -> list[DurableOrchestrationStatus]:
        """The status of every instance, however many pages the host needs.

        Raises:
            ClientError: The host could not answer.
        """
        return await self._list({})

    async def get_status_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None,
        instance_id_prefix: str | None = None,
    ) -> list[DurableOrchestrationStatus]:
        """The status of every instance that fits, however many pages the host needs.

        Args:
            created_time_from: Created at this time or later; a naive time is UTC.
            created_time_to: Created at this time or earlier; a naive time is UTC.
            runtime_status: In one of these states.
            instance_id_prefix: With an ID that begins so.

        Raises:
            ClientError: The host could not answer.
            ValueError: A state is none of OrchestrationRuntimeStatus.
        """
        query = management.filter_query(created_time_from, created_time_to, runtime_status)
        return await self._list({**query, "instanceIdPrefix": instance_id_prefix or None})

    async def list_instances(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None,
        instance_id_prefix: str | None = None,
        *,
        show_input: bool = True,
        page_size: int | None = None,
    ) -> AsyncGenerator[DurableOrchestrationStatus, None]:
        """Goes through the instances that fit, a page at a time: `async for status in client.list_instances(): ...`.

        Args:
            created_time_from: Created at this time or later; a naive time is UTC.
            created_time_to: Created at this time or earlier; a naive time is UTC.
            runtime_status: In one of these states.
            instance_id_prefix: With an ID that begins so.
            show_input: Whether the inputs come along.
            page_size: How many instances the host sends at a time; by default 100.

        Raises:
            ClientError: The host could not answer.
            ValueError: A state is none of OrchestrationRuntimeStatus.
        """
        query = {
            **management.filter_query(created_time_from, created_time_to, runtime_status),
            "instanceIdPrefix": instance_id_prefix or None,
            "showInput": None if show_input else "false",
            "top": None if page_size is None else str(page_size),
        }
        async for status in self._pages(query):
            yield status

    async def purge_instance_history(self, instance_id: str) -> PurgeHistoryResult:
        """Deletes an instance that has ended.

        Returns:
            How many were deleted: one, or none when there is no such instance.

        Raises:
            ClientError: The host refused, as it does while the instance runs.
        """
        response = await self._send("DELETE", management.path("instances", instance_id))
        return self._purged(response, instance_id)

    async def purge_instance_history_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None,
    ) -> PurgeHistoryResult:
        """Deletes every instance that fits.

        Args:
            created_time_from: Created at this time or later; required; a naive time is UTC.
            created_time_to: Created at this time or earlier; a naive time is UTC.
            runtime_status: In one of these states.

        Returns:
            How many were deleted.

        Raises:
            ClientError: The host refused.
            ValueError: `created_time_from` is missing, or the states named are none that can be purged.
        """
        query = management.purge_query(created_time_from, created_time_to, runtime_status)
        return self._purged(await self._send("DELETE", "instances/", query), None)

    async def raise_event(
        self,
        instance_id: str,
        event_name: str,
        event_data: Any = None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> None:
        """Sends an event to an instance, which gets it from `context.wait_for_external_event(event_name)`.

        Args:
            instance_id: The instance.
            event_name: The event.
            event_data: What the wait gives, as its JSON text.
            task_hub_name: The instance's task hub; by default the binding's.
            connection_name: The app setting with that hub's connection string.

        Raises:
            ClientError: There is no such instance, or it has ended.
            ValueError: The event has no name.
        """
        if event_name == "":
            raise ValueError("event_name must be a non-empty string.")
        text = codec.encode_as_json(event_data)
        sent = text if self._payloads is payloads.PLAIN else self._converted(text)
        path = management.path("instances", instance_id, "raiseEvent", event_name)
        response = await self._send("POST", path, _hub(task_hub_name, connection_name), value=sent)
        await self._expect(response, {202}, instance_id, management.RAISING, s410=_ENDED_ALREADY)

    async def send_event(self, instance_id: str, event_name: str, value: Any = None) -> None:
        """Sends an event whose value the wait gives as it is; `raise_event` gives it the value's JSON text.

        Args:
            instance_id: The instance.
            event_name: The event.
            value: A JSON value.

        Raises:
            ClientError: There is no such instance, or it has ended.
            ValueError: The event has no name.
        """
        if event_name == "":
            raise ValueError("event_name must be a non-empty string.")
        path = management.path("instances", instance_id, "raiseEvent", event_name)
        sent = value if self._payloads is payloads.PLAIN else self._converted(value)
        response = await self._send("POST", path, value=sent)
        await self._expect(response, {202}, instance_id, management.RAISING, s410=_ENDED_ALREADY)

    async def terminate(self, instance_id: str, reason: str) -> None:
        """Ends an instance at once; one that has ended stays as it is.

        Raises:
            ClientError: There is no such instance.
        """
        await self._manage(instance_id, "terminate", {"reason": reason}, accepted={202, 410})

    async def suspend(self, instance_id: str, reason: str) -> None:
        """Stops an instance from going on until it is resumed; one that has ended stays as it is.

        Raises:
            ClientError: There is no such instance, or it is suspended already.
        """
        await self._manage(instance_id, "suspend", {"reason": reason}, accepted={202, 410})

    async def resume(self, instance_id: str, reason: str) -> None:
        """Lets a suspended instance go on; one that has ended stays as it is.

        Raises:
            ClientError: There is no such instance, or it is not suspended.
        """
        await self._manage(instance_id, "resume", {"reason": reason}, accepted={202, 410})

    async def rewind(
        self,
        instance_id: str,
        reason: str,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> None:
        """Takes a failed instance back to where it was before its failures, and lets it try again.

        Args:
            instance_id: The instance.
            reason: Why; it is written in the history.
            task_hub_name: The instance's task hub; by default the binding's.
            connection_name: The app setting with that hub's connection string.

        Raises:
            ClientError: There is no such instance, it has not failed, or the store cannot rewind.
        """
        query = {"reason": reason, **_hub(task_hub_name, connection_name)}
        response = await self._send("POST", management.path("instances", instance_id, "rewind"), query)
        words = management.REWINDING
        await self._expect(response, {200, 202}, instance_id, words, s410="only failed instances can be rewound")

    async def restart(self, instance_id: str, restart_with_new_instance_id: bool = True) -> Any:
        """Starts an instance again with the input it had.

        Args:
            instance_id: The instance.
            restart_with_new_instance_id: Whether the new run gets an ID of its own, or takes the place of the old one.

        Returns:
            What the host answers, as 1.7.0 gives it: management URLs of the new run, its ID as `id`. The instance's own
            ID where the host says nothing.

        Raises:
            ClientError: There is no such instance, or it still runs and its ID was to be used again.
        """
        query = {"restartWithNewInstanceId": str(restart_with_new_instance_id).lower()}
        response = await self._manage(instance_id, "restart", query, accepted={202, 410})
        return management.body(response) or instance_id

    async def read_entity_state(
        self,
        entityId: EntityId,  # noqa: N803
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> EntityStateResponse:
        """The state of an entity.

        Args:
            entityId: The entity.
            task_hub_name: Its task hub; by default the binding's.
            connection_name: The app setting with that hub's connection string.

        Raises:
            ClientError: The host could not answer.
        """
        response = await self._send("GET", _entity_path(entityId), _hub(task_hub_name, connection_name))
        management.expect(response, {200, 404}, str(entityId))
        if response.status == 404:
            return EntityStateResponse(False)
        return EntityStateResponse(True, management.body(response), written_by=self._payloads)

    @overload
    def entity(self, entity: type[E], key: str) -> ClientEntity[E]: ...
    @overload
    def entity(self, entity: str, key: str) -> ClientEntity[Any]: ...
    def entity(self, entity: Any, key: str) -> ClientEntity[Any]:
        """An entity, with its operations as methods and its state as an object of its class.

            await client.entity(Counter, "a").signal.add(1)
            counter = await client.entity(Counter, "a").state()

        Args:
            entity: The entity's class, or the name of its function.
            key: Its key.

        Raises:
            ValueError: The name or the key is empty.
        """
        from worker_ext.entity_proxy import ClientEntity, target

        def signal(entity_id: EntityId, name: str, input_: Any, _result_type: Any) -> Any:
            return self.signal_entity(entity_id, name, input_)

        cls = entity if isinstance(entity, type) else None
        return ClientEntity(*target(entity, key), signal, self.read_entity_state, cls)

    async def list_entities(
        self,
        name: str | None = None,
        last_operation_from: datetime | None = None,
        last_operation_to: datetime | None = None,
        *,
        fetch_state: bool = False,
        page_size: int | None = None,
    ) -> AsyncGenerator[EntityStatus, None]:
        """Goes through the entities that fit, a page at a time: `async for entity in client.list_entities(): ...`.

        Args:
            name: Of this entity function.
            last_operation_from: With a last operation at this time or later; a naive time is UTC.
            last_operation_to: With a last operation at this time or earlier; a naive time is UTC.
            fetch_state: Whether the states come along.
            page_size: How many entities the host sends at a time; by default 100.

        Raises:
            ClientError: The host could not answer.
        """
        query = {
            "lastOperationTimeFrom": management.utc_text(last_operation_from),
            "lastOperationTimeTo": management.utc_text(last_operation_to),
            "fetchState": "true" if fetch_state else None,
            "top": None if page_size is None else str(page_size),
        }
        async for item in self._items(management.path("entities", *([name] if name else [])), query):
            yield EntityStatus.from_json(item, self._payloads)

    async def signal_entity(
        self,
        entityId: EntityId,  # noqa: N803
        operation_name: str,
        operation_input: Any = None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> None:
        """Sends an operation to an entity and does not wait for it.

        Args:
            entityId: The entity.
            operation_name: The operation.
            operation_input: What `context.get_input()` gives there; None sends none.
            task_hub_name: Its task hub; by default the binding's.
            connection_name: The app setting with that hub's connection string.

        Raises:
            ClientError: The host refused: no entity of that name, or a key it does not take.
        """
        query = {"op": operation_name, **_hub(task_hub_name, connection_name)}
        text = None if operation_input is None else self._payloads.encode_for_apps(operation_input)
        response = await self._send("POST", _entity_path(entityId), query, text, tracing.headers())
        management.expect(response, {202}, str(entityId))

    async def wait_for_completion(
        self, instance_id: str, timeout: timedelta | None = None, poll_interval: timedelta = timedelta(seconds=1)
    ) -> DurableOrchestrationStatus:
        """Waits until an instance has ended, in whatever way; its status tells.

        Args:
            instance_id: The instance.
            timeout: How long to wait at most; None waits for as long as it takes.
            poll_interval: How long to wait between two looks at the instance.

        Raises:
            ClientError: There is no such instance, or the host could not answer.
            TimeoutError: It had not ended in time.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout.total_seconds()
        while True:
            status = await self.get_status(instance_id)
            if not status:
                raise await self.missing(instance_id)
            if status.runtime_status in _ENDED:
                return status
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"instance {instance_id!r} has not ended within {timeout}")
            await asyncio.sleep(min(poll_interval.total_seconds(), remaining))

    @overload
    async def wait_for_result(
        self,
        instance_id: str,
        expected_type: None = None,
        timeout: timedelta | None = None,
        poll_interval: timedelta = timedelta(seconds=1),
    ) -> Any: ...
    @overload
    async def wait_for_result(
        self,
        instance_id: str,
        expected_type: TypeForm[T],
        timeout: timedelta | None = None,
        poll_interval: timedelta = timedelta(seconds=1),
    ) -> T: ...
    async def wait_for_result(
        self,
        instance_id: str,
        expected_type: Any = None,
        timeout: timedelta | None = None,
        poll_interval: timedelta = timedelta(seconds=1),
    ) -> Any:
        """Waits until an instance has completed, and gives what its orchestrator returned.

        Args:
            instance_id: The instance.
            expected_type: The type to read it as; None gives the JSON value.
            timeout: How long to wait at most; None waits for as long as it takes.
            poll_interval: How long to wait between two looks at the instance.

        Raises:
            ClientError: There is no such instance, or the host could not answer.
            InstanceFailedError: It ended otherwise than completed.
            PayloadError: What it returned is not of the type.
            TimeoutError: It had not ended in time.
        """
        status = await self.wait_for_completion(instance_id, timeout, poll_interval)
        if status.runtime_status is not OrchestrationRuntimeStatus.Completed:
            raise InstanceFailedError(instance_id, str(status.to_json()["runtimeStatus"]), status.output)
        return status.output if expected_type is None else status.get_output(expected_type)

    async def terminate_each(
        self, instance_ids: AsyncIterable[str] | Iterable[str], reason: str, progress: Progress | None = None
    ) -> BulkResult:
        """Ends many instances, several at a time; one that has ended stays as it is.

        Args:
            instance_ids: The instances.
            reason: Why.
            progress: Called with how many have had their turn, done or refused, after each.

        Returns:
            How many were done, and those that the host refused.
        """
        return await for_each(instance_ids, lambda instance_id: self.terminate(instance_id, reason), progress)

    async def purge_each(
        self, instance_ids: AsyncIterable[str] | Iterable[str], progress: Progress | None = None
    ) -> BulkResult:
        """Deletes many instances that have ended, several at a time.

        Args:
            instance_ids: The instances.
            progress: Called with how many have had their turn, done or refused, after each.

        Returns:
            How many were done, and those that the host refused, as it does while they run.
        """
        return await for_each(instance_ids, self.purge_instance_history, progress)

    def create_check_status_response(self, request: func.HttpRequest, instance_id: str) -> func.HttpResponse:
        """The answer to a caller who will ask later: 202 with the management URLs.

        Args:
            request: The request that is answered; the URLs lead to the host it came to.
            instance_id: The instance.
        """
        from azure.functions import HttpResponse  # a script that only manages instances does without

        links = self.get_client_response_links(request, instance_id)
        return HttpResponse(
            body=json.dumps(links),
            status_code=202,
            headers={
                "Content-Type": "application/json",
                "Location": links["statusQueryGetUri"],
                "Retry-After": "10",
            },
        )

    def create_http_management_payload(self, instance_id: str) -> dict[str, str]:
        """The management URLs of an instance, on the host that the binding names."""
        return self.get_client_response_links(None, instance_id)

    def get_client_response_links(self, request: func.HttpRequest | None, instance_id: str) -> dict[str, str]:
        """The management URLs of an instance.

        Args:
            request: The URLs lead to the host this request came to; None keeps the host that the binding names.
            instance_id: The instance.
        """
        # From the text, not from the decoded payload, so that URLs of newer hosts come along.
        urls: dict[str, str] = codec.decode_json(self._context)["managementUrls"]
        return management.management_links(urls, instance_id, request.url if request is not None else None)

    async def wait_for_completion_or_create_check_status_response(
        self,
        request: func.HttpRequest,
        instance_id: str,
        timeout_in_milliseconds: int = 10000,
        retry_interval_in_milliseconds: int = 1000,
    ) -> func.HttpResponse:
        """Waits for an instance and answers with its output, or with the management URLs when it takes too long.

        Args:
            request: The request that is answered.
            instance_id: The instance.
            timeout_in_milliseconds: How long to wait.
            retry_interval_in_milliseconds: How long to wait between two looks at the instance.

        Returns:
            200 with the output of a completed instance; 200 with the status of a terminated one; 500 with the status
            of a failed one; else what `create_check_status_response` gives.

        Raises:
            ClientError: The host could not answer.
            ValueError: The interval is longer than the whole wait.
        """
        if retry_interval_in_milliseconds > timeout_in_milliseconds:
            raise ValueError(
                f"Total timeout {timeout_in_milliseconds} (ms) should be bigger than retry timeout "
                f"{retry_interval_in_milliseconds} (ms)"
            )
        deadline = time.monotonic() + timeout_in_milliseconds / 1000
        while True:
            status = await self.get_status(instance_id)
            answer = _ENDED.get(status.runtime_status) if status else None
            if answer is not None:
                return answer(status)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return self.create_check_status_response(request, instance_id)
            await asyncio.sleep(min(retry_interval_in_milliseconds / 1000, remaining))

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | None] | None = None,
        text: str | None = None,
        headers: Mapping[str, str] | None = None,
        value: Any = management.ABSENT,
    ) -> Response:
        request = self._endpoint.request(method, path, query, text, headers, value)
        # The query has the key in it, which no message may show.
        return replace(await self._transport.send(request), origin=request.url.partition("?")[0])

    async def missing(self, instance_id: str) -> ClientError:
        """The error for an instance that the host does not know; a wrong address is told from that."""
        response = Response(404)
        try:
            await self._expect(response, set(), instance_id, management.NEWER)
        except ClientError as error:
            return error
        raise AssertionError("a 404 is never accepted here")

    async def _expect(
        self,
        response: Response,
        accepted: set[int],
        instance_id: str,
        words: management.Words = management.UNEXPECTED,
        **explanations: str,
    ) -> None:
        """Checks the answer to a request about an instance.

        An empty 404 is what an unknown instance gets, and what a wrong address gets; the list of instances, which every
        host has, tells which.
        """
        if self._checks_address and response.status == 404 and 404 not in accepted and not response.body.strip():
            probe = await self._send("GET", "instances/", {"showInput": "false", "top": "1"})
            if probe.status == 404:
                management.refuse(probe, instance_id, words, is_address_wrong=True)
        management.expect(response, accepted, instance_id, words, **explanations)

    async def _manage(
        self, instance_id: str, verb: str, query: Mapping[str, str | None], accepted: set[int]
    ) -> Response:
        response = await self._send("POST", management.path("instances", instance_id, verb), query)
        await self._expect(response, accepted, instance_id, management.MANAGING)
        return response

    async def _list(self, query: Mapping[str, str | None]) -> list[DurableOrchestrationStatus]:
        return [status async for status in self._pages(query)]

    async def _pages(self, query: Mapping[str, str | None]) -> AsyncGenerator[DurableOrchestrationStatus, None]:
        async for item in self._items("instances/", query):
            yield self._status(item)

    async def _items(self, path: str, query: Mapping[str, str | None]) -> AsyncGenerator[Any, None]:
        """Every page of a listing; a page but the last comes with the token that asks for the next one."""
        token = ""
        while True:
            headers = {management.CONTINUATION_HEADER: token} if token else {}
            response = await self._send("GET", path, query, headers=headers)
            management.expect(response, {200}, None)
            page = management.body(response)
            if not isinstance(page, list):
                raise ClientError(response.status, None, f"expected a JSON array, found {page!r:.100}")
            for item in page:
                yield item
            token = response.headers.get(management.CONTINUATION_HEADER, "")
            if not token:
                return

    def _converted(self, value: Any) -> Any:
        """A value as the JSON value that the app's converter makes of it."""
        return codec.decode_json(self._payloads.encode(value))

    def _status(self, item: Any) -> DurableOrchestrationStatus:
        status = DurableOrchestrationStatus.from_json(item)
        status.written_by(self._payloads)
        return status

    @staticmethod
    def _purged(response: Response, instance_id: str | None) -> PurgeHistoryResult:
        management.expect(response, {200, 404}, instance_id)
        if response.status == 404:
            return PurgeHistoryResult(instancesDeleted=0)
        answer = management.read_object(management.body(response), response, instance_id)
        return PurgeHistoryResult.from_json(answer)


def _hub(task_hub_name: str | None, connection_name: str | None) -> dict[str, str | None]:
    return {"taskHub": task_hub_name or None, "connection": connection_name or None}


def _entity_path(entity: EntityId) -> str:
    return management.path("entities", entity.name, entity.key)


def _json_response(status_code: int, body: Any) -> func.HttpResponse:
    """A string is sent as it is: it may be the text of a result that the orchestrator has already written as JSON."""
    from azure.functions import HttpResponse

    text = body if isinstance(body, str) else json.dumps(body)
    return HttpResponse(
        body=text, status_code=status_code, mimetype="application/json", headers={"Content-Type": "application/json"}
    )


_ENDED: Mapping[OrchestrationRuntimeStatus | None, Callable[[DurableOrchestrationStatus], func.HttpResponse]] = {
    OrchestrationRuntimeStatus.Completed: lambda status: _json_response(200, status.output),
    OrchestrationRuntimeStatus.Canceled: lambda status: _json_response(200, status.to_json()),
    OrchestrationRuntimeStatus.Terminated: lambda status: _json_response(200, status.to_json()),
    OrchestrationRuntimeStatus.Failed: lambda status: _json_response(500, status.to_json()),
}
"""How an instance that has ended is answered for."""
