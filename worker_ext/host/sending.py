"""Carries decisions out: each becomes its event in the history, and whatever has to be started or sent.

Differences from the extension, on purpose: a call of a function that does not exist fails its task instead of hanging
the instance, and that of an entity is answered with an error; so does a child whose id cannot be used or is taken.

Source: durable-functions JSON protocol, actions (2.3), reference engine (A.5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worker_ext.host.decisions import Produced, ScheduleActivity, SendRelease, SendRequest, StartChild, StartTimer
from worker_ext.host.entity_messages import Release, Request, answer, lock_set, split_instance
from worker_ext.host.turns import ActivityWork, ChildStart, EngineOptions, KnownFunctions, Message, Timer
from worker_ext.protocol.codec import JSON, encode_value, parse_timestamp
from worker_ext.protocol.history import (
    EventRaised,
    EventSent,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    ParentInstance,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from worker_ext.protocol.traces import step_context, step_span


class Sender:
    """Turns new decisions into their events and into what is sent."""

    def __init__(
        self,
        started: ExecutionStarted,
        functions: KnownFunctions,
        options: EngineOptions,
        stamp: str,
        new_id: Callable[[], str],
    ) -> None:
        self.events: list[HistoryEvent] = []
        self.activities: list[ActivityWork] = []
        self.timers: list[Timer] = []
        self.children: list[ChildStart] = []
        self.messages: list[Message] = []
        self._started = started
        self._functions = functions
        self._options = options
        self._stamp = stamp
        self._new_id = new_id

    def carry_out(self, number: int, produced: Produced) -> None:
        """Writes and sends one decision."""
        match produced:
            case ScheduleActivity():
                self._activity(number, produced)
            case StartTimer():
                self._timer(number, produced)
            case StartChild():
                self._child(number, produced)
            case SendRequest():
                self._request(number, produced)
            case SendRelease():
                self._send(number, produced, self._release(produced))

    def release(self, wanted: SendRelease) -> None:
        """Releases an entity outside of the history, for an instance whose code cannot do it any more."""
        self.messages.append(Message(wanted.target, self._raised(wanted.name, self._release(wanted))))

    def _activity(self, number: int, wanted: ScheduleActivity) -> None:
        stored = f"[{encode_value(wanted.input)}]" if self._options.store_inputs else None
        trace = step_context(self._started, number)
        self.events.append(
            TaskScheduled(
                name=wanted.name,
                version="",
                input=stored,
                parent_trace_context=trace,
                event_id=number,
                timestamp=self._stamp,
            )
        )
        if self._functions.has_activity(wanted.name):
            trace_parent = trace["TraceParent"] if trace else None
            self.activities.append(ActivityWork(number, wanted.name, activity_input(wanted.input), trace_parent))
        else:
            reason = self._functions.no_activity(wanted.name)
            self._answer(TaskFailed(task_scheduled_id=number, reason=reason, timestamp=self._stamp))

    def _timer(self, number: int, wanted: StartTimer) -> None:
        self.events.append(TimerCreated(fire_at=wanted.fire_at, event_id=number, timestamp=self._stamp))
        fired = TimerFired(timer_id=number, fire_at=wanted.fire_at, timestamp=self._stamp)
        self.timers.append(Timer(parse_timestamp(wanted.fire_at), fired))

    def _child(self, number: int, wanted: StartChild) -> None:
        instance = self._started.orchestration_instance
        instance_id = wanted.instance_id or f"{instance.execution_id}:{number}"
        version = wanted.version if wanted.version is not None else self._options.default_version
        input_text = json_text(wanted.input)
        trace = step_context(self._started, number)
        self.events.append(
            SubOrchestrationInstanceCreated(
                name=wanted.name,
                version=version,
                instance_id=instance_id,
                input=input_text if self._options.store_inputs else None,
                client_span_id=step_span(self._started, number).span_id if trace else None,
                event_id=number,
                timestamp=self._stamp,
            )
        )
        fault = self._child_fault(wanted.name, instance_id)
        if fault is not None:
            self._answer(SubOrchestrationInstanceFailed(task_scheduled_id=number, reason=fault, timestamp=self._stamp))
            return
        started = ExecutionStarted(
            orchestration_instance=OrchestrationInstance(instance_id, self._new_id()),
            parent_instance=ParentInstance(self._started.name, instance, number, self._started.version),
            name=wanted.name,
            version=version,
            input=input_text,
            parent_trace_context=trace,
            timestamp=self._stamp,
        )
        taken = SubOrchestrationInstanceFailed(
            task_scheduled_id=number,
            reason=f"An orchestration with the instance ID '{instance_id}' is running already.",
            timestamp=self._stamp,
        )
        self.children.append(ChildStart(instance_id, started, taken))

    def _child_fault(self, name: str, instance_id: str) -> str | None:
        """Why a child cannot be started, if it cannot."""
        if not self._functions.has_orchestration(name):
            return self._functions.no_orchestration(name)
        if instance_id.startswith("@"):
            return f"The instance ID '{instance_id}' of a sub-orchestration must not start with '@'."
        parent = self._started.parent_instance
        taken = [self._started.orchestration_instance.instance_id]
        if parent is not None:
            taken.append(parent.orchestration_instance.instance_id)
        if instance_id.lower() in (other.lower() for other in taken):
            return f"The instance ID '{instance_id}' of a sub-orchestration must not be its parent's own."
        return None

    def _request(self, number: int, wanted: SendRequest) -> None:
        instance, has_time = self._started.orchestration_instance, wanted.operation is not None
        request = Request(
            operation=wanted.operation,
            is_signal=wanted.is_signal,
            input=wanted.input,
            id=wanted.id,
            parent=instance.instance_id,
            parent_execution=instance.execution_id,
            due=wanted.due,
            timestamp=wanted.timestamp,
            predecessor=wanted.predecessor,
            lock_set=lock_set(wanted.lock_set) or None,
            request_time=f"{self._stamp.removesuffix('Z')}+00:00" if has_time else None,
        )
        name, _ = split_instance(wanted.target)
        if self._functions.has_entity(name):
            self._send(number, wanted, request.encode())
            return
        self._sent(number, wanted, request.encode())
        fault = answer(encode_value(self._functions.no_entity(name)), is_error=True)
        self._answer(self._raised(wanted.id, fault))

    def _release(self, wanted: SendRelease) -> str:
        return Release(self._started.orchestration_instance.instance_id, wanted.lock_id).encode()

    def _send(self, number: int, wanted: SendRequest | SendRelease, text: str) -> None:
        self._sent(number, wanted, text)
        raised = self._raised(wanted.name, text, step_context(self._started, number))
        self.messages.append(Message(wanted.target, raised))

    def _sent(self, number: int, wanted: SendRequest | SendRelease, text: str) -> None:
        self.events.append(
            EventSent(instance_id=wanted.target, name=wanted.name, input=text, event_id=number, timestamp=self._stamp)
        )

    def _raised(self, name: str, text: str, trace: dict[str, Any] | None = None) -> EventRaised:
        return EventRaised(name=name, input=text, parent_trace_context=trace, timestamp=self._stamp)

    def _answer(self, event: HistoryEvent) -> None:
        """Sends an event to the instance itself, for a task that cannot be carried out."""
        instance = self._started.orchestration_instance
        self.messages.append(Message(instance.instance_id, event, instance.execution_id))


def activity_input(value: JSON) -> str | None:
    """What an activity's datum holds: a text as it is, nothing for null, JSON text for the rest."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "True" if value else "False"
    return encode_value(value)


def json_text(value: JSON) -> str | None:
    """An input as a message has it: JSON text, none for null."""
    return None if value is None else encode_value(value)
