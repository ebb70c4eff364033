"""Turns as the store keeps them: events as texts, everything that was sent in one record."""

from __future__ import annotations

from datetime import datetime

from worker_ext.host.entities import EntityTurn
from worker_ext.host.entity_messages import is_entity
from worker_ext.host.records import Claim, NewActivity, NewInstance, NewMessage, NewTimer, TurnRecord
from worker_ext.host.rendering import render, render_batch
from worker_ext.host.turns import Batch, Message, Turn
from worker_ext.protocol.history import ExecutionStarted, OrchestrationStatus


def new_instance(started: ExecutionStarted) -> NewInstance:
    """The instance that an event starts."""
    instance, parent = started.orchestration_instance, started.parent_instance
    return NewInstance(
        instance_id=instance.instance_id,
        execution_id=instance.execution_id or "",
        name=started.name,
        version=started.version,
        input=started.input,
        parent_id=None if parent is None else parent.orchestration_instance.instance_id,
        started=render(started),
    )


def fill(record: TurnRecord, number: int, batch: Batch, turn: Turn, earlier: list[Turn], at: datetime) -> None:
    """Puts a turn into what is stored of it: its own history, and what it and the generations before it sent."""
    turns = [*earlier, turn]
    record.at = at
    record.turn, record.events = number, render_batch(batch.events, turn.events)
    record.status, record.output, record.custom_status = turn.status, turn.output, turn.custom_status
    record.activities = [
        NewActivity(item.task_id, item.name, item.input, item.trace_parent) for item in turn.activities
    ]
    record.timers = [NewTimer(timer.due, render(timer.event)) for timer in turn.timers]
    record.children = [
        (new_instance(child.started), render(child.if_taken)) for sender in turns for child in sender.children
    ]
    record.messages = [new_message(message) for sender in turns for message in sender.messages]


def new_message(message: Message) -> NewMessage:
    """A message as it is stored; an entity that it is for is made."""
    return NewMessage(
        message.instance_id,
        render(message.event),
        message.execution_id,
        is_entity(message.instance_id),
        tuple(map(new_message, message.if_gone)),
    )


def entity_record(claim: Claim, turn: EntityTurn, at: datetime) -> TurnRecord:
    """What is stored of a batch of an entity's operations."""
    return TurnRecord(
        instance_key=claim.instance_key,
        execution_id=claim.execution_id,
        consumed=[message.message_id for message in claim.messages],
        entity=turn.record,
        status=OrchestrationStatus.RUNNING,
        custom_status=turn.custom_status,
        at=at,
        timers=[NewTimer(timer.due, render(timer.event)) for timer in turn.timers],
        messages=[new_message(message) for message in turn.messages],
    )
