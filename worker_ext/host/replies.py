"""What an orchestrator's reply means to the engine: a decision, or a fault.

A reply that the protocol's own classes read is taken as it is. Any other one is read the way the extension reads: names
of members in any case, numbers of enums also as their names, and for what it does not accept the extension's own text.

Source: durable-functions JSON protocol, worker response, responses that fail the instance, failures (recorded from
extension 3.19.0; OutOfProcOrchestrationShim.cs, OutOfProcExceptionHelpers.cs).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from worker_ext.errors import PayloadError
from worker_ext.host.gateway import Reply
from worker_ext.host.rendering import compact
from worker_ext.protocol.actions import Action, AnyAction, CreateTimer, ScheduledSignalEntity, WhenAll, WhenAny
from worker_ext.protocol.codec import JSON, encode_value, fault_of, parse_timestamp
from worker_ext.protocol.history import FailureDetails
from worker_ext.protocol.orchestrator import FAILURE_MARKER, OrchestratorState, ReplaySchema

_NOT_JSON = "The data returned by the out-of-process function execution was not valid json."
_NO_STATE = "Out of proc orchestrators must return a valid JSON schema"
_NULL_REFERENCE = "Object reference not set to an instance of an object."
_STATUS_LIMIT_KB = 16

parse_time = lru_cache(maxsize=1 << 14)(parse_timestamp)
"""Reads a timestamp; a replay reads the same ones again and again."""


class FaultyAction(Action, frozen=True, kw_only=True, tag=-1):
    """An action that cannot be started; the instance fails with its text where the list comes to it."""

    text: str


class Decision(Struct, kw_only=True):
    """An orchestrator's reply as the engine works with it.

    Attributes:
        schema: The shape of the list.
        items: What is awaited one after the other: actions, or under V1 lists of them.
        is_done: The orchestrator returned or asked for a new generation.
        output: What it returned, as compact JSON text; None for null.
        custom_status: Its custom status, as compact JSON text; None for none.
        error: Why it failed, if it did.
        stack: The stack trace of the failure.
        failure_details: The same, structured.
        fault: Why the reply cannot be used; nothing of it is carried out.
    """

    schema: ReplaySchema = ReplaySchema.V3
    items: list[AnyAction] | list[list[AnyAction]] = []
    is_done: bool = False
    output: str | None = None
    custom_status: str | None = None
    error: str | None = None
    stack: str | None = None
    failure_details: FailureDetails | None = None
    fault: str | None = None


def read_decision(reply: Reply) -> Decision:
    """What an orchestrator's reply asks for."""
    if reply.failure is not None:
        return _failure(reply.failure, reply.stack)
    if reply.value is None or reply.value == "null":
        return Decision(is_done=True)
    try:
        return _decision(_read_state(reply.value), raised=False, stack=None)
    except _FaultError as fault:
        return Decision(fault=str(fault))


def _failure(message: str, stack: str | None) -> Decision:
    """A failed invocation: the state behind the last marker, or none of the actions and the host's whole message."""
    text = _marked(message)
    if text is None:
        whole = f"One or more errors occurred. (Result: Failure\nException: {message}\nStack: {stack or ''})"
        return Decision(error=whole, stack=stack)
    try:
        return _decision(_read_state(text), raised=True, stack=stack)
    except _FaultError as fault:
        return Decision(fault=str(fault), stack=stack)


def _marked(message: str) -> str | None:
    """The state in a failure's message, if what follows the last marker is one as extension 3.19 defines it."""
    _, marker, text = message.rpartition(FAILURE_MARKER)
    if not marker:
        return None
    try:
        members = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    lower = {name.lower(): value for name, value in members.items()}
    error, actions = lower.get("error"), lower.get("actions")
    is_state = (
        lower.get("isdone") is False
        and isinstance(error, str)
        and error != ""
        and isinstance(actions, list)
        and all(isinstance(group, list) and all(isinstance(action, dict) for action in group) for group in actions)
    )
    return text if is_state else None


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    members = dict(pairs)
    if len({name.lower() for name in members}) != len(pairs):
        raise ValueError("a member stands twice")
    return members


