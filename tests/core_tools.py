"""`func start`, with the interface of the local host's process: the same tests drive both."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azurite import Azurite
from host_process import HostProcess, command_of, descendants, wait_until

BUNDLE_PATIENCE = 300.0
"""Seconds that a start may take: the first one loads the extension bundle from the internet."""

_SAMPLE = "local.settings.json.sample"
_SETTINGS: dict[str, Any] = {"IsEncrypted": False, "Values": {"FUNCTIONS_WORKER_RUNTIME": "python"}}
_WORKER = "--workerId"
"""Stands in the command line of every worker, and of nothing else."""


def find_func() -> str:
    """The command of Azure Functions Core Tools; the test is skipped where there is none that runs."""
    found = shutil.which("func")
    if found is None:
        pytest.skip("Azure Functions Core Tools are not installed: there is no func on PATH")
    done = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"Azure Functions Core Tools do not run: {found} --version: {last}")
    return found


@dataclass
class FuncProcess(HostProcess):
    """`func start` in a copy of an app, on the Python that runs the tests.

    Its task hub is its own and lies in the emulator, so that `db` only names the copy.

    Attributes:
        func: The command.
        azurite: The storage.
    """

    func: str = "func"
    azurite: Azurite | None = None

    def __post_init__(self) -> None:
        assert self.azurite is not None
        original, folder = self.app, self.db.with_suffix("")
        self.app = folder / original.parent.name / original.name
        if original.is_dir():
            shutil.copytree(original, self.app)
            if original.parent.name == "apps_for_tests":  # they are made of parts of the samples
                (folder / "apps").symlink_to(original.parents[1] / "apps")
            sample = original / _SAMPLE
            settings = json.loads(sample.read_text()) if sample.exists() else _SETTINGS
            settings["Values"] |= {"AzureWebJobsStorage": self.azurite.connection_string}
            (self.app / "local.settings.json").write_text(json.dumps(settings))
        self.environment = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "FUNCTIONS_CORE_TOOLS_TELEMETRY_OPTOUT": "1",
            "AzureFunctionsJobHost__extensions__durableTask__hubName": f"Hub{uuid.uuid4().hex[:20]}",
            **self.environment,
        }

    def start(self) -> FuncProcess:
        self.launch()
        wait_until(self._serves, f"func to serve {self.url}", self.log, patience=BUNDLE_PATIENCE)
        return self

    def command(self) -> list[str]:
        return [self.func, "start", "--port", str(self.port)]

    @property
    def working_directory(self) -> Path:
        return self.app

    def workers(self) -> list[int]:
        """The worker processes, which are not children of the command itself where that is a wrapper."""
        return [pid for pid in descendants(self.pid) if _WORKER in command_of(pid)]
