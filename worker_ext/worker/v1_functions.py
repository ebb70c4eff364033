"""Functions of the v1 model: a folder with a function.json, which the host reads, and a script, which is read here.

Rule: the script is imported under the name `__app__.<folder>`, or `__app__.<folder>.<module>` where it is not the
folder's `__init__.py`; `__app__` is a package without a file that spreads over the app's folder, so that
`from __app__.shared import x` and `from ..shared import x` work. The host says which bindings the function has.

Source: Functions worker protocol, "v1 model (function.json), host indexing".
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from worker_ext.errors import AppError
from worker_ext.rpc import pb
from worker_ext.worker.checks import FUNCTION_JSON, check_function
from worker_ext.worker.indexing import AppFunction, import_error

NAMESPACE = "__app__"
DEFAULT_SCRIPT = "__init__.py"
DEFAULT_ENTRY_POINT = "main"


@dataclass(slots=True)
class _Declared:
    """A binding as the host declares it."""

    name: str
    type: str
    direction: int


def load(function_id: str, metadata: pb.RpcFunctionMetadata) -> AppFunction:
    """Import the script of a function and check it against its bindings.

    Raises:
        AppError: The function cannot be served as it is; the message says what to change.
    """
    folder = Path(metadata.directory)
    script = Path(metadata.script_file or folder / DEFAULT_SCRIPT)
    entry_point = metadata.entry_point or DEFAULT_ENTRY_POINT
    try:
        call = _entry_point(_import(folder, script), script, entry_point)
    except AppError as error:
        raise AppError(f"function {metadata.name!r}: {error}") from error.__cause__
    declared = [_Declared(name, info.type, info.direction) for name, info in metadata.bindings.items()]
    return AppFunction(
        name=metadata.name,
        function_id=function_id,
        call=call,
        is_async=inspect.iscoroutinefunction(call),
        directory=metadata.directory,
        signature=check_function(metadata.name, call, declared, FUNCTION_JSON),
        metadata=metadata,
    )


def _import(folder: Path, script: Path) -> ModuleType:
    name = _module_name(folder.parent, script)
    _open_namespace(folder.parent)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except BaseException as error:  # sys.exit() in a script must not end the worker without a word
        raise import_error(str(script.relative_to(folder.parent)), error) from error


def _module_name(app_directory: Path, script: Path) -> str:
    if not script.is_relative_to(app_directory):
        raise AppError(f"its script {script} is not in the app's folder {app_directory}; correct scriptFile")
    if script.suffix != ".py":
        raise AppError(f"its script {script} is no Python file; scriptFile must name one that ends in '.py'")
    if not script.is_file():
        raise AppError(f"its script {script} does not exist; create it, or correct scriptFile")
    *folders, last = script.relative_to(app_directory).with_suffix("").parts
    return ".".join([NAMESPACE, *folders, *([] if last == "__init__" else [last])])


def _open_namespace(app_directory: Path) -> None:
    """Make `__app__` a package over the app's folder."""
    module = sys.modules.get(NAMESPACE)
    if module is None:
        spec = importlib.machinery.ModuleSpec(NAMESPACE, None, is_package=True)
        module = sys.modules[NAMESPACE] = importlib.util.module_from_spec(spec)
    module.__path__ = [str(app_directory)]


def _entry_point(module: ModuleType, script: Path, name: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not callable(function):
        found = "is not there" if function is None else f"is an object of type {type(function).__name__!r}"
        raise AppError(
            f"{script} must hold the function {name!r}, which {found}; define it, or name another one as entryPoint in "
            "function.json"
        )
    return function  # type: ignore[no-any-return]
