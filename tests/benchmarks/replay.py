"""Replay of a whole history in one turn, as a ratio to the least that a worker can do with the same payload.

The floor reads the payload with orjson, sends each result to a bare generator, and writes the actions that it yielded
with orjson. Contenders take turns within a round, and each ratio is that of one round, so that a machine that slows
down slows all of them.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from worker_ext.handlers import run_orchestrator

from .payloads import SHAPES, Shape
from .report import Row

Replay = Callable[[str], str]
ROUND_SECONDS = 0.1
"""How long a contender runs within a round, at least once."""


def measure(sizes: Sequence[int], rounds: int, shapes: Sequence[str] | None = None) -> Iterator[Row]:
    """Replays each shape at each size."""
    for shape in SHAPES:
        if shapes and shape.name not in shapes:
            continue
        for n in sizes:
            if n >= shape.least_size:
                yield from _measure(shape, n, rounds)


def _measure(shape: Shape, n: int, rounds: int) -> Iterator[Row]:
    payload = shape.payload(n)
    contenders = {"floor": _floor(shape), "worker_ext": _ours(shape)}
    if importlib.util.find_spec("azure.durable_functions") is not None:
        contenders["azure-functions-durable"] = _peer(shape)
    repeats = {}
    for who, replay in contenders.items():
        _check(who, replay(payload), n)
        repeats[who] = max(1, int(ROUND_SECONDS / seconds_of(replay, payload, 1)))
    seconds: dict[str, list[float]] = {who: [] for who in contenders}
    for _ in range(rounds):
        for who, replay in contenders.items():
            seconds[who].append(seconds_of(replay, payload, repeats[who]))
    floor = seconds.pop("floor")
    name = f"replay {shape.name} N={n}"
    yield Row.of(name, "floor", "ms", [value * 1e3 for value in floor])
    for who, values in seconds.items():
        yield Row.of(name, who, "x floor", [value / least for value, least in zip(values, floor, strict=True)])


def seconds_of(run: Callable[[str], object], payload: str, repeats: int) -> float:
    """Seconds that one run takes, the mean of several."""
    gc.collect()
    start = time.perf_counter()
    for _ in range(repeats):
        run(payload)
    return (time.perf_counter() - start) / repeats


def _check(who: str, reply: str, n: int) -> None:
    """A contender that did not run the workflow to its end must not win."""
    state = orjson.loads(reply)
    found = state["isDone"], state["output"], len(list(_leaves(state["actions"][0])))
    if found != (True, n, n):
        raise SystemExit(f"{who} did not replay the workflow: (done, output, actions) are {found}, not {(True, n, n)}")


def _leaves(actions: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for action in actions:
        if "compoundActions" in action:
            yield from _leaves(action["compoundActions"])
        else:
            yield action


def _floor(shape: Shape) -> Replay:
    completion, result = shape.completion, shape.result

    def replay(payload: str) -> str:
        request = orjson.loads(payload)
        steps = shape.steps(int(request["input"]))
        actions = [next(steps)]
        output = None
        try:
            for event in request["history"]:
                if event["EventType"] == completion:
                    actions.append(steps.send(event[result] if result else None))  # noqa: PERF401 - keeps what came before the end
        except StopIteration as stop:
            output = stop.value
        state = {"isDone": True, "actions": [actions], "output": output, "schemaVersion": 2}
        return orjson.dumps(state).decode()

    return replay


def _ours(shape: Shape) -> Replay:
    def replay(payload: str) -> str:
        return run_orchestrator(payload, shape.orchestrator)

    return replay


def _peer(shape: Shape) -> Replay:
    peer: Any = importlib.import_module("azure.durable_functions")

    def replay(payload: str) -> str:
        context = peer.DurableOrchestrationContext.from_json(payload)
        reply: str = peer.Orchestrator(shape.orchestrator).handle(context)
        return reply

    return replay
