"""Recorded payloads of the extension through `async def` programs: every reply as it was recorded.

Source: durable-functions JSON protocol, section 4.10.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from async_programs import PROGRAMS
from recordings import HISTORIES, Comparison, Reply, records_of

import worker_ext as df
from worker_ext.handlers import run_orchestrator

FILES = sorted(
    file for file in (HISTORIES / "extension").glob("e3_async_*.jsonl") if not file.name.startswith("e3_async_x_")
)

DIFFERS = {
    "async_cancel_bare": "the cancelled timer and the activity were started together, so they stand in one WhenAll",
    "async_max": "written by hand, so that no leaf is ever waited for; leaves that nothing follows are",
}


def given(record: dict[str, Any]) -> Any:
    try:
        return json.loads(run_orchestrator(record["payload"], PROGRAMS[record["case"]]))
    except df.OrchestrationFailedError as error:
        return {"$raised": f"{type(error).__name__}: {error}"}


def replies(file: Path, comparison: Comparison) -> Iterator[Reply]:
    for line, record in enumerate(records_of(file), 1):
        if '"history"' in record.get("payload", ""):
            recorded = without_polling(record["response"])
            yield Reply(record["case"], line, comparison.canonical(recorded), comparison.canonical(given(record)))


def without_polling(value: Any) -> Any:
    """Leaves out the member that says what its absence says too."""
    if isinstance(value, list):
        return [without_polling(item) for item in value]
    if isinstance(value, dict):
        return {k: without_polling(v) for k, v in value.items() if (k, v) != ("asynchronousPatternEnabled", False)}
    return value


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_replies_are_the_recorded_ones(file: Path, recorded: Comparison) -> None:
    recorded.check_all(replies(file, recorded), DIFFERS)


def test_every_recording_has_its_program() -> None:
    assert {file.stem.removeprefix("e3_") for file in FILES} == PROGRAMS.keys()
