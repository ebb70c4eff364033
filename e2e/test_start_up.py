"""What `worker-ext start` says when it cannot start: one message with the facts and the way out, exit code 1."""

from __future__ import annotations

import re
import socket
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from host_process import HostProcess

pytestmark = pytest.mark.local_host("what the local host says when it starts")

GOOD = "import worker_ext as df\n\napp = df.DFApp()\n"


def make_app(folder: Path, source: str) -> Path:
    folder.mkdir()
    (folder / "function_app.py").write_text(source)
    (folder / "host.json").write_text('{"version": "2.0"}')
    return folder


OWN_FRAME = re.compile(r'File ".*[/\\]worker_ext[/\\]')


def refusal(host: HostProcess) -> str:
    """What a host that must not start prints; the app's own lines may be in it, ours may not."""
    host.launch()
    code = host.wait()
    said = host.log()
    assert (code, said.startswith("worker-ext: "), OWN_FRAME.findall(said)) == (1, True, []), said
    return said


def missing(text: str, facts: Sequence[object]) -> list[str]:
    return [str(fact) for fact in facts if str(fact) not in text]


@pytest.mark.parametrize(
    "source, facts",
    [
        pytest.param("app = (\n", ["function_app.py", "line 1", "'(' was never closed"], id="syntax error"),
        pytest.param("import not_installed_anywhere\n", ["not_installed_anywhere", "requirements.txt"], id="import"),
        pytest.param(f"{GOOD}raise RuntimeError('no luck')\n", ["RuntimeError", "no luck"], id="error on import"),
        pytest.param(f"{GOOD}import os\nos._exit(7)\n", ["worker", "7"], id="worker dies"),
        pytest.param("x = 1\n", ["function_app.py"], id="no app in it"),
    ],
)
def test_an_app_that_cannot_be_loaded(make_host: Any, tmp_path: Path, source: str, facts: list[str]) -> None:
    said = refusal(make_host(make_app(tmp_path / "app", source)))
    assert missing(said, facts) == [], said


def test_a_folder_that_is_not_there(make_host: Any, tmp_path: Path) -> None:
    said = refusal(make_host(tmp_path / "nowhere"))
    assert missing(said, [tmp_path / "nowhere"]) == [], said


def test_a_folder_without_an_app(make_host: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = refusal(make_host(tmp_path / "empty"))
    assert missing(said, [tmp_path / "empty", "function_app.py"]) == [], said


def test_a_port_that_is_taken(make_host: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refusal(make_host(make_app(tmp_path / "app", GOOD), port=port))
    assert missing(said, [port, "--port"]) == [], said


def test_a_host_json_that_is_not_json(make_host: Any, tmp_path: Path) -> None:
    app = make_app(tmp_path / "app", GOOD)
    (app / "host.json").write_text('{"version": ')
    said = refusal(make_host(app))
    assert missing(said, ["host.json"]) == [], said


def test_a_file_that_is_no_database_is_left_as_it_is(make_host: Any, tmp_path: Path) -> None:
    host = make_host(make_app(tmp_path / "app", GOOD))
    host.db.write_text("my diary\n" * 100)
    said = refusal(host)
    assert (missing(said, [host.db]), host.db.read_text()) == ([], "my diary\n" * 100), said


def test_somebody_elses_database_is_left_as_it_is(make_host: Any, tmp_path: Path) -> None:
    host = make_host(make_app(tmp_path / "app", GOOD))
    database = sqlite3.connect(host.db)
    database.execute("CREATE TABLE instances (mine TEXT)")
    database.commit()
    database.close()
    before = host.db.read_bytes()
    said = refusal(host)
    assert (missing(said, [host.db]), host.db.read_bytes()) == ([], before), said


def test_a_retry_policy_that_no_host_applies_is_told(make_host: Any, tmp_path: Path) -> None:
    """Hosts ignore them without a word, and an activity that was to be repeated is not."""
    source = '\n@app.activity_trigger(input_name="x")\n@app.retry(strategy="fixed_delay", max_retry_count="3", '
    source += 'delay_interval="00:00:01")\ndef pack(x):\n    return x\n'
    host = make_host(make_app(tmp_path / "app", GOOD + source)).start()
    host.until_it_says(
        "pack: its retry policy is not applied: hosts repeat timer, Event Hubs, Kafka and Cosmos DB triggers only; "
        "call it with call_activity_with_retry instead"
    )
