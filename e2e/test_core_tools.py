"""The samples of both programming models on Azure Functions Core Tools and Azurite, as their READMEs say.

All tests of this folder run there with `--host func`; the first test here runs wherever Core Tools are installed, the
others see that what drives them and the emulator does its work.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from azurite import Azurite, running_azurite
from core_tools import FuncProcess
from elsewhere import once
from host_process import cli, wait_until

APPS = Path(__file__).parent / "apps"
CITIES = ["Hello Tokyo!", "Hello Seattle!", "Hello London!"]


@pytest.mark.parametrize("name", ["hello_sequence", "hello_v1"])
def test_a_sample_runs_on_core_tools(name: str, new_func: Callable[..., FuncProcess], tmp_path: Path) -> None:
    host = new_func(APPS / name, tmp_path / "host.db")
    try:
        host.start()
        output = host.output_of(host.begin("hello_sequence"))
    finally:
        host.stop()
    assert output == CITIES, host.log()


@once("the emulator runs on Node")
def test_an_emulator_runs_from_its_start_to_its_stop(azurite: Azurite, tmp_path: Path) -> None:
    with running_azurite(azurite.command, tmp_path / "storage") as another:
        servers = [another.server_of(service) for service in ("blob", "queue", "table")]
        kept = {path.name for path in (tmp_path / "storage").iterdir()}
    assert [str(server).partition("/")[0] for server in servers] == ["Azurite-Blob", "Azurite-Queue", "Azurite-Table"]
    assert "__azurite_db_queue__.json" in kept
    assert [another.server_of(service) for service in ("blob", "queue", "table")] == [None] * 3


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A command that takes func's arguments and runs the local host as a child of its own, as func's wrapper does."""
    command = tmp_path / "func"
    command.write_text(f'#!/bin/sh\nshift\n"{cli()[0]}" start "$PWD" "$@"\n')
    command.chmod(0o755)
    return command


@once("the driver is the same for every Python")
def test_the_driver_of_core_tools_starts_an_app_with_its_settings_and_kills_all_of_it(
    azurite: Azurite, stand_in: Path, tmp_path: Path
) -> None:
    host = FuncProcess(APPS / "hello_v1", tmp_path / "host.db", func=str(stand_in), azurite=azurite)
    settings = json.loads((host.app / "local.settings.json").read_text())
    assert settings["Values"]["AzureWebJobsStorage"] == azurite.connection_string
    try:
        host.start()
        instance_id = host.begin("hello_sequence")
        assert host.output_of(instance_id) == CITIES
        first = host.workers()
        host.kill_workers()
        wait_until(lambda: bool(host.workers()), "another worker", host.log)
        assert (len(first), set(first) & set(host.workers())) == (1, set())
        host.kill()
        host.start()
        assert host.output_of(instance_id) == CITIES
    finally:
        host.stop()
    assert not (APPS / "hello_v1" / "local.settings.json").exists()
    shutil.rmtree(host.app)
