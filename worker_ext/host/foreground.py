"""The local host in a terminal: what it prints at start, and its end by Ctrl-C or SIGTERM.

The first signal ends the host cleanly, the second at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from worker_ext.errors import HostError
from worker_ext.host import open_files
from worker_ext.host.console import Console, ConsoleHandler
from worker_ext.host.local_host import IN_MEMORY, LocalHost

if TYPE_CHECKING:
    from worker_ext.host.functions import HostFunction

# SIGHUP is how a terminal that is closed says so.
_SIGNALS = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__]
INTERRUPTED = 130


def run(make_host: Callable[[], LocalHost], console: Console) -> int:
    """Runs a host until a signal ends it; the process's exit code.

    Args:
        make_host: Makes the host; it may raise HostError.
        console: Where all is shown.
    """
    logging.getLogger().addHandler(ConsoleHandler(console))
    open_files.raise_limit()
    try:
        return asyncio.run(_run(make_host()))
    except HostError as error:
        console.fatal(str(error))
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


async def _run(host: LocalHost) -> int:
    for warning in host.settings.warnings:
        host.console.warning(warning)
    asyncio.get_running_loop().set_exception_handler(open_files.Complaints(host.console))
    ending = asyncio.Event()
    _on_signals(lambda: _interrupt(host, ending))
    starting = asyncio.create_task(host.start())
    ended = asyncio.create_task(ending.wait())
    await asyncio.wait([starting, ended], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        return 0
    ended_first = ended.done()
    try:
        await starting
        if not ended_first:
            _announce(host)
            await ended
    finally:
        ended.cancel()
        await host.stop()
    return 0


def _on_signals(interrupt: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        try:
            loop.add_signal_handler(number, interrupt)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(interrupt))


def _interrupt(host: LocalHost, ending: asyncio.Event) -> None:
    if not ending.is_set():
        host.console.info("Stopping; once more to stop at once.")
        ending.set()
        return
    with contextlib.suppress(OSError):
        host.kill_now()
    os._exit(INTERRUPTED)


# ---------------------------------------------------------------- what is printed


def _announce(host: LocalHost) -> None:
    console = host.console
    kept = "in memory, gone when the host ends" if host.database == IN_MEMORY else host.database
    console.info("Worker process started and initialized.")
    console.line()
    console.line(f"App:       {host.settings.app_dir}")
    console.line(f"Task hub:  {host.settings.durable.hub_name} ({kept})")
    if host.asks_for_keys:
        console.line(f"Keys:      asked for; they are in {host.keys_file}")
    console.line()
    functions = host.workers.catalog.functions
    if missing := (host.settings.functions or frozenset()) - {function.name for function in functions}:
        console.warning(f"host.json: functions names {', '.join(sorted(missing))}, which the app does not have.")
    elif not functions:
        console.warning("The app has no functions. Are they on a Blueprint that was never registered?")
    _list_functions(host, functions)
    console.line("Press Ctrl-C to stop.")


def _list_functions(host: LocalHost, functions: tuple[HostFunction, ...]) -> None:
    console = host.console
    functions = tuple(sorted(functions, key=lambda function: function.name.lower()))
    served = [function for function in functions if function.is_served]
    console.line("Functions:")
    console.line()
    prefix = host.settings.http.route_prefix.strip("/")
    for function in (function for function in served if function.is_http):
        methods = f"[{','.join(function.methods)}] " if function.methods else ""
        path = "/".join(part for part in (prefix, function.route.strip("/")) if part)
        console.listing(function.name, f"{methods}{host.url}/{path}")
    for function in (function for function in served if not function.is_http):
        schedule = f" {function.trigger.get('schedule')}" if function.is_timer else ""
        console.listing(function.name, f"{function.trigger_type}{schedule}")
    for function in functions:
        for remark in filter(None, [_not_served(function), _not_retried(function)]):
            console.line(f"{function.name}: {remark}", "yellow")
            console.line()


def _not_served(function: HostFunction) -> str | None:
    if function.disabled:
        return "disabled by an app setting or by function.json"
    if function.fault is not None:
        return f"not served: {function.fault}"
    if not function.is_served:
        return f"{function.trigger_type}, not fired locally; POST /admin/functions/{function.name} starts it by hand"
    return None


def _not_retried(function: HostFunction) -> str | None:
    if function.retry is None or function.is_retried:
        return None
    advice = "; call it with call_activity_with_retry instead" if function.kind == "activity" else ""
    return f"its retry policy is not applied: hosts repeat timer, Event Hubs, Kafka and Cosmos DB triggers only{advice}"
