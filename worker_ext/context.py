"""DurableOrchestrationContext: what an orchestrator may ask for. Each method makes one action and one task.

Calls of functions are in `function_calls`, those of entities in `entity_calls`. The context keeps no state; the
executor does.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from uuid import UUID

from worker_ext import payloads
from worker_ext.arguments import due, expect
from worker_ext.engine.http import HttpPolicy, HttpTask
from worker_ext.engine.orchestration import OrchestrationExecutor
from worker_ext.engine.retries import RetryOptions
from worker_ext.engine.tasks import (
    EventOrTimeoutTask,
    LongTimerTask,
    Task,
    TimerTask,
    TypedWait,
    WaitTask,
    WhenAllSettledTask,
    WhenAllTask,
    WhenAnyTask,
    timer_until,
)
from worker_ext.entity_calls import EntityCalls
from worker_ext.function_calls import FunctionCalls
from worker_ext.protocol.codec import decode_value, encode_value
from worker_ext.protocol.durable_http import DurableHttpRequest, ManagedIdentityTokenSource, TokenSource
from worker_ext.protocol.history import ExecutionStarted
from worker_ext.protocol.orchestrator import OrchestratorRequest
from worker_ext.trigger_view import FunctionContext, HistoryEvent, TriggerView

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")
Member = TypeVar("Member", bound=Task)

if TYPE_CHECKING:
    import typing_extensions
    from typing_extensions import TypeForm

    InputT_co = typing_extensions.TypeVar("InputT_co", covariant=True, default=Any)
else:
    InputT_co = TypeVar("InputT_co", covariant=True)


class DurableOrchestrationContext(FunctionCalls, EntityCalls, Generic[InputT_co]):
    """The orchestrator's view of its instance: what it was given, the replay-safe clock, and everything it may start.

    Type checkers know the input of an orchestrator that is written with `DurableOrchestrationContext[Order]`, and
    whether those that start it pass one.

    Args:
        executor: The executor of this turn; it owns the state.
        payload: What the trigger delivered.
        input_type: The type that `get_input` reads the input as where it is told no other.
        written_by: How values are written and read.

    Attributes:
        orchestrator: The function that runs, once it is known.
    """

    def __init__(
        self,
        executor: OrchestrationExecutor,
        payload: str | bytes = "",
        *,
        input_type: type | None = None,
        written_by: payloads.Payloads = payloads.PLAIN,
    ) -> None:
        super().__init__(executor, written_by)
        self._view = TriggerView(payload)
        self._input_type = input_type
        self.orchestrator: Callable[..., Any] | None = None

    @classmethod
    def from_json(
        cls,
        json_string: str | bytes,
        *,
        input_type: type | None = None,
        written_by: payloads.Payloads = payloads.PLAIN,
    ) -> DurableOrchestrationContext:
        """The context of the turn that a payload asks for.

        Raises:
            PayloadError: The payload breaks the contract.
        """
        executor = OrchestrationExecutor(OrchestratorRequest.decode(json_string))
        return cls(executor, json_string, input_type=input_type, written_by=written_by)

    @property
    def executor(self) -> OrchestrationExecutor:
        """The executor of this turn."""
        return self._executor

    # -- what the orchestrator was given -----------------------------------------------------------------------------

    @overload
    def get_input(self, expected_type: None = None) -> InputT_co: ...
    @overload
    def get_input(self, expected_type: TypeForm[T]) -> T: ...
    def get_input(self, expected_type: Any = None) -> Any:
        """The input of this instance, or None where it has none.

        Args:
            expected_type: The type to read it as; by default the `input_type` of the trigger's decorator, else the one
                that the orchestrator's parameter is annotated with: `DurableOrchestrationContext[Order]`.

        Raises:
            PayloadError: The input holds a custom object whose class the app does not have.
            TypeError: Typing is strict, and the input is of another type.
        """
        value, kind, is_checked = self._executor.input, expected_type or self._input_type, self._is_checked
        if kind is None and self.orchestrator is not None:
            kind, is_checked = _input_type_of(self.orchestrator), True  # which 1.7.0 knows nothing of
        return self._payloads.read(kind, value, is_checked=is_checked)

    @property
    def instance_id(self) -> str:
        """The ID of this instance."""
        return self._executor.request.instance_id

    @property
    def parent_instance_id(self) -> str | None:
        """The ID of the orchestration that started this one, or None."""
        return self._executor.request.parent_instance_id

    @property
    def is_replaying(self) -> bool:
        """Whether the code that runs now has run in an earlier turn."""
        return self._executor.is_replaying

    @property
    def current_utc_datetime(self) -> datetime:
        """The replay-safe time, UTC; it advances with each batch of events."""
        return self._schedule.now

    @property
    def version(self) -> str | None:
        """The version this instance was started with, or None."""
        started = (event for event in self._executor.request.history if isinstance(event, ExecutionStarted))
        return next((event.version for event in started), None)

    @property
    def histories(self) -> list[HistoryEvent]:
        """The events of this execution so far, oldest first."""
        return self._view.histories

    @property
    def function_context(self) -> FunctionContext:
        """Members of the trigger's payload that nothing else gives, as attributes."""
        return self._view.function_context

    def new_uuid(self) -> str:
        """A UUID that is the same on every replay, as text."""
        return self._executor.ids.new_uuid(self._schedule.now)

    def new_guid(self) -> UUID:
        """A UUID that is the same on every replay."""
        return self._executor.ids.new_guid(self._schedule.now)

    # -- time and events ---------------------------------------------------------------------------------------------

    def create_timer(self, fire_at: datetime | timedelta) -> TimerTask | LongTimerTask:
        """Starts a timer of any length; the task it returns has `cancel()`.

        Args:
            fire_at: When, as an aware datetime of any zone, or how long from now.

        Raises:
            TypeError: The time has no zone, or is none.
            OverflowError: It ends later than dates can tell.
        """
        return timer_until(self._schedule, due(self._schedule, fire_at, "create_timer"))

    @overload
    def wait_for_external_event(
        self, name: str, expected_type: None = None, *, timeout: timedelta | None = None
    ) -> WaitTask | EventOrTimeoutTask: ...
    @overload
    def wait_for_external_event(
        self, name: str, expected_type: TypeForm[T], *, timeout: timedelta | None = None
    ) -> WaitTask[T] | EventOrTimeoutTask[T]: ...
    def wait_for_external_event(
        self, name: str, expected_type: Any = None, *, timeout: timedelta | None = None
    ) -> WaitTask | EventOrTimeoutTask:
        """Waits for an event; the task gives its payload. Names ignore case; each event is delivered once.

        A wait that is not needed any more can be given up with `cancel()`.

        Args:
            name: The event's name.
            expected_type: The type to read its payload as.
            timeout: How long to wait; then the task fails with TimeoutError. None for ever.

        Raises:
            ValueError: The name is empty.
            TypeError: The name is no text, or the timeout no timedelta.
            OverflowError: The timeout ends later than dates can tell.
        """
        if not name:
            raise ValueError("external_event_name cannot be empty")
        if type(name) is not str:  # most are, and a replay asks for each again
            expect("wait_for_external_event", "name", name, str)
        if expected_type is None and self._is_plain:
            wait = WaitTask(self._schedule, name)
        else:
            decode = self._payloads.decoder(expected_type, is_checked=self._is_checked)
            wait = WaitTask(self._schedule, name) if decode is None else TypedWait(self._schedule, name, decode)
        if timeout is None:
            return wait
        expect("wait_for_external_event", "timeout", timeout, timedelta)
        end = due(self._schedule, timeout, "wait_for_external_event")
        return EventOrTimeoutTask(self._schedule, wait, timer_until(self._schedule, end))

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def call_http(
        self,
        method: str,
        uri: str,
        content: Any = None,
        headers: dict[str, str] | None = None,
        token_source: TokenSource | None = None,
        is_raw_str: bool = False,
        *,
        poll: bool = False,
        timeout: timedelta | None = None,
        retry_options: RetryOptions | None = None,
        status_codes_to_retry: Sequence[int] = (),
    ) -> Task[dict[str, Any]]:
        """Has the host send an HTTP request; the task gives `{"statusCode", "headers", "content"}`.

        Args:
            method: The HTTP method.
            uri: The absolute address.
            content: The body: text as it is, anything else as JSON.
            headers: The request's headers.
            token_source: Where its bearer token comes from.
            is_raw_str: Says that `content` must be text.
            poll: Follow a 202 answer to its end, as its `Location` and `Retry-After` headers say.
            timeout: How long one request may take; None for the host's default.
            retry_options: How a request that could not be sent is repeated.
            status_codes_to_retry: Answers that are repeated too.

        Raises:
            TypeError: An argument is of the wrong kind, or `is_raw_str` was said of something that is no text.
            ValueError: The timeout is not longer than nothing, or answers are to be repeated without saying how.
        """
        _check_http(uri, headers, token_source, timeout, retry_options, status_codes_to_retry)
        if is_raw_str and not isinstance(content, str):
            raise TypeError(
                "Invalid use of 'is_raw_str' parameter: 'is_raw_str' is set to 'True' but 'content' is not an instance "
                "of type 'str'. Either set 'is_raw_str' to 'False', or ensure your 'content' is of type 'str'."
            )
        body = content if content is None or isinstance(content, str) else json.dumps(content)
        request = DurableHttpRequest(method, uri, body, headers, token_source, timeout=timeout)
        pause = self._executor.request.default_http_async_request_sleep_time_millseconds
        policy = HttpPolicy(poll, timedelta(milliseconds=pause), retry_options, status_codes_to_retry)
        return HttpTask(self._schedule, request, policy)

    # -- several at once ---------------------------------------------------------------------------------------------

    @overload
    def task_all(  # type: ignore[overload-overlap]  # a tuple is a sequence too; as in asyncio.gather it is told apart
        self, activities: tuple[Task[T1], Task[T2]], *, fail_fast: bool = True
    ) -> Task[tuple[T1, T2]]: ...
    @overload
    def task_all(  # type: ignore[overload-overlap]
        self, activities: tuple[Task[T1], Task[T2], Task[T3]], *, fail_fast: bool = True
    ) -> Task[tuple[T1, T2, T3]]: ...
    @overload
    def task_all(  # type: ignore[overload-overlap]
        self, activities: tuple[Task[T1], Task[T2], Task[T3], Task[T4]], *, fail_fast: bool = True
    ) -> Task[tuple[T1, T2, T3, T4]]: ...
    @overload
    def task_all(  # type: ignore[overload-overlap]
        self, activities: tuple[Task[T1], Task[T2], Task[T3], Task[T4], Task[T5]], *, fail_fast: bool = True
    ) -> Task[tuple[T1, T2, T3, T4, T5]]: ...
    @overload
    def task_all(self, activities: Sequence[Task[T]], *, fail_fast: bool = True) -> Task[list[T]]: ...
    def task_all(self, activities: Sequence[Task], *, fail_fast: bool = True) -> Task:
        """All of them: the task gives the list of their results in order; of none of them `[]`.

        Of a tuple of up to five tasks type checkers know the result of each, as they do of `asyncio.gather`.

        Args:
            activities: The tasks.
            fail_fast: Fail with the first failure, at once. Else wait for all, and fail with an ExceptionGroup of
                everything that failed.
        """
        return WhenAllTask(self._schedule, activities) if fail_fast else WhenAllSettledTask(self._schedule, activities)

    def task_any(self, activities: Sequence[Member]) -> Task[Member]:
        """The first of them: the task gives the member that completed first, whether well or badly.

        Raises:
            OrchestratorError: There are no tasks, so it could never complete.
        """
        return WhenAnyTask(self._schedule, activities)

    # -- the instance itself -----------------------------------------------------------------------------------------

    def set_custom_status(self, status: Any) -> None:
        """Sets the status that clients see beside the state of this instance.

        Args:
            status: Any JSON value of up to 16 KB; None removes it.
        """
        self._executor.check_open()
        self._executor.custom_status = None if status is None else encode_value(status)

    @property
    def custom_status(self) -> Any:
        """The custom status as set last in this turn."""
        return decode_value(self._executor.custom_status)

    def patched(self, patch_id: str) -> bool:
        """Whether this instance runs the new code of a change; so instances that began with the old one go on with it.

            if context.patched("tell-the-customer"):
                yield context.call_activity("TellCustomer")

        False where the old code went on here without the change. It takes one sequence id where it is True: leave the
        call in place, without the `if`, until no instance is left that has asked.

        Args:
            patch_id: What the change is called, once and for all.

        Raises:
            TypeError: It is no text.
            ValueError: It is empty.
        """
        self._executor.check_open()
        expect("patched", "patch_id", patch_id, str)
        if not patch_id:
            raise ValueError("patched was given an empty patch_id; name the change, such as patched('add-audit')")
        return self._executor.patches.is_applied(patch_id)

    def continue_as_new(self, input_: Any, *, preserve_unprocessed_events: bool = False) -> None:
        """Ends this execution at the next yield and starts the orchestrator anew with an empty history.

        Args:
            input_: The input of the next execution.
            preserve_unprocessed_events: Keep every external event that nobody has waited for. The host keeps those
                that came last by itself; with this the others travel in the input, which only this package reads.
        """
        self._executor.check_open()
        self._executor.continue_as_new(self._encode(input_), preserve=preserve_unprocessed_events)

    @property
    def will_continue_as_new(self) -> bool:
        """Whether `continue_as_new` was called."""
        return self._executor.continues_as_new


