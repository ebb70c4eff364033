"""The v1 model: functions that are folders with a function.json, which the host reads by itself.

Rule: every direct subfolder of the app with a function.json is a function of the folder's name; its script is what
`scriptFile` names, else the folder's only other file, else `run.py`, else `__init__.py`. A folder that breaks a rule is
a function that cannot be served; the others go on. An app is of one model.

Source: Functions worker protocol, "v1 model (function.json), host indexing".
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from worker_ext.errors import HostError
from worker_ext.host.functions import FUNCTION_NAME, FunctionCatalog, read_catalog
from worker_ext.host.retry_policies import RetryPolicy, read_policy
from worker_ext.host.settings import HostSettings
from worker_ext.protocol.jsonc import read_json_object
from worker_ext.rpc import pb

FUNCTION_JSON = "function.json"
_USUAL_SCRIPTS = ("run.py", "__init__.py")
_DIRECTIONS = {name: pb.BindingInfo.Direction.Value(name) for name in ("in", "out", "inout")}
_DATA_TYPES = {
    "string": pb.BindingInfo.string,
    "binary": pb.BindingInfo.binary,
    "stream": pb.BindingInfo.stream,
}
_TRUE = frozenset({"1", "true"})


@dataclass(frozen=True)
class _Folder:
    """A function's folder: what is told to the worker, and whether it is served."""

    metadata: pb.RpcFunctionMetadata
    disabled: bool = False
    fault: str | None = None
    retry: RetryPolicy | None = None


def read_function_folders(settings: HostSettings) -> FunctionCatalog:
    """Reads the functions of an app of the v1 model, each with an id of this run's own."""
    paths = sorted(settings.app_dir.glob(f"*/{FUNCTION_JSON}"))
    folders = {path.parent.name: _read_folder(path, settings.environment) for path in paths}
    catalog = read_catalog((folder.metadata for folder in folders.values()), settings)
    return FunctionCatalog(
        replace(
            function,
            disabled=function.disabled or folders[function.name].disabled,
            fault=folders[function.name].fault or function.fault,
            retry=folders[function.name].retry,
        )
        for function in catalog.functions
    )


def _read_folder(path: Path, environment: Mapping[str, str]) -> _Folder:
    metadata = pb.RpcFunctionMetadata(
        name=path.parent.name, function_id=str(uuid.uuid4()), directory=str(path.parent), language="python"
    )
    try:
        members = read_json_object(path) or {}
        _check_name(path.parent)
        metadata.script_file = str(_script(path, members))
        metadata.entry_point = _text(path, members, "entryPoint")
        for number, binding in enumerate(_bindings(path, members)):
            place = f"{path}: bindings[{number}]"
            metadata.bindings[_text(place, binding, "name", needed=True)].CopyFrom(_info(place, binding))
            metadata.raw_bindings.append(msgspec.json.encode(binding).decode())
        retry = members.get("retry")
        return _Folder(
            metadata,
            disabled=_is_disabled(path, members, environment),
            retry=None if retry is None else read_policy(f"{path}: retry", retry),
        )
    except HostError as error:
        return _Folder(metadata, fault=str(error))


def _check_name(folder: Path) -> None:
    if not FUNCTION_NAME.fullmatch(folder.name):
        raise HostError(
            f"{folder}: a function's name is its folder's: expected a letter and up to 127 letters, digits, '_' and "
            "'-', and not 'host'. Rename the folder"
        )


def _script(path: Path, members: Mapping[str, Any]) -> Path:
    folder = path.parent
    named = _text(path, members, "scriptFile")
    if named:
        script = (folder / named).resolve()
        if not script.is_file():
            raise HostError(f"{path}: scriptFile: expected a file, found nothing at {script}")
        return script
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.name != FUNCTION_JSON]
    usual = [folder / name for name in _USUAL_SCRIPTS if (folder / name).is_file()]
    if len(files) == 1:
        return files[0]
    if usual:
        return usual[0]
    raise HostError(
        f"{path}: scriptFile is missing, and the folder has neither one file only nor an {_USUAL_SCRIPTS[-1]}. Name "
        'the script, such as "scriptFile": "__init__.py"'
    )


def _bindings(path: Path, members: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    bindings = members.get("bindings")
    if not isinstance(bindings, list) or not bindings:
        raise HostError(f"{path}: bindings: expected a list of bindings, found {_shown(bindings)}")
    for number, binding in enumerate(bindings):
        if not isinstance(binding, dict):
            raise HostError(f"{path}: bindings[{number}]: expected an object, found {_shown(binding)}")
        yield {name: value for name, value in binding.items() if value is not None}


def _info(place: str, binding: Mapping[str, Any]) -> pb.BindingInfo:
    direction = _text(place, binding, "direction") or "in"
    data_type = _text(place, binding, "dataType")
    if direction.lower() not in _DIRECTIONS:
        raise HostError(f'{place}: direction: expected "in" or "out", found {_shown(direction)}')
    if data_type and data_type.lower() not in _DATA_TYPES:
        raise HostError(f"{place}: dataType: expected one of {', '.join(_DATA_TYPES)}, found {_shown(data_type)}")
    return pb.BindingInfo(
        type=_text(place, binding, "type", needed=True),
        direction=_DIRECTIONS[direction.lower()],
        data_type=_DATA_TYPES.get(data_type.lower(), pb.BindingInfo.undefined),
    )


def _is_disabled(path: Path, members: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """`disabled` is a truth value, or the name of an app setting that holds one."""
    value = members.get("disabled", False)
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return environment.get(value.strip("%"), value).lower() in _TRUE
    raise HostError(f"{path}: disabled: expected true, false or the name of an app setting, found {_shown(value)}")


def _text(place: Path | str, members: Mapping[str, Any], name: str, *, needed: bool = False) -> str:
    value = members.get(name, "")
    if not isinstance(value, str) or (needed and not value):
        raise HostError(f"{place}: {name}: expected text, found {'nothing' if value == '' else _shown(value)}")
    return value


def _shown(value: object) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()[:80]
