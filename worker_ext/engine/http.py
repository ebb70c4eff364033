"""Durable HTTP beyond one request: polling of 202 answers and retries, by the worker's own calls and timers.

The extension could poll by itself (`asynchronousPatternEnabled`), but the ids it takes for that collide with whatever
else is scheduled meanwhile. Here each request and each pause is a leaf of its own.

Source: durable-functions JSON protocol, section 2.3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from worker_ext.engine.determinism import HTTP_ACTIVITY
from worker_ext.engine.retries import RetryContext, RetryOptions, SteppedTask
from worker_ext.engine.tasks import Leaf, LongTimerTask, Task, TimerTask
from worker_ext.protocol.actions import CallHttp
from worker_ext.protocol.durable_http import DurableHttpRequest

if TYPE_CHECKING:
    from worker_ext.engine.schedule import Schedule

ACCEPTED = 202


@dataclass(frozen=True)
class HttpPolicy:
    """What follows an answer.

    Attributes:
        poll: Whether a 202 is followed to its end.
        pause: The pause before each poll where the answer names none.
        retry: How a failed request is repeated; None for not at all.
        statuses: Answers that count as failed; transport errors always do.
    """

    poll: bool
    pause: timedelta
    retry: RetryOptions | None
    statuses: Sequence[int]


class HttpTask(SteppedTask[dict[str, Any]]):
    """A durable HTTP call; its value is the last answer as the extension gives it."""

    __slots__ = ("_attempts", "_policy", "_request", "_started")

    def __init__(self, schedule: Schedule, request: DurableHttpRequest, policy: HttpPolicy) -> None:
        super().__init__(schedule, _call(schedule, request))
        self._request = request
        self._policy = policy
        self._attempts = 1
        self._started: datetime = schedule.now

    def member_settled(self, member: Task) -> None:
        if isinstance(member, TimerTask | LongTimerTask):
            self.step(_call(self.schedule, self._request))
        elif member.failed:
            self._failed(member.value, member.value)
        else:
            self._answered(member.value)

    def _answered(self, answer: Any) -> None:
        status = answer.get("statusCode") if isinstance(answer, dict) else None
        if status in self._policy.statuses:
            self._failed(answer, None)
        elif status == ACCEPTED and self._policy.poll and not self.schedule.ended:
            self._poll(answer)
        else:
            self.settle(answer)

    def _failed(self, outcome: Any, error: BaseException | None) -> None:
        retry = self._policy.retry
        delay = None
        if retry is not None and not self.schedule.ended:
            elapsed = self.schedule.now - self._started
            failure = error or RuntimeError(f"the answer has status {outcome.get('statusCode')}")
            if retry.allows(RetryContext(self._attempts, failure, elapsed)):
                delay = retry.delay(self._attempts, elapsed)
        if delay is None:
            self.settle(outcome, failed=error is not None)
        else:
            self._attempts += 1
            self.pause(delay)

    def _poll(self, answer: dict[str, Any]) -> None:
        headers = {name.lower(): value for name, value in (answer.get("headers") or {}).items()}
        location = _first(headers.get("location"))
        if location is None:
            self.settle(answer)
            return
        kept = {
            name: value for name, value in (self._request.headers or {}).items() if name.lower() != "x-functions-key"
        }
        self._request = replace(
            self._request,
            method="GET",
            uri=urljoin(self._request.uri, location),
            content=None,
            headers=kept if self._request.headers is not None else None,
        )
        self._attempts, self._started = 1, self.schedule.now
        wait = _first(headers.get("retry-after")) or ""
        self.pause(timedelta(seconds=int(wait)) if wait.isdecimal() else self._policy.pause)


def _call(schedule: Schedule, request: DurableHttpRequest) -> Leaf:
    return Leaf(schedule, CallHttp(http_request=request.to_json()), HTTP_ACTIVITY)


def _first(header: Any) -> str | None:
    """The value of a header, the first of several."""
    if isinstance(header, list):
        header = header[0] if header else None
    return None if header is None else str(header)
