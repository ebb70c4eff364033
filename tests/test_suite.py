"""How the suite divides its work: between processes of one run, and between runs on several Pythons."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import elsewhere
import pytest
from elsewhere import once, suite_before
from host_process import free_port
from real_workers.environments import Environments, made_once

HERE = Path(__file__).parent
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_what_several_want_at_once_is_made_once(tmp_path: Path) -> None:
    folder, at_once, made = tmp_path / "made", threading.Barrier(4), []

    def want() -> str:
        at_once.wait()
        with made_once(folder) as new:
            if new is not None:
                made.append(new)
                new.mkdir()
                (new / "file").write_text("whole")
        return (folder / "file").read_text()

    with ThreadPoolExecutor(4) as pool:
        assert [future.result() for future in [pool.submit(want) for _ in range(4)]] == ["whole"] * 4
    assert len(made) == 1


def test_what_was_not_made_to_its_end_is_made_again(tmp_path: Path) -> None:
    def make(*, fails: bool) -> None:
        with made_once(tmp_path / "made") as new:
            assert new is not None
            new.mkdir()
            if fails:
                raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        make(fails=True)
    assert not (tmp_path / "made").exists()
    make(fails=False)
    assert (tmp_path / "made").is_dir()


@once("only the suite that has the matrix asks pip")
def test_pip_is_asked_once_for_what_it_cannot_install(tmp_path: Path) -> None:
    environments = Environments(tmp_path, tmp_path)
    wanted = tmp_path / "package"
    for _ in range(2):
        with pytest.raises(pytest.skip.Exception, match=f"pip cannot install {wanted} for Python {VERSION}: .*exist"):
            environments.packages(VERSION, [str(wanted)])
        wanted.mkdir(exist_ok=True)
        (wanted / "pyproject.toml").write_text('[project]\nname = "package"\nversion = "1"\n')


def test_each_process_of_a_run_has_ports_of_its_own() -> None:
    given = [free_port() for _ in range(3)]
    assert len({*given, *ports_of("gw98"), *ports_of("gw99")}) == 9
    assert all(20_000 <= port < 30_000 for port in given)


def ports_of(process: str) -> list[int]:
    code = "import os; from host_process import free_port; print(*(free_port() for _ in range(3)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=HERE,
        env={"PYTEST_XDIST_WORKER": process},
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(port) for port in done.stdout.split()]


@pytest.mark.parametrize(
    "own, found, expected",
    [
        ("3.13", {"3.11", "3.12", "3.13"}, "3.11"),
        ("3.13", {"3.12", "3.13"}, "3.12"),
        ("3.13", {"3.13", "3.14"}, None),
        ("3.11", {"3.11", "3.12"}, None),
        ("test", {"3.11", "3.12"}, None),
        (None, {"3.11", "3.12"}, None),
    ],
)
def test_what_depends_on_no_python_is_left_to_the_oldest(
    monkeypatch: pytest.MonkeyPatch, own: str | None, found: set[str], expected: str | None
) -> None:
    monkeypatch.setattr(elsewhere, "has_python", found.__contains__)
    assert suite_before(own) == expected


def test_a_report_travels_whatever_was_logged(pytestconfig: pytest.Config) -> None:
    report = pytest.TestReport("a", ("file", 1, "a"), {}, "passed", None, "call", [("Captured log", "half: \ud800")])
    sent = pytestconfig.hook.pytest_report_to_serializable(config=pytestconfig, report=report)
    assert sent["sections"] == [("Captured log", "half: \\ud800")]
