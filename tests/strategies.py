"""Hypothesis strategies for the protocol's types, shared by every test that makes some up."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st

from worker_ext.protocol import actions, history
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.orchestrator import OrchestratorRequest, OrchestratorState

texts = st.text(max_size=20)
"""Any text that UTF-8 can carry (no lone surrogates), Hypothesis's default alphabet leaves them out."""

names = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12)
sequence_ids = st.integers(0, 2**31 - 1)

finite_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=12,
)
"""Every value that JSON can spell, integers of any size among them."""

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=12,
)
"""What Python's `json` reads and writes: JSON, and NaN and the infinities."""

aware_times = st.datetimes(
    min_value=datetime(1, 1, 2),
    max_value=datetime(9999, 12, 30),
    timezones=st.just(UTC),  # room for any offset
)
timestamps = aware_times.map(format_timestamp)
timespans = st.timedeltas(min_value=timedelta(days=-10_675_199), max_value=timedelta(days=10_675_199))
"""Every duration that .NET's TimeSpan can hold."""

json_texts = finite_json.map(lambda value: msgspec.json.encode(value).decode())
optional_texts = st.none() | texts

retry_options = st.builds(
    actions.RetryOptions,
    first_retry_interval_in_milliseconds=st.integers(1, 2**31),
    max_number_of_attempts=st.integers(1, 100),
    backoff_coefficient=st.sampled_from([1, 1.5, 2.0]),
    max_retry_interval_in_milliseconds=st.none() | st.integers(1, 2**31),
    retry_timeout_in_milliseconds=st.none() | st.integers(1, 2**31),
)


