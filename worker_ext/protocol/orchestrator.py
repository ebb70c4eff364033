"""The orchestration trigger: the context payload, the reply, and the failure that carries a reply.

Source: durable-functions JSON protocol, sections on the trigger payload, the worker's response and failures.
"""

from __future__ import annotations

import json
import re
from enum import IntEnum
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from worker_ext.errors import PayloadError
from worker_ext.protocol.actions import AnyAction
from worker_ext.protocol.codec import JSON, decode_json, fault_of, plain_value
from worker_ext.protocol.history import EVENTS, FailureDetails, HistoryEvent

FAILURE_MARKER = "\n\n$OutOfProcData$:"
"""Stands between the readable text of a failure and the state it carries."""


class ReplaySchema(IntEnum):
    """Versions of the reply; the payload says the highest that the extension knows."""

    V1 = 0
    V2 = 1
    V3 = 2
    V4 = 3


_SCHEMAS = tuple(ReplaySchema)


class OrchestratorRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the orchestration trigger delivers: the history of one execution, and what the extension can do.

    Durations are .NET TimeSpan texts; `00:00:00` or None mean that there is no such limit.
    """

    history: list[HistoryEvent]
    input: JSON = None
    instance_id: str
    is_replaying: bool = False
    parent_instance_id: str | None = None
    upper_schema_version: int = 0
    upper_schema_version_new: int | None = None
    long_running_timer_interval_duration: str | None = None
    maximum_short_timer_duration: str | None = None
    default_http_async_request_sleep_time_millseconds: int = 30_000

    @classmethod
    def decode(cls, payload: str | bytes) -> OrchestratorRequest:
        """Reads a payload; events of kinds that are not known here are left out.

        Raises:
            PayloadError: The payload breaks the contract; it says where.
        """
        try:
            request: OrchestratorRequest = _request_decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            request = _decode_tolerantly(payload)
        if not request.history:
            raise PayloadError("$.history", "expected the events of an execution, found none")
        return request

    @property
    def schema(self) -> ReplaySchema:
        """The highest schema that both sides know."""
        upper = self.upper_schema_version if self.upper_schema_version_new is None else self.upper_schema_version_new
        return _SCHEMAS[min(max(upper, 0), len(_SCHEMAS) - 1)]


_request_decoder = msgspec.json.Decoder(OrchestratorRequest)


def _decode_tolerantly(payload: str | bytes) -> OrchestratorRequest:
    """Reads a payload that the fast decoder refuses: it has an unknown kind of event, NaN, or a fault to be named."""
    members = _members(payload)
    history = members.get("history")
    if not isinstance(history, list):
        raise PayloadError("$.history", f"expected an array of events, found {_brief(history)}")
    events = [
        _convert(event, HistoryEvent, f"$.history[{i}]") for i, event in enumerate(history) if _is_known(event, i)
    ]
    request: OrchestratorRequest = _convert({**members, "history": []}, OrchestratorRequest, "$")
    return msgspec.structs.replace(request, history=events)


def _members(payload: str | bytes) -> dict[str, JSON]:
    try:
        members = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise PayloadError("$", f"expected JSON, found {_brief(payload)} ({error})") from None
    if not isinstance(members, dict):
        raise PayloadError("$", f"expected an object with history and instanceId, found {_brief(members)}")
    return members


def _is_known(event: JSON, index: int) -> bool:
    kind = event.get("EventType") if isinstance(event, dict) else None
    if not isinstance(kind, int) or isinstance(kind, bool):
        raise PayloadError(f"$.history[{index}]", f"expected an event with an integer EventType, found {_brief(event)}")
    return kind in EVENTS


def _convert(value: JSON, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:
        what, path = fault_of(error)
        raise PayloadError(where + path, what) from None


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class OrchestratorState(Struct, frozen=True, kw_only=True, rename="camel"):
    """The reply: every action since the start of the execution, and how far the orchestrator got.

    `output` and `custom_status` are JSON as it goes on the wire; UNSET members are left out.
    """

    is_done: bool
    actions: list[list[AnyAction]]
    output: Raw | UnsetType = UNSET
    error: str | UnsetType | None = UNSET
    custom_status: Raw | UnsetType = UNSET
    schema_version: int | UnsetType = UNSET
    failure_details: FailureDetails | UnsetType | None = UNSET

    def encode(self) -> str:
        """Writes the reply as one line of JSON.

        Raises:
            PayloadError: A part of an action is of a type that cannot be sent.
        """
        try:
            return _encode_state(self).decode()
        except UnicodeEncodeError:  # text with a surrogate that lacks its other half, which only an escape can spell
            return self._encode_escaped()

    def _encode_escaped(self) -> str:
        bare = msgspec.structs.replace(self, output=UNSET, custom_status=UNSET)
        members = msgspec.to_builtins(bare, str_keys=True, enc_hook=plain_value)
        for name, value in (("output", self.output), ("customStatus", self.custom_status)):
            if isinstance(value, Raw):
                members[name] = decode_json(bytes(value))
        return json.dumps(members, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str | bytes) -> OrchestratorState:
        """Reads a reply.

        Raises:
            PayloadError: The reply breaks the contract; it says where.
        """
        try:
            return _state_decoder.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            what, path = fault_of(error)
            raise PayloadError("$" + path, what) from None


_encode_state = msgspec.json.Encoder(enc_hook=plain_value).encode
_state_decoder = msgspec.json.Decoder(OrchestratorState)

_MASKED = re.compile(
    r"Token=|DefaultEndpointsProtocol=http|AccountKey=|Data Source=|Server=|Password=|pwd=|&sig=|\?sig=|"
    r"SharedAccessKey=|&code=|\?code=|key=|://[^\s:@/]*:[^\s@]*@",
    re.IGNORECASE,
)
"""What the Functions host takes for a credential: it hides the text from there to the next `<`, `"` or `'`."""


def failure_message(state: OrchestratorState) -> str:
    """The message of the exception that reports a failed orchestrator: readable text, marker, state.

    The host hides what looks like a credential in messages, which would cut the state. JSON may spell `=` and `@` as
    escapes, so the state holds neither; the readable text ends with a quote where the cut would cross the marker.
    """
    text = str(state.error)
    if _MASKED.search(text):
        text += '"'
    encoded = state.encode().replace("=", "\\u003d").replace("@", "\\u0040")
    return f"{text}{FAILURE_MARKER}{encoded}"


def parse_failure(message: str) -> OrchestratorState | None:
    """Finds the state in the message of a failed orchestrator by the rule of extension 3.19; None if there is none.

    The last marker counts. What follows it must be a reply whose `isDone` is false and whose `error` is not empty.
    """
    _, marker, text = message.rpartition(FAILURE_MARKER)
    if not marker:
        return None
    try:
        state = OrchestratorState.decode(text)
    except PayloadError:
        return None
    has_error = isinstance(state.error, str) and state.error != ""
    return state if has_error and not state.is_done else None
