"""The entity side of the engine: what a batch has, what it is answered with, what is kept; and the recorded ones."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kernel_driver import START, brief
from scripted_gateway import counter

from worker_ext.host import entities
from worker_ext.host.entities import BadEntityReplyError, EntityBatch, EntityRecord, EntityTurn
from worker_ext.host.entity_messages import UNUSED_TIME, Release, Request, answer, lock_set, read_request
from worker_ext.host.gateway import Reply
from worker_ext.host.turns import KnownFunctions, Message, Timer
from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import EventRaised, ExecutionTerminated

RECORDINGS = Path(__file__).parents[1] / "histories" / "extension"
FUNCTIONS = KnownFunctions((), (), {"Counter", "Log"})
T0 = format_timestamp(START)


def request(operation: str | None, value: Any = None, **members: Any) -> Request:
    """A request as an orchestration named `caller` sends it."""
    given = {"id": f"{operation} {value}", "parent": "caller", "parent_execution": "e1"} | members
    text = None if value is None else json.dumps(json.dumps(value))
    return Request(operation=operation, input=text, timestamp=UNUSED_TIME, predecessor=UNUSED_TIME, **given)


def raised(content: Request, name: str = "op") -> EventRaised:
    return EventRaised(name=name, input=content.encode(), timestamp=T0)


def signal(operation: str, value: Any = None, **members: Any) -> EventRaised:
    return raised(request(operation, value, is_signal=True, **members))


def call(operation: str, value: Any = None, **members: Any) -> EventRaised:
    return raised(request(operation, value, **members))


def lock(parent: str, *instance_ids: str, position: int = 0) -> EventRaised:
    content = request(None, id=f"lock {parent}", parent=parent, lock_set=lock_set(instance_ids), position=position)
    return raised(content)


def release(parent: str) -> EventRaised:
    return EventRaised(name="release", input=Release(parent, f"lock {parent}").encode(), timestamp=T0)


@dataclass
class Entity:
    """One entity, driven batch by batch; the counter runs its operations."""

    instance_id: str = "@counter@k"
    record: str | None = None
    limit: int = 5000
    batches: list[list[str]] = field(default_factory=list)
    last: EntityTurn | None = None

    def receive(self, *events: Any) -> EntityTurn:
        """Delivers messages and runs what they ask for."""
        batch = entities.open_batch(self.record, events, self.limit, START)
        reply = None
        if batch.operations:
            self.batches.append([f"{item.operation} {item.input or ''}".strip() for item in batch.operations])
            payload = json.loads(entities.payload(self.instance_id, batch))
            reply = entities.read_reply(batch, Reply(json.dumps(counter(payload))))
        ids = (f"id{number}" for number in itertools.count(1))
        turn = entities.decide(self.instance_id, batch, reply, functions=FUNCTIONS, now=START, new_id=lambda: next(ids))
        self.record, self.last = turn.record, turn
        return turn

    @property
    def stored(self) -> dict[str, Any]:
        """The record as it is stored, without the sorter's part."""
        members = json.loads(self.record or "{}")
        assert members.pop("sorter") == {}
        return dict(members)


def sent(turn: EntityTurn) -> list[tuple[str, str, Any]]:
    """Messages: to whom, under which name, and the part that matters."""

    def content(message: Message) -> Any:
        event = message.event
        assert isinstance(event, EventRaised)
        members = json.loads(event.input or "null")
        if members is None:
            return None
        members.pop("$type")
        return members

    return [
        (message.instance_id, str(getattr(message.event, "name", "")), content(message)) for message in turn.messages
    ]


# ---------------------------------------------------------------- batches


def test_operations_of_a_batch_run_in_the_order_they_arrived() -> None:
    entity = Entity()
    turn = entity.receive(signal("add", 1), signal("add", 2), call("get"))
    assert entity.batches == [['add "1"', 'add "2"', "get"]]
    assert sent(turn) == [("caller", "get None", {"result": "3"})]
    assert (entity.stored, turn.custom_status) == ({"exists": True, "state": "3"}, '{"entityExists":true}')


