"""The least that a worker can do with a payload, and how long something takes.

Nothing here is of worker_ext: a peer in a Python of its own measures itself against the same floor there.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from typing import Any

import orjson

from .payloads import Shape

Run = Callable[[str], object]
ROUND_SECONDS = 0.1
"""How long a contender runs within a round, at least once."""
TRIALS = 10


def seconds_of(run: Run, payload: str, repeats: int) -> float:
    """Seconds that one run takes, the mean of several."""
    gc.collect()
    start = time.perf_counter()
    for _ in range(repeats):
        run(payload)
    return (time.perf_counter() - start) / repeats


def repeats_of(run: Run, payload: str) -> int:
    """How often something runs within a round; what is quick is tried more than once to tell."""
    seconds = seconds_of(run, payload, 1)
    if seconds < ROUND_SECONDS / TRIALS:
        seconds = seconds_of(run, payload, TRIALS)
    return max(1, int(ROUND_SECONDS / seconds))


def replay_floor(shape: Shape) -> Callable[[str], str]:
    """Reads the payload, sends each result to a bare generator, and writes the actions that it yielded."""
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


ENTITY = "entity"
ACTIVITY = "activity"
"""The workloads of `operations`; those of `replay` are named by the shapes of their histories."""
ENTITY_BATCHES = (1, 100)
"""Operations of the batches that are measured."""


def entity_batch(count: int) -> dict[str, Any]:
    """A batch of operations that each add three to a number, which is five."""
    operation = {"name": "add", "input": '"3"', "isSignal": True, "id": "126680b5-3a5e-4264-98a6-0a1bf5f0f6be"}
    return {"self": {"name": "counter", "key": "k"}, "exists": True, "state": "5", "batch": [operation] * count}


def counter(context: Any) -> None:
    """The entity of these batches, for worker_ext and its peers."""
    value = context.get_state(lambda: 0) + context.get_input()
    context.set_state(value)
    context.set_result(value)


def entity_floor(payload: str) -> str:
    """Reads the batch, adds to a number for each operation, and writes the reply."""
    request = orjson.loads(payload)
    state = orjson.loads(request["state"])
    results = []
    for operation in request["batch"]:
        state += orjson.loads(orjson.loads(operation["input"]))
        result = orjson.dumps(state).decode()
        results.append({"isError": False, "duration": 0, "startTime": 0, "result": result})
    text = orjson.dumps(state).decode()
    return orjson.dumps({"entityExists": True, "entityState": text, "results": results, "signals": []}).decode()


ACTIVITY_INPUT = json.dumps({"id": 12345, "name": "x" * 70})
"""What the measured activity is given: some 100 bytes."""


def pack(item: dict[str, Any]) -> dict[str, Any]:
    """The activity, which gives back what it is given."""
    return item


def activity_floor(payload: str) -> str:
    """Reads the input, calls the activity, and writes the result."""
    return orjson.dumps(pack(orjson.loads(payload))).decode()
