"""The kernel against the extension: recorded histories and replies in, what the extension then wrote out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kernel_driver import Call, decide_recorded, in_microseconds, known_functions, outcome, recorded_calls
from msgspec import structs

from worker_ext.host.rendering import PayloadWriter, layout, parse_events, render, render_batch
from worker_ext.host.turns import Turn
from worker_ext.protocol.history import EventSent, ExecutionStarted, HistoryEvent, OrchestrationInstance

HISTORIES = Path(__file__).parents[1] / "histories"
EXTENSION = sorted(path.stem for path in (HISTORIES / "extension").glob("*.jsonl"))
PROGRAMS = sorted(path.stem for path in HISTORIES.glob("gen_*.jsonl"))

# Where this host decides otherwise on purpose: the instances, and why. Each rule has a test of its own.
UNKNOWN = "a call of a function that does not exist fails its task, under the id that the worker counted"
DIFFERENCES = {
    "async_max__1": "the recorded host allowed 4 actions and hung at the fifth; here the limit fails the instance",
    "async_x_unknown__1": UNKNOWN,
    "unk_activity__1": UNKNOWN,
    "unk_activity_nb__1": UNKNOWN,
    "sub_unknown": UNKNOWN,
    "long_cancel__1": "a timer that is past due takes an id also while a long timer is running",
    "x_retry_limit": "retry delays longer than the longest timer fail the instance instead of hanging it",
    "x_retry_limit_all": "retry delays longer than the longest timer fail the instance instead of hanging it",
    "unk_entity_call_nb__1": UNKNOWN,
    "lock_unknown__1": "a lock of an entity that does not exist fails the instance instead of being passed over",
}


def files() -> list[Path]:
    return [HISTORIES / "extension" / f"{name}.jsonl" for name in EXTENSION] + [
        HISTORIES / f"{name}.jsonl" for name in PROGRAMS
    ]


def decided(path: Path) -> list[tuple[Call, Turn]]:
    """What the kernel makes of each call of a recording."""
    calls = list(recorded_calls(path))
    functions = known_functions(calls)
    carried: dict[str, str | None] = {}
    turns = []
    for call in calls:
        turn = decide_recorded(
            call, functions, store_inputs=keeps_inputs(call), carried_status=carried.get(call.instance_id)
        )
        carried[call.instance_id] = turn.custom_status if turn.next is not None else None
        turns.append((call, turn))
    return turns


def keeps_inputs(call: Call) -> bool:
    """Whether the recorded host had storeInputsInOrchestrationHistory on."""
    written = call.then.partition("]; activities started")[0]
    return re.search(r"TaskScheduled#\d+ Name=\w+ Input=", written) is not None


def as_recorded(turns: list[tuple[Call, Turn]]) -> list[tuple[str, str]]:
    return [(call.instance_id, in_microseconds(call.then)) for call, _ in turns]


def as_decided(turns: list[tuple[Call, Turn]]) -> list[tuple[str, str]]:
    return [(call.instance_id, in_microseconds(outcome(call.batch, turn))) for call, turn in turns]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_the_kernel_writes_and_sends_what_the_extension_did(path: Path) -> None:
    turns = [(call, turn) for call, turn in decided(path) if call.instance_id not in DIFFERENCES]
    assert as_decided(turns) == as_recorded(turns)


def test_only_the_listed_instances_differ() -> None:
    different = set()
    for path in files():
        turns = decided(path)
        pairs = zip(as_decided(turns), as_recorded(turns), strict=True)
        different |= {mine[0] for mine, theirs in pairs if mine != theirs}
    assert different == set(DIFFERENCES)


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_the_next_payload_has_the_history_that_the_extension_sent(path: Path) -> None:
    last: dict[str, tuple[Call, Turn]] = {}
    for call, turn in decided(path):
        before = last.get(call.instance_id)
        if before is not None and call.instance_id not in DIFFERENCES:
            mine, theirs = next_history(*before), [*call.history, *call.batch.events]
            if before[1].next is None:
                theirs = call.history
            is_same_run = len(theirs) >= len(mine)
            assert not is_same_run or comparable(mine) == comparable(theirs)
        last[call.instance_id] = (call, turn)


def next_history(call: Call, turn: Turn) -> list[HistoryEvent]:
    """The history that the next invocation is sent, up to its batch."""
    if turn.next is not None:
        return turn.next.events
    stored = ",".join([*map(render, call.history), render_batch(call.batch.events, turn.events)])
    return parse_events([stored])


def comparable(events: list[HistoryEvent]) -> list[HistoryEvent]:
    """Events without the times of writing, the ids of executions, and the seventh digits of due times."""
    kept = []
    for event in events:
        changes: dict[str, object] = {"timestamp": ""}
        if isinstance(event, EventSent):
            changes["input"] = in_microseconds(event.input or "")
        if isinstance(event, ExecutionStarted):
            changes["orchestration_instance"] = OrchestrationInstance(event.orchestration_instance.instance_id, None)
        if (fire_at := getattr(event, "fire_at", None)) is not None:
            changes["fire_at"] = in_microseconds(fire_at)
        kept.append(structs.replace(event, **changes))
    return kept


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_a_payload_is_the_extensions_to_the_byte(path: Path) -> None:
    for call in recorded_calls(path):
        payload = call.payload
        writer = PayloadWriter(
            payload["maximumShortTimerDuration"],
            payload["longRunningTimerIntervalDuration"],
            payload["defaultHttpAsyncRequestSleepTimeMillseconds"],
        )
        layouts = [layout(",".join(map(render, batch))) for batch in (call.history, call.batch.events) if batch]
        assert writer.write(layouts, call.batch.started, call.batch.is_replaying) == call.text