def _action(cls: type[actions.Action], **members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(cls, **members)


_input = st.none() | json_texts
_call = {"function_name": names, "input": _input}
_child = {**_call, "instance_id": st.none() | names, "version": st.none() | names}
_operation = {"instance_id": names.map("@counter@{}".format), "operation": names, "input": _input}
_locks = st.builds(actions.EntityLock, name=names, key=texts)

leaf_actions = st.one_of(
    _action(actions.CallActivity, **_call),
    _action(actions.CallActivityWithRetry, **_call, retry_options=retry_options),
    _action(actions.CallSubOrchestrator, **_child),
    _action(actions.CallSubOrchestratorWithRetry, **_child, retry_options=retry_options),
    _action(actions.ContinueAsNew, input=_input),
    _action(actions.CreateTimer, fire_at=timestamps, is_canceled=st.booleans()),
    _action(actions.WaitForExternalEvent, external_event_name=names),
    _action(actions.CallEntity, **_operation),
    _action(actions.CallHttp, http_request=st.dictionaries(names, optional_texts, max_size=3)),
    _action(actions.SignalEntity, **_operation),
    _action(actions.ScheduledSignalEntity, **_operation, fire_at=timestamps),
    _action(actions.LockEntities, lock_set=st.lists(_locks, min_size=1, max_size=3).map(tuple), lock_request_id=names),
    _action(actions.ReleaseEntities),
)

any_action: st.SearchStrategy[actions.AnyAction] = st.recursive(
    leaf_actions,
    lambda children: st.one_of(
        st.builds(actions.WhenAll, compound_actions=st.lists(children, max_size=3).map(tuple)),
        st.builds(actions.WhenAny, compound_actions=st.lists(children, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)

failure_details: st.SearchStrategy[history.FailureDetails] = st.recursive(
    st.builds(history.FailureDetails, error_type=names, error_message=texts, stack_trace=optional_texts),
    lambda inner: st.builds(
        history.FailureDetails,
        error_type=names,
        error_message=texts,
        inner_failure=inner,
        is_non_retriable=st.booleans(),
        properties=st.none() | st.dictionaries(names, texts, max_size=2),
    ),
    max_leaves=3,
)

_instances = st.builds(history.OrchestrationInstance, instance_id=names, execution_id=st.none() | names)
_parents = st.builds(
    history.ParentInstance,
    name=st.none() | names,
    orchestration_instance=_instances,
    task_schedule_id=sequence_ids,
    version=optional_texts,
)


def _event(cls: type[history.Event], **members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(cls, event_id=st.integers(-1, 2**31 - 1), is_played=st.booleans(), timestamp=timestamps, **members)


_result = st.none() | json_texts
_failed = {
    "task_scheduled_id": sequence_ids,
    "reason": optional_texts,
    "details": optional_texts,
    "failure_details": st.none() | failure_details,
}
_ended = {"orchestration_status": st.sampled_from(history.OrchestrationStatus).map(int), "result": _result}

execution_started: st.SearchStrategy[history.ExecutionStarted] = _event(
    history.ExecutionStarted,
    orchestration_instance=_instances,
    parent_instance=st.none() | _parents,
    name=names,
    version=optional_texts,
    input=_input,
    tags=st.none() | st.dictionaries(names, texts, max_size=2),
    generation=st.none() | st.integers(0, 9),
)

history_events: st.SearchStrategy[history.HistoryEvent] = st.one_of(
    execution_started,
    _event(history.ExecutionCompleted, **_ended, failure_details=st.none() | failure_details),
    _event(history.ExecutionFailed),
    _event(history.ExecutionTerminated, input=optional_texts),
    _event(history.TaskScheduled, name=names, version=optional_texts, input=_input),
    _event(history.TaskCompleted, task_scheduled_id=sequence_ids, result=_result),
    _event(history.TaskFailed, **_failed),
    _event(history.SubOrchestrationInstanceCreated, name=names, instance_id=st.none() | names, input=_input),
    _event(history.SubOrchestrationInstanceCompleted, task_scheduled_id=sequence_ids, result=_result),
    _event(history.SubOrchestrationInstanceFailed, **_failed),
    _event(history.TimerCreated, fire_at=timestamps),
    _event(history.TimerFired, timer_id=sequence_ids, fire_at=timestamps),
    _event(history.OrchestratorStarted),
    _event(history.OrchestratorCompleted),
    _event(history.EventSent, instance_id=st.none() | names, name=st.none() | names, input=_input),
    _event(history.EventRaised, name=names, input=_input),
    _event(history.ContinueAsNew, **_ended),
    _event(history.GenericEvent, data=optional_texts),
    _event(history.HistoryState, state=finite_json),
    _event(history.ExecutionSuspended, reason=optional_texts),
    _event(history.ExecutionResumed, reason=optional_texts),
    _event(history.ExecutionRewound, reason=optional_texts, parent_execution_id=st.none() | names),
)

orchestrator_requests: st.SearchStrategy[OrchestratorRequest] = st.builds(
    OrchestratorRequest,
    history=st.lists(history_events, min_size=1, max_size=6),
    input=finite_json,
    instance_id=names,
    is_replaying=st.booleans(),
    parent_instance_id=st.none() | names,
    upper_schema_version=st.just(1),
    upper_schema_version_new=st.none() | st.integers(2, 9),
    long_running_timer_interval_duration=st.sampled_from([None, "00:00:00", "3.00:00:00"]),
    maximum_short_timer_duration=st.sampled_from([None, "00:00:00", "6.00:00:00"]),
)

raw_json = finite_json.map(lambda value: msgspec.Raw(msgspec.json.encode(value)))


def states(
    is_done: st.SearchStrategy[bool] | None = None, error: st.SearchStrategy[Any] | None = None
) -> st.SearchStrategy[OrchestratorState]:
    """Replies; `is_done` and `error` narrow them."""
    return st.builds(
        OrchestratorState,
        is_done=st.booleans() if is_done is None else is_done,
        actions=st.lists(st.lists(any_action, max_size=3), max_size=1),
        output=st.just(msgspec.UNSET) | raw_json,
        error=st.just(msgspec.UNSET) | optional_texts if error is None else error,
        custom_status=st.just(msgspec.UNSET) | raw_json,
        schema_version=st.integers(0, 3),
        failure_details=st.just(msgspec.UNSET) | st.none() | failure_details,
    )


orchestrator_states = states()
