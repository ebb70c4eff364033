"""The invocations that a worker runs: sync functions in threads, async ones on the loop, each answered once.

Only the loop may call in here, apart from `_run_in_thread` and what that calls.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from datetime import timedelta
from functools import partial

from worker_ext.rpc import pb
from worker_ext.worker import invocation
from worker_ext.worker.http_requests import Exchange
from worker_ext.worker.indexing import AppFunction
from worker_ext.worker.outbox import Outbox
from worker_ext.worker.pool import ThreadPool, pool_size

_log = logging.getLogger(__name__)


class Invocations:
    """What is running and what waits for a thread."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._pool = ThreadPool(pool_size())
        # Of each invocation one of the two is true: a thread has yet to take it, or it is running.
        self._queued: dict[str, pb.StreamingMessage] = {}
        self._running: dict[str, asyncio.Task[None] | None] = {}
        self._exchanges: dict[str, Exchange] = {}
        self._idle: asyncio.Event | None = None

    def resize(self) -> None:
        """Take as many threads from now on as the settings say.

        Raises:
            AppError: The setting is not a number.
        """
        self._pool = ThreadPool(pool_size())

    def start(
        self,
        function: AppFunction,
        request: pb.InvocationRequest,
        reply: pb.StreamingMessage,
        exchange: Exchange | None = None,
    ) -> None:
        """Have a function called; the reply is filled and sent when it has ended, and an HTTP request answered."""
        if exchange is not None:
            self._exchanges[request.invocation_id] = exchange
        if function.is_async:
            self.start_task(invocation.call_async(function, request, reply.invocation_response), reply)
            return
        self._queued[request.invocation_id] = reply
        if exchange is None:
            self._submit(function, request)
        else:  # a thread is not to wait for the request
            exchange.when_requested(lambda: self._submit(function, request))

    def _submit(self, function: AppFunction, request: pb.InvocationRequest) -> None:
        self._pool.submit(lambda: self._run_in_thread(function, request))

    def start_task(self, call: Coroutine[None, None, None], reply: pb.StreamingMessage) -> None:
        """Have a coroutine fill a reply, and send that when it has ended."""

        def finished(task: asyncio.Task[None]) -> None:
            if task.cancelled():  # before its first step, so that nothing was answered in it
                invocation.cancel(reply.invocation_response)
            self._finished(invocation_id, reply)

        invocation_id = reply.invocation_response.invocation_id
        # An empty context: what a function leaves in its context variables ends with it.
        task = asyncio.get_running_loop().create_task(call, context=contextvars.Context())
        self._running[invocation_id] = task
        task.add_done_callback(finished)

    def cancel(self, invocation_id: str) -> None:
        """Cancel an async function, or a sync one that still waits; a thread cannot be stopped and ends normally."""
        reply = self._queued.pop(invocation_id, None)
        if reply is not None:
            invocation.cancel(reply.invocation_response)
            self._finished(invocation_id, reply)
            return
        task = self._running.get(invocation_id)
        if task is not None:
            task.cancel()

    def abandon(self) -> None:
        """Begin nothing more: there is nobody left to answer, and the host gives its work to others."""
        self._queued.clear()

    async def finish(self, grace: timedelta) -> None:
        """Let what runs end; cancel what has not ended in time."""
        self._idle = asyncio.Event()
        self._check_idle()
        try:
            await asyncio.wait_for(self._idle.wait(), grace.total_seconds())
        except TimeoutError:
            await self._cancel_all()

    def _run_in_thread(self, function: AppFunction, request: pb.InvocationRequest) -> None:
        # Marked as running first, so that at no moment the worker looks idle.
        self._running[request.invocation_id] = None
        reply = self._queued.pop(request.invocation_id, None)
        if reply is not None:  # else cancelled, and answered, before its turn came
            invocation.call_sync(function, request, reply.invocation_response)
        self._finished(request.invocation_id, reply)

    def _finished(self, invocation_id: str, reply: pb.StreamingMessage | None) -> None:
        if reply is not None:
            self._outbox.put(reply)
            if exchange := self._exchanges.pop(invocation_id, None):
                self._outbox.call_on_loop(partial(exchange.end, reply.invocation_response.result))
        self._running.pop(invocation_id, None)
        if self._idle is not None:
            self._outbox.call_on_loop(self._check_idle)

    def _check_idle(self) -> None:
        if self._idle is not None and not self._queued and not self._running:
            self._idle.set()

    async def _cancel_all(self) -> None:
        tasks = [task for task in list(self._running.values()) if task is not None]
        for invocation_id in (*list(self._queued), *list(self._running)):
            self.cancel(invocation_id)
        if tasks:
            await asyncio.wait(tasks, timeout=1)
        if left := len(self._running):
            _log.warning("%d invocations did not end in time and are left behind", left)
