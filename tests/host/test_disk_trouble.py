"""A running host whose disk is full, or whose file cannot be written or is damaged: a clear line, nothing half done."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_process import HostProcess, wait_until

if sys.platform == "win32":
    pytest.skip("mounts and resource limits are not to be had here", allow_module_level=True)
import resource

FULL = "database or disk is full. Free some space; running work goes on where it stood"
IO_ERROR = "disk I/O error. Check the disk, and the limit on the size of files; running work goes on where it stood"
DAMAGED = "database disk image is malformed. The file is damaged; restore a copy or give another file"
APP = """
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
"""


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
