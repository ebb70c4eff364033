"""The sample clean_up: one instance, round after round, until it is told to stop."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from host_process import wait_until

APP = "clean_up"
SETTINGS = {
    "CLEAN_UP_FOLDER": "{folder}",
    "CLEAN_UP_EVERY_SECONDS": "0.1",
    "CLEAN_UP_OLDER_THAN_SECONDS": "3600",
}
INSTANCE = "clean-up"


@pytest.fixture
def folder(sample: Any) -> Path:
    """The folder that is cleaned up, while the clean-up runs."""
    assert sample.post("/admin/functions/keep_running", {}).status == 202
    wait_until(lambda: rounds(sample) > 0, "a first round", sample.log)
    return Path(sample.environment["CLEAN_UP_FOLDER"])


def status(host: Any) -> dict[str, Any]:
    answer = host.get(f"{host.webhook}/instances/{INSTANCE}")
    found: dict[str, Any] = answer.json if answer.status != 404 else {}
    return found


def rounds(host: Any) -> int:
    custom = status(host).get("customStatus")
    return int(custom["rounds"]) if custom else 0


def make_old(file: Path) -> None:
    file.write_text("old")
    yesterday = time.time() - 24 * 60 * 60
    os.utime(file, (yesterday, yesterday))


def test_it_runs_as_soon_as_the_app_does(sample: Any) -> None:
    wait_until(lambda: rounds(sample) > 0, "a first round", sample.log)


def test_old_files_go_and_new_ones_stay_round_after_round(sample: Any, folder: Path) -> None:
    (folder / "new").write_text("new")
    for name in ("first", "second"):
        make_old(folder / name)
        wait_until(lambda: [file.name for file in folder.iterdir()] == ["new"], "the old file to go", sample.log)
    first = rounds(sample)
    wait_until(lambda: rounds(sample) > first + 3, "three more rounds", sample.log)


def test_its_history_does_not_grow(sample: Any, folder: Path) -> None:
    first = rounds(sample)
    wait_until(lambda: rounds(sample) > first + 5, "five more rounds", sample.log)
    history = sample.status(INSTANCE, "?showHistory=true")["historyEvents"]
    assert len(history) < 10


def test_it_stops_when_it_is_told_to_and_starts_again_with_the_timer(sample: Any, folder: Path) -> None:
    sample.post(f"{sample.webhook}/instances/{INSTANCE}/raiseEvent/stop", b"null")
    output = sample.output_of(INSTANCE)
    assert output == status(sample)["customStatus"]
    assert sample.post("/admin/functions/keep_running", {}).status == 202
    wait_until(lambda: status(sample)["runtimeStatus"] == "Running", "it to run again", sample.log)


def test_a_second_start_changes_nothing(sample: Any, folder: Path) -> None:
    first = rounds(sample)
    assert sample.post("/admin/functions/keep_running", {}).status == 202
    wait_until(lambda: rounds(sample) > first, "another round", sample.log)
