"""The local host as one object: settings, store, scheduler, worker and HTTP server, wired and taken down in order.

    async with LocalHost("my_app", port=0) as host:
        ...  # host.url is where it answers

Source of the start-up's order: the worker is launched first, since it takes longest; the rest is done meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from worker_ext.errors import HostError
from worker_ext.host.background import uninterrupted
from worker_ext.host.console import Console
from worker_ext.host.settings import LOCAL_SETTINGS, HostSettings, load_settings

if TYPE_CHECKING:
    from worker_ext.host.database import Synchronous
    from worker_ext.host.keys import Keys
    from worker_ext.host.scheduler import Scheduler
    from worker_ext.host.served_app import ServedApp
    from worker_ext.host.store import Store
    from worker_ext.host.workers import Workers

ADDRESS = "127.0.0.1"
RPC_PORT = 17071
DATABASE_FOLDER = ".worker_ext"
DEBUG_LOGGING = "PYTHON_ENABLE_DEBUG_LOGGING"
IN_MEMORY = ":memory:"


class LocalHost:
    """Runs one app.

    Args:
        app_dir: The app's folder.
        port: The port of the HTTP listener, 0 for any free one; None takes it from local.settings.json, else 7071.
        db: The database file; `:memory:` keeps nothing; None is `.worker_ext/<task hub>.db` in the app's folder.
        console: Where logs go, standard output by default.
        enable_auth: Whether callers must show keys; they are made at the first start and kept in `keys_file`.
        reload: Whether the app is loaded anew when its files change, and the settings are read anew when theirs do.

    Attributes:
        settings: What host.json and its like say.
        database: The database file, or `:memory:`.
    """

    def __init__(
        self,
        app_dir: str | os.PathLike[str],
        *,
        port: int | None = None,
        db: str | os.PathLike[str] | None = None,
        console: Console | None = None,
        enable_auth: bool = False,
        reload: bool = False,
    ) -> None:
        self.settings: HostSettings = load_settings(_app_folder(app_dir), port=port)
        _check_app(self.settings)
        self.database = _database(self.settings, db)
        self._port_flag = port
        self._db = db
        self._asks_for_keys = enable_auth
        self._reloads = reload
        self.console = Console() if console is None else console
        self.console.levels = self.settings.log_levels
        self._cleanup = contextlib.AsyncExitStack()
        self._port = 0
        self._public: socket.socket | None = None
        self._rpc: socket.socket | None = None
        self._keys: Keys | None = None
        self._store: Store | None = None
        self._place: tuple[str, str, Synchronous] | None = None
        self._app: ServedApp | None = None

    @property
    def url(self) -> str:
        """Where the host answers, without a slash at the end."""
        return f"http://localhost:{self._port}"

    @property
    def is_launched(self) -> bool:
        """Whether its worker has been launched."""
        return self._app is not None

    @property
    def workers(self) -> Workers:
        """The app's worker."""
        assert self._app is not None, "the host has not been started"
        return self._app.workers

    @property
    def scheduler(self) -> Scheduler:
        """The durable engine."""
        assert self._app is not None, "the host has not been started"
        assert self._app.scheduler is not None, "the host has not been started"
        return self._app.scheduler

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Starts everything; when it returns, requests are answered.

        Raises:
            HostError: Something is in the way; nothing is left running.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Takes no new work, gives what runs a few seconds, and leaves the rest to the next start."""
        await uninterrupted(self._cleanup.aclose())

    def kill_now(self) -> None:
        """Ends the worker without waiting for anything; for a host that ends at once."""
        if self._app is not None:
            self._app.workers.kill_now()

    async def _start(self) -> None:
        self._public = self._bind(self.settings.port)
        self._port = self._public.getsockname()[1]
        self._keys = self._load_keys() if self._asks_for_keys else None
        self._cleanup.push_async_callback(self._end_app)
        app = self._app = self._make_app(self.settings)
        await app.launch(self._port)
        await self._serve(app)
        if self._reloads:
            from worker_ext.host.reload import Reloader

            reloader = Reloader(self.settings.app_dir, self.console, self._reload_app, self._reload_settings)
            self._cleanup.push_async_callback(reloader.stop)
            await reloader.start()

    def _make_app(self, settings: HostSettings) -> ServedApp:
        """The app with a worker to be launched, which takes longest of all that a start does."""
        rpc = self._rpc_socket(settings)
        from worker_ext.host.links import Links
        from worker_ext.host.served_app import ServedApp

        rpc_url = None if rpc is None else f"http://{ADDRESS}:{rpc.getsockname()[1]}/durabletask/"
        key = None if self._keys is None else self._keys.durable_key
        if self.console.verbose or settings.log_levels.has_debug:
            # Without it workers keep debug entries to themselves; the app's own settings win.
            settings = replace(settings, environment={DEBUG_LOGGING: "1"} | settings.environment)
        return ServedApp(settings, self.console, Links(self.url, rpc_url, settings.durable.hub_name, key), self._keys)

    async def _serve(self, app: ServedApp) -> None:
        assert self._public is not None
        await app.serve(self._store_for(app.settings), self._public, self._rpc)

    async def _end_app(self) -> None:
        try:
            if self._app is not None:
                await self._app.stop()
        finally:
            self._close_store()

    # ------------------------------------------------------------ changes

    async def _reload_app(self) -> None:
        assert self._app is not None
        _check_app(self.settings)
        await self._app.reload()

    async def _reload_settings(self) -> None:
        """Serves the app under the settings as they are now; instances go on.

        Raises:
            HostError: They cannot be used; the app is served as before.
        """
        settings = load_settings(self.settings.app_dir, port=self._port_flag)
        _check_app(settings)
        fresh = self._make_app(settings)
        try:
            await fresh.launch(self._port)
            await fresh.load()
        except BaseException:
            await fresh.stop()
            raise
        for warning in settings.warnings:
            self.console.warning(warning)
        if settings.port not in (0, self._port):
            self.console.warning(f"{LOCAL_SETTINGS}: port {settings.port} is taken at the next start, not now")
        await self._replace_app(fresh)

    async def _replace_app(self, fresh: ServedApp) -> None:
        old = self._app
        assert old is not None
        try:
            await old.stop()
            await self._serve(fresh)
        except BaseException as error:
            await fresh.stop()
            if isinstance(error, Exception):  # not where the host itself is stopped
                self._app = self._make_app(old.settings)
                await self._app.launch(self._port)
                await self._serve(self._app)
            raise
        self._app = fresh
        if fresh.settings.durable.hub_name != old.settings.durable.hub_name:
            hub, before = fresh.settings.durable.hub_name, old.settings.durable.hub_name
            self.console.warning(f"The task hub is {hub} now; the instances of {before} rest until it is that again.")
        self.settings = fresh.settings
        self.console.levels = self.settings.log_levels

    @property
    def keys_file(self) -> Path:
        """Where the keys are kept, where callers must show them."""
        return self.settings.app_dir / DATABASE_FOLDER / "keys.json"

    @property
    def asks_for_keys(self) -> bool:
        """Whether callers must show keys."""
        return self._asks_for_keys

    def _load_keys(self) -> Keys:
        from worker_ext.host.keys import load_keys

        _make_folder(self.keys_file.parent)
        return load_keys(self.keys_file)

    def _store_for(self, settings: HostSettings) -> Store:
        """The store of the task hub that settings name: the one that is open, if it is that."""
        from worker_ext.host.store import Store

        database = _database(settings, self._db)
        place = database, settings.durable.hub_name, settings.durable.storage_provider.synchronous
        if self._store is None or self._place != place:
            self._close_store()
            if self._db is None:
                _make_folder(Path(database).parent)
            self._store, self._place, self.database = Store(*place), place, database
        return self._store

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _rpc_socket(self, settings: HostSettings) -> socket.socket | None:
        """The listener for the app's own clients, where settings want one."""
        if not settings.durable.local_rpc_endpoint_enabled:
            if self._rpc is not None:
                self._rpc.close()
            self._rpc = None
        elif self._rpc is None:
            self._rpc = self._bind_rpc()
        return self._rpc

    def _bind(self, port: int) -> socket.socket:
        """A listening socket; who connects before the host is ready waits for it."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._cleanup.callback(listener.close)
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ADDRESS, port))
            listener.listen(128)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise HostError(
                    f"port {port} is taken. Stop what listens there, or choose another port with --port"
                ) from None
            raise HostError(f"port {port} cannot be used: {error.strerror}. Choose another one with --port") from None
        listener.setblocking(False)
        return listener

    def _bind_rpc(self) -> socket.socket:
        """The socket for the app's own clients: the port the extension uses, else any free one."""
        try:
            return self._bind(RPC_PORT)
        except HostError:
            return self._bind(0)


