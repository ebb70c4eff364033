"""Continue-as-new: where the action stands in the list, and which external events the next generation gets.

The extension takes the action at the event that completes everything before it, and carries every event behind that
point into the next generation, those the code has consumed included; events before it that nobody took are lost. So the
action stands as far back as the first event that was not taken allows, but never before a consumed one. What the list
cannot carry can travel in the next generation's input.

Source: durable-functions JSON protocol, sections 4.8, 4.10.4 and 4.11.3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import msgspec

from worker_ext.engine.clock import START
from worker_ext.engine.items import Element
from worker_ext.protocol.actions import AnyAction, ContinueAsNew
from worker_ext.protocol.history import EventRaised

_ENVELOPE_START = '{"$events":'


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """The input of a generation with the events that travel in it, each as name and JSON text."""

    events: list[tuple[str, str | None]] = msgspec.field(name="$events")
    input: Any = msgspec.field(name="$input")


def with_continue_as_new(
    elements: Sequence[Element], again: ContinueAsNew, events: list[tuple[int, EventRaised]], *, preserve: bool
) -> list[AnyAction]:
    """The action list of an orchestrator that continues as new.

    Args:
        elements: Everything else that is listed.
        again: The action.
        events: Position and event of each external event that was not handed to the code, in order.
        preserve: Whether events that the list cannot carry go into the input.
    """
    barriers = list(accumulate((element.passed_at for element in elements), max, initial=START))
    place = _place(elements, barriers, events)
    lost = [event for position, event in events if position <= barriers[place]]
    if preserve and lost:
        again = ContinueAsNew(input=_envelope(again.input, lost))
    actions = [element.action for element in elements]
    return [*actions[:place], again, *actions[place:]]


_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_late_answer(event: EventRaised) -> bool:
    """Whether an event answers a call that an earlier generation made: the extension carries those on as well.

    Nobody waits for it, and what nobody waits for would be carried from generation to generation for ever.
    """
    return '"result":' in (event.input or "") and _GUID.fullmatch(event.name) is not None


def _place(elements: Sequence[Element], barriers: list[int], events: list[tuple[int, EventRaised]]) -> int:
    first = next((index + 1 for index in range(len(elements) - 1, -1, -1) if elements[index].pinned), 0)
    waiting = next((position for position, _ in events if position > barriers[first]), None)
    if waiting is None:
        return len(elements)
    return max(place for place in range(first, len(elements) + 1) if barriers[place] < waiting)


def _envelope(input_text: Any, lost: list[EventRaised]) -> str:
    events = [(event.name, event.input) for event in lost]
    return msgspec.json.encode(_Envelope(events, input_text)).decode()


def opened(input_: Any) -> tuple[Any, list[EventRaised]]:
    """The input of a generation as user code gave it, and the events that travelled in it."""
    if not isinstance(input_, str) or not input_.startswith(_ENVELOPE_START):
        return input_, []
    try:
        envelope = msgspec.json.decode(input_, type=_Envelope)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return input_, []  # a value of the app's own that looks like it
    events = [EventRaised(name=name, input=text, timestamp="") for name, text in envelope.events]
    return envelope.input, events
