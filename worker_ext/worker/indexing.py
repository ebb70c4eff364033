"""The app's functions: import the script file, find the app object in it, and describe what it holds.

Rule: one `FunctionRegister` (FunctionApp, DFApp, ...) among the attributes of the module, function names unique, every
function as `checks` wants it; one fault fails the app.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions

from worker_ext.errors import AppError
from worker_ext.rpc import pb
from worker_ext.worker import failures
from worker_ext.worker.checks import Signature, check_function
from worker_ext.worker.retries import retry_options

DEFAULT_SCRIPT = "function_app.py"
SCRIPT_SETTING = "PYTHON_SCRIPT_FILE_NAME"
_PACKAGES = Path(".python_packages", "lib", "site-packages")


@dataclass(frozen=True, slots=True)
class AppFunction:
    """A function of the app, ready to be invoked.

    Attributes:
        call: What the decorators left of the user's function.
        is_async: It runs on the event loop; others run in a thread.
        directory: Where its source file is.
    """

    name: str
    function_id: str
    call: Callable[..., Any]
    is_async: bool
    directory: str
    signature: Signature
    metadata: pb.RpcFunctionMetadata


def script_file() -> str:
    """Return the name of the app's script file.

    Raises:
        AppError: The setting is not the name of a Python file.
    """
    name = os.environ.get(SCRIPT_SETTING, DEFAULT_SCRIPT)
    if not re.fullmatch(r"[A-Za-z0-9_-]+\.py", name):
        raise AppError(
            f"the setting {SCRIPT_SETTING} must be the name of a file in the app's folder, of letters, digits, '_' and "
            f"'-', ending in '.py'; it is {name!r}"
        )
    return name


def uses_function_json(app_directory: Path) -> bool:
    """Tell whether the folder is an app of the v1 model: no script file, but folders with a function.json."""
    if (app_directory / script_file()).exists() or SCRIPT_SETTING in os.environ:
        return False
    return next(app_directory.glob("*/function.json"), None) is not None


def prepare_paths(app_directory: Path) -> None:
    """Let the app import its packages and its own modules: packages first, then the worker's, then the folder."""
    folder, packages = str(app_directory), str(app_directory / _PACKAGES)
    # Python puts the working directory first; there, a module of the app could hide one of the standard library.
    sys.path[:] = [entry for entry in sys.path if entry not in {folder, packages, ""}]
    sys.path.insert(0, packages)
    sys.path.append(folder)
    importlib.invalidate_caches()


def forget(app_directory: Path) -> None:
    """Drop the app's own modules, so that the next import reads them again."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(app_directory) and app_directory / _PACKAGES not in Path(file).parents:
            del sys.modules[name]


def index(app_directory: Path) -> list[AppFunction]:
    """Import the app and describe its functions.

    Raises:
        AppError: The app cannot be loaded as it is; the message says what to change.
    """
    script = script_file()
    module = _import(app_directory, script)
    app = _find_app(module, script)
    try:
        functions = app.get_functions()
    except (ValueError, TypeError) as error:
        raise AppError(f"{script}: {error}") from error
    return _describe_all(functions, app_directory, script)


def _import(app_directory: Path, script: str) -> ModuleType:
    path = app_directory / script
    if not path.is_file():
        raise AppError(f"{app_directory} has no {script}: start the worker with the folder of a function app")
    name = script.removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AppError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # sys.exit() in a script must not end the worker without a word
        sys.modules.pop(name, None)
        raise import_error(script, error) from error
    return module


def import_error(script: str, error: BaseException) -> AppError:
    """Say in the app's words why a script of it cannot be imported."""
    if isinstance(error, SyntaxError):
        return AppError(f"{script} cannot be imported.\n{failures.syntax_error(error)}")
    if isinstance(error, SystemExit):
        return AppError(f"{script} ended the process while it was imported (sys.exit({error.code!r})); take that out")
    advice = ""
    if isinstance(error, ModuleNotFoundError):
        advice = f". Is it in requirements.txt, and installed for {sys.executable}?"
    return AppError(f"{script} cannot be imported: {failures.message(error)}{advice}\n{failures.stack(error).rstrip()}")


def _find_app(module: ModuleType, script: str) -> azure.functions.FunctionRegister:
    found = {name: value for name, value in vars(module).items() if isinstance(value, azure.functions.FunctionRegister)}
    apps = list({id(value): value for value in found.values()}.values())
    if len(apps) == 1:
        return apps[0]
    if apps:
        raise AppError(
            f"{script} holds {len(apps)} apps ({', '.join(found)}), expected one: keep one and turn the others into "
            "blueprints that it registers"
        )
    blueprints = [name for name, value in vars(module).items() if isinstance(value, azure.functions.TriggerApi)]
    hint = f" (the blueprint {blueprints[0]!r} is no app: register it with one)" if blueprints else ""
    raise AppError(f"{script} holds no app, expected one such as app = azure.functions.FunctionApp(){hint}")


def _describe_all(functions: Sequence[Any], app_directory: Path, script: str) -> list[AppFunction]:
    described, faults = [], []
    for function in functions:
        try:
            described.append(_describe(function, app_directory, script))
        except AppError as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        lines = "\n".join(f"- {fault}" for fault in faults)
        raise AppError(f"{len(faults)} functions cannot be served:\n{lines}") from faults[0]
    return described


def _describe(function: Any, app_directory: Path, script: str) -> AppFunction:
    name = function.get_function_name()
    call = function.get_user_function()
    declared = function.get_bindings()
    signature = check_function(name, call, declared)
    metadata = pb.RpcFunctionMetadata(
        name=name,
        function_id=function_id(name),
        directory=str(app_directory),
        script_file=script,
        entry_point=name,
        language="python",
        bindings=_binding_infos(declared),
        raw_bindings=function.get_raw_bindings(),
        retry_options=retry_options(name, function.get_settings_dict("retry_policy")),
        properties={"worker_indexed": "True"},
    )
    return AppFunction(
        name=name,
        function_id=metadata.function_id,
        call=call,
        is_async=inspect.iscoroutinefunction(call),
        directory=str(Path(call.__code__.co_filename).parent),
        signature=signature,
        metadata=metadata,
    )


def function_id(name: str) -> str:
    """Return the id of a function: the same in every worker process of the app."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def _binding_infos(declared: Sequence[Any]) -> Mapping[str, pb.BindingInfo]:
    return {
        binding.name: pb.BindingInfo(
            type=binding.type, direction=binding.direction, data_type=binding.data_type or pb.BindingInfo.undefined
        )
        for binding in declared
    }
