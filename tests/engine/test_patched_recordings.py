"""Recorded histories of old code, replayed by new code: a change is put into every place of every recorded program.

An instance that had passed the place does what the old code does, reply by reply; one that had not come so far takes
the new code, and nothing in its history disagrees.
"""

import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from async_programs import PROGRAMS
from recordings import HISTORIES, Comparison, records_of

import worker_ext as df
from worker_ext.handlers import run_orchestrator
from worker_ext.protocol.actions import CallActivity
from worker_ext.testing import HistoryBuilder, replay

Context = df.DurableOrchestrationContext
Program = Callable[[Context], Any]

SCHEDULING = frozenset(
    name for name in dir(Context) if name.startswith(("call_", "create_", "wait_for_", "signal_", "entity", "lock"))
)
"""The methods of the context before which code may be changed."""

FILES = sorted(
    file
    for pattern in ("gen_*.jsonl", "extension/e3_async_*.jsonl")
    for file in HISTORIES.glob(pattern)
    if "_x_" not in file.name
)


class ChangedContext:
    """The context of a program that was changed: before it schedules something it asks for its patch.

    Args:
        context: The context.
        place: Before which of the program's calls.

    Attributes:
        answer: What the patch was answered; None where the program did not come to it.
    """

    def __init__(self, context: Context, place: int) -> None:
        self._context = context
        self._calls_before = place
        self.answer: bool | None = None

    def __getattr__(self, name: str) -> Any:
        if name in SCHEDULING:
            if self._calls_before == 0:
                self.answer = self._context.patched("change")
            self._calls_before -= 1
        return getattr(self._context, name)


def turns_of(file: Path) -> Iterator[tuple[Program, str]]:
    """The recorded turns of a file, each with its program."""
    for record in records_of(file):
        if '"history"' not in (record.get("payload") or ""):
            continue
        if "program" not in record:
            yield PROGRAMS[record["case"]], record["payload"]
        elif record["kind"] == "orchestrator":
            module, name = record["program"].split(".py:")
            yield importlib.import_module(module).PROGRAMS[name], record["payload"]


def reply(program: Program, payload: str) -> str | df.OrchestrationFailedError:
    try:
        return run_orchestrator(payload, program)
    except df.OrchestrationFailedError as failure:
        return failure


def changed_reply(program: Program, payload: str, place: int) -> tuple[bool | None, str | df.OrchestrationFailedError]:
    """What the patch in that place is answered, and what the changed program replies."""
    asked: list[ChangedContext] = []

    def run(context: Context) -> Any:
        asked.append(ChangedContext(context, place))
        return program(asked[0])  # type: ignore[arg-type]

    replied = reply(run, payload)
    return asked[0].answer, replied


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_instances_of_the_old_code_go_on_whatever_was_changed(file: Path, recorded: Comparison) -> None:
    answers: Counter[bool | None] = Counter()
    for program, payload in turns_of(file):
        answer: bool | None = True
        old, place = reply(program, payload), 0
        while answer is not None:
            answer, new = changed_reply(program, payload, place)
            answers[answer] += 1
            if answer:
                assert not isinstance(getattr(new, "__cause__", None), df.NonDeterminismError), (place, new)
            else:
                assert str(new) == str(old), place
            place += 1
    assert answers[True]
    assert answers[False]


async def rewritten(context: Context) -> str:
    """Has nothing in common with the old code."""
    return f"{context.version}: {await context.call_activity('Rewritten')}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_instances_that_were_started_without_a_version_keep_the_code_from_before_there_was_one(
    file: Path, recorded: Comparison
) -> None:
    for program, payload in turns_of(file):

        def by_version(context: Context, old: Program = program) -> Any:
            return old(context) if context.version is None else rewritten(context)

        assert str(reply(by_version, payload)) == str(reply(program, payload))


def test_instances_of_a_version_that_the_old_code_did_not_know_run_the_new() -> None:
    def by_version(context: Context) -> Any:
        return PROGRAMS["async_two"](context) if context.version is None else rewritten(context)

    started = HistoryBuilder().started(version="2")
    assert replay(by_version, started).actions == [CallActivity(function_name="Rewritten", input="null")]
    assert replay(by_version, started.scheduled("Rewritten", 0).batch().completed(0, "ok")).output == "2: ok"
