"""A running host whose disk is full, or whose file cannot be written or is damaged: a clear line, nothing half done."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from host_process import HostProcess, wait_until
from running_host import PATIENCE, run_host

if sys.platform == "win32":
    pytest.skip("mounts and resource limits are not to be had here", allow_module_level=True)
import resource

FULL = "database or disk is full. Free some space; running work goes on where it stood"
IO_ERROR = "disk I/O error. Check the disk, and the limit on the size of files; running work goes on where it stood"
DAMAGED = "database disk image is malformed. The file is damaged; restore a copy or give another file"
APP = """
import azure.functions as func
import worker_ext as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def waits(context):
    value = yield context.wait_for_external_event("go")
    text = yield context.call_activity("swells", 400_000)
    return [value, len(text)]


@app.activity_trigger(input_name="size")
def swells(size: int) -> str:
    return "x" * size


@app.orchestration_trigger(context_name="context")
def fans_out(context):
    first = yield context.task_all([context.call_activity("doubles", number) for number in range(5)])
    second = yield context.task_all([context.call_activity("doubles", number) for number in first])
    return sum(second)


@app.activity_trigger(input_name="number")
def doubles(number: int) -> int:
    return 2 * number


@app.route(route="page", auth_level=func.AuthLevel.ANONYMOUS)
def page(req: func.HttpRequest) -> str:
    return "a page"
"""
FANNED_OUT = 40


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "function_app.py").write_text(APP)
    (folder / "host.json").write_text('{"version": "2.0"}')
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def host(app: Path, tmp_path: Path) -> Iterator[HostProcess]:
    """A host that is not started; its database is beside the app."""
    host = HostProcess(app, tmp_path / "x.db")
    yield host
    host.stop()


def fill(disk: Path) -> Path:
    """Writes until nothing more fits; the file that takes up the space."""
    ballast = disk / "ballast"
    with ballast.open("wb", 0) as file:
        while (space := os.statvfs(disk)).f_bavail:
            file.write(bytes(space.f_frsize))
    return ballast


def refusal(host: HostProcess, data: str) -> tuple[int, str]:
    """How an event with this data is refused."""
    answer = host.post(f"{host.webhook}/instances/i/raiseEvent/go", data)
    return answer.status, answer.json["ExceptionMessage"]


def assert_sound(db: Path) -> None:
    connection = sqlite3.connect(db)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT COUNT(*) FROM messages").fetchall() == [(0,)]
    connection.close()


def begin(host: HostProcess, input_: object = 1) -> None:
    assert host.start().post(f"{host.webhook}/orchestrators/waits/i", input_).status == 202


def test_a_full_disk_refuses_events_and_holds_turns_until_there_is_space(host: HostProcess, disk: Path) -> None:
    host.db = disk / "x.db"
    begin(host)
    ballast = fill(disk)
    assert refusal(host, "y" * 900_000) == (500, f"{host.db}: {FULL}")
    ballast.unlink()
    wait_until(lambda: host.status("i")["runtimeStatus"] == "Running", "the first turn", host.log)
    assert host.post(f"{host.webhook}/instances/i/raiseEvent/go", "small").status == 202
    assert host.output_of("i") == ["small", 400_000]
    assert host.interrupt() == 0
    assert_sound(host.db)


def test_work_that_a_full_disk_stops_goes_on_by_itself_and_is_told_in_a_line(host: HostProcess, disk: Path) -> None:
    host.db = disk / "x.db"
    begin(host)
    wait_until(lambda: host.status("i")["runtimeStatus"] == "Running", "the first turn", host.log)
    ballast = disk / "ballast"
    space = os.statvfs(disk)
    ballast.write_bytes(bytes(space.f_bavail * space.f_frsize - 150_000))
    assert host.post(f"{host.webhook}/instances/i/raiseEvent/go", "small").status == 202
    told = f"s: {host.db}: {FULL}"
    wait_until(lambda: told in host.log(), "the refusal in the log", host.log)
    ballast.unlink()
    assert host.output_of("i") == ["small", 400_000]
    assert "Traceback" not in host.log()
    assert host.interrupt() == 0
    assert_sound(host.db)


def test_a_start_on_a_full_disk_is_refused(host: HostProcess, disk: Path) -> None:
    host.db = disk / "x.db"
    fill(disk)
    host.launch()
    assert (host.wait(), host.output[-1]) == (1, f"worker-ext: {host.db}: {FULL}")


def test_a_start_on_a_read_only_disk_is_refused(host: HostProcess, disk: Path) -> None:
    host.db = disk / "x.db"
    host.start().interrupt()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    host.launch()
    assert (host.wait(), host.output[-1]) == (
        1,
        f"worker-ext: {host.db}-lock: the lock file cannot be written: Read-only file system. Make the file and its"
        " folder writable, or give another --db file",
    )


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process cannot be set here")
def test_a_file_that_may_not_grow_refuses_what_does_not_fit(host: HostProcess) -> None:
    begin(host)
    wait_until(lambda: host.status("i")["runtimeStatus"] == "Running", "the first turn", host.log)
    size = max(Path(f"{host.db}{end}").stat().st_size for end in ("", "-wal"))
    resource.prlimit(host.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    assert refusal(host, "y" * 900_000) == (500, f"{host.db}: {IO_ERROR}")
    resource.prlimit(host.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert host.post(f"{host.webhook}/instances/i/raiseEvent/go", "small").status == 202
    assert host.output_of("i") == ["small", 400_000]
    assert host.interrupt() == 0
    assert_sound(host.db)


@pytest.mark.parametrize("kept", [100, 4096, 20480], ids=["header", "schema", "some_tables"])
def test_a_start_on_a_damaged_file_is_refused_and_leaves_it_as_it_was(host: HostProcess, kept: int) -> None:
    begin(host)
    host.interrupt()
    damaged = host.db.read_bytes()[:kept] + b"\xa5" * (host.db.stat().st_size - kept)
    host.db.write_bytes(damaged)
    host.launch()
    assert (host.wait(), host.output[-1]) == (1, f"worker-ext: {host.db}: {DAMAGED}")
    assert host.db.read_bytes() == damaged


def test_a_file_damaged_under_a_running_host_is_told_in_a_line(host: HostProcess) -> None:
    begin(host, "y" * 300_000)
    wait_until(lambda: host.status("i")["runtimeStatus"] == "Running", "the first turn", host.log)
    host.interrupt()
    # A host that has not read the input yet.
    host.start()
    size = host.db.stat().st_size
    with host.db.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    answer = host.get(f"{host.webhook}/instances/i")
    assert (answer.status, answer.json["ExceptionMessage"]) == (500, f"{host.db}: {DAMAGED}")
    assert host.interrupt() == 0
    assert "Traceback" not in host.log()


# ---------------------------------------------------------------- a slow disk

SLOW = """
import sqlite3
import sys
import time
from functools import partial