def test_an_answer_goes_to_the_execution_that_asked() -> None:
    turn = Entity().receive(call("get", parent="caller", parent_execution="e7"))
    event = EventRaised(name="get None", input=answer("0"), timestamp=T0)
    assert turn.messages == [Message("caller", event, "e7")]


def test_an_error_of_an_operation_is_its_answer_and_the_others_go_on() -> None:
    entity = Entity()
    turn = entity.receive(call("fail"), signal("fail"), call("get"))
    assert sent(turn) == [
        ("caller", "fail None", {"result": '"bad op"', "exceptionType": "Error"}),
        ("caller", "get None", {"result": "0"}),
    ]


def test_what_is_beyond_the_size_of_a_batch_comes_in_the_next_one() -> None:
    entity = Entity(limit=2)
    turn = entity.receive(signal("add", 1), signal("add", 2), signal("add", 3))
    assert sent(turn) == [("@counter@k", "continue", None)]
    assert turn.custom_status == '{"entityExists":true,"queueSize":1}'
    turn = entity.receive(EventRaised(name="continue", timestamp=T0))
    assert (entity.batches, entity.stored, turn.messages) == (
        [['add "1"', 'add "2"'], ['add "3"']],
        {"exists": True, "state": "6"},
        [],
    )


def test_a_deleted_entity_exists_no_more() -> None:
    entity = Entity()
    turn = entity.receive(signal("add", 1), signal("delete"))
    assert (entity.stored, turn.custom_status) == ({"state": "0"}, "{}")


def test_signals_between_entities_are_sent_as_they_stand() -> None:
    turn = Entity().receive(signal("forward", "other"))
    content = {
        "op": "add",
        "signal": True,
        "input": '"1"',
        "id": "id1",
        "parent": "@counter@k",
        "Timestamp": UNUSED_TIME,
        "Predecessor": UNUSED_TIME,
    }
    assert sent(turn) == [("@counter@other", "op", content)]


def test_a_signal_to_an_entity_that_does_not_exist_is_dropped_with_a_note() -> None:
    batch = entities.open_batch(None, [signal("x")], 10, START)
    reply = '{"entityExists":false,"results":[{}],"signals":[{"target":{"name":"nosuch","key":"k"},"name":"n"}]}'
    turn = entities.decide(
        "@counter@k",
        batch,
        entities.read_reply(batch, Reply(reply)),
        functions=FUNCTIONS,
        now=START,
        new_id=str,
    )
    assert (turn.messages, turn.notes) == (
        [],
        [f"its signal 'n' to @nosuch@k: {FUNCTIONS.no_entity('nosuch')}"],
    )


@pytest.mark.parametrize("state, kept", [('"null"', "null"), ("null", None)])
def test_the_state_of_a_deleted_entity_comes_back_as_the_worker_sent_it(state: str, kept: str | None) -> None:
    batch = entities.open_batch(None, [signal("delete")], 10, START)
    reply = entities.read_reply(batch, Reply(f'{{"entityExists":false,"entityState":{state},"results":[{{}}]}}'))
    turn = entities.decide("@counter@k", batch, reply, functions=FUNCTIONS, now=START, new_id=str)
    assert turn.custom_status == "{}"
    next_batch = entities.open_batch(turn.record, [signal("get")], 10, START)
    sent = json.loads(entities.payload("@counter@k", next_batch))
    assert (sent["exists"], sent["state"]) == (False, kept)


def test_operations_of_an_entity_without_a_function_fail_and_the_state_stays() -> None:
    entity = Entity()
    entity.receive(signal("add", 4))
    batch = entities.open_batch(entity.record, [call("get"), signal("add", 1)], 10, START)
    reply = entities.reply_for_missing(batch, "gone")
    turn = entities.decide("@counter@k", batch, reply, functions=FUNCTIONS, now=START, new_id=str)
    assert sent(turn) == [("caller", "get None", {"result": '"gone"', "exceptionType": "Error"})]
    assert turn.record == entity.record


