"""How many files and connections the process may have open, and what is said where they are all taken.

The event loop tries again by itself to take connections, and would say so hundreds of times a second: once in a while
is enough, with what to do.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from worker_ext.host.console import Console

if sys.platform != "win32":
    import resource

WANTED = 10_240
"""Beyond what a laptop needs, and what every system allows."""

PAUSE = 10.0
"""Seconds between two complaints."""


def raise_limit() -> None:
    """Lets this process and its workers open many files, as far as the system allows: some begin with 256."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return  # it goes as far as it goes; who meets the limit is told


class Complaints:
    """Handles what goes wrong in an event loop outside any task.

    Args:
        console: Where it is told that no more connections can be taken.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._silent_until = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Tells of one fault."""
        error = context.get("exception")
        if not isinstance(error, OSError) or not str(context.get("message")).startswith("socket.accept()"):
            loop.default_exception_handler(context)
        elif loop.time() >= self._silent_until:
            self._silent_until = loop.time() + PAUSE
            self._console.error(
                f"No more connections can be taken: {error.strerror}{_limit()}. They wait until others are closed; "
                "raise the limit with `ulimit -n`"
            )


def _limit() -> str:
    if sys.platform == "win32":
        return ""
    return f" ({resource.getrlimit(resource.RLIMIT_NOFILE)[0]} at most)"