def _database(settings: HostSettings, db: str | os.PathLike[str] | None) -> str:
    """Where instances are kept: as told, else in a folder of the app that version control passes over."""
    if db is not None:
        return os.fspath(db) if os.fspath(db) == IN_MEMORY else str(Path(db).absolute())
    return str(settings.app_dir / DATABASE_FOLDER / f"{settings.durable.hub_name}.db")


def _app_folder(app_dir: str | os.PathLike[str]) -> Path:
    folder = Path(app_dir).absolute()
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise HostError(f"{folder}: expected the folder of an app, found {found}")
    return folder


def _check_app(settings: HostSettings) -> None:
    name = settings.environment.get("PYTHON_SCRIPT_FILE_NAME") or "function_app.py"
    folders = sorted(path.parent.name for path in settings.app_dir.glob("*/function.json"))
    if not (settings.app_dir / name).is_file():
        if not folders:
            raise HostError(
                f"{settings.app_dir}: there is no {name} here, nor a folder with a function.json. Name the app's "
                "folder: worker-ext start APP_DIR"
            )
    elif folders:
        raise HostError(
            f"{settings.app_dir}: expected an app of one programming model, found {name} (v2) and the function.json of "
            f"{', '.join(folders)} (v1). Move the functions of one model to the other, or to an app of their own"
        )


def _make_folder(folder: Path) -> None:
    """The folder of the default database; version control is told to pass it over."""
    try:
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
    except OSError as error:
        raise HostError(f"{folder}: {error.strerror}. Name another place with --db FILE") from None