@pytest.mark.parametrize(
    "reply, text",
    [
        (Reply(None, "ValueError: x"), "the entity function failed: ValueError: x"),
        (Reply('"{}"'), "expected the state of an entity as a JSON object, found: Expected `object`, got `str`"),
        (Reply(None), "expected the state of an entity as a JSON object, found: Expected `object`, got `null`"),
        (Reply('{"entityExists":true,"entityState":"1","results":[]}'), "expected 1 results, found 0"),
        (
            Reply('{"entityExists":1,"results":[]}'),
            "expected the state of an entity as a JSON object, found: Expected `bool`, got `int` - at `$.entityExists`",
        ),
    ],
)
def test_a_reply_that_is_none_is_refused(reply: Reply, text: str) -> None:
    batch = entities.open_batch(None, [call("get")], 10, START)
    with pytest.raises(BadEntityReplyError) as caught:
        entities.read_reply(batch, reply)
    assert str(caught.value) == text


# ---------------------------------------------------------------- later, and never


def test_a_signal_for_later_waits_for_its_time() -> None:
    due = START + timedelta(seconds=5)
    event = raised(request("add", 1, is_signal=True, due=format_timestamp(due)), f"op@{format_timestamp(due)}")
    entity = Entity()
    turn = entity.receive(event, signal("add", 2))
    assert (turn.timers, entity.stored) == ([Timer(due, event)], {"exists": True, "state": "2"})


@pytest.mark.parametrize("ahead", [timedelta(milliseconds=100), timedelta(0), timedelta(days=-1)])
def test_a_signal_that_is_nearly_due_is_run_at_once(ahead: timedelta) -> None:
    due = format_timestamp(START + ahead)
    entity = Entity()
    turn = entity.receive(raised(request("add", 1, is_signal=True, due=due), f"op@{due}"))
    assert (turn.timers, entity.stored) == ([], {"exists": True, "state": "1"})


def test_a_message_that_is_none_is_dropped_with_a_note() -> None:
    entity = Entity()
    events = [EventRaised(name="op", input="{", timestamp=T0), ExecutionTerminated(input="x", timestamp=T0)]
    turn = entity.receive(*events, signal("add", 1))
    assert turn.notes == [
        "message 'op': Input data was truncated",
        "ExecutionTerminated: only orchestrations can be told that",
    ]
    assert entity.stored == {"exists": True, "state": "1"}


# ---------------------------------------------------------------- locks


def test_the_last_entity_of_a_set_grants_the_lock() -> None:
    entity = Entity()
    turn = entity.receive(lock("owner", "@counter@a", "@counter@k", position=1))
    assert sent(turn) == [("owner", "lock owner", {"result": "Lock Acquisition Completed"})]
    assert (entity.batches, entity.stored, turn.custom_status) == (
        [],
        {"lockedBy": "owner"},
        '{"lockedBy":"owner"}',
    )


def test_a_lock_request_goes_along_the_set() -> None:
    turn = Entity().receive(lock("owner", "@counter@k", "@counter@z"))
    (message,) = turn.messages
    assert isinstance(message.event, EventRaised)
    further = read_request(message.event.input)
    assert (message.instance_id, message.event.name, further.position, further.parent, further.id) == (
        "@counter@z",
        "op",
        1,
        "owner",
        "lock owner",
    )


def test_a_lock_whose_owner_has_ended_is_given_back_by_all() -> None:
    turn = Entity("@counter@z").receive(lock("owner", "@counter@k", "@counter@z", position=1))
    (message,) = turn.messages
    given_back = [(other.instance_id, other.event) for other in message.if_gone]
    assert given_back == [("@counter@k", release("owner")), ("@counter@z", release("owner"))]


