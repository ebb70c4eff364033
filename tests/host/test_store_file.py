"""The database file: whose it is, how it is opened and locked, what a refusal or a kill leaves behind."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker_ext.errors import HostError
from worker_ext.host import database
from worker_ext.host.database import MEMORY, Database, DatabaseError, FileLock
from worker_ext.host.migrations import APPLICATION_ID, MIGRATIONS
from worker_ext.host.settings import load_settings
from worker_ext.host.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Database]:
    opened = Database(path)
    yield opened
    opened.close()


def header(path: Path) -> tuple[int, int]:
    """The marks in the first page of a file, as bytes on disk."""
    data = path.read_bytes()
    return int.from_bytes(data[68:72], "big"), int.from_bytes(data[60:64], "big")


def marked(path: Path, application_id: int, version: int) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY)")
        connection.execute(f"PRAGMA application_id = {application_id}")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def test_a_new_file_is_marked_as_this_hosts(path: Path) -> None:
    opened = Database(path)
    assert header(path) == (APPLICATION_ID, len(MIGRATIONS))
    opened.close()


def test_a_closed_file_has_nothing_beside_it(path: Path) -> None:
    Database(path).close()
    assert [item.name for item in path.parent.iterdir()] == ["app.db"]


def test_the_file_is_in_wal_mode_with_foreign_keys(opened: Database) -> None:
    def pragmas(connection: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "foreign_keys", "synchronous", "auto_vacuum")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert opened.run_now(pragmas) == ["wal", 1, 1, 2]


@pytest.mark.parametrize("synchronous, level", [("NORMAL", 1), ("FULL", 2)])
def test_commits_are_flushed_as_host_json_says(tmp_path: Path, synchronous: str, level: int) -> None:
    settings = {"extensions": {"durableTask": {"storageProvider": {"synchronous": synchronous}}}}
    (tmp_path / "host.json").write_text(json.dumps(settings))
    found = load_settings(tmp_path, environ={}).durable.storage_provider.synchronous
    opened = Database(tmp_path / "hub.db", found)
    assert opened.run_now(lambda connection: connection.execute("PRAGMA synchronous").fetchone()) == (level,)
    opened.close()


async def test_a_database_in_memory_needs_no_file() -> None:
    opened = Database(MEMORY)
    assert await opened.run(lambda connection: connection.execute("SELECT COUNT(*) FROM hubs").fetchone()) == (0,)
    opened.close()


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "application_id, version, text",
    [
        (0, 0, "{path} is a database of another program. Give another file; this one was not touched"),
        (77, 1, "{path} is a database of another program. Give another file; this one was not touched"),
        (
            APPLICATION_ID,
            len(MIGRATIONS) + 1,
            "{path} was written by a newer version of worker-ext (its format is {newer}, this one knows up to "
            "{known}). Update worker-ext or give another file; this one was not touched",
        ),
    ],
)
def test_a_foreign_or_newer_file_is_refused_and_left_as_it_is(
    path: Path, application_id: int, version: int, text: str
) -> None:
    marked(path, application_id, version)
    before = path.read_bytes()
    with pytest.raises(DatabaseError) as refusal:
        Database(path)
    assert str(refusal.value) == text.format(path=path, newer=len(MIGRATIONS) + 1, known=len(MIGRATIONS))
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["app.db"]


@pytest.mark.parametrize("data", [b"hello", b"SQLite format 3\x00 and then nothing", b"x" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(DatabaseError) as refusal:
        Database(path)
    assert str(refusal.value) == f"{path} is not a SQLite database. Give another file; this one was not touched"
    assert path.read_bytes() == data
    assert [item.name for item in path.parent.iterdir()] == ["app.db"]


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch()
    Database(path).close()
    assert header(path) == (APPLICATION_ID, len(MIGRATIONS))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no" / "app.db"
    with pytest.raises(DatabaseError) as refusal:
        Database(path)
    assert str(refusal.value) == f"{path}: the folder of the database file does not exist. Create it first"


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError) as refusal:
        Database(tmp_path)
    assert str(refusal.value) == f"{tmp_path}: the database file cannot be read: Is a directory"


def test_a_damaged_file_is_named(path: Path) -> None:
    Database(path).close()
    data = bytearray(path.read_bytes())
    data[100:4096] = b"\xff" * (4096 - 100)
    path.write_bytes(bytes(data))
    with pytest.raises(DatabaseError, match=r"app\.db: .* The file is damaged"):
        Database(path)


def test_refusals_are_host_errors() -> None:
    assert issubclass(DatabaseError, HostError)


# ---------------------------------------------------------------- one host a file


def test_a_second_host_is_kept_out_until_the_first_is_through(path: Path) -> None:
    first = Database(path)
    with pytest.raises(DatabaseError) as refusal:
        Database(path)
    first.close()
    Database(path).close()
    assert str(refusal.value) == (
        f"{path} is in use by another worker-ext host. Stop that one, or give another --db file"
    )


def test_another_name_of_the_file_is_the_same_file(path: Path) -> None:
    opened = Database(path)
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(DatabaseError, match="in use by another worker-ext host"):
        Database(link)
    opened.close()


def test_a_lock_can_be_released_twice(path: Path) -> None:
    lock = FileLock(str(path))
    lock.release()
    lock.release()
    FileLock(str(path)).release()


WRITER = """
import asyncio, sys
from worker_ext.host.database import Database

