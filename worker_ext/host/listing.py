"""The management API over many instances: lists by page, purge of one and of many.

Source: durable-functions JSON protocol, sections on the HTTP APIs and their recorded answers.
"""

from __future__ import annotations

from aiohttp import web

from worker_ext.host.answers import (
    ARGUMENT_ERROR,
    BAD_ARGUMENT,
    CONTINUATION_HEADER,
    Call,
    json_answer,
    long_error,
    status_body,
)
from worker_ext.host.queries import DEFAULT_TOP, BadTokenError, InstanceQueries, InstanceQuery
from worker_ext.host.records import status_name
from worker_ext.protocol.client import TERMINAL_STATUSES
from worker_ext.protocol.history import OrchestrationStatus

_STATUSES = {status_name(status): status for status in OrchestrationStatus}


class InstanceLists:
    """Answers for many instances."""

    def __init__(self, queries: InstanceQueries) -> None:
        self._queries = queries

    async def list(self, call: Call) -> web.Response:
        """A page of statuses; the token of the next one is in a header, empty at the end."""
        show_input = call.flag("showInput", True)
        token = call.request.headers.get(CONTINUATION_HEADER, "")
        top = call.count("top", DEFAULT_TOP)
        try:
            page = await self._queries.page(read_query(call), top, token, show_input=show_input)
        except BadTokenError as error:
            return long_error(400, BAD_ARGUMENT, str(error), ARGUMENT_ERROR)
        bodies = [status_body(instance, show_input=show_input) for instance in page.instances]
        return json_answer(200, bodies, {CONTINUATION_HEADER: page.token})

    async def purge_one(self, call: Call) -> web.Response:
        """Deletes an instance that has ended."""
        status = await self._queries.purge_one(call.instance_id)
        if status is None:
            return web.Response(status=404)
        if status in TERMINAL_STATUSES:
            return json_answer(200, {"instancesDeleted": 1})
        what = (
            "Only orchestrations in a terminal state can be purged, but the orchestration with instance ID "
            f"{call.instance_id} has status {status}"
        )
        return json_answer(412, what)

    async def purge_many(self, call: Call) -> web.Response:
        """Deletes the instances that fit and have ended; the lower bound must be given."""
        query = read_query(call)
        if query.created_from is None:
            return json_answer(400, "Please provide value for 'createdTimeFrom' parameter.")
        deleted = await self._queries.purge_many(query)
        return json_answer(200, {"instancesDeleted": deleted}) if deleted else web.Response(status=404)


def read_query(call: Call) -> InstanceQuery:
    """The filter in a query. Names of states are read with regard to case, unknown ones count as absent."""
    names = [name.strip() for name in call.query.get("runtimeStatus", "").split(",")]
    return InstanceQuery(
        created_from=call.date("createdTimeFrom"),
        created_to=call.date("createdTimeTo"),
        statuses=frozenset(_STATUSES[name] for name in names if name in _STATUSES),
        prefix=call.query.get("instanceIdPrefix", ""),
    )
