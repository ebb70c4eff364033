"""HistoryBuilder: the history of an execution, event by event, as the extension would write it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Self

import msgspec

from worker_ext.protocol import history
from worker_ext.protocol.codec import encode_value, format_timespan, format_timestamp
from worker_ext.protocol.history import Event
from worker_ext.protocol.orchestrator import ReplaySchema


class HistoryBuilder:
    """Builds the payload of an orchestration trigger. Every method adds an event and returns the builder.

    A builder starts inside the first batch. `batch()` closes a batch and opens the next, a second later.

    Args:
        instance_id: The ID of the instance.
        now: The time of the first batch, aware.
        schema: The highest schema the extension knows.
        maximum_timer: The longest timer the store takes in one piece; zero for no limit.
        timer_interval: The length of the pieces of longer timers.
    """

    def __init__(
        self,
        instance_id: str = "abc",
        now: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        schema: ReplaySchema = ReplaySchema.V4,
        maximum_timer: timedelta = timedelta(days=6),
        timer_interval: timedelta = timedelta(days=3),
    ) -> None:
        self.instance_id = instance_id
        self.now: datetime = now
        self.events: list[Event] = []
        self._schema = schema
        self._limits = maximum_timer, timer_interval
        self._input: str | None = None
        self._add(history.OrchestratorStarted)

    def started(
        self, name: str = "Orchestrator", input_: Any = None, *, version: str | None = None, parent: str | None = None
    ) -> Self:
        """The execution starts; `input_` is sent as the clients of this package send it."""
        self._input = None if input_ is None else encode_value(input_)
        return self._add(
            history.ExecutionStarted,
            name=name,
            version=version,
            input=None if self._input is None else encode_value(self._input),
            orchestration_instance=history.OrchestrationInstance(self.instance_id, "e1"),
            parent_instance=parent
            and history.ParentInstance("Parent", history.OrchestrationInstance(parent, "p1"), task_schedule_id=0),
        )

    def batch(self, after: timedelta = timedelta(seconds=1)) -> Self:
        """The batch ends; the next one starts."""
        self._add(history.OrchestratorCompleted)
        self.now += after
        return self._add(history.OrchestratorStarted)

    def scheduled(self, name: str, task_id: int) -> Self:
        """An activity was scheduled."""
        return self._add(history.TaskScheduled, name=name, version="", event_id=task_id)

    def completed(self, task_id: int, result: Any = None) -> Self:
        """An activity returned."""
        text = None if result is None else encode_value(result)
        return self._add(history.TaskCompleted, task_scheduled_id=task_id, result=text)

    def failed(
        self, task_id: int, reason: str = "Activity function 'A' failed: ValueError: bad", details: str = ""
    ) -> Self:
        """An activity failed."""
        return self._add(history.TaskFailed, task_scheduled_id=task_id, reason=reason, details=details)

    def child_created(self, name: str, task_id: int, instance_id: str = "child") -> Self:
        """A sub-orchestration was started."""
        return self._add(history.SubOrchestrationInstanceCreated, name=name, instance_id=instance_id, event_id=task_id)

    def child_completed(self, task_id: int, result: Any = None) -> Self:
        """A sub-orchestration returned."""
        text = None if result is None else encode_value(result)
        return self._add(history.SubOrchestrationInstanceCompleted, task_scheduled_id=task_id, result=text)

    def child_failed(self, task_id: int, reason: str) -> Self:
        """A sub-orchestration failed."""
        return self._add(history.SubOrchestrationInstanceFailed, task_scheduled_id=task_id, reason=reason)

    def timer_created(self, task_id: int, after: timedelta = timedelta(seconds=1)) -> Self:
        """A timer was started that fires `after` from now."""
        return self._add(history.TimerCreated, fire_at=format_timestamp(self.now + after), event_id=task_id)

    def timer_fired(self, task_id: int) -> Self:
        """A timer fired."""
        return self._add(history.TimerFired, timer_id=task_id, fire_at=format_timestamp(self.now))

    def raised(self, name: str, value: Any = None) -> Self:
        """An external event arrived."""
        return self._add(history.EventRaised, name=name, input=None if value is None else encode_value(value))

    def sent(self, task_id: int, instance_id: str, operation: str, request_id: str = "r1") -> Self:
        """A message to an entity was sent."""
        message = encode_value({"op": operation, "id": request_id})
        return self._add(history.EventSent, event_id=task_id, instance_id=instance_id, name=operation, input=message)

    def answered(self, request_id: str, result: Any = None, *, is_error: bool = False) -> Self:
        """An entity answered a call."""
        answer = {"result": encode_value(result), **({"exceptionType": "Error"} if is_error else {})}
        return self._add(history.EventRaised, name=request_id, input=encode_value(answer))

    def suspended(self) -> Self:
        """The instance was suspended."""
        return self._add(history.ExecutionSuspended, reason="a reason")

    def resumed(self) -> Self:
        """The instance was resumed."""
        return self._add(history.ExecutionResumed, reason="a reason")

    def with_input(self, text: str) -> Self:
        """Replaces the input by text as it stands in the payload, such as that of a ContinueAsNew action."""
        self._input = text
        return self

    def payload(self) -> str:
        """The payload of the trigger, as JSON text."""
        maximum, interval = self._limits
        return msgspec.json.encode(
            {
                "history": self.events,
                "input": self._input,
                "instanceId": self.instance_id,
                "isReplaying": len(self.events) > 2,
                "parentInstanceId": None,
                "upperSchemaVersion": min(self._schema, ReplaySchema.V2),
                "upperSchemaVersionNew": self._schema,
                "maximumShortTimerDuration": format_timespan(maximum),
                "longRunningTimerIntervalDuration": format_timespan(interval),
                "defaultHttpAsyncRequestSleepTimeMillseconds": 30_000,
            }
        ).decode()

    def _add(self, kind: type[Event], **members: Any) -> Self:
        self.events.append(kind(timestamp=format_timestamp(self.now), **members))
        return self
