"""Loads the app anew when its files change, without losing instances.

A change of Python files or of a function.json starts new workers, which take over once they have loaded the app; if
they cannot, the old ones go on, the reason is shown, and the next change is waited for. Settings are read at start.

Source: worker protocol, failure handling in the host: a restart after 300 ms of quiet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

from worker_ext.errors import HostError
from worker_ext.host.console import Console
from worker_ext.host.settings import HOST_JSON, LOCAL_SETTINGS
from worker_ext.host.workers import Workers

QUIET_MILLISECONDS = 300
_SETTINGS = frozenset({HOST_JSON, LOCAL_SETTINGS})
_PASSED_OVER = frozenset({"__pycache__", "node_modules", "site-packages"})


class Reloader:
    """Watches the folder of an app.

    Args:
        app_dir: The folder.
        workers: What runs the app.
        console: Where reloads are shown.
        after: Called after each reload that succeeded.
    """

    def __init__(self, app_dir: Path, workers: Workers, console: Console, after: Callable[[], Awaitable[None]]) -> None:
        self._app_dir = app_dir
        self._workers = workers
        self._console = console
        self._after = after
        self._watch: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    async def start(self) -> None:
        """Begins to watch; when it returns, no change is missed."""
        self._watch = asyncio.create_task(self._run())
        # Its first step, up to where it waits for a change, tells the system what to watch.
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """Ends watching, and a reload that is under way."""
        self._ending.set()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def _run(self) -> None:
        try:
            async for paths in self._changes():
                await self._changed(paths)
        except (OSError, RuntimeError) as error:
            # No more watches are to be had from the system, or the folder is gone.
            self._console.warning(f"{self._app_dir} is no longer watched for changes: {error}")

    async def _changes(self) -> AsyncIterator[set[str]]:
        from watchfiles import awatch

        def is_ours(_change: object, path: str) -> bool:
            return concerns_app(self._app_dir, Path(path))

        async for changes in awatch(
            self._app_dir, watch_filter=is_ours, debounce=QUIET_MILLISECONDS, stop_event=self._ending, recursive=True
        ):
            yield {path for _, path in changes}

    async def _changed(self, paths: Iterable[str]) -> None:
        names = sorted(str(Path(path).relative_to(self._app_dir)) for path in paths)
        if settings := [name for name in names if name in _SETTINGS]:
            self._console.warning(f"{', '.join(settings)} changed; settings are read when the host starts")
        names = [name for name in names if name not in _SETTINGS]
        if not names:
            return
        self._console.info(f"{_listed(names)} changed; the app is loaded anew")
        try:
            await self._workers.reload()
        except HostError as error:
            self._console.error(f"{error}\nThe app as it was before goes on; it is loaded anew at the next change.")
            return
        await self._after()
        self._console.info("The app has been loaded anew.")


def concerns_app(app_dir: Path, path: Path) -> bool:
    """Whether a file is one that the app is made of; hidden folders and virtual environments are none of it."""
    folders = path.relative_to(app_dir).parts[:-1]
    if any(folder.startswith(".") or folder in _PASSED_OVER for folder in folders):
        return False
    if path.suffix != ".py" and path.name != "function.json" and not (path.name in _SETTINGS and not folders):
        return False
    inner = [app_dir.joinpath(*folders[: depth + 1]) for depth in range(len(folders))]
    return not any((folder / "pyvenv.cfg").exists() for folder in inner)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more files" if len(names) > 3 else "")
