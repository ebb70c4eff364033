"""Mutated payloads: each must end in a reply or in an error of worker_ext.errors, never in anything else.

Recorded payloads of orchestrations and entities are damaged, as text and as JSON values, and given to their recorded
programs. The seed makes a run repeatable; what went wrong is printed with the payload's number.
"""

from __future__ import annotations

import copy
import importlib
import json
import os
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker_ext.errors import DurableError
from worker_ext.handlers import run_entity, run_orchestrator

from .report import Row

HISTORIES = Path(__file__).parents[1] / "histories"
PROGRESS = 50_000
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**70, 1.5, float("nan"), "", "x", "null", '{"id": 5}', "[", "\ud800",
    "9999-99-99", "2026-01-02T03:04:05Z", "00:00:00", "99999999.00:00:00", [], {}, [[]],
    {"EventType": 5}, {"EventType": 99},
)  # fmt: skip


@dataclass(frozen=True)
class Specimen:
    """A recorded payload and what it was given to."""

    payload: str
    value: Any
    run: Callable[[str], str]


def measure(payloads: int, seed: int) -> Iterator[Row]:
    """Runs that many damaged payloads.

    Raises:
        SystemExit: One of them ended in something else than a reply or an error of this package.
    """
    specimens = list(_specimens())
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    wrong = 0
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda unraisable: None  # recorded generators that yield in `finally` complain at their end
    start = time.perf_counter()
    for number in range(1, payloads + 1):
        specimen = chance.choice(specimens)
        payload = _damaged(specimen, chance)
        try:
            specimen.run(payload)
        except DurableError as error:
            outcomes[type(error).__name__] += 1
        except Exception as error:  # noqa: BLE001 - finding these is the purpose
            wrong += 1
            print(
                f"payload {number} of seed {seed}: {type(error).__name__}: {error}\n{payload[:2000]}", file=sys.stderr
            )
        else:
            outcomes["reply"] += 1
        if number % PROGRESS == 0:
            print(f"{number:,} payloads, {number / (time.perf_counter() - start):,.0f} a second", file=sys.stderr)
    seconds = time.perf_counter() - start
    for outcome, count in outcomes.most_common():
        yield Row.of(f"fuzz seed={seed}", outcome, "payloads", [count])
    yield Row.of(f"fuzz seed={seed}", "worker_ext", "payloads/s", [payloads / seconds])
    if wrong:
        raise SystemExit(f"{wrong} of {payloads} payloads ended in an error that is not of worker_ext.errors")


def _specimens() -> Iterator[Specimen]:
    os.environ["DURABLE_SDK"] = "worker_ext"
    sys.path.insert(0, str(HISTORIES / "programs"))
    for file in sorted(HISTORIES.glob("gen_*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record.get("reply") is None or len(record["payload"]) > 12_000:
                continue
            module, name = record["program"].split(".py:")
            program = importlib.import_module(module).PROGRAMS[name]
            runner = run_orchestrator if record["kind"] == "orchestrator" else run_entity
            yield Specimen(record["payload"], json.loads(record["payload"]), _runner(runner, program))


def _runner(runner: Callable[[str, Any], str], program: Any) -> Callable[[str], str]:
    return lambda payload: runner(payload, program)


def _damaged(specimen: Specimen, chance: random.Random) -> str:
    if chance.random() < 0.5:
        return _damaged_text(specimen.payload, chance)
    value = copy.deepcopy(specimen.value)
    for _ in range(chance.randint(1, 3)):
        _damage(value, chance)
    return json.dumps(value)


def _damaged_text(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text))
    match chance.randrange(4):
        case 0:
            return text[:at]
        case 1:
            return text[:at] + chance.choice('"{}[],:0-9eE.\\x\x00\ud800ü') + text[at + 1 :]
        case 2:
            return text[:at] + text[at + chance.randint(1, 40) :]
        case _:
            return text[:at] + text[at : at + chance.randint(1, 40)] + text[at:]


def _damage(value: Any, chance: random.Random) -> None:
    """Changes one place somewhere in a value."""
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(value[key], dict | list) and chance.random() < 0.8:
            value = value[key]
            continue
        match chance.randrange(4):
            case 0:
                del value[key]
            case 1 if isinstance(value, list):
                value.insert(chance.randrange(len(value) + 1), copy.deepcopy(value[key]))
            case 2 if isinstance(value, list):
                other = chance.randrange(len(value))
                value[key], value[other] = value[other], value[key]
            case _:
                value[key] = copy.deepcopy(chance.choice(VALUES))
        return
