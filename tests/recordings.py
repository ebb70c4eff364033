"""Recordings of the extension, fed to the recorded programs: what was replied then, and what is replied now."""

import importlib
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import worker_ext

HISTORIES = Path(__file__).parent / "histories"


class Payload(NamedTuple):
    """What the worker hands to a function."""

    body: str


class Reply(NamedTuple):
    """What one payload was and is answered, as `replay_check.py` compares them."""

    case: str
    line: int
    recorded: Any
    given: Any


class Comparison:
    """The comparison that came with the recordings, with their programs importable.

    Args:
        check: The module `replay_check`.
    """

    def __init__(self, check: ModuleType) -> None:
        self._check = check

    def same(self, one: Any, other: Any) -> bool:
        """Whether two replies are equal as JSON values."""
        return bool(self._check.same(one, other))

    def difference(self, reply: Reply) -> str:
        """Where a reply differs first."""
        return f"line {reply.line}, {reply.case}: {self._check.difference(reply.recorded, reply.given)}"

    def canonical(self, reply: Any) -> Any:
        """A reply, or `{"$raised": text}`, in the form that is compared."""
        return self._check.canon(reply, False)

    def replies(self, file: Path) -> Iterator[Reply]:
        """What every recorded payload of a file is answered."""
        for line, record in enumerate(records_of(file), 1):
            if record.get("reply") is None:
                continue
            try:
                given = json.loads(function_of(record)(Payload(record["payload"])))
            except worker_ext.OrchestrationFailedError as error:
                given = {"$raised": f"{type(error).__name__}: {error}"}
            yield Reply(record["case"], line, self.canonical(record["reply"]), self.canonical(given))

    def check_all(self, replies: Iterable[Reply], differs: Collection[str]) -> None:
        """Checks that exactly the cases that are to differ do; a listed case that agrees fails too."""
        compared = list(replies)
        different = [reply for reply in compared if not self.same(reply.recorded, reply.given)]
        assert [self.difference(reply) for reply in different if reply.case not in differs] == []
        assert compared
        assert {reply.case for reply in different} == {reply.case for reply in compared} & set(differs)


def records_of(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a recording. Only line feeds end them: JSON text may hold what `str.splitlines` splits at."""
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def function_of(record: dict[str, Any]) -> Callable[[Payload], str]:
    """What the worker calls for the program of a record."""
    module, name = record["program"].split(".py:")
    program = importlib.import_module(module).PROGRAMS[name]
    kind: Any = worker_ext.Orchestrator if record["kind"] == "orchestrator" else worker_ext.Entity
    function: Callable[[Payload], str] = kind.create(program)
    return function


def comparison(monkeypatch: pytest.MonkeyPatch) -> Iterator[Comparison]:
    """Makes the programs and their comparison importable, and forgets them again."""
    monkeypatch.setenv("DURABLE_SDK", "worker_ext")
    monkeypatch.syspath_prepend(str(HISTORIES))
    monkeypatch.syspath_prepend(str(HISTORIES / "programs"))
    before = set(sys.modules)
    yield Comparison(importlib.import_module("replay_check"))
    for name in set(sys.modules) - before:
        if str(HISTORIES) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def cases_of(files: Iterable[Path]) -> set[str]:
    """The names of all recorded cases of some files."""
    return {record["case"] for file in files for record in records_of(file)}
