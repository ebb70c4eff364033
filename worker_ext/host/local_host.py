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

from worker_ext.errors import HostError
from worker_ext.host.console import Console
from worker_ext.host.settings import HostSettings, load_settings

if TYPE_CHECKING:
    from worker_ext.host.keys import Keys
    from worker_ext.host.scheduler import Scheduler
    from worker_ext.host.store import Store
    from worker_ext.host.workers import Workers

ADDRESS = "127.0.0.1"
RPC_PORT = 17071
DATABASE_FOLDER = ".worker_ext"
IN_MEMORY = ":memory:"
GRACE = 3.0


class LocalHost:
    """Runs one app.

    Args:
        app_dir: The app's folder.
        port: The port of the HTTP listener, 0 for any free one; None takes it from local.settings.json, else 7071.
        db: The database file; `:memory:` keeps nothing; None is `.worker_ext/<task hub>.db` in the app's folder.
        console: Where logs go, standard output by default.
        enable_auth: Whether callers must show keys; they are made at the first start and kept in `keys_file`.
        reload: Whether the app is loaded anew when its files change.

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
        self._own_folder = db is None
        self._asks_for_keys = enable_auth
        self._reloads = reload
        self.console = Console() if console is None else console
        self._cleanup = contextlib.AsyncExitStack()
        self._port = 0
        self._workers: Workers | None = None
        self._scheduler: Scheduler | None = None

    @property
    def url(self) -> str:
        """Where the host answers, without a slash at the end."""
        return f"http://localhost:{self._port}"

    @property
    def is_launched(self) -> bool:
        """Whether its worker has been launched."""
        return self._workers is not None

    @property
    def workers(self) -> Workers:
        """The app's worker."""
        assert self._workers is not None, "the host has not been started"
        return self._workers

    @property
    def scheduler(self) -> Scheduler:
        """The durable engine."""
        assert self._scheduler is not None, "the host has not been started"
        return self._scheduler

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
        await self._cleanup.aclose()

    def kill_now(self) -> None:
        """Ends the worker without waiting for anything; for a host that ends at once."""
        if self._workers is not None:
            self._workers.kill_now()

    async def _start(self) -> None:
        public = self._bind(self.settings.port)
        self._port = public.getsockname()[1]
        rpc = self._bind_rpc() if self.settings.durable.local_rpc_endpoint_enabled else None
        from worker_ext.host.links import Links
        from worker_ext.host.workers import Workers

        rpc_url = None if rpc is None else f"http://{ADDRESS}:{rpc.getsockname()[1]}/durabletask/"
        keys = self._load_keys() if self._asks_for_keys else None
        links = Links(self.url, rpc_url, self.settings.durable.hub_name, None if keys is None else keys.durable_key)
        workers = self._workers = Workers(self.settings, self.console, links.client_payload)
        self._cleanup.push_async_callback(workers.stop, 1.0)
        await workers.launch(self._port)

        # While the worker starts, the host imports the rest of itself.
        from worker_ext.host.management import ManagementApi
        from worker_ext.host.scheduler import Scheduler
        from worker_ext.host.timer_triggers import TimerTriggers
        from worker_ext.host.web import WebServer

        store = self._open_store()
        scheduler = self._scheduler = Scheduler(store, workers, self.settings.durable)
        forwarded = self.settings.durable.http_settings.use_forwarded_host
        management = ManagementApi(scheduler, store.queries, links, use_forwarded_host=forwarded)
        web = WebServer(self.settings, workers, management, self.console, keys)
        await workers.load()
        await scheduler.start()
        self._cleanup.push_async_callback(scheduler.stop, GRACE)
        await web.start(public, rpc)
        self._cleanup.push_async_callback(web.stop)
        timers = TimerTriggers(workers, store.timer_statuses, self.console, self.settings.environment)
        self._cleanup.push_async_callback(timers.stop)
        await timers.refresh()
        if self._reloads:
            from worker_ext.host.reload import Reloader

            reloader = Reloader(self.settings.app_dir, workers, self.console, timers.refresh)
            self._cleanup.push_async_callback(reloader.stop)
            await reloader.start()

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

    def _open_store(self) -> Store:
        from worker_ext.host.store import Store

        if self._own_folder:
            _make_folder(Path(self.database).parent)
        store = Store(self.database, self.settings.durable.hub_name)
        self._cleanup.callback(store.close)
        return store

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
