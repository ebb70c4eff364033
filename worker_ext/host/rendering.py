"""History as text: one event as it is stored, a batch as it stands in a payload, and the payload around it.

An event is stored as compact JSON, its members in the extension's order: `EventType`, the members of its kind,
`EventId`, `IsPlayed`, `Timestamp`; an ExecutionStarted has `OrchestrationInstance` in front. A payload shows the same
text indented, so a batch is laid out once and every later payload repeats it: the history text of one replay is an
exact prefix of the next one's, but for `IsPlayed`.

Source: durable-functions JSON protocol, payload fields and history event catalogue (recorded from extension 3.19.0).
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring
from typing import Any

import msgspec
from msgspec import Struct

from worker_ext.protocol.codec import JSON, JSON_STRING, encode_value
from worker_ext.protocol.history import (
    EVENTS,
    Event,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorStarted,
)

# What .NET's writer escapes beyond what JSON demands: the other line breaks of Unicode.
_LINE_BREAKS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_STRING = re.compile(JSON_STRING)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_PLAYED = '"IsPlayed":false,'
_PLAYED = '"IsPlayed":true,'

_events_decoder = msgspec.json.Decoder(list[HistoryEvent])
_event_decoder: msgspec.json.Decoder[HistoryEvent] = msgspec.json.Decoder(HistoryEvent)


def _members(cls: type[Event]) -> list[tuple[str, str]]:
    """The members of a kind of event, in the extension's order, each with its attribute."""
    common = ("event_id", "is_played", "timestamp")
    own = [field for field in msgspec.structs.fields(cls) if field.name not in common]
    members = [(field.encode_name, field.name) for field in own]
    last = [("EventId", "event_id"), ("IsPlayed", "is_played"), ("Timestamp", "timestamp")]
    kind = [("EventType", "")]
    if cls is ExecutionStarted:
        return members[:1] + kind + members[1:] + last
    return kind + members + last


def _template(cls: type[Event], number: int) -> tuple[list[str], Callable[[Event], tuple[Any, ...]]]:
    """What stands before each value in the text of an event, and what gets the values."""
    heads, names, head = [], [], "{"
    for key, name in _members(cls):
        if name:
            heads.append(f'{head}"{key}":')
            names.append(name)
            head = ","
        else:
            head += f'"{key}":{number},'
    return heads, operator.attrgetter(*names)


_TEMPLATES = {cls: _template(cls, number) for number, cls in EVENTS.items()}


def render(event: Event) -> str:
    """One event as it is stored."""
    heads, values_of = _TEMPLATES[type(event)]
    texts = []
    for head, value in zip(heads, values_of(event), strict=True):
        kind = type(value)
        if value is None:
            texts.append(f"{head}null")
        elif kind is str:
            texts.append(head + encode_basestring(value))
        elif kind is int:
            texts.append(f"{head}{value}")
        elif kind is bool:
            texts.append(f"{head}true" if value else f"{head}false")
        else:
            texts.append(head + _value(value))
    return _escaped("".join(texts)) + "}"


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, Struct):
        return msgspec.json.encode(value).decode()
    return encode_value(value)


def render_batch(delivered: Iterable[Event], decided: Iterable[Event]) -> str:
    """A batch as it is stored: what it delivered counts as played from now on, what it decided does not."""
    texts = [_delivered(event) for event in delivered]
    return ",".join([*texts, *map(render, decided)])


def _delivered(event: Event) -> str:
    text = render(event)
    if isinstance(event, OrchestratorStarted):
        return text
    head, found, tail = text.rpartition(_NOT_PLAYED)
    return head + _PLAYED + tail if found else text


def parse_event(text: str) -> HistoryEvent:
    """Reads one stored event."""
    return _event_decoder.decode(text)


def parse_events(batches: Iterable[str]) -> list[HistoryEvent]:
    """Reads the events of stored batches."""
    return _events_decoder.decode("[" + ",".join(batches) + "]")


def layout(batch: str) -> str:
    """A stored batch (events joined by commas) as it stands in a payload's history, from its first line break."""
    text = msgspec.json.format("[" + batch + "]", indent=2)
    return text[1:-2].replace("\n", "\n  ")


class PayloadWriter:
    """Writes payloads; what is the same in all of them is laid out once.

    Args:
        maximum_short_timer: The longest timer in one piece, as a .NET TimeSpan.
        long_timer_interval: The length of the pieces of longer ones, as a .NET TimeSpan.
        http_sleep_milliseconds: The default wait of durable HTTP between polls.
    """

    def __init__(self, maximum_short_timer: str, long_timer_interval: str, http_sleep_milliseconds: int) -> None:
        self._tail = (
            ',\n  "upperSchemaVersion": 1,\n  "upperSchemaVersionNew": 3,'
            f'\n  "longRunningTimerIntervalDuration": "{long_timer_interval}",'
            f'\n  "maximumShortTimerDuration": "{maximum_short_timer}",'
            f'\n  "defaultHttpAsyncRequestSleepTimeMillseconds": {http_sleep_milliseconds}\n}}'
        )

    def write(self, layouts: Iterable[str], started: ExecutionStarted, is_replaying: bool) -> str:
        """The payload of one turn.

        Args:
            layouts: The batches of the history, laid out.
            started: The ExecutionStarted among them.
            is_replaying: Whether an earlier batch delivered it.
        """
        parent = started.parent_instance
        parent_id = None if parent is None else parent.orchestration_instance.instance_id
        return (
            f'{{\n  "history": [{",".join(layouts)}\n  ],\n  "input": {_indented(started.input)},'
            f'\n  "instanceId": {_value(started.orchestration_instance.instance_id)},'
            f'\n  "isReplaying": {_value(is_replaying)},'
            f'\n  "parentInstanceId": {_value(parent_id)},\n  "sourceInstanceId": null{self._tail}'
        )


def _indented(input_text: str | None) -> str:
    """The instance's input inside a payload: its JSON text laid out; text that is not JSON is a JSON string."""
    if input_text is None:
        return "null"
    try:
        return _escaped(msgspec.json.format(input_text, indent=2).replace("\n", "\n  "))
    except msgspec.DecodeError:
        return quoted(input_text)


def quoted(text: str) -> str:
    """Text as a JSON string, as .NET writes it."""
    return _escaped(encode_basestring(text))


def compact(text: str) -> str:
    """JSON text without white space, its strings as .NET writes them; NaN and halves of surrogate pairs stay.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        written = msgspec.json.format(text, indent=-1)
    except msgspec.DecodeError:
        value: JSON = json.loads(text)
        written = json.dumps(value, separators=(",", ":"))
    if "\\u" in written or "\\/" in written:
        written = _STRING.sub(lambda found: _rewritten(found[0]), written)
    return _escaped(written)


def _rewritten(string: str) -> str:
    """A JSON string with no more escapes than .NET writes, if UTF-8 can hold it."""
    text = json.loads(string, strict=False) if "\\" in string else ""
    return encode_basestring(text) if text and not _SURROGATE.search(text) else string


def _escaped(text: str) -> str:
    if not text.isascii():
        for line_break, escape in _LINE_BREAKS.items():
            text = text.replace(line_break, escape)
    return text