@cache
def _input_type_of(orchestrator: Callable[..., Any]) -> Any:
    """The type that an orchestrator's annotation says its input has; None where it says nothing."""
    name = next(iter(payloads.signature_of(orchestrator).parameters), None)
    hint = None if name is None else payloads.annotation(orchestrator, name)
    if typing.get_origin(hint) is not DurableOrchestrationContext:
        return None
    [input_type] = typing.get_args(hint)
    return None if payloads.says_nothing(input_type) else input_type


def _check_http(
    uri: Any, headers: Any, token_source: Any, timeout: Any, retry_options: Any, statuses: Sequence[Any]
) -> None:
    """Refuses what the extension could not read, or would be ignored."""
    expect("call_http", "uri", uri, str)
    if headers is not None:
        expect("call_http", "headers", headers, dict)
    if not (token_source is None or hasattr(token_source, "to_json")):
        expect("call_http", "token_source", token_source, ManagedIdentityTokenSource)
    if timeout is not None:
        expect("call_http", "timeout", timeout, timedelta)
        if timeout <= timedelta(0):
            raise ValueError(f"call_http was given timeout={timeout!r}; expected more than nothing")
    if retry_options is not None:
        expect("call_http", "retry_options", retry_options, RetryOptions)
    elif statuses:
        raise ValueError("call_http was given status_codes_to_retry without retry_options, which say how often")
    for status in statuses:
        expect("call_http", "status_codes_to_retry", status, int)
