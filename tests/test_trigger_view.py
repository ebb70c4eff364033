"""Histories and unknown members as apps of 1.7.0 read them, beside 1.7.0 itself."""

import json
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import worker_ext as df
from worker_ext.errors import PayloadError
from worker_ext.protocol.history import EVENTS
from worker_ext.testing import HistoryBuilder, replay
from worker_ext.trigger_view import HistoryEvent, HistoryEventType, TriggerView

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    history = pytest.importorskip("azure.durable_functions.models.history")
    peer = pytest.importorskip("azure.durable_functions")

RECORDED = Path(__file__).parent / "histories" / "gen_events.jsonl"


def payloads() -> list[str]:
    records = map(json.loads, RECORDED.read_text(encoding="utf-8").splitlines())
    return [record["payload"] for record in records if "payload" in record]


def members(event: Any) -> dict[str, Any]:
    """Everything an app can read of an event, but what is private."""
    names = {name for name in dir(event) if not name.startswith("_")}
    return {name: getattr(event, name) for name in names}


def test_events_have_the_members_of_1_7_0() -> None:
    for payload in payloads():
        theirs = peer.DurableOrchestrationContext.from_json(payload)
        ours = df.DurableOrchestrationContext.from_json(payload)
        assert [members(event) for event in ours.histories] == [members(event) for event in theirs.histories]
        assert vars(ours.function_context) == vars(theirs.function_context)
        assert vars(ours.function_context).keys() >= {"sourceInstanceId"}


def test_kinds_are_those_of_1_7_0_and_one_that_is_newer() -> None:
    ours = {kind.name: kind.value for kind in HistoryEventType}
    assert ours.pop("EXECUTION_REWOUND") == 21
    assert ours == {kind.name: kind.value for kind in history.HistoryEventType}
    assert {kind.value for kind in HistoryEventType} == EVENTS.keys()


def test_the_kind_of_an_event_is_a_member_of_the_enum() -> None:
    event = HistoryEvent(EventType=5, EventId=-1, IsPlayed=True, Timestamp="2026-01-02T03:04:05.1234567Z", Result="1")
    assert event.event_type is HistoryEventType.TASK_COMPLETED
    assert event.timestamp == datetime(2026, 1, 2, 3, 4, 5, 123456, UTC)
    assert (event.Result, event.Name) == ("1", None)
    assert repr(event) == "<HistoryEvent <HistoryEventType.TASK_COMPLETED: 5> -1>"


def test_an_event_of_a_newer_host_keeps_its_number_and_its_members() -> None:
    payload = json.loads(HistoryBuilder().started().payload())
    payload["history"].append(
        {"EventType": 99, "EventId": 1, "IsPlayed": False, "Timestamp": "2026-01-02T03:04:05Z", "Colour": "red"}
    )
    event = TriggerView(json.dumps(payload)).histories[-1]
    assert (event.event_type, event.Colour) == (99, "red")


def test_a_member_that_an_event_lacks_is_an_attribute_error() -> None:
    event = HistoryEvent(EventType=12, EventId=-1, IsPlayed=False, Timestamp="2026-01-02T03:04:05Z")
    with pytest.raises(AttributeError, match=r"this event \(.*ORCHESTRATOR_STARTED.*\) has no member 'Result'"):
        _ = event.Result
    with pytest.raises(AttributeError, match="the payload has no member 'tags'"):
        _ = TriggerView("{}").function_context.tags


def test_an_event_can_be_marked() -> None:
    [event, *_] = TriggerView(HistoryBuilder().payload()).histories
    event.is_processed = True
    assert event.is_processed


def test_marks_stay_while_the_orchestrator_runs() -> None:
    def orchestrator(context: df.DurableOrchestrationContext) -> Any:
        context.histories[0].is_processed = True
        return [event.is_processed for event in context.histories]

    assert replay(orchestrator, HistoryBuilder().started()).output == [True, False]


def test_nothing_is_read_before_it_is_asked_for() -> None:
    view = TriggerView("no JSON")
    with pytest.raises(ValueError, match="Expecting value"):
        _ = view.histories


@pytest.mark.parametrize("payload", ["no JSON", "{}", '{"history": []}'])
def test_a_context_is_made_of_payloads_of_the_contract_only(payload: str) -> None:
    with pytest.raises(PayloadError):
        df.DurableOrchestrationContext.from_json(payload)
