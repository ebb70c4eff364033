"""Replays an orchestrator's action list against the history of its execution: what is new, what is open, is it through?

The list is worked item by item: an item is started when the one before it is complete, and hands out sequence ids in
that moment. Every decision that the replay makes must be the one that history has under its id, whatever is left over
is new. Groups complete with their members (WhenAll, at once when empty) or with the first of them (WhenAny, and every
inner list of schema V1).

Differences from the extension, on purpose: a timer that is past due always takes an id and makes an event; what the
extension swallows (more actions than `maxOrchestrationActions`) fails the instance.

Source: durable-functions JSON protocol, reference engine (A.1), retry algorithm (2.3.2), timers (4.6), events (4.7),
continue-as-new (4.8); TaskOrchestrationContext.cs, OutOfProcOrchestrationShim.cs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from worker_ext.errors import PayloadError
from worker_ext.host.decisions import (
    Produced,
    ScheduleActivity,
    SendRequest,
    StartChild,
    StartTimer,
    check_child,
    check_sent,
    check_task,
    check_timer,
)
from worker_ext.host.durable_http import HTTP_ACTIVITY, activity_request, next_poll, retry_options
from worker_ext.host.entity_calls import EntityCalls, EntityRuleError
from worker_ext.host.entity_messages import read_request
from worker_ext.host.nodes import EntityWait, HttpCall, LongTimer, Node, Repeated, Retried
from worker_ext.host.replies import Decision, FaultyAction, parse_time
from worker_ext.host.retry_delays import longest_delay, retry_delay
from worker_ext.host.turns import EngineOptions
from worker_ext.protocol.actions import (
    AnyAction,
    CallActivity,
    CallActivityWithRetry,
    CallEntity,
    CallHttp,
    CallSubOrchestrator,
    CallSubOrchestratorWithRetry,
    ContinueAsNew,
    CreateTimer,
    LockEntities,
    ReleaseEntities,
    RetryOptions,
    ScheduledSignalEntity,
    SignalEntity,
    WaitForExternalEvent,
    WhenAll,
    WhenAny,
)
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import (
    EVENTS,
    Event,
    EventRaised,
    EventSent,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from worker_ext.protocol.orchestrator import ReplaySchema


class _ActionError(Exception):
    """An action cannot be started; the text is what the instance fails with once nothing is open."""


class Replay:
    """One pass of an action list over a history.

    Attributes:
        produced: Decisions that history does not have, by sequence id.
        open: What must end before the instance may: activities, children and timers that are not cancelled, by id.
        next_id: The next free sequence id.
        finished: The whole list is complete.
        fault: Why the list cannot be worked to its end.
        new_input: The input of the next generation once the list has come to its ContinueAsNew, as an action.
        carried: Events that the next generation gets.
        is_terminated: A terminate request was among the events; `termination_reason` is its text.
        is_suspended: The instance is suspended after the last event.
    """

    def __init__(self, decision: Decision, entities: EntityCalls, options: EngineOptions) -> None:
        self.produced: dict[int, Produced] = {}
        self.open: dict[int, Node] = {}
        self.next_id = 0
        self.finished = False
        self.fault: str | None = None
        self.new_input: ContinueAsNew | None = None
        self.carried: list[EventRaised] = []
        self.is_terminated = False
        self.termination_reason: str | None = None
        self.is_suspended = False
        self._schema = decision.schema
        self._items: list[Any] = decision.items
        self._ends = decision.is_done or decision.error is not None
        self._entities = entities
        self._requests: dict[str, EntityWait] = {}
        self._limits = options.timers
        self._http_delay = options.http_delay
        self._actions_left = options.max_actions
        self._max_actions = options.max_actions
        self._cursor = 0
        self._current: Node | None = None
        self._now = "0001-01-01T00:00:00Z"
        self._waiters: dict[str, list[Node]] = {}
        self._buffered: dict[str, int] = {}
        self._aside: list[Event] = []
        self._held: dict[int, Produced] = {}

    def run(self, events: Iterable[Event]) -> None:
        """Processes events in their order; what follows a terminate request is left out.

        Raises:
            NonDeterministicError: The list does not lead to what history has.
        """
        for event in events:
            kind = type(event)
            if kind is OrchestratorStarted:
                self._now = event.timestamp
            elif self.is_suspended and kind is not ExecutionResumed and kind is not ExecutionTerminated:
                self._aside.append(event)
            else:
                _STEPS[kind](self, event)
                if self.is_terminated:
                    return

    @property
    def waits(self) -> bool:
        """Whether it stands at an item that is not complete, and nothing else keeps it from going on."""
        is_stopped = self.is_suspended or self.is_terminated or self.fault is not None or self.new_input is not None
        return not is_stopped and self._current is not None and not self._current.done

    def takes_up(self, decision: Decision) -> bool:
        """Goes on with the list of a later reply if that is the same up to the item it waits for; whether it does."""
        begun = self._cursor + 1
        if decision.schema is not self._schema or decision.items[:begun] != self._items[:begun]:
            return False
        self._items = decision.items
        self._ends = decision.is_done or decision.error is not None
        return True

    def release_held(self) -> None:
        """Gives back the decisions that a suspension holds back: an instance that ends sends what it has."""
        self.produced |= self._held
        self._held = {}

    # ------------------------------------------------------------ the list

    def _advance(self) -> None:
        items = self._items
        try:
            while self._cursor < len(items):
                if self._current is None:
                    self._current = self._start_item(items[self._cursor])
                if not self._current.done:
                    return
                self._cursor += 1
                self._current = None
        except (_ActionError, EntityRuleError) as error:
            self.fault = str(error)
            self._items = []
            self._cursor = 1
            self._current = None
            self._send_releases()
            return
        if self._cursor == len(items) and not self.finished:
            self.finished = True
            if self._ends:
                self._send_releases()

    def _start_item(self, item: Any) -> Node:
        if self._schema is not ReplaySchema.V1:
            return self._start(item)
        return self._start_group(item, needed=1) if item else Node(done=True)

    def _start(self, action: Any) -> Node:
        return _STARTS[type(action)](self, action)

    def _start_group(self, actions: Iterable[AnyAction], needed: int) -> Node:
        """Starts members in their order; `needed` of them make the group complete, or all if it is 0."""
        group = Node(needed)
        total = finished = 0
        for action in actions:
            node = self._start(action)
            total += 1
            if node.done:
                finished += 1
            else:
                node.parent = group
        group.needed = (needed or total) - finished
        group.done = group.needed <= 0
        return group

    def _start_all(self, action: WhenAll) -> Node:
        return self._start_group(action.compound_actions, needed=0)

    def _start_any(self, action: WhenAny) -> Node:
        if not action.compound_actions:
            raise _ActionError("The tasks argument contains no tasks. (Parameter 'tasks')")
        return self._start_group(action.compound_actions, needed=1)

    def _start_faulty(self, action: FaultyAction) -> Node:
        raise _ActionError(action.text)

    # ------------------------------------------------------------ leaves

    def _take_id(self, produced: Produced) -> int:
        number = self.next_id
        self.next_id = number + 1
        self.produced[number] = produced
        return number

    def _count(self) -> None:
        self._actions_left -= 1
        if self._actions_left < 0:
            raise _ActionError(
                f"The orchestration has scheduled more than {self._max_actions} actions. Continue as new before that, "
                "or set extensions.durableTask.maxOrchestrationActions in host.json"
            )

    def _call_activity(self, action: CallActivity) -> Node:
        self._count()
        node = Node()
        self.open[self._take_id(ScheduleActivity(action.function_name, action.input))] = node
        return node

    def _call_child(self, action: CallSubOrchestrator) -> Node:
        if self._entities.held is not None:
            return Node(done=True)
        self._count()
        node = Node()
        child = StartChild(action.function_name, action.input, action.instance_id or None, action.version)
        self.open[self._take_id(child)] = node
        return node

    def _call_with_retry(self, action: CallActivityWithRetry | CallSubOrchestratorWithRetry) -> Node:
        if isinstance(action, CallSubOrchestratorWithRetry) and self._entities.held is not None:
            return Node(done=True)
        self._count()
        longest, limit = longest_delay(action.retry_options), self._limits.maximum_short
        if limit and longest > limit:
            raise _ActionError(
                f"maxRetryIntervalInMilliseconds of {action.function_name} is {longest}; it must not be longer than "
                f"the longest timer, {limit}"
            )
        node = Retried(action, self._now)
        self._attempt(node)
        return node

    def _attempt(self, node: Repeated) -> None:
        if isinstance(node, HttpCall):
            self._send_http(node)
        elif isinstance(node, Retried):
            self._run_attempt(node)

    def _run_attempt(self, node: Retried) -> None:
        action = node.action
        produced: Produced
        if isinstance(action, CallActivityWithRetry):
            produced = ScheduleActivity(action.function_name, action.input)
        else:
            produced = StartChild(action.function_name, action.input, action.instance_id or None, action.version)
        self.open[self._take_id(produced)] = node

    def _retry(self, node: Repeated, options: RetryOptions) -> None:
        """What follows a failed attempt: a delay, the extra timer after the last one, or at once the end."""
        now = parse_time(self._now)
        delay = timedelta(0)
        if node.attempt >= options.max_number_of_attempts:
            node.exhausted = True
        else:
            delay = retry_delay(options, node.attempt, now - parse_time(node.first_at))
            if not delay:
                node.finish()
                return
        self.open[self._take_id(StartTimer(format_timestamp(now + delay)))] = node

    def _delay_over(self, node: Repeated) -> None:
        if node.exhausted:
            node.finish()
            return
        node.attempt += 1
        self._attempt(node)

    def _create_timer(self, action: CreateTimer) -> Node:
        self._count()
        fire_at = parse_time(action.fire_at)
        limit, node, first = self._limits.maximum_short, Node(), fire_at
        if limit and (now := parse_time(self._now)) + limit < fire_at:
            if self._schema < ReplaySchema.V3:
                raise _ActionError(
                    f"A timer of {fire_at - now} is longer than {limit}, and the schema of the reply cannot split it. "
                    "(Parameter 'fireAt')"
                )
            node, first = LongTimer(fire_at), now + self._limits.long_interval
        number = self._take_id(StartTimer(format_timestamp(first)))
        if action.is_canceled:
            node.done = True
        else:
            self.open[number] = node
        return node

    def _piece_over(self, node: LongTimer) -> None:
        now = parse_time(self._now)
        if now >= node.fire_at:
            node.finish()
            return
        fire_at = now + min(node.fire_at - now, self._limits.long_interval)
        self.open[self._take_id(StartTimer(format_timestamp(fire_at)))] = node

    def _call_http(self, action: CallHttp) -> Node:
        self._count()
        request = activity_request(action.http_request)
        try:
            options = retry_options(request)
        except (PayloadError, ValueError) as error:
            raise _ActionError(str(error)) from None
        node = HttpCall(request, options, self._now)
        self._send_http(node)
        return node

    def _send_http(self, node: HttpCall) -> None:
        self.open[self._take_id(ScheduleActivity(HTTP_ACTIVITY, node.request))] = node

    def _http_answered(self, node: HttpCall, result: str | None) -> None:
        poll = next_poll(node.request, result, self._http_delay)
        if poll is None:
            node.finish()
            return
        node.request, node.options = poll.request, None
        fire_at = format_timestamp(parse_time(self._now) + poll.delay)
        self.open[self._take_id(StartTimer(fire_at))] = node

    def _wait_for_event(self, action: WaitForExternalEvent) -> Node:
        name = action.external_event_name.lower()
        waiting = self._buffered.get(name, 0)
        if waiting:
            self._buffered[name] = waiting - 1
            return Node(done=True)
        node = Node()
        self._waiters.setdefault(name, []).append(node)
        return node

    def _continue_as_new(self, action: ContinueAsNew) -> Node:
        self.new_input = action
        return Node(done=True)

    # ------------------------------------------------------------ entities

    def _call_entity(self, action: CallEntity) -> Node:
        return self._await_answer(self._entities.call(action, self._now))

    def _lock_entities(self, action: LockEntities) -> Node:
        return self._await_answer(self._entities.lock(action, self._now))

    def _await_answer(self, request: SendRequest | None) -> Node:
        """A node for a request; one that the rules of locks do not let through is complete at once."""
        if request is None:
            return Node(done=True)
        self._count()
        node = self._requests[request.id] = EntityWait(request)
        self._take_id(request)
        return node

    def _signal_entity(self, action: SignalEntity | ScheduledSignalEntity) -> Node:
        self._count()
        self._take_id(self._entities.signal(action, self._now))
        return Node(done=True)

    def _release_entities(self, action: ReleaseEntities) -> Node:
        self._send_releases(count=True)
        return Node(done=True)

    def _send_releases(self, *, count: bool = False) -> None:
        for release in self._entities.release():
            if count:
                self._count()
            self._take_id(release)

    # ------------------------------------------------------------ events: decisions of earlier batches

    def _task_scheduled(self, event: TaskScheduled) -> None:
        check_task(event, self.produced.get(event.event_id))
        del self.produced[event.event_id]

    def _timer_created(self, event: TimerCreated) -> None:
        check_timer(event, self.produced.get(event.event_id))
        del self.produced[event.event_id]

    def _child_created(self, event: SubOrchestrationInstanceCreated) -> None:
        check_child(event, self.produced.get(event.event_id))
        del self.produced[event.event_id]

    def _event_sent(self, event: EventSent) -> None:
        made = self.produced.get(event.event_id)
        check_sent(event, made)
        del self.produced[event.event_id]
        if isinstance(made, SendRequest) and made.id in self._requests and made.id not in (event.input or ""):
            node = self._requests.pop(made.id)
            self._entities.rename(made, read_request(event.input).id)
            self._requests[made.id] = node

    # ------------------------------------------------------------ events: messages

    def _execution_started(self, event: ExecutionStarted) -> None:
        self._advance()

    def _completed(self, event: TaskCompleted | SubOrchestrationInstanceCompleted) -> None:
        node = self.open.pop(event.task_scheduled_id, None)
        if node is None:
            return
        if isinstance(node, HttpCall):
            self._http_answered(node, event.result)
        else:
            node.finish()
        self._advance()

    def _failed(self, event: TaskFailed | SubOrchestrationInstanceFailed) -> None:
        node = self.open.pop(event.task_scheduled_id, None)
        if node is None:
            return
        if isinstance(node, Repeated) and node.options is not None:
            self._retry(node, node.options)
        else:
            node.finish()
        self._advance()

    def _timer_fired(self, event: TimerFired) -> None:
        node = self.open.pop(event.timer_id, None)
        if node is None:
            return
        if isinstance(node, Repeated) and node.options is not None:
            self._delay_over(node)
        elif isinstance(node, LongTimer):
            self._piece_over(node)
        elif isinstance(node, HttpCall):
            self._send_http(node)
        else:
            node.finish()
        self._advance()

    def _event_raised(self, event: EventRaised) -> None:
        if self.new_input is not None:
            self.carried.append(event)
            return
        answered = self._requests.pop(event.name, None)
        if answered is not None:
            self._entities.answered(answered.request)
            answered.finish()
            self._advance()
            return
        name = event.name.lower()
        waiters = self._waiters.get(name)
        if waiters:
            waiters.pop().finish()
            self._advance()
        else:
            self._buffered[name] = self._buffered.get(name, 0) + 1

    def _suspended(self, event: ExecutionSuspended) -> None:
        self.is_suspended = True
        self._held = self.produced
        self.produced = {}

    def _resumed(self, event: ExecutionResumed) -> None:
        if not self.is_suspended:
            return
        self.is_suspended = False
        self.release_held()
        aside, self._aside = self._aside, []
        self.run(aside)

    def _terminated(self, event: ExecutionTerminated) -> None:
        self.is_terminated = True
        self.termination_reason = event.input

    def _ignored(self, event: Event) -> None:
        """Markers of batches, what a rewind leaves, and kinds that are never delivered."""


_STARTS: dict[type[Any], Callable[[Replay, Any], Node]] = {
    CallActivity: Replay._call_activity,
    CallActivityWithRetry: Replay._call_with_retry,
    CallSubOrchestrator: Replay._call_child,
    CallSubOrchestratorWithRetry: Replay._call_with_retry,
    ContinueAsNew: Replay._continue_as_new,
    CreateTimer: Replay._create_timer,
    CallHttp: Replay._call_http,
    WaitForExternalEvent: Replay._wait_for_event,
    WhenAny: Replay._start_any,
    WhenAll: Replay._start_all,
    FaultyAction: Replay._start_faulty,
    CallEntity: Replay._call_entity,
    SignalEntity: Replay._signal_entity,
    ScheduledSignalEntity: Replay._signal_entity,
    LockEntities: Replay._lock_entities,
    ReleaseEntities: Replay._release_entities,
}
"""How each action is started."""

_STEPS: dict[type[Event], Callable[[Replay, Any], None]] = {
    **dict.fromkeys(EVENTS.values(), Replay._ignored),
    ExecutionStarted: Replay._execution_started,
    TaskScheduled: Replay._task_scheduled,
    TaskCompleted: Replay._completed,
    TaskFailed: Replay._failed,
    SubOrchestrationInstanceCreated: Replay._child_created,
    SubOrchestrationInstanceCompleted: Replay._completed,
    SubOrchestrationInstanceFailed: Replay._failed,
    TimerCreated: Replay._timer_created,
    TimerFired: Replay._timer_fired,
    EventSent: Replay._event_sent,
    EventRaised: Replay._event_raised,
    ExecutionSuspended: Replay._suspended,
    ExecutionResumed: Replay._resumed,
    ExecutionTerminated: Replay._terminated,
}
"""How each kind of event is processed."""