async def main():
    database = Database(sys.argv[1])
    for number in range(100_000):
        await database.run(lambda connection: connection.execute("INSERT INTO hubs (name) VALUES (?)", (str(number),)))
        print(number, flush=True)

asyncio.run(main())
"""


def test_a_killed_process_leaves_every_commit_and_no_lock(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        seen = [next(writer.stdout) for _ in range(50)]
        writer.send_signal(signal.SIGKILL)
        seen += list(writer.stdout)
    opened = Database(path)
    stored = opened.run_now(lambda connection: connection.execute("SELECT name FROM hubs ORDER BY hub_key").fetchall())
    opened.close()
    acknowledged = [int(line) for line in seen if line.endswith("\n")]
    assert [int(row[0]) for row in stored][: len(acknowledged)] == acknowledged


# ---------------------------------------------------------------- migrations

STEP = ("CREATE TABLE extra (id INTEGER PRIMARY KEY)",)


def dump(path: Path) -> list[tuple[str, str]]:
    """The tables and indexes of a file."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    return rows


def test_an_older_file_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Database(path).close()
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, STEP))
    opened = Database(path)
    marks = header(path)
    assert opened.run_now(lambda connection: connection.execute("SELECT COUNT(*) FROM extra").fetchone()) == (0,)
    opened.close()
    assert marks == (APPLICATION_ID, len(MIGRATIONS) + 1)


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_a_file_of_every_earlier_version_goes_on_with_what_it_holds(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    for statement in itertools.chain.from_iterable(MIGRATIONS[:version]):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("INSERT INTO hubs VALUES (1, 'Hub')")
    connection.execute("INSERT INTO instances VALUES (1, 1, 'i', 'e', 'Ship', NULL, 0, NULL, NULL, 1000000, 2000000)")
    connection.execute("INSERT INTO payloads VALUES (1, '7', NULL)")
    connection.execute("INSERT INTO messages VALUES (5, 1, NULL, '{}')")
    connection.commit()
    connection.close()
    store = Store(path, "Hub")
    found, waiting = await store.get("i"), await store.waiting_instances()
    upgraded = dump(path)
    store.close()
    Store(path.with_name("new.db"), "Hub").close()
    assert (found.input if found else None, waiting, header(path)) == ("7", ["i"], (APPLICATION_ID, len(MIGRATIONS)))
    assert upgraded == dump(path.with_name("new.db"))


async def test_a_store_that_has_become_read_only_refuses_and_writes_nothing(opened: Database, path: Path) -> None:
    await opened.run(lambda connection: connection.execute("PRAGMA query_only = ON").fetchone())
    with pytest.raises(DatabaseError) as refusal:
        await opened.run(lambda connection: connection.execute("INSERT INTO hubs (name) VALUES ('half')"))
    assert str(refusal.value) == (
        f"{path}: attempt to write a readonly database. Make the file and its folder writable"
    )
    reader = sqlite3.connect(path)
    assert reader.execute("SELECT COUNT(*) FROM hubs").fetchone() == (0,)
    reader.close()


def test_a_step_that_fails_leaves_the_file_at_the_version_it_had(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Database(path).close()
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, (*STEP, "CREATE TABLE hubs (id INTEGER)")))
    with pytest.raises(DatabaseError, match="table hubs already exists"):
        Database(path)
    monkeypatch.undo()
    opened = Database(path)
    tables = opened.run_now(lambda connection: connection.execute("SELECT name FROM sqlite_master").fetchall())
    opened.close()
    assert ("extra",) not in tables


# ---------------------------------------------------------------- jobs


async def test_a_job_that_fails_does_not_take_the_others_of_its_group_with_it(opened: Database) -> None:
    def add(name: str | None) -> database.Job[int]:
        return lambda connection: connection.execute("INSERT INTO hubs (name) VALUES (?)", (name,)).rowcount

    results = await asyncio.gather(*(opened.run(add(name)) for name in ("a", None, "b")), return_exceptions=True)
    rows = await opened.run(lambda connection: connection.execute("SELECT name FROM hubs").fetchall())
    assert [results[0], results[2], rows] == [1, 1, [("a",), ("b",)]]
    assert isinstance(results[1], DatabaseError)


async def test_a_full_disk_is_named_and_what_was_begun_is_undone(opened: Database, path: Path) -> None:
    await opened.run(lambda connection: connection.execute("CREATE TABLE big (data BLOB)"))
    pages = await opened.run(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO hubs (name) VALUES ('half')")
        connection.execute("INSERT INTO big VALUES (zeroblob(1000000))")

    await opened.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 5}").fetchone())
    with pytest.raises(DatabaseError) as refusal:
        await opened.run(fill)
    assert await opened.run(lambda connection: connection.execute("SELECT COUNT(*) FROM hubs").fetchone()) == (0,)
    await opened.run(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchone())
    await opened.run(fill)
    assert str(refusal.value) == (
        f"{path}: database or disk is full. Free some space; running work goes on where it stood"
    )


async def test_a_closed_database_takes_no_more_jobs(path: Path) -> None:
    opened = Database(path)
    opened.close()
    with pytest.raises(DatabaseError, match="is closed"):
        await opened.run(lambda connection: None)
