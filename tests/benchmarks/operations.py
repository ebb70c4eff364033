"""What one entity batch and one activity cost a worker, as ratios to the least that they can cost.

The floor of an entity reads the payload with orjson, adds to a number for each operation, and writes the reply with
orjson. The floor of an activity is orjson.loads, the call and orjson.dumps; the contenders read the input, call the
function as it was registered, and write the result. Contenders take turns within a round.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Iterator
from typing import Any

import azure.functions as func
import orjson

import worker_ext as df
from worker_ext.handlers import run_entity
from worker_ext.protocol.codec import decode_value, encode_value

from .replay import ROUND_SECONDS, seconds_of
from .report import Row

Run = Callable[[str], object]


def measure(rounds: int) -> Iterator[Row]:
    """Measures entities with one operation and with a hundred, and an activity with 100 bytes of input."""
    for count in (1, 100):
        payload = json.dumps(_batch(count), indent=2)
        contenders: dict[str, Run] = {"floor": _bare_entity, "worker_ext": lambda text: run_entity(text, _counter)}
        if importlib.util.find_spec("azure.durable_functions") is not None:
            peer: Any = importlib.import_module("azure.durable_functions").Entity.create(_counter)
            contenders["azure-functions-durable"] = peer
        yield from _compare(f"entity batch of {count}", contenders, payload, rounds)
    text = json.dumps({"id": 12345, "name": "x" * 70})
    yield from _compare(f"activity {len(text)} B", _activities(), text, rounds)


def _compare(name: str, contenders: dict[str, Run], payload: str, rounds: int) -> Iterator[Row]:
    repeats = {who: max(1, int(ROUND_SECONDS / seconds_of(run, payload, 10))) for who, run in contenders.items()}
    times: dict[str, list[float]] = {who: [] for who in contenders}
    for _ in range(rounds):
        for who, run in contenders.items():
            times[who].append(seconds_of(run, payload, repeats[who]))
    floor = times.pop("floor")
    yield Row.of(name, "floor", "us", [value * 1e6 for value in floor])
    for who, values in times.items():
        yield Row.of(name, who, "x floor", [value / least for value, least in zip(values, floor, strict=True)])


def _batch(count: int) -> dict[str, Any]:
    operation = {"name": "add", "input": '"3"', "isSignal": True, "id": "126680b5-3a5e-4264-98a6-0a1bf5f0f6be"}
    return {"self": {"name": "counter", "key": "k"}, "exists": True, "state": "5", "batch": [operation] * count}


def _counter(context: Any) -> None:
    value = context.get_state(lambda: 0) + context.get_input()
    context.set_state(value)
    context.set_result(value)


def _bare_entity(payload: str) -> str:
    request = orjson.loads(payload)
    state = orjson.loads(request["state"])
    results = []
    for operation in request["batch"]:
        state += orjson.loads(orjson.loads(operation["input"]))
        result = orjson.dumps(state).decode()
        results.append({"isError": False, "duration": 0, "startTime": 0, "result": result})
    text = orjson.dumps(state).decode()
    return orjson.dumps({"entityExists": True, "entityState": text, "results": results, "signals": []}).decode()


def _activities() -> dict[str, Run]:
    def pack(item: dict[str, Any]) -> dict[str, Any]:
        return item

    app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    app.activity_trigger(input_name="item")(pack)
    [registered] = app.get_functions()
    function: Any = registered.get_user_function()
    theirs: Any = importlib.import_module("azure.functions._durable_functions")
    return {
        "floor": lambda text: orjson.dumps(pack(orjson.loads(text))).decode(),
        "worker_ext": lambda text: encode_value(function(item=decode_value(text))),
        "azure-functions": lambda text: theirs.df_dumps(pack(theirs.df_loads(text))),
    }