class SlowConnection(sqlite3.Connection):
    \"\"\"Takes 200 ms for each commit that has something to write.\"\"\"

    written = 0

    def execute(self, sql, *parameters):
        if sql == "COMMIT" and self.total_changes != self.written:
            time.sleep(0.2)
            self.written = self.total_changes
        return super().execute(sql, *parameters)


sqlite3.connect = partial(sqlite3.connect, factory=SlowConnection)
from worker_ext.cli import main

sys.exit(main(sys.argv[1:]))
"""


class SlowHost(HostProcess):
    """A host whose disk takes 200 ms for each commit."""

    def command(self) -> list[str]:
        return [sys.executable, "-c", SLOW, *super().command()[1:]]


def test_a_host_with_a_slow_disk_stops_cleanly_under_load_and_loses_nothing(host: HostProcess) -> None:
    slow = SlowHost(host.app, host.db, host.port, output=host.output)
    slow.start()
    try:
        begun = [slow.post(f"{slow.webhook}/orchestrators/fans_out/i{number}") for number in range(20)]
        assert [answer.status for answer in begun] == [202] * 20
        assert slow.get("/api/page").text == "a page"
        assert slow.interrupt() == 0
    finally:
        slow.stop()
    assert "Traceback" not in slow.log()
    slow.start()
    try:
        assert [slow.output_of(f"i{number}") for number in range(20)] == [FANNED_OUT] * 20
        assert slow.interrupt() == 0
    finally:
        slow.stop()
    assert "Traceback" not in slow.log()
    assert_sound(slow.db)


class HeldConnection(sqlite3.Connection):
    """Waits with each commit that has something to write, and counts them.

    Attributes:
        may_commit: What it waits for.
        pause: How long each takes beside that, in seconds.
        commits: How many there were.
    """

    may_commit: threading.Event
    pause = 0.0
    commits: int
    _written = 0

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and self.total_changes != self._written:
            HeldConnection.commits += 1
            self.may_commit.wait(PATIENCE)
            time.sleep(self.pause)
            self._written = self.total_changes
        return super().execute(sql, *parameters)


@pytest.fixture
def disk_moves(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The disk of what opens a database from now on: it stands still while this is not set."""
    HeldConnection.may_commit, HeldConnection.commits = threading.Event(), 0
    HeldConnection.may_commit.set()
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=HeldConnection))
    yield HeldConnection.may_commit
    HeldConnection.may_commit.set()


async def test_a_host_whose_disk_stands_still_serves_pages_and_goes_on_where_it_stood(
    app: Path, disk_moves: threading.Event
) -> None:
    async with run_host(app, app / "x.db") as host:
        disk_moves.clear()
        base = "/runtime/webhooks/durabletask"
        begun = [asyncio.create_task(host.post(f"{base}/orchestrators/fans_out/i{number}")) for number in range(100)]
        for _ in range(20):
            assert (await host.get("/api/page")).text == "a page"
        assert (await host.get("/admin/host/ping")).status == 200
        assert not any(task.done() for task in begun), "a start was confirmed before it was on disk"
        disk_moves.set()
        assert [(await task).status for task in begun] == [202] * 100
        for number in range(100):
            instance = await host.local.scheduler.wait_for_completion(f"i{number}", PATIENCE)
            assert instance is not None
            assert (instance.status, json.loads(instance.output or "")) == ("Completed", FANNED_OUT)


async def test_a_slow_disk_has_more_done_by_each_commit(
    app: Path, monkeypatch: pytest.MonkeyPatch, disk_moves: threading.Event
) -> None:
    """100 instances with 10 activities each are 1,400 things to commit: starts, turns and results."""
    assert disk_moves.is_set()
    async with run_host(app, app / "x.db") as host:
        monkeypatch.setattr(HeldConnection, "pause", 0.1)
        scheduler = host.local.scheduler
        await asyncio.gather(*(scheduler.start_instance("fans_out", None, f"i{number}") for number in range(100)))
        for number in range(100):
            instance = await scheduler.wait_for_completion(f"i{number}", PATIENCE)
            assert instance is not None
            assert (instance.status, json.loads(instance.output or "")) == ("Completed", FANNED_OUT)
        assert HeldConnection.commits < 140