def test_while_it_is_locked_only_the_owner_is_served() -> None:
    entity = Entity()
    entity.receive(lock("owner", "@counter@k"), signal("add", 1, parent="other"))
    turn = entity.receive(call("add", 10, parent="owner"))
    assert (entity.batches, turn.custom_status) == (
        [['add "10"']],
        '{"entityExists":true,"queueSize":1,"lockedBy":"owner"}',
    )
    entity.receive(release("owner"))
    assert (entity.batches[1:], entity.stored) == ([['add "1"']], {"exists": True, "state": "11"})


def test_what_came_before_the_lock_request_runs_before_it() -> None:
    entity = Entity()
    entity.receive(signal("add", 1), lock("owner", "@counter@k"), call("get", parent="other"))
    assert (entity.batches, entity.stored["lockedBy"]) == ([['add "1"']], "owner")


def test_a_release_lets_the_next_lock_request_in() -> None:
    entity = Entity()
    entity.receive(lock("first", "@counter@k"), lock("second", "@counter@k"))
    assert entity.stored["lockedBy"] == "first"
    turn = entity.receive(release("first"))
    assert (entity.stored, sent(turn)) == (
        {"lockedBy": "second"},
        [("second", "lock second", {"result": "Lock Acquisition Completed"})],
    )


def test_a_release_by_another_changes_nothing() -> None:
    entity = Entity()
    entity.receive(lock("owner", "@counter@k"))
    entity.receive(release("stranger"))
    assert entity.stored == {"lockedBy": "owner"}


def test_a_batch_may_be_worked_again() -> None:
    events = [signal("add", 1), lock("owner", "@counter@k"), call("get")]
    record = EntityRecord(sorter={}).encode()
    outcomes = [Entity(record=record).receive(*events) for _ in range(2)]
    assert outcomes[0] == outcomes[1]


# ---------------------------------------------------------------- recordings


def recorded() -> list[Any]:
    """The entity invocations in the recordings that were carried out."""
    lines = []
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines()):
            line = json.loads(text)
            if line.get("payload", "").startswith('{\n  "self"') and "status: " in line["then"]:
                lines.append(pytest.param(line, id=f"{path.stem}-{number}"))
    return lines


def batch_of(payload: dict[str, Any], callers: Sequence[str]) -> EntityBatch:
    """The batch that a recorded payload is of; callers are who was answered, in their order."""
    waiting = list(callers)
    record = EntityRecord(exists=payload["exists"], state=payload["state"], sorter={})
    events = []
    for item in payload["batch"]:
        parent = None if item["isSignal"] else waiting.pop(0)
        content = Request(
            operation=item["name"],
            is_signal=item["isSignal"],
            input=item["input"],
            id=item["id"],
            parent=parent,
            timestamp=UNUSED_TIME,
            predecessor=UNUSED_TIME,
        )
        events.append(raised(content))
    return entities.open_batch(record.encode(), events, 5000, START)


@pytest.mark.parametrize("line", recorded())
def test_a_recorded_batch_is_sent_and_answered_as_the_extension_did(line: dict[str, Any]) -> None:
    payload = json.loads(line["payload"])
    instance_id = "@{name}@{key}".format(**payload["self"])
    batch = batch_of(payload, re.findall(r"to (\w+): EventRaised", line["then"]))
    assert entities.payload(instance_id, batch) == line["payload"]
    reply = entities.read_reply(batch, Reply(json.dumps(line["response"])))
    turn = entities.decide(instance_id, batch, reply, functions=FUNCTIONS, now=START, new_id=str)
    messages = "; ".join(f"to {message.instance_id}: {brief(message.event)}" for message in turn.messages)
    record = EntityRecord.decode(turn.record)
    assert f"messages sent: [{messages}]" in line["then"] or not messages
    assert json.dumps({"exists": record.exists, "state": record.state}, separators=(",", ":"))[:-1] in line["then"]
