"""Which program is the worker: ours, or another that speaks FunctionRpc.

The settings and the file are those of the Functions host. `languageWorkers__python__workerDirectory` names a folder
with a `worker.config.json`, such as that of Azure's own worker; `languageWorkers__python__defaultExecutablePath` names
the interpreter, and `languageWorkers__python__arguments` what it is given before the worker's path. Our own worker is
spoken to in frames where it runs on the host's interpreter; `WORKER_EXT_TRANSPORT=grpc` has it speak gRPC as in Azure.

Source: worker protocol, "Where the worker comes from"; left out: `processOptions`, and checks of supported platforms.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from worker_ext.errors import HostError
from worker_ext.protocol.jsonc import read_json_object

CONFIG_FILE = "worker.config.json"
RUNTIME_VERSION = "FUNCTIONS_WORKER_RUNTIME_VERSION"
_SETTING = "languageWorkers__python__"
TRANSPORT = "WORKER_EXT_TRANSPORT"
FRAMES, GRPC = "frames", "grpc"
# -P: the app's folder is no place to look for what the worker itself imports.
_OUR_WORKER = ("-P", "-m", "worker_ext.worker")
_OPERATING_SYSTEMS = {"Darwin": "OSX"}
_ARCHITECTURES = {"x86_64": "X64", "amd64": "X64", "aarch64": "Arm64", "arm64": "Arm64"}


@dataclass(frozen=True)
class WorkerConfig:
    """How the worker is started.

    Attributes:
        command: The command line before what the host adds to it.
        version: The Python version it is told to be, such as `3.12`.
        directory: The folder of its worker.config.json; None for our own.
        finds_functions: Whether it can be asked for the app's functions; else only function.json files say.
        takes_frames: Whether it is this very package's own, and need not be spoken to in gRPC.
    """

    command: tuple[str, ...]
    version: str
    directory: Path | None = None
    finds_functions: bool = True
    takes_frames: bool = False


def read_worker_config(environment: Mapping[str, str]) -> WorkerConfig:
    """Reads which worker the settings name.

    Raises:
        HostError: The folder they name holds no worker that can be started, or a setting has a value that is none.
    """
    settings = {}
    for name, value in environment.items():
        key = name.replace(":", "__").lower()
        if key.startswith(_SETTING.lower()) and value:
            settings[key.removeprefix(_SETTING.lower())] = value
    version = environment.get(RUNTIME_VERSION) or f"{sys.version_info.major}.{sys.version_info.minor}"
    arguments = settings.get("arguments", "").split()
    folder = settings.get("workerdirectory")
    if folder is None:
        executable = settings.get("defaultexecutablepath", sys.executable)
        # Another interpreter may have another version of this package.
        takes_frames = executable == sys.executable and _transport(environment) == FRAMES
        return WorkerConfig((executable, *arguments, *_OUR_WORKER), version, takes_frames=takes_frames)
    return _read_folder(Path(folder).absolute(), settings.get("defaultexecutablepath"), arguments, version)


def _transport(environment: Mapping[str, str]) -> str:
    choice = environment.get(TRANSPORT) or FRAMES
    if choice.lower() not in {FRAMES, GRPC}:
        raise HostError(f"the setting {TRANSPORT} must be {FRAMES!r}, {GRPC!r} or absent, not {choice!r}")
    return choice.lower()


def _read_folder(folder: Path, executable: str | None, arguments: list[str], version: str) -> WorkerConfig:
    path = folder / CONFIG_FILE
    members = read_json_object(path)
    if members is None:
        raise HostError(f"{path} does not exist. {_SETTING}workerDirectory must name the folder of a worker")
    description = members.get("description")
    if not isinstance(description, dict):
        raise HostError(f"{path}: description: expected an object, found {_shown(description)}")
    language = description.get("language")
    if language != "python":
        raise HostError(f'{path}: description.language: expected "python", found {_shown(language)}')
    script = folder / _fill(_text(path, description, "defaultWorkerPath"), version)
    if not script.is_file():
        raise HostError(f"{path}: description.defaultWorkerPath: there is no file {script}")
    return WorkerConfig(
        command=(
            executable or _text(path, description, "defaultExecutablePath"),
            *_list(path, description, "arguments"),
            *arguments,
            str(script),
            *_list(path, description, "workerArguments"),
        ),
        version=version,
        directory=folder,
        finds_functions=str(description.get("workerIndexing", "")).lower() == "true",
    )


def _fill(path: str, version: str) -> str:
    machine = platform.machine()
    values = {
        f"%{RUNTIME_VERSION}%": version,
        "{os}": _OPERATING_SYSTEMS.get(platform.system(), platform.system()),
        "{architecture}": _ARCHITECTURES.get(machine.lower(), machine),
    }
    return re.sub("|".join(map(re.escape, values)), lambda found: values[found[0]], path)


def _text(path: Path, description: Mapping[str, Any], name: str) -> str:
    value = description.get(name)
    if not isinstance(value, str) or not value:
        raise HostError(f"{path}: description.{name}: expected text, found {_shown(value)}")
    return value


def _list(path: Path, description: Mapping[str, Any], name: str) -> list[str]:
    value = description.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise HostError(f"{path}: description.{name}: expected a list of texts, found {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()[:80]
