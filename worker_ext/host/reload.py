"""Loads the app anew when its files change, without losing instances.

A change of Python files or of a function.json starts new workers, which take over once they have loaded the app. After
a change of host.json or local.settings.json the host serves the app under the new settings: requests wait for it, and
what runs for longer than a few seconds is run again. If anything is in the way, all goes on as before, the reason is
shown, and the next change is waited for.

Source: worker protocol, failure handling in the host: a restart after 300 ms of quiet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

from worker_ext.errors import HostError
from worker_ext.host.console import Console
from worker_ext.host.settings import HOST_JSON, LOCAL_SETTINGS

QUIET_MILLISECONDS = 300
_SETTINGS = frozenset({HOST_JSON, LOCAL_SETTINGS})
_PASSED_OVER = frozenset({"__pycache__", "node_modules", "site-packages"})


class Reloader:
    """Watches the folder of an app.

    Args:
        app_dir: The folder.
        console: Where reloads are shown.
        reload_app: Loads the app anew; HostError says why that cannot be done.
        reload_settings: Reads the settings anew and loads the app under them, likewise.
    """

    def __init__(
        self,
        app_dir: Path,
        console: Console,
        reload_app: Callable[[], Awaitable[None]],
        reload_settings: Callable[[], Awaitable[None]],
    ) -> None:
        self._app_dir = app_dir
        self._console = console
        self._reload_app = reload_app
        self._reload_settings = reload_settings
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
        from watchfiles import Change, awatch

        def is_ours(change: Change, path: str) -> bool:
            found = Path(path)
            if change is Change.added and found.is_dir():
                # What came with a new folder came before anyone watched it.
                return any(concerns_app(self._app_dir, inner) for inner in found.rglob("*.*"))
            return concerns_app(self._app_dir, found)

        async for changes in awatch(
            self._app_dir, watch_filter=is_ours, debounce=QUIET_MILLISECONDS, stop_event=self._ending, recursive=True
        ):
            yield {path for _, path in changes}

    async def _changed(self, paths: Iterable[str]) -> None:
        names = sorted(str(Path(path).relative_to(self._app_dir)) for path in paths)
        is_of_settings = not _SETTINGS.isdisjoint(names)
        what = "settings are read and the app is loaded anew" if is_of_settings else "the app is loaded anew"
        self._console.info(f"{_listed(names)} changed; {what}")
        try:
            await (self._reload_settings() if is_of_settings else self._reload_app())
        except HostError as error:
            self._console.error(f"{error}\nThe app as it was before goes on; it is loaded anew at the next change.")
            return
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
