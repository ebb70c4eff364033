"""The Durable extension's management API, over the scheduler.

Answers have the status, headers and bodies of extension 3.19.0: errors in its short form (`Message`), its long form
(with an exception's message and type) or as a bare JSON string. Two things are this host's own: `instances/ID/history`
is an instance's history as a trigger delivers it, and `showStarts` adds to a shown history when things began to run.

Source: durable-functions JSON protocol, sections on the HTTP APIs and their recorded answers.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

from aiohttp import web

from worker_ext.errors import HostError
from worker_ext.host.answers import (
    ARGUMENT_ERROR,
    BAD_ARGUMENT,
    WENT_WRONG,
    Call,
    Handler,
    json_answer,
    json_fault,
    long_error,
    short_error,
    status_body,
    went_wrong,
)
from worker_ext.host.entity_routes import EntityApi
from worker_ext.host.http_trigger import JSON_TYPE
from worker_ext.host.instance_status import shown_history, shown_value
from worker_ext.host.links import Links
from worker_ext.host.listing import InstanceLists
from worker_ext.host.queries import InstanceQueries
from worker_ext.host.routes import RouteTable, make_route
from worker_ext.host.scheduler import Scheduler
from worker_ext.host.store import InstanceExistsError
from worker_ext.protocol.client import TERMINAL_STATUSES
from worker_ext.protocol.codec import decode_json, encode_value
from worker_ext.protocol.traces import trace_context

_log = logging.getLogger(__name__)

_RESTART_UNKNOWN = "InstanceId does not match a valid orchestration instance."


class ManagementApi:
    """Answers requests to the management API.

    Args:
        scheduler: The durable engine.
        queries: The instances it keeps.
        links: Where this host's management API is.
        use_forwarded_host: Whether links are built from X-Forwarded-Host and -Proto.
    """

    def __init__(
        self, scheduler: Scheduler, queries: InstanceQueries, links: Links, *, use_forwarded_host: bool = False
    ) -> None:
        self._engine = scheduler
        self._links = links
        self._use_forwarded_host = use_forwarded_host
        lists = InstanceLists(queries)
        entities = EntityApi(scheduler)
        entity = "entities/{entityName}/{entityKey}"
        instance = "instances/{instanceId}"
        self._routes: RouteTable[Handler] = RouteTable(
            make_route(template, [method], handler)
            for method, template, handler in (
                ("POST", "orchestrators/{functionName}/{instanceId?}", self._start),
                ("GET", "instances", lists.list),
                ("DELETE", "instances", lists.purge_many),
                ("GET", instance, self._status),
                ("DELETE", instance, lists.purge_one),
                ("GET", f"{instance}/history", self._recording),
                ("POST", f"{instance}/raiseEvent/{{eventName}}", self._raise_event),
                ("POST", f"{instance}/terminate", self._terminate),
                ("POST", f"{instance}/suspend", self._suspend),
                ("POST", f"{instance}/resume", self._resume),
                ("POST", f"{instance}/rewind", self._rewind),
                ("POST", f"{instance}/restart", self._restart),
                ("POST", f"{instance}/restartWithOptions", self._restart_with_options),
                ("GET", "entities/{entityName?}", entities.list),
                ("GET", entity, entities.read),
                ("POST", entity, entities.signal),
                ("DELETE", entity, entities.delete),
                *((method, "makeprimary", self._make_primary) for method in ("GET", "POST")),
            )
        )

    async def handle(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answers the request for a path below the API's base; an unknown path or method is an empty 404."""
        found = self._routes.find(request.method, path)
        if found is None:
            return web.Response(status=404)
        handler, params = found
        try:
            return await handler(Call(request, params))
        except (web.HTTPException, ConnectionError):  # an answer already, such as 413; a caller who has gone
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it in the extension's form
            if not isinstance(error, HostError):
                _log.error("%s %s went wrong", request.method, path, exc_info=error)
            return went_wrong(error)

    # ------------------------------------------------------------ start

    async def _start(self, call: Call) -> web.Response:
        body = await call.request.read()
        if body and (fault := json_fault(body)) is not None:
            return fault
        instance_id = call.params.get("instanceId") or uuid.uuid4().hex
        name, text = call.params["functionName"], body.decode("utf-8-sig") or None
        return await self._start_instance(call, name, text, instance_id, call.query.get("version"))

    async def _restart(self, call: Call) -> web.Response:
        instance_id = uuid.uuid4().hex if call.flag("restartWithNewInstanceId", True) else call.instance_id
        return await self._start_again(call, instance_id)

    async def _restart_with_options(self, call: Call) -> web.Response:
        instance_id = call.query.get("newInstanceId")
        if not instance_id:
            what = "Please provide value for 'newInstanceId' parameter. (Parameter 'newInstanceId')"
            return long_error(400, BAD_ARGUMENT, what, ARGUMENT_ERROR)
        return await self._start_again(call, instance_id)

    async def _start_again(self, call: Call, instance_id: str) -> web.Response:
        old = await self._engine.get(call.instance_id)
        if old is None:
            what = f"No instance with ID '{call.instance_id}' was found. (Parameter 'instanceId')"
            return long_error(400, _RESTART_UNKNOWN, what, ARGUMENT_ERROR)
        return await self._start_instance(call, old.name, old.input, instance_id, call.query.get("version"))

    async def _make_primary(self, call: Call) -> web.Response:
        """This host is the only one, so it is the primary one already."""
        return web.Response()

    async def _start_instance(
        self, call: Call, name: str, input_text: str | None, instance_id: str, version: str | None
    ) -> web.Response:
        try:
            trace = trace_context(call.request.headers.get("traceparent"), call.request.headers.get("tracestate"))
            await self._engine.start_instance(name, input_text, instance_id, version, trace)
        except InstanceExistsError as error:
            return short_error(409, str(error))
        timeout, interval = call.seconds("timeout"), call.seconds("pollingInterval")
        if timeout is not None and interval is not None:
            if interval > timeout:
                return short_error(400, f"Total timeout {timeout:g} should be bigger than retry timeout {interval:g}")
            done = await self._engine.wait_for_completion(instance_id, timeout)
            if done is not None and done.status == "Completed":
                return json_answer(200, shown_value(done.output))
            if done is not None and done.status in TERMINAL_STATUSES:
                return json_answer(200, status_body(done, show_input=True))
        urls = self._links.check_status(self._origin(call.request), instance_id)
        return json_answer(202, urls, {"Location": urls.status_query_get_uri, "Retry-After": "10"})

    def _origin(self, request: web.BaseRequest) -> str:
        scheme, host = request.scheme, request.host
        if self._use_forwarded_host:
            scheme = request.headers.get("X-Forwarded-Proto", scheme)
            host = request.headers.get("X-Forwarded-Host", host)
        return f"{scheme}://{host}"

    # ------------------------------------------------------------ status

    async def _status(self, call: Call) -> web.Response:
        instance = await self._engine.get(call.instance_id)
        if instance is None:
            return web.Response(status=404)
        show_input = call.flag("showInput", True)
        body = status_body(instance, show_input=show_input)
        if call.flag("showHistory", False) and instance.status != "Pending":
            events = await self._engine.history(call.instance_id)
            show_output = call.flag("showHistoryOutput", False)
            starts = await self._engine.starts(call.instance_id) if call.flag("showStarts", False) else None
            body["historyEvents"] = shown_history(events, show_input=show_input, show_output=show_output, starts=starts)
        if instance.status in TERMINAL_STATUSES:
            failed = instance.status == "Failed" and call.flag("returnInternalServerErrorOnFailure", False)
            return json_answer(500 if failed else 200, body)
        location = f"{self._origin(call.request)}{call.request.raw_path}"
        return json_answer(202, body, {"Location": location, "Retry-After": "5"})

    async def _recording(self, call: Call) -> web.Response:
        """The whole history as a trigger would deliver it, for tests that replay it."""
        text = await self._engine.recording(call.instance_id)
        if text is None:
            return web.Response(status=404)
        return web.Response(text=text, headers={"Content-Type": JSON_TYPE})

    # ------------------------------------------------------------ messages to an instance

    async def _raise_event(self, call: Call) -> web.Response:
        if (gone := await self._gone(call)) is not None:
            return gone
        if call.request.content_type.lower() != "application/json" or "Content-Type" not in call.request.headers:
            return short_error(400, "Only application/json request content is supported")
        body = await call.request.read()
        if (fault := json_fault(body)) is not None:
            return fault
        text = encode_value(decode_json(body.decode("utf-8-sig")))
        await self._engine.raise_event(call.instance_id, call.params["eventName"], text)
        return web.Response(status=202)

    async def _terminate(self, call: Call) -> web.Response:
        if (gone := await self._gone(call)) is not None:
            return gone
        await self._engine.terminate(call.instance_id, call.query.get("reason"))
        return web.Response(status=202)

    async def _suspend(self, call: Call) -> web.Response:
        if (gone := await self._gone(call, "suspend", lambda status: status != "Suspended")) is not None:
            return gone
        await self._engine.suspend(call.instance_id, call.query.get("reason"))
        return web.Response(status=202)

    async def _resume(self, call: Call) -> web.Response:
        if (gone := await self._gone(call, "resume", lambda status: status == "Suspended")) is not None:
            return gone
        await self._engine.resume(call.instance_id, call.query.get("reason"))
        return web.Response(status=202)

    async def _gone(
        self, call: Call, verb: str = "", allows: Callable[[str], bool] = lambda status: True
    ) -> web.Response | None:
        """The refusal where the instance is unknown, has ended or is in a state that does not allow the verb."""
        instance = await self._engine.get(call.instance_id)
        if instance is None:
            return web.Response(status=404)
        if instance.status in TERMINAL_STATUSES:
            return web.Response(status=410)
        if allows(instance.status):
            return None
        what = (
            f"Cannot {verb} the orchestration instance {call.instance_id} "
            f"because instance is in the {instance.status} state."
        )
        return long_error(500, WENT_WRONG, what, "System.InvalidOperationException")

    async def _rewind(self, call: Call) -> web.Response:
        instance = await self._engine.get(call.instance_id)
        if instance is None:
            return json_answer(404, f'No orchestration with instance ID "${call.instance_id}" found.')
        if instance.status == "Failed" and await self._engine.rewind(call.instance_id, call.query.get("reason")):
            return web.Response(status=202)
        what = 'but only orchestrations in the "Failed" state can be rewound.'
        return json_answer(412, f"This orchestration has status {instance.status}, {what}")
