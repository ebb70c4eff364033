"""Retries: what is tried again, when, and by whom.

The extension repeats activities and sub-orchestrations by itself when all it needs is counts and delays; `RetryTask`
mirrors the ids it takes. What it cannot do (jitter, errors that are not worth another attempt, a handler in code) runs
in the worker: `PolicyRetryTask` schedules each attempt and each delay as plain activities and timers.

Source: durable-functions JSON protocol, retry algorithm (2.3.1, 2.3.2).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from msgspec import to_builtins

from worker_ext.engine.tasks import Decoder, Leaf, LongTimerTask, T_co, Task, TimerTask, leaf_for, timer_until
from worker_ext.errors import TaskFailedError
from worker_ext.protocol import actions
from worker_ext.protocol.actions import AnyAction, CallActivity, CallSubOrchestrator

if TYPE_CHECKING:
    from worker_ext.engine.items import Item
    from worker_ext.engine.schedule import Schedule


HOST_MAX_RETRY_INTERVAL = timedelta(days=6)
"""The extension's default for the longest retry delay; it refuses retries where its timers are shorter."""

_LONGEST_MILLISECONDS = 922_337_203_685_477
"""The longest duration that .NET has."""


@dataclass(frozen=True)
class RetryContext:
    """What a retry handler may base its answer on.

    Attributes:
        attempt: How many attempts have failed, from 1.
        error: What the last one failed with.
        elapsed: The time since the first attempt was scheduled.
    """

    attempt: int
    error: BaseException
    elapsed: timedelta


