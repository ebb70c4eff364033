"""What a function may ask about its invocation: the `context` parameter."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import azure.functions
from azure.functions._abc import RetryContext, RpcException, TraceContext

from worker_ext.rpc import pb
from worker_ext.worker.indexing import AppFunction

# The invocation whose code is running. A thread of the user's own has it if it copies the context, or says it in
# `context.thread_local_storage`.
INVOCATION_ID: contextvars.ContextVar[str] = contextvars.ContextVar("invocation_id", default="")
THREAD_LOCAL = threading.local()
INVOCATION_SOURCES: list[Callable[[], str | None]] = []
"""Where handlers that are not ours say whose code is running."""


def current_invocation_id() -> str:
    """Return the id of the invocation that the caller works for, or an empty text."""
    found = INVOCATION_ID.get() or getattr(THREAD_LOCAL, "invocation_id", None)
    return found or next((text for source in INVOCATION_SOURCES if (text := source())), "")


class InvocationContext(azure.functions.Context):
    """The Functions context of one invocation."""

    def __init__(self, function: AppFunction, request: pb.InvocationRequest) -> None:
        self._function = function
        self._request = request

    @property
    def invocation_id(self) -> str:
        """The id of this invocation."""
        return self._request.invocation_id

    @property
    def function_name(self) -> str:
        """The name of the function."""
        return self._function.name

    @property
    def function_directory(self) -> str:
        """The folder of the function's source file."""
        return self._function.directory

    @property
    def thread_local_storage(self) -> Any:
        """Set its `invocation_id` in a thread of your own, and what that thread logs belongs to the invocation."""
        return THREAD_LOCAL

    @property
    def trace_context(self) -> TraceContext:
        """The W3C trace that the invocation is part of."""
        return _TraceContext(self._request.trace_context)

    @property
    def retry_context(self) -> RetryContext:
        """Which try this is, where the function has a retry policy."""
        return _RetryContext(self._request.retry_context)


class _TraceContext(TraceContext):
    def __init__(self, trace: pb.RpcTraceContext) -> None:
        self._trace = trace

    @property
    def trace_parent(self) -> str:
        return self._trace.trace_parent

    @property
    def trace_state(self) -> str:
        return self._trace.trace_state

    @property
    def attributes(self) -> dict[str, str]:
        return dict(self._trace.attributes)


class _RetryContext(RetryContext):
    def __init__(self, retry: pb.RetryContext) -> None:
        self._retry = retry

    @property
    def retry_count(self) -> int:
        return self._retry.retry_count

    @property
    def max_retry_count(self) -> int:
        return self._retry.max_retry_count

    @property
    def exception(self) -> RpcException:
        return _PreviousFailure(self._retry.exception)


class _PreviousFailure(RpcException):
    def __init__(self, failure: pb.RpcException) -> None:
        self._failure = failure

    @property
    def source(self) -> str:
        return self._failure.source

    @property
    def stack_trace(self) -> str:
        return self._failure.stack_trace

    @property
    def message(self) -> str:
        return self._failure.message
