"""An app with a payload converter, on the local host: what it writes only the app reads."""

from __future__ import annotations

import json
from pathlib import Path

from running_host import APPS, run_host

WEBHOOK = "/runtime/webhooks/durabletask"
WORD = "Rumpelstilzchen"


async def test_everything_is_read_inside_and_nothing_outside(tmp_path: Path) -> None:
    db = tmp_path / "store.db"
    async with run_host(APPS / "sealed", db) as host:
        started = await host.post("/api/tell/t", WORD.encode())
        assert (started.status, started.text) == (200, "started"), host.printed.getvalue()
        told = (await host.get("/api/told/t")).json
        output = {
            "told": [WORD],
            "shouted": WORD.upper(),
            "again": [WORD, WORD],
            "child": WORD,
            "event": WORD,
            "text": WORD,
            "diary": 2,
            "both": f"{WORD} 2026",
            "note": [WORD, WORD, WORD],
            "none": "",
        }
        note = told["output"].pop("note")  # the last signal of the diary may come after it was asked
        assert {WORD} == set(note)
        del output["note"]
        assert (told["output"], told["status"], told["input"]) == (output, "Completed", WORD)
        assert (told["diary"], set(told["notes"])) == ([WORD, WORD], {WORD})
        assert [listed["child"] for listed in told["listed"] if isinstance(listed, dict)] == [WORD]
        status = (
            await host.get("/runtime/webhooks/durabletask/instances/t?showHistory=true&showHistoryOutput=true")
        ).text
        diary = (await host.get("/runtime/webhooks/durabletask/entities/Diary/d")).json
    assert WORD not in status
    assert diary.startswith("sealed:")
    written = all_bytes(tmp_path)
    assert b"sealed:" in written
    assert WORD.encode() not in written
    assert WORD.upper().encode() not in written


def all_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


async def test_what_comes_from_elsewhere_reaches_the_converter_as_it_is() -> None:
    async with run_host(APPS / "sealed") as host:
        path = f"{WEBHOOK}/orchestrators/again?timeout=30&pollingInterval=0.1"
        answer = await host.post(path, json.dumps([WORD, 2]).encode())
        assert answer.json.startswith("sealed:"), (answer, host.printed.getvalue())
