"""The README's commands, run as they stand in a copy of the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from elsewhere import once
from host_process import PATIENCE, descendants, free_port, is_free, wait_until

pytestmark = pytest.mark.local_host("the README's commands start the local host")

README_PORT = 7071
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BETWEEN = "---- the next command of the README ----"


@dataclass(frozen=True)
class Block:
    """A fenced block: what it is written in, and its text."""

    language: str
    text: str


def blocks(readme: str, section: str) -> list[Block]:
    """The fenced blocks of one section."""
    parts = SECTION.split(readme)
    text = parts[parts.index(section) + 1]
    return [Block(language, body.strip("\n")) for language, body in FENCE.findall(text)]


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """A copy of what the repository holds, without what tools have left in it."""
    tools = (".git", ".venv", ".tox", ".hypothesis", ".*_cache", ".worker_ext", "__pycache__", "build", "dist")
    return Path(shutil.copytree(repository, tmp_path / "checkout", ignore=shutil.ignore_patterns(*tools)))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which `python3` is the Python under test, and no other environment is active."""
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys._base_executable}" "$@"\n')  # type: ignore[attr-defined]
    python.chmod(0o755)
    foreign = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONDEVMODE", "PYTHONWARNINGS", "__PYVENV_LAUNCHER__"}
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    return {**kept, "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]])}


class Server:
    """The README's first command, in a shell, from its start to Ctrl-C."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str], port: int) -> None:
        self._log = folder.parent / f"server-{time.monotonic_ns()}.log"
        self._port = port
        with self._log.open("wb") as log:
            self._shell = subprocess.Popen(
                ["bash", "-c", command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_it_serves(self) -> None:
        for _ in range(5):  # installing takes as long as the network does
            try:
                wait_until(self._serves, "the README's command to serve", self.log)
            except AssertionError:
                if self._shell.poll() is not None:
                    raise
            else:
                return
        raise AssertionError(f"the README's command does not serve:\n{self.log()}")

    def press_ctrl_c(self) -> int:
        os.killpg(self._shell.pid, signal.SIGINT)
        return self._shell.wait(PATIENCE)

    def stop(self) -> None:
        if self._shell.poll() is None:
            pids = [self._shell.pid, *descendants(self._shell.pid)]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            self._shell.wait(PATIENCE)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _serves(self) -> bool:
        assert self._shell.poll() is None, f"it ended with {self._shell.returncode}:\n{self.log()}"
        return f"http://localhost:{self._port}/api/orchestrators/{{functionName}}" in self.log()


def generalized(text: str, port: int) -> Any:
    """An answer as JSON, with what differs from run to run replaced by what it is."""
    text = re.sub(rf"localhost:{port}\b", "localhost:<port>", text)
    text = re.sub(r"[0-9a-f]{32}", "<id>", text)
    return json.loads(re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>", text))


def answers(commands: list[str], environment: dict[str, str]) -> list[str]:
    """What each command prints when all are typed into one shell."""
    script = f"\necho '{BETWEEN}'\n".join(commands)
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    return [text.strip() for text in done.stdout.split(f"{BETWEEN}\n")]


def settled_answers(commands: list[str], environment: dict[str, str], port: int) -> list[Any]:
    """The answers, asked for until the second, the status, is that of a finished instance.

    A person types the second command later than a shell does, and the workflow may still be running.
    """
    given: list[Any] = []

    def has_finished() -> bool:
        given[:] = [generalized(text, port) for text in answers(commands, environment)]
        return bool(given[1]["runtimeStatus"] == "Completed")

    wait_until(has_finished, "the status of a finished instance")
    return given


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="the README's commands use both")
@once("tox installs the wheel on every Python, and the tests of the samples send these requests")
def test_the_quick_start_gives_the_answers_it_shows(readme: str, checkout: Path, environment: dict[str, str]) -> None:
    """The commands as they stand, twice; another port stands in only where 7071 is taken."""
    quick_start = blocks(readme, "Quick start")
    first, *commands = (block.text for block in quick_start if block.language == "bash")
    shown = [block.text for block in quick_start if block.language == "json"]
    port = README_PORT
    if not is_free(port):
        port = free_port()
        first += f" --port {port}"
        commands = [command.replace(f"localhost:{README_PORT}", f"localhost:{port}") for command in commands]
    server = Server(first, checkout, environment, port)
    try:
        server.wait_until_it_serves()
        expected = [generalized(text, README_PORT) for text in shown]
        assert settled_answers(commands, environment, port) == expected
        assert (server.press_ctrl_c(), "Traceback" in server.log()) == (0, False), server.log()
    finally:
        server.stop()
    again = Server(first, checkout, environment, port)
    try:
        again.wait_until_it_serves()
        assert settled_answers(commands, environment, port) == expected
    finally:
        again.stop()


def test_the_test_command_is_the_one_that_ci_runs(readme: str, repository: Path) -> None:
    [command] = [block.text for block in blocks(readme, "Run the tests")]
    ci = (repository / ".ci" / "run").read_text().splitlines()[-1]
    # CI may say where more Pythons are; it may not leave anything out.
    assert re.fullmatch(re.escape(command) + r"( --discover .+)?", ci), ci


def test_every_public_name_is_in_the_readme_and_no_other(readme: str) -> None:
    import worker_ext

    parts = SECTION.split(readme)
    rows = [line for line in parts[parts.index("Public names") + 1].splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z]\w+)`", row.split("|")[1])}
    assert named == {name for name in worker_ext.__all__ if name[0].isupper()}


def test_the_app_in_the_readme_runs(readme: str, make_host: Any, tmp_path: Path) -> None:
    """What a reader copies works."""
    [app] = [block.text for block in blocks(readme, "Write your own") if block.language == "python"]
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "function_app.py").write_text(app)
    (folder / "host.json").write_text('{"version": "2.0"}')
    host = make_host(folder).start()
    order = {"id": 7, "items": ["a cup", "a book"]}
    answer = host.post(f"{host.webhook}/orchestrators/ship?timeout=30&pollingInterval=0.1", order)
    assert (answer.status, answer.json) == (200, {"order": 7, "parcels": ["a box with a cup", "a box with a book"]})


def test_links_lead_to_files(readme: str, repository: Path) -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", readme)
    assert [target for target in targets if not (repository / target).exists()] == []
