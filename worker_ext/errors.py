"""Every error this package raises, split by who broke the rule.

DurableError
├── PayloadError             the other side sent what the contract does not allow (where, what)
├── OrchestratorError        the app's code broke a rule of orchestrators
│   └── NonDeterminismError  history and code disagree (event id, expected, actual)
├── OrchestrationFailedError how a failed orchestrator is reported to the host: its text and its state in one message
├── TaskFailedError          an activity or sub-orchestration failed; raised into user code (name, reason, details)
├── AppError                 the app cannot be loaded as it is written (function, what to do)
├── ClientError              the management API refused (status, instance id)
├── InstanceFailedError      an instance whose result was waited for has none (instance id, state, output)
└── HostError                the local host cannot start or go on
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

__all__ = [
    "AppError",
    "ClientError",
    "DurableError",
    "HostError",
    "InstanceFailedError",
    "NonDeterminismError",
    "OrchestrationFailedError",
    "OrchestratorError",
    "PayloadError",
    "TaskFailedError",
]


_TYPE_IN_REASON = re.compile(r"^Activity function '.*?' failed: {1,2}([A-Za-z_][\w.]*): (.*)", re.DOTALL)
"""How the extension words the failure of a Python activity: its exception's type, then its text."""


class DurableError(Exception):
    """The base of every error of this package."""


class PayloadError(DurableError):
    """The other side sent what the contract does not allow.

    Attributes:
        where: The place in the payload, as a path such as `$.history[3].TaskScheduledId`.
        what: What was expected there and what was found.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what


class OrchestratorError(DurableError):
    """An orchestrator did something orchestrators must not do; the message says what to do instead."""


class NonDeterminismError(OrchestratorError):
    """The history of an instance and the code that replays it disagree.

    Attributes:
        event_id: The sequence id of the history event, or None where no single event is to blame.
        expected: What the history says was scheduled.
        actual: What the code asked for.
        location: The user's source line as `file:line`, or None where it is not known.
    """

    def __init__(self, event_id: int | None, expected: str, actual: str, location: str | None = None) -> None:
        place = f" at {location}" if location else ""
        super().__init__(
            f"the history of this instance has {expected} (event id {event_id}), but the code{place} asked for "
            f"{actual}. Orchestrator code must do the same on every replay: was it changed while this instance was "
            "running, or does it depend on time, random numbers, I/O or the environment?"
        )
        self.event_id = event_id
        self.expected = expected
        self.actual = actual
        self.location = location


class OrchestrationFailedError(DurableError):
    """How a failed orchestrator is reported to the host; its cause is the error that user code raised.

    The message is the error's text, a marker, and the state with all actions so far; the extension reads it.
    """


class TaskFailedError(DurableError):
    """An activity, a sub-orchestration or an entity operation failed; raised where its task is awaited.

    `str()` of it is the text that azure-functions-durable 1.7.0 raises: the reason, then the details (or, for entities,
    the error's own text).

    Attributes:
        name: The activity, orchestrator or entity operation that failed.
        reason: The host's account of the failure.
        details: More of it, often a stack trace; None where the host sent none.
        error_type: The name of the exception's type, where the host tells it.
        error_message: The exception's own text, where the host tells it apart.
        properties: What a structured failure carries beside its text.
    """

    def __init__(
        self,
        name: str,
        reason: str,
        details: str | None = None,
        *,
        text: str | None = None,
        error_type: str | None = None,
        error_message: str | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{reason} \n {details}" if text is None else text)
        self.name = name
        self.reason = reason
        self.details = details
        found = _TYPE_IN_REASON.search(reason) if error_type is None else None
        self.error_type: str | None = found.group(1) if found else error_type
        self.error_message: str | None = found.group(2) if found else error_message
        self.properties: Mapping[str, object] = properties or {}


class AppError(DurableError):
    """The app cannot be loaded as it is written; the message names the function, the fault and the fix."""


class ClientError(DurableError):
    """The management API refused a request.

    `str()` of it begins with the text that azure-functions-durable 1.7.0 raises, by which apps tell errors apart there.

    Attributes:
        status: The HTTP status code.
        instance_id: The instance that was asked for, or None where the request named none.
        message: The host's own message.
    """

    def __init__(self, status: int, instance_id: str | None, message: str, *, text: str | None = None) -> None:
        target = f" for instance {instance_id!r}" if instance_id is not None else ""
        super().__init__(text or f"the management API answered {status}{target}: {message}")
        self.status = status
        self.instance_id = instance_id
        self.message = message


class InstanceFailedError(DurableError):
    """An instance whose result was waited for has ended otherwise than completed.

    Attributes:
        instance_id: The instance.
        state: How it ended: `Failed`, `Terminated` or `Canceled`.
        output: What it left: the text of its failure, or the reason it was terminated for.
    """

    def __init__(self, instance_id: str, state: str, output: object) -> None:
        said = "" if output is None else f": {output}"
        super().__init__(f"instance {instance_id!r} has ended as {state}{said}")
        self.instance_id = instance_id
        self.state = state
        self.output = output


class HostError(DurableError):
    """The local host cannot start or go on; the message says what is in the way and what to do."""


_TOLD = 10
"""How many errors of a group are told one by one."""


def text_of(error: BaseException) -> str:
    """What the host is told of an error: its text, or its type where it has none or cannot tell it.

    A group of errors is told with what is in it: who reads the outcome of an instance sees no traceback.
    """
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error of the app whose `__str__` fails; it is still reported
        text = ""
    if isinstance(error, BaseExceptionGroup):
        members = [f"{type(member).__name__}: {text_of(member)}" for member in _members_of(error)]
        more = [f"and {len(members) - _TOLD} more"] if len(members) > _TOLD else []
        text = "; ".join([f"{text}: {members[0]}", *members[1:_TOLD], *more])
    return (text or type(error).__name__).encode(errors="backslashreplace").decode()  # lone surrogates cannot be sent


def _members_of(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, also those of the groups in it."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for member in error.exceptions:
        yield from _members_of(member)