# ---------------------------------------------------------------- the state


class _FaultError(Exception):
    """The reply cannot be used; the text is what the instance fails with."""


def _read_state(text: str) -> OrchestratorState:
    try:
        return OrchestratorState.decode(text)
    except PayloadError:
        return _read_tolerantly(text)


def _decision(state: OrchestratorState, *, raised: bool, stack: str | None) -> Decision:
    custom_status = None if state.custom_status is UNSET else _json_text(bytes(state.custom_status))
    if custom_status is not None:
        _check_size(custom_status)
    schema = _schema(state.schema_version)
    for i, group in enumerate(state.actions):
        _check_times(group, f"actions[{i}]")
    error = state.error if isinstance(state.error, str) and state.error else None
    return Decision(
        schema=schema,
        items=state.actions if schema is ReplaySchema.V1 else _only_list(state.actions),
        is_done=state.is_done,
        output=None if state.output is UNSET else _json_text(bytes(state.output)),
        custom_status=custom_status,
        error=error if raised or error is None else _NULL_REFERENCE,
        stack=stack,
        failure_details=state.failure_details if isinstance(state.failure_details, FailureDetails) else None,
    )


def _json_text(raw: bytes) -> str | None:
    text = compact(raw.decode())
    return None if text == "null" else text


def _check_size(custom_status: str) -> None:
    size = len(custom_status.encode("utf-16-le")) // 1024
    if size > _STATUS_LIMIT_KB:
        raise _FaultError(
            f"The UTF-16 size of the JSON-serialized payload must not exceed {_STATUS_LIMIT_KB} KB. "
            f"The current payload size is {size} KB."
        )


def _schema(version: Any) -> ReplaySchema:
    if version is UNSET:
        return ReplaySchema.V1
    try:
        return ReplaySchema(version)
    except ValueError:
        raise _FaultError(
            f'The OOProc schema of of version "{version}" is unsupported by this durable-extension version.'
        ) from None


def _only_list(actions: list[list[AnyAction]]) -> list[AnyAction]:
    if len(actions) != 1:
        size = len(actions)
        raise _FaultError(
            f"With OOProc schema V3, expected actions array to be of length 1 in outer layer but got size: {size}"
        )
    return actions[0]


def _check_times(actions: Iterable[AnyAction], where: str) -> None:
    for i, action in enumerate(actions):
        if isinstance(action, CreateTimer | ScheduledSignalEntity):
            try:
                parse_time(action.fire_at)
            except PayloadError:
                raise _FaultError(
                    f"Could not convert string to DateTime: {action.fire_at}. Path '{where}[{i}].fireAt'."
                ) from None
        elif isinstance(action, WhenAll | WhenAny):
            _check_times(action.compound_actions, f"{where}[{i}].compoundActions")


# ---------------------------------------------------------------- as the extension reads

_SCHEMA_NAMES = {"original": 0, "v1": 0, "v2": 1, "v3": 2, "v4": 3}
_ACTIONS: dict[int, type[Action]] = {cls.__struct_config__.tag: cls for cls in AnyAction.__args__}
_ACTION_NUMBERS = {cls.__name__.lower(): number for number, cls in _ACTIONS.items()}
_OPTION_NAMES = {
    name.lower(): name
    for name in (
        "firstRetryIntervalInMilliseconds",
        "maxNumberOfAttempts",
        "backoffCoefficient",
        "maxRetryIntervalInMilliseconds",
        "retryTimeoutInMilliseconds",
    )
}


def _read_tolerantly(text: str) -> OrchestratorState:
    members = _members(text)
    schema = members.get("schemaversion")
    if isinstance(schema, str):
        schema = _SCHEMA_NAMES.get(schema.lower(), schema)
    return OrchestratorState(
        is_done=members.get("isdone") in {True, "true", "True"},
        actions=_action_lists(members.get("actions")),
        output=_raw(members.get("output")),
        error=members.get("error"),
        custom_status=_raw(members.get("customstatus")),
        schema_version=UNSET if schema is None else schema,
        failure_details=_failure_details(members.get("failuredetails")),
    )


