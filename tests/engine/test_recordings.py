"""Recorded payloads of the extension through the recorded programs: every reply as it was recorded.

Where a reply differs on purpose the case is listed with its reason, and must differ: a listed case that agrees fails.
"""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import worker_ext

HISTORIES = Path(__file__).parents[1] / "histories"
THEMES = sorted(file for file in HISTORIES.glob("gen_*.jsonl") if not file.name.startswith("gen_x_"))

DIFFERS = {
    "any_empty": "task_any([]) could never complete; it is an error that says so, and 1.7.0 yields None",
    "fan_empty": "task_all([]) is [], and 1.7.0 yields None",
    "retry_bad_options": "the message of RetryOptions has the space that 1.7.0 forgot",
    "timer_naive": "the message says that a time zone is needed, and how to get one",
}


class Reply(NamedTuple):
    """What one payload was and is answered."""

    case: str
    line: int
    recorded: Any
    given: Any


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The comparison that came with the recordings, and the programs on its path."""
    monkeypatch.setenv("DURABLE_SDK", "worker_ext")
    monkeypatch.syspath_prepend(str(HISTORIES))
    monkeypatch.syspath_prepend(str(HISTORIES / "programs"))
    before = set(sys.modules)
    yield importlib.import_module("replay_check")
    for name in set(sys.modules) - before:
        if str(HISTORIES) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


class Payload(NamedTuple):
    """What the worker hands to a function."""

    body: str


def function_of(record: dict[str, Any]) -> Callable[[Payload], str]:
    module, name = record["program"].split(".py:")
    program = importlib.import_module(module).PROGRAMS[name]
    kind = worker_ext.Orchestrator if record["kind"] == "orchestrator" else worker_ext.Entity
    return kind.create(program)


def replies(file: Path, check: ModuleType) -> Iterator[Reply]:
    for line, text in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        record = json.loads(text)
        if record.get("reply") is None:
            continue
        try:
            given = json.loads(function_of(record)(Payload(record["payload"])))
        except worker_ext.OrchestrationFailedError as error:
            given = {"$raised": f"{type(error).__name__}: {error}"}
        yield Reply(record["case"], line, check.canon(record["reply"], False), check.canon(given, False))


@pytest.mark.parametrize("file", THEMES, ids=lambda file: file.stem)
def test_replies_are_the_recorded_ones(file: Path, check: ModuleType) -> None:
    compared = list(replies(file, check))
    different = [reply for reply in compared if not check.same(reply.recorded, reply.given)]
    unexpected = [
        f"{file.name}:{reply.line} {reply.case}: {check.difference(reply.recorded, reply.given)}"
        for reply in different
        if reply.case not in DIFFERS
    ]
    assert unexpected == []
    assert compared
    assert {reply.case for reply in different} == {reply.case for reply in compared} & DIFFERS.keys()


def test_every_listed_difference_is_recorded() -> None:
    cases = {json.loads(line)["case"] for file in THEMES for line in file.read_text(encoding="utf-8").splitlines()}
    assert cases >= DIFFERS.keys()
