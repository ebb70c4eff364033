"""One SQLite file: opened, checked, locked, migrated, and worked by a thread that commits in groups.

A file that is not this host's, or a newer host's, is refused by the header of its first page, read as plain bytes:
SQLite has not touched it then. That header is always true, because tables are made and changed outside WAL mode, in
one transaction. A second host is kept out by a lock on a file beside the database; the system drops it with the
process that holds it, so a killed host leaves nothing that must be cleaned up.

Jobs are functions of the connection. Those that wait are run in one transaction; if one of them fails, all are rolled
back and each is run again in a transaction of its own. A job must therefore have no effect but on the database.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Literal, TypeAlias, TypeVar

from worker_ext.errors import HostError
from worker_ext.host.migrations import APPLICATION_ID, MIGRATIONS

MEMORY = ":memory:"
_MAGIC = b"SQLite format 3\x00"
_GROUP: Final = 256
_BUSY_TIMEOUT_SECONDS = 10

Synchronous: TypeAlias = Literal["OFF", "NORMAL", "FULL", "EXTRA"]

_T = TypeVar("_T")
Job: TypeAlias = Callable[[sqlite3.Connection], _T]
_Waiting: TypeAlias = tuple[Job[Any], asyncio.AbstractEventLoop, asyncio.Future[Any]]
_Outcome: TypeAlias = tuple[asyncio.Future[Any], Any, BaseException | None]


class DatabaseError(HostError):
    """The database file cannot be used, or cannot be written at the moment; the message names it."""


# ---------------------------------------------------------------- opening


def connect(path: str, synchronous: Synchronous = "NORMAL") -> sqlite3.Connection:
    """Opens a database file, makes its tables if it is new, and brings it up to date if it is older.

    Raises:
        DatabaseError: The file is another program's, a newer version's, broken or not writable; it is left untouched.
    """
    if path != MEMORY:
        _check_header(path)
    try:
        connection = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
    except sqlite3.Error as error:
        raise _describe(path, error) from None
    try:
        _prepare(connection, path, synchronous)
    except sqlite3.Error as error:
        connection.close()
        raise _describe(path, error) from None
    except DatabaseError:
        connection.close()
        raise
    return connection


def _check_header(path: str) -> None:
    """Looks at the first page of an existing file without opening it as a database."""
    try:
        with open(path, "rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        if not Path(path).absolute().parent.is_dir():
            raise DatabaseError(f"{path}: the folder of the database file does not exist. Create it first") from None
        return
    except OSError as error:
        raise DatabaseError(f"{path}: the database file cannot be read: {error.strerror}") from None
    if not header:
        return
    if not header.startswith(_MAGIC) or len(header) < 100:
        raise DatabaseError(f"{path} is not a SQLite database. Give another file; this one was not touched")
    _check_marks(path, int.from_bytes(header[68:72], "big"), int.from_bytes(header[60:64], "big"))


def _check_marks(path: str, application_id: int, version: int) -> None:
    if application_id != APPLICATION_ID:
        raise DatabaseError(f"{path} is a database of another program. Give another file; this one was not touched")
    if version > len(MIGRATIONS):
        raise DatabaseError(
            f"{path} was written by a newer version of worker-ext (its format is {version}, this one knows up to "
            f"{len(MIGRATIONS)}). Update worker-ext or give another file; this one was not touched"
        )


def _prepare(connection: sqlite3.Connection, path: str, synchronous: Synchronous) -> None:
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    if _number(connection, "page_count"):
        _check_marks(path, _number(connection, "application_id"), _number(connection, "user_version"))
    if _number(connection, "user_version") < len(MIGRATIONS):
        _migrate(connection)
    if path != MEMORY:
        connection.execute("PRAGMA journal_mode = WAL")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _migrate(connection: sqlite3.Connection) -> None:
    """Outside WAL, so that the header of the file tells the version at any instant."""
    connection.execute("PRAGMA journal_mode = DELETE")
    done = _number(connection, "user_version")
    if done == 0:
        # So that purged data can be given back later; a file with tables cannot be changed to it.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("BEGIN IMMEDIATE")
    for step in MIGRATIONS[done:]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")


def _describe(path: str, error: sqlite3.Error) -> DatabaseError:
    text = str(error)
    advice = {
        "disk is full": "Free some space; running work goes on where it stood",
        "disk I/O error": "Check the disk, and the limit on the size of files; running work goes on where it stood",
        "readonly": "Make the file and its folder writable",
        "unable to open": "Check that it is a file in a folder you may write to",
        "malformed": "The file is damaged; restore a copy or give another file",
        "not a database": "The file is damaged or not a database; give another file",
        "locked": "Another program is writing to it; close that program",
    }
    fix = next((f". {advice[key]}" for key in advice if key in text), "")
    return DatabaseError(f"{path}: {text}{fix}")


# ---------------------------------------------------------------- one host a file


class FileLock:
    """Keeps a second host away from a database file, for as long as this process lives or until it is released.

    Raises:
        DatabaseError: Another host has the file.
    """

    def __init__(self, path: str) -> None:
        self._database = path
        self._path = f"{os.path.realpath(path)}-lock"
        self._descriptor: int | None = self._acquire()

    def _acquire(self) -> int:
        while True:
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise DatabaseError(
                    f"{self._path}: the lock file cannot be written: {error.strerror}. Make the file and its folder"
                    " writable, or give another --db file"
                ) from None
            if not _try_lock(descriptor):
                os.close(descriptor)
                raise DatabaseError(
                    f"{self._database} is in use by another worker-ext host. Stop that one, or give another --db file"
                )
            # The one before may have removed the file between our open and our lock.
            try:
                if os.path.samestat(os.fstat(descriptor), os.stat(self._path)):
                    return descriptor
            except FileNotFoundError:
                pass
            os.close(descriptor)

    def release(self) -> None:
        """Gives the file free."""
        if self._descriptor is None:
            return
        if sys.platform != "win32":
            Path(self._path).unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


# ---------------------------------------------------------------- working


class Database:
    """A connection and the thread that works it.

    Args:
        path: The database file, or `:memory:`.
        synchronous: SQLite's setting of that name. NORMAL survives the death of the process at any instant, FULL
            also a power cut right after a commit.

    Raises:
        DatabaseError: The file cannot be used.
    """

    def __init__(self, path: str | Path, synchronous: Synchronous = "NORMAL") -> None:
        self.path = str(path)
        if self.path != MEMORY:
            _check_header(self.path)
        self._lock = None if self.path == MEMORY else FileLock(self.path)
        try:
            self._connection = connect(self.path, synchronous)
        except DatabaseError:
            self._release()
            raise
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gathered: list[_Waiting] = []
        self._jobs: SimpleQueue[list[_Waiting] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="worker-ext-database", daemon=True)
        self._closed = False
        self._thread.start()

    def run_now(self, job: Job[_T]) -> _T:
        """Runs a job in this thread, before anything else works with the database."""
        with self._connection_guard():
            return _in_transaction(self._connection, job)

    async def run(self, job: Job[_T]) -> _T:
        """Runs a job in a transaction; it is on disk (as far as `synchronous` goes) when this returns.

        Raises:
            DatabaseError: The database refused; nothing of the job was written.
        """
        return await self.submit(job)

    def submit(self, job: Job[_T]) -> asyncio.Future[_T]:
        """Has a job run in a transaction: after every job that was submitted before, and often together with it.

        The future fails with what `run` raises.
        """
        loop = self._loop
        if loop is None or not loop.is_running():
            loop = self._loop = asyncio.get_running_loop()  # a system call on Python 3.11
        future: asyncio.Future[_T] = loop.create_future()
        if self._closed:
            future.set_exception(DatabaseError(f"{self.path} is closed"))
            return future
        if not self._gathered or self._gathered[-1][1] is not loop:
            loop.call_soon(self._hand_over_next, loop)
        self._gathered.append((job, loop, future))
        return future

    def _hand_over_next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Leaves one more step of the loop for what the first jobs lead to."""
        loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Gives the thread what was gathered: waking it once for each job would cost more than most jobs."""
        if self._gathered:
            self._jobs.put(self._gathered)
            self._gathered = []

    def close(self) -> None:
        """Finishes what waits and closes the file; nothing is left beside it."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        self._jobs.put(None)
        self._thread.join()
        self._connection.close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _connection_guard(self) -> _Described:
        return _Described(self.path)

    # ------------------------------------------------------------ the thread

    def _work(self) -> None:
        jobs: list[_Waiting] | None = []
        while jobs is not None:
            jobs = self._jobs.get()
            group: list[_Waiting] = []
            while jobs is not None:
                group += jobs
                if len(group) >= _GROUP:
                    break
                try:
                    jobs = self._jobs.get_nowait()
                except Empty:
                    break
            if group:
                _deliver(group[0][1], self._run_group(group))

    def _run_group(self, group: list[_Waiting]) -> list[_Outcome]:
        try:
            with self._connection_guard():
                values = _in_transaction(self._connection, lambda connection: [job(connection) for job, _, _ in group])
        except BaseException as error:  # noqa: BLE001 - handed to whoever asked
            if len(group) == 1:
                return [(group[0][2], None, error)]
            return [outcome for waiting in group for outcome in self._run_group([waiting])]
        return [(future, value, None) for (_, _, future), value in zip(group, values, strict=True)]


def _in_transaction(connection: sqlite3.Connection, job: Job[_T]) -> _T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        value = job(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return value


class _Described:
    """Turns SQLite's errors into ones that name the file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise _describe(self._path, error) from error


def _deliver(loop: asyncio.AbstractEventLoop, outcomes: list[_Outcome]) -> None:
    try:
        loop.call_soon_threadsafe(_settle, outcomes)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        return


def _settle(outcomes: list[_Outcome]) -> None:
    for future, value, error in outcomes:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
