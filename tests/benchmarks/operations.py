"""What one entity batch and one activity cost a worker, as ratios to the least that they can cost.

The floor of an entity reads the payload with orjson, adds to a number for each operation, and writes the reply with
orjson. The floor of an activity is orjson.loads, the call and orjson.dumps; the contenders read the input, call the
function as it was registered, and write the result. The floor of a typed activity reads and writes the dataclass with
msgspec alone. Contenders take turns within a round.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import azure.functions as func
import msgspec

import worker_ext as df
from worker_ext.handlers import run_entity
from worker_ext.protocol.codec import decode_value, encode_value

from . import peers
from .floors import (
    ACTIVITY,
    ACTIVITY_INPUT,
    ENTITY,
    ENTITY_BATCHES,
    Run,
    activity_floor,
    counter,
    entity_batch,
    entity_floor,
    pack,
)
from .report import Row
from .rounds import FLOOR, compare


@dataclasses.dataclass
class Part:
    """A part of a typed input."""

    sku: str
    price: Decimal
    due: date


@dataclasses.dataclass
class Parcel:
    """A typed input: a list of ten parts, a set, an optional."""

    parts: list[Part]
    tags: set[str]
    note: str | None = None


TYPED_INPUT = encode_value(
    Parcel([Part(f"sku-{number}", Decimal("9.75"), date(2026, 1, 2)) for number in range(10)], {"a"})
)


def pack_typed(item: Parcel) -> Parcel:
    """The activity, which gives back what it is given."""
    return item


def measure(rounds: int) -> Iterator[Row]:
    """Measures entities with one operation and with a hundred, and an activity with 100 bytes of input."""
    with peers.started() as peer:
        for count in ENTITY_BATCHES:
            payload = json.dumps(entity_batch(count), indent=2)
            contenders: dict[str, Run] = {FLOOR: entity_floor, "worker_ext": lambda text: run_entity(text, counter)}
            if importlib.util.find_spec("azure.durable_functions") is not None:
                theirs: Any = importlib.import_module("azure.durable_functions").Entity.create(counter)
                contenders[peers.installed_name()] = theirs
            prepared = peers.prepared(peer, ENTITY, count)
            yield from compare(f"entity batch of {count}", "us", contenders, payload, rounds, prepared)
        text, prepared = ACTIVITY_INPUT, peers.prepared(peer, ACTIVITY, 1)
        yield from compare(f"activity {len(text)} B", "us", _activities(), text, rounds, prepared)
        untyped = peers.PeerError("it has no typed values")
        yield from compare(
            f"typed activity {len(TYPED_INPUT)} B", "us", _typed_activities(), TYPED_INPUT, rounds, untyped
        )


def _typed_activities() -> dict[str, Run]:
    app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    app.activity_trigger(input_name="item")(pack_typed)
    [registered] = app.get_functions()
    function: Any = registered.get_user_function()
    decode = msgspec.json.Decoder(Parcel).decode
    return {
        FLOOR: lambda text: msgspec.json.encode(pack_typed(decode(text))).decode(),
        "worker_ext": lambda text: encode_value(function(item=decode_value(text))),
    }


def _activities() -> dict[str, Run]:
    app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    app.activity_trigger(input_name="item")(pack)
    [registered] = app.get_functions()
    function: Any = registered.get_user_function()
    theirs: Any = importlib.import_module("azure.functions._durable_functions")
    return {
        FLOOR: activity_floor,
        "worker_ext": lambda text: encode_value(function(item=decode_value(text))),
        "azure-functions": lambda text: theirs.df_dumps(pack(theirs.df_loads(text))),
    }
