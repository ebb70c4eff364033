"""The management API over every task hub of a database file: the one that runs here, and those that rest.

A request names its hub by `taskHub=`; the app's own is the default. Several hubs may share a file, and only one of them
is run by a host. What is sent to another one waits in the file until a host of that hub starts, as messages to an app
that is not running wait in its storage account. As there, it is not checked whether that app has the function.

A hub that the file does not have is refused: a request must never act on another hub than the one it names.

Source: durable-functions JSON protocol, common query parameters of the HTTP APIs; DurableClient.cs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDict

from worker_ext.errors import HostError
from worker_ext.host.answers import ARGUMENT_ERROR, BAD_ARGUMENT, long_error, went_wrong
from worker_ext.host.management import ManagementApi
from worker_ext.host.scheduler import Scheduler
from worker_ext.host.store import Store

_PARAMETER = "taskHub"
_BELOW_HUB = re.compile("/taskhubs/([^/]+)(/.*)?", re.IGNORECASE)


class RestingHub(Scheduler):
    """A task hub that is not run here; it is never started, so what it is sent waits in the store."""

    def _check_entity(self, name: str) -> None:
        """Its app may have any entity."""


class TaskHubs:
    """Hands each request to the management API of the hub that it names.

    Args:
        store: The store of the hub that runs here.
        own: That hub's management API.
        resting: Makes the management API of another hub of the same file.
    """

    def __init__(self, store: Store, own: ManagementApi, resting: Callable[[Store], ManagementApi]) -> None:
        self._store = store
        self._own = own
        self._resting = resting

    async def handle(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answers the request for a path below the API's base, or below that of the hub of a binding."""
        hub = ""
        if (below := _BELOW_HUB.fullmatch(path)) is not None:
            hub, path = unquote(below[1]), below[2] or ""
        hub = CIMultiDict(request.query).get(_PARAMETER, hub) if request.query_string else hub
        if hub in ("", self._store.hub):
            return await self._own.handle(request, path)
        try:
            found = await self._store.find_hub(hub)
        except HostError as error:
            return went_wrong(error)
        if found is None:
            what = (
                f"There is no task hub {hub!r} in {self._store.path}; this host runs {self._store.hub!r}."
                f" (Parameter '{_PARAMETER}')"
            )
            return long_error(400, BAD_ARGUMENT, what, ARGUMENT_ERROR)
        api = self._own if found.hub == self._store.hub else self._resting(found)
        return await api.handle(request, path)
