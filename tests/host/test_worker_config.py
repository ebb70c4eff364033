"""Which program the host starts as the worker."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from worker_ext.errors import HostError
from worker_ext.host.worker_config import WorkerConfig, read_worker_config

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
OURS = ("-P", "-m", "worker_ext.worker")
DESCRIPTION = {"language": "python", "defaultExecutablePath": "python", "defaultWorkerPath": "worker.py"}
FOLDER = "languageWorkers__python__workerDirectory"


def worker_folder(folder: Path, description: Any) -> Path:
    (folder / "worker.config.json").write_text(json.dumps({"description": description}))
    (folder / "worker.py").write_text("")
    return folder


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, WorkerConfig((sys.executable, *OURS), VERSION, takes_frames=True)),
        ({"languageWorkers__python__defaultExecutablePath": "p"}, WorkerConfig(("p", *OURS), VERSION)),
        ({"LANGUAGEWORKERS:PYTHON:DEFAULTEXECUTABLEPATH": "p"}, WorkerConfig(("p", *OURS), VERSION)),
        (
            {"languageWorkers__python__arguments": "-X  dev", "FUNCTIONS_WORKER_RUNTIME_VERSION": "3.99"},
            WorkerConfig((sys.executable, "-X", "dev", *OURS), "3.99", takes_frames=True),
        ),
    ],
)
def test_our_worker_with_another_interpreter(environment: dict[str, str], expected: WorkerConfig) -> None:
    assert read_worker_config(environment) == expected


@pytest.mark.parametrize(
    "choice, takes_frames", [("", True), ("frames", True), ("Frames", True), ("grpc", False), ("gRPC", False)]
)
def test_the_transport_of_our_worker_is_a_setting(choice: str, takes_frames: bool) -> None:
    found = read_worker_config({"WORKER_EXT_TRANSPORT": choice})
    assert found == WorkerConfig((sys.executable, *OURS), VERSION, takes_frames=takes_frames)


def test_a_transport_that_is_none_is_refused() -> None:
    with pytest.raises(HostError) as error:
        read_worker_config({"WORKER_EXT_TRANSPORT": "http"})
    assert str(error.value) == "the setting WORKER_EXT_TRANSPORT must be 'frames', 'grpc' or absent, not 'http'"


def test_a_worker_of_another_make(tmp_path: Path) -> None:
    description = {
        **DESCRIPTION,
        "defaultWorkerPath": "%FUNCTIONS_WORKER_RUNTIME_VERSION%/worker.py",
        "arguments": ["-X", "no_debug_ranges"],
        "workerArguments": ["--log-level", "INFO"],
        "workerIndexing": "true",
    }
    folder = worker_folder(tmp_path, description)
    (folder / "3.99").mkdir()
    (folder / "3.99" / "worker.py").write_text("")
    found = read_worker_config(
        {
            FOLDER: str(folder),
            "FUNCTIONS_WORKER_RUNTIME_VERSION": "3.99",
            "languageWorkers__python__arguments": "-B",
        }
    )
    script = str(folder / "3.99" / "worker.py")
    command = ("python", "-X", "no_debug_ranges", "-B", script, "--log-level", "INFO")
    assert found == WorkerConfig(command, "3.99", folder, finds_functions=True)


def test_a_worker_that_cannot_be_asked_for_functions(tmp_path: Path) -> None:
    found = read_worker_config(
        {
            FOLDER: str(worker_folder(tmp_path, DESCRIPTION)),
            "languageWorkers__python__defaultExecutablePath": "p",
        }
    )
    assert found == WorkerConfig(("p", str(tmp_path / "worker.py")), VERSION, tmp_path, finds_functions=False)


@pytest.mark.parametrize(
    "description, message",
    [
        (None, "description: expected an object, found nothing"),
        ({**DESCRIPTION, "language": "node"}, 'description.language: expected "python", found "node"'),
        ({**DESCRIPTION, "defaultWorkerPath": "other.py"}, "description.defaultWorkerPath: there is no file "),
        ({**DESCRIPTION, "defaultWorkerPath": None}, "description.defaultWorkerPath: expected text, found nothing"),
        ({**DESCRIPTION, "defaultExecutablePath": 3}, "description.defaultExecutablePath: expected text, found 3"),
        ({**DESCRIPTION, "arguments": "-B"}, 'description.arguments: expected a list of texts, found "-B"'),
    ],
)
def test_a_folder_without_a_worker_that_can_be_started(tmp_path: Path, description: Any, message: str) -> None:
    with pytest.raises(HostError) as caught:
        read_worker_config({FOLDER: str(worker_folder(tmp_path, description))})
    assert str(caught.value).startswith(f"{tmp_path / 'worker.config.json'}: {message}")


def test_a_folder_without_worker_config_json(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"does not exist\. languageWorkers__python__workerDirectory must name"):
        read_worker_config({FOLDER: str(tmp_path)})
