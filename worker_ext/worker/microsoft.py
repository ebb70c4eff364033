"""Microsoft's request handlers instead of ours, where they are installed.

From Python 3.13 on, Azure runs an app by `azure-functions-runtime` (or `azure-functions-runtime-v1`, for function.json
apps) inside a process that only carries messages. This worker can be that process: indexing, checks and invocations are
then those of the cloud, the stream and the logs are ours. The setting WORKER_EXT_HANDLERS says which: `own`,
`microsoft`, or nothing, which means Microsoft's on Python 3.13 and newer if the package is there.

Left out: shared memory, which the handlers offer and cannot read; InvocationCancel, which they do not know.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from worker_ext.errors import AppError
from worker_ext.rpc import pb
from worker_ext.worker import context, failures, indexing, invocation

SETTING = "WORKER_EXT_HANDLERS"
OWN, MICROSOFT = "own", "microsoft"
V1_PACKAGE, V2_PACKAGE = "azure_functions_runtime_v1", "azure_functions_runtime"
SINCE = (3, 13)
START_UP = frozenset(
    {
        "worker_init_request",
        "functions_metadata_request",
        "function_load_request",
        "function_environment_reload_request",
    }
)
OPENING = frozenset({"worker_init_request", "function_environment_reload_request"})
"""The messages after which there may be another app, and other settings."""

_NOT_OFFERED = "SharedMemoryDataTransfer"
_OURS = "HandlesWorkerTerminateMessage"


def handlers_for(app_directory: Path, environment: Mapping[str, str], host: str) -> MicrosoftHandlers | None:
    """Choose the handlers of an app: Microsoft's, or None for ours.

    Raises:
        AppError: The setting has a value that is none, or asks for a package that is not installed.
    """
    choice = environment.get(SETTING, "").lower()
    if choice not in {"", OWN, MICROSOFT}:
        raise AppError(f"the setting {SETTING} must be {OWN!r}, {MICROSOFT!r} or absent, not {environment[SETTING]!r}")
    if choice == OWN or (not choice and sys.version_info < SINCE):
        return None
    package = V1_PACKAGE if indexing.uses_function_json(app_directory) else V2_PACKAGE
    if importlib.util.find_spec(package) is not None:
        return MicrosoftHandlers(importlib.import_module(package), host)
    if choice == MICROSOFT:
        name = package.replace("_", "-")
        raise AppError(f"the setting {SETTING} is {MICROSOFT!r}, but {name} is not installed for {sys.executable}")
    return None


class MicrosoftHandlers:
    """One of the two packages, behind the messages of this worker."""

    def __init__(self, package: ModuleType, host: str) -> None:
        self._package = package
        self._properties = {"host": host, "protos": SimpleNamespace(**vars(pb))}
        self._package.start_threadpool_executor()
        variable = package.invocation_id_cv
        context.INVOCATION_SOURCES[:] = [variable.get]

    @property
    def name(self) -> str:
        """The package."""
        return self._package.__name__

    async def invoke(self, message: pb.StreamingMessage, answer: pb.InvocationResponse) -> None:
        """Have a function called, and fill the answer whatever happens."""
        context.INVOCATION_ID.set(answer.invocation_id)
        try:
            answer.CopyFrom(await self.answer("invocation_request", message))
        except asyncio.CancelledError:
            invocation.cancel(answer)
        except BaseException as error:  # noqa: BLE001 - the host waits for an answer, even after sys.exit()
            failures.fail(answer.result, error)

    async def answer(self, kind: str, message: pb.StreamingMessage) -> Any:
        """Have a request answered; the handlers turn the app's errors into answers of failure."""
        request = SimpleNamespace(request=message, properties=self._properties)
        answer = await getattr(self._package, kind)(request)
        if kind == "function_environment_reload_request":  # the settings say how many threads
            self._package.start_threadpool_executor()
        if kind in OPENING:
            answer.capabilities.pop(_NOT_OFFERED, None)
            answer.capabilities[_OURS] = "true"
        return answer
