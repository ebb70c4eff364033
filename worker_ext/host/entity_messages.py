"""What orchestrations, entities and clients send to entities, and what entities answer: texts inside events.

A message to an entity is an `EventRaised` whose name says what it is: `op` (an operation or a lock request),
`op@<time>` (an operation for later), `release`; any other name only has the entity look at its queue. An answer is an
`EventRaised` whose name is the id of the request.

Source: durable-functions JSON protocol, entity identity and messages (5.1, 5.4; recorded from extension 3.19.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from worker_ext.protocol.codec import encode_value

OPERATION = "op"
RELEASE = "release"
CONTINUE = "continue"
LOCK_GRANTED = "Lock Acquisition Completed"
"""The answer to a lock request; it is not JSON."""

UNUSED_TIME = "0001-01-01T00:00:00"
_REQUEST_NAMESPACE = UUID("9e952959-5e33-4daf-827f-2fa12937b875")
_ASSEMBLY = "Microsoft.Azure.WebJobs.Extensions.DurableTask"
_TICKS_A_SECOND = 10**7
_REORDER_WINDOW = 30 * 60 * _TICKS_A_SECOND


def _type(name: str) -> str:
    return f"{_ASSEMBLY}.{name}, {_ASSEMBLY}"


# ---------------------------------------------------------------- identity


def is_entity(instance_id: str) -> bool:
    """Whether an instance is an entity; no orchestration's id starts like that."""
    return instance_id.startswith("@")


def entity_instance(name: str, key: str) -> str:
    """The instance ID of an entity."""
    return f"@{name.lower()}@{key}"


def split_instance(instance_id: str) -> tuple[str, str]:
    """The name and the key in an entity's instance ID; the key may be empty or contain `@`.

    Raises:
        ValueError: The text is not `@name@key`.
    """
    start, _, rest = instance_id.partition("@")
    name, separator, key = rest.partition("@")
    if start or not separator or not name:
        raise ValueError(f"expected the instance ID of an entity, @name@key, found {instance_id!r}")
    return name, key


# ---------------------------------------------------------------- messages


class LockedEntity(Struct, frozen=True, kw_only=True, rename={"type": "$type"}):
    """One entity of a lock request's set."""

    type: str = _type("EntityId")
    name: str
    key: str

    @property
    def instance_id(self) -> str:
        """Its instance ID."""
        return f"@{self.name}@{self.key}"


class Request(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "operation": "op",
        "is_signal": "signal",
        "parent_execution": "parentExecution",
        "timestamp": "Timestamp",
        "predecessor": "Predecessor",
        "lock_set": "lockset",
        "position": "pos",
        "request_time": "requestTime",
    },
):
    """An operation, or a lock request, which has a lock set and no operation.

    Attributes:
        input: JSON text.
        id: What the answer is addressed with.
        parent: The instance that sent it; None for a client.
        due: When it is to be delivered, where it is for later.
        timestamp: The sender's clock, for a receiver that has to sort; `predecessor` is that of its last message.
        position: The index in the lock set of the entity that the request is with.
    """

    operation: str | None
    is_signal: bool = False
    input: str | None = None
    id: str
    parent: str | None = None
    parent_execution: str | None = None
    due: str | None = None
    timestamp: str
    predecessor: str
    lock_set: tuple[LockedEntity, ...] | None = None
    position: int = 0
    request_time: str | None = None

    def encode(self) -> str:
        """The message as compact JSON."""
        return _typed("RequestMessage", msgspec.json.encode(self).decode())


class Release(Struct, frozen=True):
    """The end of a lock: whose it was, and the id of the request that had acquired it."""

    parent: str | None = None
    id: str | None = None

    def encode(self) -> str:
        """The message as compact JSON."""
        return _typed("ReleaseMessage", msgspec.json.encode(self).decode())


_request_decoder = msgspec.json.Decoder(Request)
_release_decoder = msgspec.json.Decoder(Release)


def read_request(text: str | None) -> Request:
    """Reads an operation or a lock request.

    Raises:
        ValueError: The text is neither.
    """
    return _request_decoder.decode(text or "")


def read_release(text: str | None) -> Release:
    """Reads the end of a lock.

    Raises:
        ValueError: The text is none.
    """
    return _release_decoder.decode(text or "")


def answer(result: str | None, *, is_error: bool = False) -> str:
    """What a request is answered with; `result` is JSON text, an error's message where it is one."""
    members = {"result": result, **({"exceptionType": "Error"} if is_error else {})}
    return _typed("ResponseMessage", encode_value(members))


def lock_set(instance_ids: Sequence[str]) -> tuple[LockedEntity, ...]:
    """The set of a lock request."""
    pairs = map(split_instance, instance_ids)
    return tuple(LockedEntity(name=name, key=key) for name, key in pairs)


def _typed(name: str, text: str) -> str:
    return f'{{"$type":"{_type(name)}",{text[1:]}'


# ---------------------------------------------------------------- ids and times


def request_id(instance_id: str, now: str, counter: int) -> str:
    """The id of an orchestration's request: the same in every replay.

    Args:
        instance_id: The orchestration.
        now: Its clock, as a timestamp.
        counter: How many requests it made before.
    """
    return str(uuid5(_REQUEST_NAMESPACE, f"{instance_id}_{in_ticks(now)}_{counter}"))


def in_ticks(timestamp: str) -> str:
    """A timestamp with all its seven digits."""
    whole, _, fraction = timestamp.removesuffix("Z").partition(".")
    return f"{whole}.{fraction[:7].ljust(7, '0')}Z"


class SendClock:
    """Stamps an orchestration's messages so that each to one entity is later than the one before.

    Whoever receives them in another order could put them right. This host's store keeps the order itself, so nothing
    here reads the stamps.

    Source: MessageSorter.cs, LabelOutgoingMessage.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, str]] = {}

    def stamp(self, target: str, now: str) -> tuple[str, str]:
        """The stamp of a message, and that of the one before it to the same entity."""
        ticks, text = _ticks(now), now
        before, predecessor = self._last.get(target, (-_REORDER_WINDOW, UNUSED_TIME))
        if before < ticks - _REORDER_WINDOW:
            predecessor = UNUSED_TIME
        elif ticks <= before:
            ticks = before + 1
            text = _text(ticks)
        self._last[target] = ticks, text
        return text, predecessor


_ZERO = datetime(1, 1, 1)  # noqa: DTZ001 - counts ticks, in UTC on both sides


def _ticks(timestamp: str) -> int:
    whole, _, fraction = timestamp.removesuffix("Z").partition(".")
    seconds = (datetime.fromisoformat(whole) - _ZERO) // timedelta(seconds=1)
    return seconds * _TICKS_A_SECOND + int(fraction[:7].ljust(7, "0"))


def _text(ticks: int) -> str:
    """A time as .NET writes it that has lost its zone."""
    seconds, fraction = divmod(ticks, _TICKS_A_SECOND)
    whole = (_ZERO + timedelta(seconds=seconds)).isoformat()
    return f"{whole}.{fraction:07d}".rstrip("0") if fraction else whole