@dataclass(frozen=True)
class RetryOptions:
    """How often and how fast a failed call is tried again.

    Args:
        first_retry_interval_in_milliseconds: The delay before the second attempt; more than 0.
        max_number_of_attempts: All attempts, the first included.
        backoff_coefficient: Each delay is the one before times this.
        max_retry_interval_in_milliseconds: The longest delay; None for the host's default of 6 days.
        retry_timeout_in_milliseconds: No attempt starts later than this after the first; None for no limit.
        jitter: The part of each delay, 0 to 1, that is shortened at random (the same on every replay).
        non_retryable: Exception types, or their names, after which no attempt follows.
        handler: Asked after each failure whether to go on. It is asked again on every replay, so its answer must follow
            from what it is told; it cannot use the context.

    Raises:
        TypeError: What is not retryable is no list, or the handler cannot be called.
        ValueError: A number is out of its range.
    """

    first_retry_interval_in_milliseconds: int
    max_number_of_attempts: int
    backoff_coefficient: float = field(default=1, kw_only=True)
    max_retry_interval_in_milliseconds: int | None = field(default=None, kw_only=True)
    retry_timeout_in_milliseconds: int | None = field(default=None, kw_only=True)
    jitter: float = field(default=0, kw_only=True)
    non_retryable: Sequence[type[BaseException] | str] = field(default=(), kw_only=True)
    handler: Callable[[RetryContext], bool] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.first_retry_interval_in_milliseconds <= 0:
            raise ValueError("first_retry_interval_in_milliseconds value must be greater than 0.")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter is a part of the delay: expected 0 to 1, found {self.jitter}")
        if not 0 < self.backoff_coefficient < math.inf:
            raise ValueError(f"backoff_coefficient: expected a number greater than 0, found {self.backoff_coefficient}")
        for name in ("max_retry_interval_in_milliseconds", "retry_timeout_in_milliseconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= _LONGEST_MILLISECONDS:
                raise ValueError(
                    f"{name}: expected a number greater than 0, up to {_LONGEST_MILLISECONDS}, found {value}"
                )
        if isinstance(self.non_retryable, str | type):
            raise TypeError(f"non_retryable={self.non_retryable!r}; expected a list of error types, or of their names")
        handler: object = self.handler
        if not (handler is None or callable(handler)) or inspect.iscoroutinefunction(handler):
            raise TypeError(f"handler={handler!r}; expected a plain function of one parameter")

    def to_json(self) -> dict[str, Any]:
        """The options as actions carry them."""
        members: dict[str, Any] = to_builtins(self.wire)
        return members

    @property
    def wire(self) -> actions.RetryOptions:
        """What the extension is told."""
        return actions.RetryOptions(
            self.first_retry_interval_in_milliseconds,
            self.max_number_of_attempts,
            self.backoff_coefficient,
            self.max_retry_interval_in_milliseconds,
            self.retry_timeout_in_milliseconds,
        )

    @property
    def needs_worker(self) -> bool:
        """Whether the extension cannot follow these options by itself."""
        return bool(self.jitter) or bool(self.non_retryable) or self.handler is not None

    def delay(self, attempt: int, elapsed: timedelta) -> timedelta | None:
        """The delay after a failed attempt, counted from 1; None where the time for retries is over."""
        timeout = self.retry_timeout_in_milliseconds
        if timeout is not None and elapsed >= timedelta(milliseconds=timeout):
            return None
        limit = self.max_retry_interval_in_milliseconds
        longest = HOST_MAX_RETRY_INTERVAL if limit is None else timedelta(milliseconds=limit)
        try:
            delay = timedelta(
                milliseconds=self.first_retry_interval_in_milliseconds * self.backoff_coefficient ** (attempt - 1)
            )
        except OverflowError:
            return longest
        return min(delay, longest) or None

    def allows(self, context: RetryContext) -> bool:
        """Whether the error is worth another attempt."""
        if context.attempt >= self.max_number_of_attempts:
            return False
        names = {kind if isinstance(kind, str) else kind.__name__ for kind in self.non_retryable}
        error_type = getattr(context.error, "error_type", None) or type(context.error).__name__
        if names & {error_type, error_type.rpartition(".")[2]}:
            return False
        return self.handler is None or bool(self.handler(context))


def is_failed_attempt(attempt: Task) -> bool:
    """Whether an attempt failed where it ran. A result that cannot be read is no reason to run it again."""
    return attempt.failed and isinstance(attempt.value, TaskFailedError)


class RetryTask(Task[T_co]):
    """An activity or sub-orchestration that the extension tries again when it fails.

    Each failed attempt is followed by a delay, the last one by a delay of nothing. Where no time is left for another
    attempt there is no delay either.
    """

    __slots__ = ("_attempts", "_decode", "_error", "action", "attempt", "first", "item", "options", "started")

    def __init__(
        self,
        schedule: Schedule,
        options: RetryOptions,
        action: AnyAction,
        attempt: CallActivity | CallSubOrchestrator,
        decode: Decoder | None = None,
    ) -> None:
        super().__init__(schedule)
        self.options: RetryOptions = options
        self._decode = decode
        self.action: AnyAction = action
        self.attempt: CallActivity | CallSubOrchestrator = attempt
        self.item: Item | None = None
        self._attempts = 1
        self._error: Any = None
        self.started: datetime = schedule.now
        self.first: Leaf = leaf_for(schedule, attempt, attempt.function_name, decode)
        self.first.watch(self)

    @property
    def listed(self) -> bool:
        return self.first.listed

    def begin(self, item: Item) -> None:
        """Takes note of the item that lists the first attempt."""
        self.item = item
        self.started = self.schedule.now

    def member_settled(self, member: Task) -> None:
        if isinstance(member, TimerTask):
            self._delay_over()
        elif is_failed_attempt(member):
            self._error = member.value
            self._attempt_failed()
        else:
            self.settle(member.value, failed=member.failed)

    def _attempt_failed(self) -> None:
        exhausted = self._attempts >= self.options.max_number_of_attempts
        now = self.schedule.now
        delay = timedelta(0) if exhausted else self.options.delay(self._attempts, now - self.started)
        if delay is None:
            self.settle(self._error, failed=True)
        else:
            self._start(TimerTask(self.schedule, now + delay, hidden=True))

    def _delay_over(self) -> None:
        if self._attempts >= self.options.max_number_of_attempts:
            self.settle(self._error, failed=True)
        else:
            self._attempts += 1
            self._start(leaf_for(self.schedule, self.attempt, self.attempt.function_name, self._decode))

    def _start(self, leaf: Leaf) -> None:
        leaf.watch(self)
        self.schedule.add_hidden(self, leaf)


class SteppedTask(Task[T_co]):
    """A task that the worker makes of several leaves, each scheduled when the one before has settled.

    Steps that were not started when the orchestrator ends never are.
    """

    __slots__ = ("_current", "first")

    def __init__(self, schedule: Schedule, first: Leaf) -> None:
        super().__init__(schedule)
        self.first: Leaf = first
        self._current: Task = first
        first.watch(self)

    @property
    def listed(self) -> bool:
        return self.first.listed

    def step(self, task: Leaf | LongTimerTask) -> None:
        """Starts the next step."""
        self._current = task
        task.watch(self)
        self.schedule.add_step(task.first if isinstance(task, LongTimerTask) else task)

    def start(self) -> None:
        self.first.start()

    def abandon(self) -> None:
        self._current.unwatch(self)

    def pause(self, delay: timedelta) -> None:
        """Starts a delay as the next step."""
        self.step(timer_until(self.schedule, self.schedule.now + delay))


class PolicyRetryTask(SteppedTask[T_co]):
    """An activity or sub-orchestration that the worker tries again, by options the extension does not know."""

    __slots__ = ("_attempt", "_attempts", "_decode", "_options", "_started")

    def __init__(
        self,
        schedule: Schedule,
        options: RetryOptions,
        attempt: CallActivity | CallSubOrchestrator,
        decode: Decoder | None = None,
    ) -> None:
        super().__init__(schedule, leaf_for(schedule, attempt, attempt.function_name, decode))
        self._decode = decode
        self._options = options
        self._attempt = attempt
        self._attempts = 1
        self._started: datetime = schedule.now

    def member_settled(self, member: Task) -> None:
        if isinstance(member, TimerTask | LongTimerTask):
            self._attempts += 1
            self.step(leaf_for(self.schedule, self._attempt, self._attempt.function_name, self._decode))
        elif is_failed_attempt(member):
            self._attempt_failed(member.value)
        else:
            self.settle(member.value, failed=member.failed)

    def _attempt_failed(self, error: BaseException) -> None:
        elapsed = self.schedule.now - self._started
        try:
            again = self._options.allows(RetryContext(self._attempts, error, elapsed))
        except Exception as fault:  # noqa: BLE001 - what the handler raises is what the call fails with
            self.settle(fault, failed=True)
            return
        delay = self._options.delay(self._attempts, elapsed) if again else None
        if delay is None or self.schedule.ended:
            self.settle(error, failed=True)
        else:
            self.pause(delay * (1 - self._options.jitter * self._chance()))

    def _chance(self) -> float:
        """A number from 0 to 1, the same on every replay: it is made of the ids of instance, call and attempt."""
        name = f"{self.schedule.instance_id}_{self.first.id}_{self._attempts}"
        return uuid5(NAMESPACE_OID, name).int / (1 << 128)
