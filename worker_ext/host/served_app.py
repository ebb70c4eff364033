"""An app as it is served under one set of settings: its workers, the durable engine, HTTP and timers.

The sockets and the store are the host's and outlast it, so that another one can take its place when settings change.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from worker_ext.host.background import uninterrupted
from worker_ext.host.console import Console
from worker_ext.host.keys import Keys
from worker_ext.host.links import Links
from worker_ext.host.settings import HostSettings
from worker_ext.host.workers import Workers

if TYPE_CHECKING:
    from worker_ext.host.scheduler import Scheduler
    from worker_ext.host.store import Store

GRACE = 3.0
"""Seconds that what runs is given to end."""


class ServedApp:
    """Serves an app, from `launch` over `serve` to `stop`.

    Args:
        settings: What host.json and its like say.
        console: Where logs go.
        links: Where the management API is.
        keys: The keys that callers must show; None asks for none.

    Attributes:
        settings: The same.
        workers: What runs the app.
        scheduler: The durable engine, once it is served.
    """

    def __init__(self, settings: HostSettings, console: Console, links: Links, keys: Keys | None) -> None:
        self.settings = settings
        self.workers = Workers(settings, console, links.client_payload)
        self.scheduler: Scheduler | None = None
        self._console = console
        self._links = links
        self._keys = keys
        self._is_loaded = False
        self._refresh_timers: Callable[[], Awaitable[None]] | None = None
        self._cleanup = contextlib.AsyncExitStack()
        self._cleanup.push_async_callback(self.workers.stop, 1.0)

    async def launch(self, port: int) -> None:
        """Starts the first worker; `load` waits for it."""
        await self.workers.launch(port)

    async def load(self) -> None:
        """Waits until a worker has loaded the app.

        Raises:
            HostError: It could not.
        """
        if not self._is_loaded:
            await self.workers.load()
            self._is_loaded = True

    async def serve(self, store: Store, public: socket.socket, rpc: socket.socket | None) -> None:
        """Takes up what the store holds, and answers requests when it returns.

        Raises:
            HostError: The app cannot be loaded.
        """
        # While the worker starts, the host imports the rest of itself.
        from worker_ext.host.management import ManagementApi
        from worker_ext.host.scheduler import Scheduler
        from worker_ext.host.task_hubs import RestingHub, TaskHubs
        from worker_ext.host.timer_triggers import TimerTriggers
        from worker_ext.host.web import WebServer

        durable = self.settings.durable
        scheduler = self.scheduler = Scheduler(store, self.workers, durable)
        forwarded = durable.http_settings.use_forwarded_host

        def api(hub: Scheduler, of: Store) -> ManagementApi:
            return ManagementApi(hub, of.queries, replace(self._links, hub=of.hub), use_forwarded_host=forwarded)

        management = TaskHubs(store, api(scheduler, store), lambda of: api(RestingHub(of, self.workers, durable), of))
        web = WebServer(self.settings, self.workers, management, self._console, self._keys)
        await self.load()
        await scheduler.start()
        self._cleanup.push_async_callback(scheduler.stop, GRACE)
        listeners = self._copy(public), None if rpc is None else self._copy(rpc)
        self._cleanup.push_async_callback(web.stop)
        self._cleanup.callback(scheduler.release_waiters)  # first of these three: a stop is not to wait for them
        await web.start(*listeners)
        timers = TimerTriggers(self.workers, store.timer_statuses, self._console, self.settings.environment)
        self._cleanup.push_async_callback(timers.stop)
        self._refresh_timers = timers.refresh
        await timers.refresh()

    async def reload(self) -> None:
        """Loads the app anew in new workers, which take over.

        Raises:
            HostError: They could not load it; the old ones go on.
        """
        await self.workers.reload()
        if self._refresh_timers is not None:
            await self._refresh_timers()

    async def stop(self) -> None:
        """Takes no new work, gives what runs a few seconds, and ends the workers."""
        await uninterrupted(self._cleanup.aclose())

    def _copy(self, listener: socket.socket) -> socket.socket:
        """Closing it leaves the host's own open, where callers wait for the next one to serve."""
        copy = listener.dup()
        self._cleanup.callback(copy.close)
        return copy
