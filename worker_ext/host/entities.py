"""The entity side of the durable engine, pure: state and messages in; a batch, then answers and a new state out.

An entity is worked like an orchestration: by one batch at a time, which ends in one commit. What waits for a lock is
part of the state, in the order it came; what the holder of the lock sends goes to the front. A batch that could not be
run leaves everything as it was and is run again, with the same ids.

The store delivers each message once, and those of one sender in the order they were sent, so the extension's filter
against repeated and overtaking messages has nothing to do here; its part of the state stays empty.

Differences from the extension, on purpose: operations of an entity whose function is gone are answered with an error;
a lock that is granted to an orchestration which has ended meanwhile is given back.

Source: durable-functions JSON protocol, entity trigger, reply and processing (5.2, 5.3, 5.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from worker_ext.errors import HostError, PayloadError
from worker_ext.host.entity_messages import (
    CONTINUE,
    LOCK_GRANTED,
    OPERATION,
    RELEASE,
    UNUSED_TIME,
    LockedEntity,
    Release,
    Request,
    answer,
    read_release,
    read_request,
    split_instance,
)
from worker_ext.host.gateway import Reply
from worker_ext.host.turns import KnownFunctions, Message, Timer
from worker_ext.protocol.codec import encode_value, format_timestamp, parse_timestamp
from worker_ext.protocol.history import EventRaised, HistoryEvent

_SOON = timedelta(milliseconds=100)
"""What is due within this time is not put off any more."""


class BadEntityReplyError(HostError):
    """A worker answered a batch with something that is no answer to it; the batch is run again."""


class UnknownEntityError(HostError):
    """A client names an entity function that the app does not have; the text is the extension's."""


# ---------------------------------------------------------------- the state


class EntityRecord(Struct, kw_only=True, omit_defaults=True, rename={"locked_by": "lockedBy"}):
    """What is kept of an entity.

    Attributes:
        state: Its state as JSON text, as the worker sent it last; one that was deleted may have some too.
        queue: Requests that wait.
        locked_by: The orchestration that has it locked.
    """

    exists: bool = False
    state: str | None = None
    queue: list[Request] = []
    locked_by: str | None = None
    sorter: dict[str, Any]

    @classmethod
    def decode(cls, text: str | None) -> EntityRecord:
        """Reads a stored record; none is that of a new entity."""
        return cls(sorter={}) if text is None else msgspec.json.decode(text, type=cls)

    def encode(self) -> str:
        """The record as compact JSON."""
        return msgspec.json.encode(self).decode()


class _CustomStatus(Struct, kw_only=True, omit_defaults=True, rename="camel"):
    entity_exists: bool = False
    queue_size: int = 0
    locked_by: str | None = None


class EntityBatch(Struct, kw_only=True):
    """What one invocation of the worker does.

    Attributes:
        record: The entity, without what the batch takes out of its queue.
        operations: What is to be run; where there are none, the worker is not asked.
        lock: The lock request behind them.
        delayed: Messages that are not due yet.
        notes: Messages that were dropped, and why.
    """

    record: EntityRecord
    operations: list[Request] = []
    lock: Request | None = None
    delayed: list[Timer] = []
    notes: list[str] = []


class EntityTurn(Struct, kw_only=True):
    """What a batch leads to.

    Attributes:
        record: The entity behind it, as it is stored.
        custom_status: Its custom status as JSON text.
        messages: What is sent.
        timers: Messages for the entity itself, at their time.
        notes: What was dropped, and why.
    """

    record: str
    custom_status: str
    messages: list[Message]
    timers: list[Timer]
    notes: list[str]


# ---------------------------------------------------------------- the first half


def open_batch(record: str | None, events: Iterable[HistoryEvent], limit: int, now: datetime) -> EntityBatch:
    """Takes messages in, in the order they arrived, and chooses what to run.

    Args:
        record: The stored entity; None for a new one.
        events: The messages.
        limit: How many operations a batch may have.
        now: The time.
    """
    batch = EntityBatch(record=EntityRecord.decode(record))
    from_holder: list[Request] = []
    for event in events:
        if not isinstance(event, EventRaised):
            batch.notes.append(f"{type(event).__name__}: only orchestrations can be told that")
            continue
        try:
            _take_in(batch, event, from_holder, now)
        except (ValueError, PayloadError) as error:
            batch.notes.append(f"message {event.name!r}: {error}")
    batch.record.queue[:0] = from_holder
    _choose(batch, limit)
    return batch


