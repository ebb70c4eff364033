"""The seam between the scheduler and whatever runs the app's functions.

The scheduler knows no processes and no gRPC: it asks a gateway to run one function and gets a `Reply`, or a
`WorkerLostError`, which says nothing about the function and has the work delivered again.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from worker_ext.errors import HostError
from worker_ext.protocol.codec import format_timespan

FunctionKind: TypeAlias = Literal["orchestration", "activity", "entity"]


class Reply(Struct, frozen=True, gc=False):
    """What one invocation gave.

    Attributes:
        value: The return value as JSON text (a string datum is quoted); None where nothing was returned.
        failure: The message of the worker's exception, such as `ValueError: bad`; None on success.
        stack: The worker's stack trace, if it sent one.
    """

    value: str | None
    failure: str | None = None
    stack: str | None = None


class WorkerLostError(HostError):
    """The platform failed, not the function: a worker died, hangs or is not there yet. The work is delivered again.

    Attributes:
        while_running: Whether the worker ended by itself, or was killed, while it ran the function.
    """

    def __init__(self, message: str, *, while_running: bool = False) -> None:
        super().__init__(message)
        self.while_running = while_running


class FunctionTimeoutError(WorkerLostError):
    """The function took longer than functionTimeout, for which its worker was replaced; the text is the host's.

    Whatever else the worker ran is lost to it as a `WorkerLostError` that is not `while_running`: it is known who is to
    blame.
    """

    def __init__(self, name: str, limit: timedelta) -> None:
        super().__init__(f"Timeout value of {format_timespan(limit)} was exceeded by function: Functions.{name}")


class WorkerGateway(Protocol):
    """Runs functions in a worker."""

    def function_names(self, kind: FunctionKind) -> Collection[str]:
        """The durable names of the functions that can be run; while a worker restarts, those of the last one."""
        ...

    async def run_orchestrator(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        """Runs an orchestrator on the text of a context payload; `trace_parent` names its span.

        Raises:
            FunctionTimeoutError: It took too long.
            WorkerLostError: There is no answer from a worker.
        """
        ...

    async def run_activity(self, name: str, instance_id: str, input_text: str | None, trace_parent: str = "") -> Reply:
        """Runs an activity; `input_text` is what goes into its datum, None for an empty one.

        Raises:
            FunctionTimeoutError: It took too long.
            WorkerLostError: There is no answer from a worker.
        """
        ...

    async def run_entity(self, name: str, instance_id: str, payload: str, trace_parent: str = "") -> Reply:
        """Runs a batch of operations on an entity; `name` is that of its function, `payload` the trigger's text.

        Raises:
            FunctionTimeoutError: It took too long.
            WorkerLostError: There is no answer from a worker.
        """
        ...
