"""Replay of a whole history in one turn, as a ratio to the least that a worker can do with the same payload.

The floor reads the payload with orjson, sends each result to a bare generator, and writes the actions that it yielded
with orjson. Contenders take turns within a round, and each ratio is that of one round, so that a machine that slows
down slows all of them. What runs in a Python of its own is compared with the floor in that Python.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from worker_ext.handlers import run_orchestrator

from . import peers
from .floors import replay_floor
from .payloads import SHAPES, Shape
from .report import Row
from .rounds import FLOOR, compare

Replay = Callable[[str], str]


def measure(sizes: Sequence[int], rounds: int, shapes: Sequence[str] | None = None) -> Iterator[Row]:
    """Replays each shape at each size."""
    with peers.started() as peer:
        for shape in SHAPES:
            if shapes and shape.name not in shapes:
                continue
            for n in sizes:
                if n >= shape.least_size:
                    yield from _measure(shape, n, rounds, peer)


def _measure(shape: Shape, n: int, rounds: int, peer: peers.Peer | peers.PeerError) -> Iterator[Row]:
    payload = shape.payload(n)
    contenders = {FLOOR: replay_floor(shape), "worker_ext": _ours(shape)}
    is_async = inspect.iscoroutinefunction(shape.orchestrator)
    if not is_async and importlib.util.find_spec("azure.durable_functions") is not None:
        contenders[peers.installed_name()] = _peer(shape)
    for who, replay in contenders.items():
        _check(who, replay(payload), n)
    prepared = peers.PeerError("it has no async orchestrators") if is_async else peers.prepared(peer, shape.name, n)
    yield from compare(f"replay {shape.name} N={n}", "ms", contenders, payload, rounds, prepared)


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
