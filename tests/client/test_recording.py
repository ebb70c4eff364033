"""Instances as recordings: what the management API shows of a history, made into the payload it came from.

Every recorded payload of the extension is cleaned up as the API shows it and worked out again. The programs must answer
the recording as they answer the payload, times apart.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from recordings import HISTORIES, Comparison, Payload, comparison, function_of, records_of

import worker_ext
from worker_ext.errors import PayloadError
from worker_ext.host.instance_status import shown_history
from worker_ext.protocol.orchestrator import OrchestratorRequest
from worker_ext.recording import from_status
from worker_ext.testing import HistoryBuilder, replay

FILES = sorted([*HISTORIES.glob("gen_*.jsonl"), *HISTORIES.glob("sdk170/*.jsonl")])
VARIES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+|datetime\.datetime\([\d, ]+\)|0x[0-9a-f]+")
# The recordings were made with short timers in the place of long ones, which no status tells.
LIMITS = ("longRunningTimerIntervalDuration", "maximumShortTimerDuration")


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Comparison]:
    """The recorded programs, importable."""
    yield from comparison(monkeypatch)


def shown(payload: str) -> dict[str, Any]:
    """What the management API would show of the instance that a payload is of."""
    request = OrchestratorRequest.decode(payload)
    return {
        "name": "the function",
        "instanceId": request.instance_id,
        "parentInstanceId": request.parent_instance_id,
        "input": request.input,
        "historyEvents": shown_history(request.history, show_input=True, show_output=True),
    }


def answer(record: dict[str, Any], payload: str) -> str:
    try:
        given = function_of(record)(Payload(payload))
    except worker_ext.OrchestrationFailedError as error:
        given = f"raised {error}"
    return VARIES.sub("...", given)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.usefixtures("programs")
def test_a_history_is_worked_out_from_what_is_shown_of_it(file: Path) -> None:
    compared = []
    for line, record in enumerate(records_of(file), 1):
        if record.get("kind") != "orchestrator" or record["reply"] is None:
            continue
        limits = {name: json.loads(record["payload"])[name] for name in LIMITS}
        again = json.dumps(from_status(shown(record["payload"])) | limits)
        compared.append((line, answer(record, again) == answer(record, record["payload"])))
    assert [line for line, is_same in compared if not is_same] == []
    assert compared or file.stem in ("sdk170_entities", "gen_x_retry_limit")


def test_a_recording_is_a_payload_with_its_turns_and_ids() -> None:
    started = "2026-01-02T03:04:05Z"
    status = {
        "name": "Ship",
        "instanceId": "order-17",
        "runtimeStatus": "Completed",
        "input": '{"n": 1}',
        "output": "packed",
        "historyEvents": [
            {"EventType": "ExecutionStarted", "Input": '"{\\"n\\": 1}"', "Timestamp": started, "FunctionName": "Ship"},
            {
                "EventType": "TaskCompleted",
                "Result": "packed",
                "Timestamp": "2026-01-02T03:04:07Z",
                "ScheduledTime": "2026-01-02T03:04:06+00:00",
                "FunctionName": "Pack",
                "Input": None,
            },
            {
                "EventType": "ExecutionCompleted",
                "OrchestrationStatus": "Completed",
                "Result": "packed",
                "Timestamp": "2026-01-02T03:04:08Z",
            },
        ],
    }
    recording = from_status(status)
    events = [(event["EventType"], event["EventId"], event["Timestamp"]) for event in recording["history"]]
    assert events == [
        (12, -1, "2026-01-02T03:04:05Z"),
        (0, -1, "2026-01-02T03:04:05Z"),
        (4, 0, "2026-01-02T03:04:06Z"),
        (13, -1, "2026-01-02T03:04:06Z"),
        (12, -1, "2026-01-02T03:04:07Z"),
        (5, -1, "2026-01-02T03:04:07Z"),
        (1, -1, "2026-01-02T03:04:08Z"),
        (13, -1, "2026-01-02T03:04:08Z"),
    ]
    assert recording["instance"] == {name: value for name, value in status.items() if name != "historyEvents"}

    def ship(context: Any) -> Any:
        order = context.get_input()
        packed = yield context.call_activity("Pack", order["n"])
        return packed

    turn = replay(ship, json.dumps(recording))
    assert (turn.error, turn.output) == (None, "packed")


@pytest.mark.parametrize(
    "history,message",
    [
        (None, r"\$\.historyEvents: expected the events of an instance that has begun, found none"),
        (
            [{"EventType": "Nonsense"}],
            r"\$\.historyEvents\[0\]\.EventType: expected the name of an event, found 'Nonsense'",
        ),
        (["x"], r"\$\.historyEvents\[0\]\.EventType: expected the name of an event, found None"),
        ([{"EventType": "TimerFired", "Timestamp": "2026-01-02T03:04:05Z", "FireAt": "x"}], "'x' has no counterpart"),
        ([{"EventType": "TaskCompleted", "Timestamp": "2026-01-02T03:04:05Z"}], "expected the start, the end and"),
        ([{"EventType": "ExecutionStarted"}], "'Timestamp' has no counterpart"),
    ],
)
def test_what_is_no_history_is_refused(history: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        from_status({"historyEvents": history})


@dataclass
class Order:
    number: int


def test_a_decorated_function_is_replayed_as_its_decorator_says() -> None:
    app = worker_ext.DFApp()

    @app.orchestration_trigger(context_name="context", input_type=Order)
    def ship(context: Any) -> int:
        order: Order = context.get_input()
        return order.number

    turn = replay(ship, HistoryBuilder().started("ship", {"number": 17}))
    assert (turn.error, turn.output) == (None, 17)


def test_a_file_is_replayed(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(HistoryBuilder().started().payload())
    assert replay(lambda _context: 7, tmp_path / "x.json").output == 7
