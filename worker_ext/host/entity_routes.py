"""The management API over entities: read one, signal one, delete one, list them.

Source: durable-functions JSON protocol, entity routes (8.5) and their recorded answers.
"""

from __future__ import annotations

import re

from aiohttp import web

from worker_ext.host.answers import (
    ARGUMENT_ERROR,
    BAD_ARGUMENT,
    CONTINUATION_HEADER,
    Call,
    json_answer,
    long_error,
    short_error,
)
from worker_ext.host.instance_status import shown_value
from worker_ext.host.queries import DEFAULT_TOP, BadTokenError
from worker_ext.host.scheduler import Scheduler, UnknownEntityError
from worker_ext.protocol.codec import decode_json, encode_value, format_timestamp

_BAD_KEY = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")
_EMPTY_KEY = "$"
"""Stands for an empty key where an entity is read, and only there."""


class EntityApi:
    """Answers for entities."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._engine = scheduler

    async def read(self, call: Call) -> web.Response:
        """The state of an entity."""
        key = call.params["entityKey"]
        found = await self._engine.read_entity(call.params["entityName"], "" if key == _EMPTY_KEY else key)
        return web.Response(status=404) if found is None else json_answer(200, shown_value(found.state))

    async def signal(self, call: Call) -> web.Response:
        """Sends an operation; a body that is not said to be JSON is a text."""
        body = (await call.request.read()).decode("utf-8-sig", "replace")
        if not body:
            return await self._send(call, call.query.get("op", ""), None)
        if "Content-Type" not in call.request.headers or call.request.content_type.lower() != "application/json":
            return await self._send(call, call.query.get("op", ""), encode_value(body))
        try:
            text = encode_value(decode_json(body))
        except ValueError as error:
            return short_error(400, f"Could not parse JSON content: {error}")
        return await self._send(call, call.query.get("op", ""), text)

    async def delete(self, call: Call) -> web.Response:
        """Sends the operation `delete`."""
        return await self._send(call, "delete", '""')

    async def _send(self, call: Call, operation: str, input_text: str | None) -> web.Response:
        name, key = call.params["entityName"], call.params["entityKey"]
        if (bad := _BAD_KEY.search(key)) is not None:
            return short_error(400, f"The entity key {key!r} has {bad[0]!r} in it, which no key may have.")
        try:
            await self._engine.signal_entity(name, key, operation, input_text)
        except UnknownEntityError as error:
            return short_error(400, str(error))
        return web.Response(status=202)

    async def list(self, call: Call) -> web.Response:
        """A page of entities; the token of the next one is in a header, empty at the end."""
        fetch_state = call.flag("fetchState", False)
        try:
            page = await self._engine.list_entities(
                call.params.get("entityName", ""),
                last_from=call.date("lastOperationTimeFrom"),
                last_to=call.date("lastOperationTimeTo"),
                top=call.count("top", DEFAULT_TOP),
                token=call.request.headers.get(CONTINUATION_HEADER, ""),
            )
        except BadTokenError as error:
            return long_error(400, BAD_ARGUMENT, str(error), ARGUMENT_ERROR)
        bodies = [
            {
                "entityId": {"name": entity.name, "key": entity.key},
                "lastOperationTime": format_timestamp(entity.last_operation),
                "state": shown_value(entity.state) if fetch_state else None,
            }
            for entity in page.entities
        ]
        return json_answer(200, bodies, {CONTINUATION_HEADER: page.token})