def _take_in(batch: EntityBatch, event: EventRaised, from_holder: list[Request], now: datetime) -> None:
    record = batch.record
    if event.name == RELEASE:
        if read_release(event.input).parent == record.locked_by:
            record.locked_by = None
    elif event.name == OPERATION or event.name.startswith(f"{OPERATION}@"):
        request = read_request(event.input)
        due = None if request.due is None else parse_timestamp(request.due)
        if due is not None and due > now + _SOON:
            batch.delayed.append(Timer(due, event))
        elif record.locked_by is not None and request.parent == record.locked_by:
            from_holder.append(request)
        else:
            record.queue.append(request)


def _choose(batch: EntityBatch, limit: int) -> None:
    """Takes out of the queue what may be run now, up to a lock request."""
    record = batch.record
    while batch.lock is None and len(batch.operations) < limit and _may_go_on(record):
        request = record.queue.pop(0)
        if request.lock_set is None:
            batch.operations.append(request)
        else:
            batch.lock = request


def _may_go_on(record: EntityRecord) -> bool:
    return bool(record.queue) and (record.locked_by is None or record.queue[0].parent == record.locked_by)


class _Operation(Struct, rename="camel"):
    name: str | None
    input: str | None
    is_signal: bool
    id: str


class _Self(Struct):
    name: str
    key: str


class _Payload(Struct):
    self: _Self
    exists: bool
    state: str | None
    batch: list[_Operation]


def payload(instance_id: str, batch: EntityBatch) -> str:
    """What the worker is sent for a batch."""
    operations = [_Operation(item.operation, item.input, item.is_signal, item.id) for item in batch.operations]
    record = batch.record
    content = _Payload(_Self(*split_instance(instance_id)), record.exists, record.state, operations)
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


# ---------------------------------------------------------------- the second half


class EntityResult(Struct, frozen=True, rename="camel"):
    """How an operation ended; `result` is JSON text."""

    is_error: bool = False
    result: str | None = None


class _Target(Struct, frozen=True):
    name: str
    key: str


class EntitySignal(Struct, frozen=True):
    """An operation for another entity."""

    target: _Target
    name: str
    input: str | None = None


class EntityReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """A worker's answer to a batch."""

    entity_exists: bool = False
    entity_state: str | None = None
    results: list[EntityResult]
    signals: list[EntitySignal] | None = None


_reply_decoder = msgspec.json.Decoder(EntityReply)


def read_reply(batch: EntityBatch, reply: Reply) -> EntityReply:
    """Reads a worker's answer.

    Raises:
        BadEntityReplyError: It is none to this batch.
    """
    if reply.failure is not None:
        raise BadEntityReplyError(f"the entity function failed: {reply.failure}")
    try:
        read = _reply_decoder.decode(reply.value or "null")
    except msgspec.DecodeError as error:
        raise BadEntityReplyError(f"expected the state of an entity as a JSON object, found: {error}") from None
    if len(read.results) != len(batch.operations):
        raise BadEntityReplyError(f"expected {len(batch.operations)} results, found {len(read.results)}")
    return read


def reply_for_missing(batch: EntityBatch, text: str) -> EntityReply:
    """The answer to a batch whose entity has no function: each operation fails with the same text."""
    fault = EntityResult(True, encode_value(text))
    return _unchanged(batch.record, [fault] * len(batch.operations))


def reply_for_timeout(batch: EntityBatch, text: str) -> EntityReply:
    """The answer to a batch that took too long: each operation fails with a text, which is no JSON (3.3)."""
    return _unchanged(batch.record, [EntityResult(True, text)] * len(batch.operations))


def _unchanged(record: EntityRecord, results: list[EntityResult]) -> EntityReply:
    return EntityReply(entity_exists=record.exists, entity_state=record.state, results=results)


