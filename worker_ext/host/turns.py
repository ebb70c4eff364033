"""What goes into a turn of the engine and what comes out of it: plain data, shared by kernel, replay and scheduler."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from msgspec import Struct

from worker_ext.host.durable_http import HTTP_ACTIVITY
from worker_ext.protocol.history import ExecutionStarted, HistoryEvent, OrchestrationStatus

# ---------------------------------------------------------------- what comes in


class TimerLimits(Struct, frozen=True):
    """How long a timer may be in one piece, and the pieces of longer ones; zero is no limit.

    Args:
        maximum_short: The longest timer in one piece.
        long_interval: The length of each piece of a longer one.
    """

    maximum_short: timedelta = timedelta(days=6)
    long_interval: timedelta = timedelta(days=3)


class EngineOptions(Struct, frozen=True, kw_only=True):
    """What the engine is told once.

    Args:
        timers: How long a timer may be in one piece.
        max_actions: How many actions one execution may schedule.
        store_inputs: Whether history keeps the inputs of activities and children.
        default_version: The version of children that are started without one.
        http_delay: How long durable HTTP waits between polls where the server names no time.
    """

    timers: TimerLimits = TimerLimits()
    max_actions: int = 100_000
    store_inputs: bool = False
    default_version: str | None = None
    http_delay: timedelta = timedelta(seconds=30)


class KnownFunctions:
    """The functions that can be called, by name without regard to case."""

    def __init__(
        self, orchestrations: Collection[str], activities: Collection[str], entities: Collection[str] = ()
    ) -> None:
        self._names = {
            "orchestrator": sorted(orchestrations),
            "activity": sorted(activities),
            "entity": sorted(entities),
        }
        self._lower = {kind: {name.lower() for name in names} for kind, names in self._names.items()}

    def has_activity(self, name: str) -> bool:
        """Whether there is an activity of that name."""
        return name == HTTP_ACTIVITY or name.lower() in self._lower["activity"]

    def has_orchestration(self, name: str) -> bool:
        """Whether there is an orchestrator of that name."""
        return name.lower() in self._lower["orchestrator"]

    def has_entity(self, name: str) -> bool:
        """Whether there is an entity function of that name."""
        return name.lower() in self._lower["entity"]

    def no_activity(self, name: str) -> str:
        """The extension's text for an activity that does not exist."""
        return self._missing("activity", name)

    def no_orchestration(self, name: str) -> str:
        """The extension's text for an orchestrator that does not exist."""
        return self._missing("orchestrator", name)

    def no_entity(self, name: str) -> str:
        """The extension's text for an entity function that does not exist."""
        return self._missing("entity", name)

    def _missing(self, kind: str, name: str) -> str:
        known = ", ".join(f"'{known}'" for known in self._names[kind])
        return (
            f"The function '{name}' doesn't exist, is disabled, or is not an {kind} function. "
            f"Additional info: The following are the known {kind} functions: {known}."
        )


class Waiting(Struct, frozen=True, gc=False):
    """A message for an instance; `execution_id` is the execution it is meant for, None for whichever runs."""

    event: HistoryEvent
    execution_id: str | None = None


# ---------------------------------------------------------------- what goes out


class ActivityWork(Struct, frozen=True, gc=False):
    """An activity to run; `input` is what its datum holds, `trace_parent` names the span that it is part of."""

    task_id: int
    name: str
    input: str | None
    trace_parent: str | None = None


class Message(Struct, frozen=True, gc=False):
    """An event for an instance; dropped if that instance is gone or over, unless it is an entity, which is then made.

    Attributes:
        if_gone: Events for entities, sent instead where the instance does not run that execution any more.
    """

    instance_id: str
    event: HistoryEvent
    execution_id: str | None = None
    if_gone: tuple[Message, ...] = ()


class Timer(Struct, frozen=True, gc=False):
    """An event for the instance itself, to be delivered at a time of its own."""

    due: datetime
    event: HistoryEvent


class ChildStart(Struct, frozen=True, gc=False):
    """An orchestration to start; `if_taken` goes to its parent where an instance of that id is still running."""

    instance_id: str
    started: ExecutionStarted
    if_taken: HistoryEvent


class Batch(Struct, frozen=True):
    """What one invocation of the worker delivers beyond the history.

    Attributes:
        started: The start of the execution, from the history or this batch.
        events: The batch's events.
        is_replaying: An earlier batch delivered the start.
        carried_status: The custom status of the generation before; it lasts for one batch.
    """

    started: ExecutionStarted
    events: list[HistoryEvent]
    is_replaying: bool = False
    carried_status: str | None = None


class Turn(Struct, kw_only=True):
    """What a worker's reply leads to.

    Attributes:
        events: What is appended to the history behind the batch.
        status: The instance's status after it.
        output: Its output as the status shows it: JSON text, or the bare text of a failure or termination.
        custom_status: Its custom status as JSON text.
        activities: Activities to run.
        timers: Events for the instance itself, at their time.
        children: Orchestrations to start.
        messages: Events for entities, and for instances that exist, this one included.
        next: The first batch of the next generation, which replaces the whole history; the worker is invoked with it
            at once.
    """

    events: list[HistoryEvent]
    status: OrchestrationStatus
    output: str | None = None
    custom_status: str | None = None
    activities: list[ActivityWork]
    timers: list[Timer]
    children: list[ChildStart]
    messages: list[Message]
    next: Batch | None = None
