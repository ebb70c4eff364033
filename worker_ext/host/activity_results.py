"""What an activity's invocation gives its orchestration: the result, or the failure in the extension's words.

A failure's `Details` hold the exception as the extension writes it: one of its own around the Functions host's account
of what the worker said. There are no .NET frames here, so the stack trace of the latter is empty; the worker's stands
in `RemoteStackTrace`. A failure that the activity described itself has `FailureDetails` instead.

Source: durable-functions JSON protocol, activity failure and structured failures (recorded from extension 3.19.0).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from worker_ext.host.gateway import Reply
from worker_ext.host.rendering import compact, quoted
from worker_ext.protocol.history import FailureDetails, TaskCompleted, TaskFailed

_STRUCTURED_FAILURE = "ActivityMiddleware.StructuredActivityFailure: "
_HOST = "Microsoft.Azure.WebJobs.Script"
_DETAILS = (
    '{"$type":"System.Exception, System.Private.CoreLib","ClassName":"System.Exception","Message":%s,"Data":null,'
    f'"InnerException":{{"$type":"{_HOST}.Workers.Rpc.RpcException, {_HOST}",'
    '"IsUserException":false,"RemoteStackTrace":%s,"RemoteMessage":%s,"RemoteTypeName":null,"Message":%s,'
    '"Data":{"$type":"System.Collections.ListDictionaryInternal, System.Private.CoreLib"},"InnerException":null,'
    f'"HelpLink":null,"Source":"{_HOST}","HResult":-2146233088,"StackTrace":""}},"HelpURL":null,'
    '"StackTraceString":null,"RemoteStackTraceString":null,"RemoteStackIndex":0,"ExceptionMethod":null,'
    '"HResult":-2146233088,"Source":null,"WatsonBuckets":null}'
)


def activity_result(name: str, task_id: int, reply: Reply, timestamp: str) -> TaskCompleted | TaskFailed:
    """The event that an activity's invocation gives its orchestration."""
    if reply.failure is not None:
        return _failure(name, task_id, reply.failure, reply.stack, timestamp)
    try:
        result = None if reply.value is None else compact(reply.value)
    except ValueError as error:
        return _failure(name, task_id, f"the activity's result is not JSON: {error}", None, timestamp)
    return TaskCompleted(task_scheduled_id=task_id, result=None if result == "null" else result, timestamp=timestamp)


def _failure(name: str, task_id: int, message: str, stack: str | None, timestamp: str) -> TaskFailed:
    structured = _structured(message)
    if structured is not None:
        return TaskFailed(
            task_scheduled_id=task_id,
            reason=f"Activity function '{name}' failed with an unhandled exception.",
            failure_details=structured,
            timestamp=timestamp,
        )
    return TaskFailed(
        task_scheduled_id=task_id,
        reason=f"Activity function '{name}' failed: {message}",
        details=_details(message, stack or ""),
        timestamp=timestamp,
    )


def _details(message: str, stack: str) -> str:
    """The extension's exception as JSON text."""
    said = quoted(message)
    return _DETAILS % (said, quoted(stack), said, quoted(f"Result: Failure\nException: {message}\nStack: {stack}"))


# ---------------------------------------------------------------- structured failures


class _StructuredFailure(Struct, forbid_unknown_fields=True, rename="camel"):
    """The protobuf JSON form of DurableTask's TaskFailureDetails; an unknown member means that it is none."""

    error_type: str = ""
    error_message: str = ""
    stack_trace: str | None = None
    inner_failure: _StructuredFailure | None = None
    is_non_retriable: bool = False
    properties: dict[str, Any] | None = None


def _structured(message: str) -> FailureDetails | None:
    """A failure that an activity described itself: JSON in the message's first line."""
    text = message.removeprefix(_STRUCTURED_FAILURE)
    if not text.startswith("{"):
        return None
    try:
        found = msgspec.json.decode(re.split(r"\r?\n", text, maxsplit=1)[0], type=_StructuredFailure)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return _failure_details(found)


def _failure_details(found: _StructuredFailure) -> FailureDetails:
    return FailureDetails(
        error_type=found.error_type,
        error_message=found.error_message,
        stack_trace=found.stack_trace,
        inner_failure=None if found.inner_failure is None else _failure_details(found.inner_failure),
        is_non_retriable=found.is_non_retriable,
        properties=None if found.properties is None else _doubles(found.properties),
    )


def _doubles(value: Any) -> Any:
    """Protobuf values know no integers."""
    if isinstance(value, dict):
        return {name: _doubles(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_doubles(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