def decide(
    instance_id: str,
    batch: EntityBatch,
    reply: EntityReply | None,
    *,
    functions: KnownFunctions,
    now: datetime,
    new_id: Callable[[], str],
) -> EntityTurn:
    """What a batch leads to.

    Args:
        instance_id: The entity.
        batch: What was run; it is used up.
        reply: How it ended; None where there was nothing to run.
        functions: What can be signalled.
        now: The time.
        new_id: Makes the ids of signals.
    """
    record, stamp = batch.record, format_timestamp(now)
    messages: list[Message] = []
    notes = list(batch.notes)
    if reply is not None:
        record.exists = reply.entity_exists
        record.state = reply.entity_state
        messages += _answers(batch.operations, reply.results, stamp)
        messages += _signals(instance_id, reply.signals or (), functions, stamp, new_id, notes)
    if batch.lock is not None:
        record.locked_by = batch.lock.parent
        messages.append(_pass_on(batch.lock, stamp))
    if _may_go_on(record):
        messages.append(Message(instance_id, EventRaised(name=CONTINUE, timestamp=stamp)))
    status = _CustomStatus(entity_exists=record.exists, queue_size=len(record.queue), locked_by=record.locked_by)
    return EntityTurn(
        record=record.encode(),
        custom_status=msgspec.json.encode(status).decode(),
        messages=messages,
        timers=batch.delayed,
        notes=notes,
    )


def _answers(operations: Sequence[Request], results: Sequence[EntityResult], stamp: str) -> list[Message]:
    return [
        _to_caller(request, answer(result.result, is_error=result.is_error), stamp)
        for request, result in zip(operations, results, strict=True)
        if not request.is_signal and request.parent is not None
    ]


def _to_caller(request: Request, text: str, stamp: str, if_gone: tuple[Message, ...] = ()) -> Message:
    event = EventRaised(name=request.id, input=text, timestamp=stamp)
    return Message(request.parent or "", event, request.parent_execution, if_gone)


def _signals(
    instance_id: str,
    signals: Iterable[EntitySignal],
    functions: KnownFunctions,
    stamp: str,
    new_id: Callable[[], str],
    notes: list[str],
) -> list[Message]:
    messages = []
    for signal in signals:
        name, key = signal.target.name, signal.target.key
        if not functions.has_entity(name):
            notes.append(f"its signal {signal.name!r} to @{name}@{key}: {functions.no_entity(name)}")
            continue
        request = Request(
            operation=signal.name,
            is_signal=True,
            input=signal.input,
            id=new_id(),
            parent=instance_id,
            timestamp=UNUSED_TIME,
            predecessor=UNUSED_TIME,
        )
        # The name is taken as it stands, as the extension does: an entity's own name is in lower case.
        messages.append(_request_message(f"@{name}@{key}", request, stamp))
    return messages


def _pass_on(lock: Request, stamp: str) -> Message:
    """What follows when a lock was granted here: it is asked for at the next entity, or all of them are locked."""
    entities = lock.lock_set or ()
    position = lock.position + 1
    if position < len(entities):
        further = msgspec.structs.replace(lock, position=position)
        return _request_message(entities[position].instance_id, further, stamp)
    released = tuple(_released(entity, lock, stamp) for entity in entities)
    return _to_caller(lock, answer(LOCK_GRANTED), stamp, released)


def _released(entity: LockedEntity, lock: Request, stamp: str) -> Message:
    text = Release(lock.parent, lock.id).encode()
    return Message(entity.instance_id, EventRaised(name=RELEASE, input=text, timestamp=stamp))


def _request_message(instance_id: str, request: Request, stamp: str) -> Message:
    return Message(instance_id, EventRaised(name=OPERATION, input=request.encode(), timestamp=stamp))


def client_signal(operation: str, input_text: str | None, signal_id: str, now: datetime) -> EventRaised:
    """A signal from outside of any instance; `input_text` is JSON text."""
    request = Request(
        operation=operation,
        is_signal=True,
        input=input_text,
        id=signal_id,
        timestamp=UNUSED_TIME,
        predecessor=UNUSED_TIME,
    )
    return EventRaised(name=OPERATION, input=request.encode(), timestamp=format_timestamp(now))