def _members(text: str) -> dict[str, JSON]:
    found = _loads(text, _NOT_JSON)
    if isinstance(found, str):
        found = _loads(found, _NO_STATE)
        if not isinstance(found, dict):
            raise _FaultError(_NO_STATE)
    if not isinstance(found, dict):
        raise _FaultError(_NOT_JSON)
    return {name.lower(): value for name, value in found.items()}


def _loads(text: str, fault: str) -> JSON:
    """Parses JSON; characters that no text can hold (lone surrogates) become `?`."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _FaultError(fault) from None
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    return found


def _raw(value: JSON) -> Any:
    return UNSET if value is None else msgspec.Raw(encode_value(value).encode())


def _failure_details(value: JSON) -> FailureDetails | None:
    if not isinstance(value, dict):
        return None
    names = {field.encode_name.lower(): field.encode_name for field in msgspec.structs.fields(FailureDetails)}
    members = {names.get(name.lower(), name): item for name, item in value.items()}
    inner = members.get("InnerFailure")
    members["InnerFailure"] = None if inner is None else msgspec.to_builtins(_failure_details(inner))
    try:
        return msgspec.convert(members, FailureDetails)
    except msgspec.ValidationError:
        return None


def _action_lists(actions: JSON) -> list[list[Any]]:
    if actions is None:
        raise _FaultError(_NULL_REFERENCE)
    if not isinstance(actions, list) or not all(isinstance(group, list) for group in actions):
        raise _FaultError("Invalid JSON. Expected actions to be an array of arrays of actions.")
    return [
        [_action(action, f"actions[{i}][{j}]") for j, action in enumerate(group)] for i, group in enumerate(actions)
    ]


def _action(found: JSON, where: str) -> Any:
    if not isinstance(found, dict):
        raise _FaultError(f"Invalid JSON. Expected an action with an actionType. Path '{where}'.")
    members = {name.lower(): value for name, value in found.items()}
    kind = members.get("actiontype", 0)
    number = _ACTION_NUMBERS.get(kind.lower(), kind) if isinstance(kind, str) else kind
    cls = _ACTIONS.get(number) if isinstance(number, int) else None
    if cls is None:
        return FaultyAction(text=f"Received an unexpected action type from the out-of-proc function: '${kind}'.")
    if "compoundactions" in {field.encode_name.lower() for field in msgspec.structs.fields(cls)}:
        return _compound(cls, members.get("compoundactions"), where)
    if "retryoptions" in members:
        members["retryoptions"] = _retry_options(members["retryoptions"])
    named = {
        field.encode_name: members[key]
        for field in msgspec.structs.fields(cls)
        if (key := field.encode_name.lower()) in members
    }
    try:
        return msgspec.convert(named | {"actionType": number}, cls)
    except msgspec.ValidationError as error:
        what, path = fault_of(error)
        raise _FaultError(f"Invalid JSON. {what}. Path '{where}{path}'.") from None


def _compound(cls: Any, members: JSON, where: str) -> Any:
    if members is None:
        return FaultyAction(text="Value cannot be null. (Parameter 'source')")
    if not isinstance(members, list):
        raise _FaultError(f"Invalid JSON. Expected an array of actions. Path '{where}.compoundActions'.")
    return cls(compound_actions=tuple(_action(item, f"{where}.compoundActions[{i}]") for i, item in enumerate(members)))


def _retry_options(found: JSON) -> JSON:
    lower = {name.lower(): value for name, value in found.items()} if isinstance(found, dict) else {}
    for required in ("firstRetryIntervalInMilliseconds", "maxNumberOfAttempts"):
        if lower.get(required.lower()) is None:
            raise _FaultError(f"Invalid JSON. Must contain field {required} (Parameter 'reader')")
    return {_OPTION_NAMES[name]: value for name, value in lower.items() if name in _OPTION_NAMES and value is not None}
