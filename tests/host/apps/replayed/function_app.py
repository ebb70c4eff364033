"""Functions that answer what was recorded: the recordings' names, the replies of `REPLAYED_CASES` in `REPLAYED_FILES`.

Orchestrators and entities note each payload in the file that `REPLAYED_NOTES` names, then give the recorded reply of
that instance's invocation, its due times moved to this run, its addresses those of `REPLAYED_ADDRESSES`. An activity
is handed the outcome it is to have.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import azure.functions as func

sys.path.insert(0, str(Path(os.environ["REPLAYED_TESTS"])))

from recorded_cases import (
    Identities,
    Line,
    Outcome,
    Task,
    child_reply,
    entity_reply,
    function_names,
    raising,
    read_cases,
)

import worker_ext as df

CHOSEN = {tuple(names) for names in json.loads(os.environ["REPLAYED_CASES"])}
FILES = [Path(name) for name in json.loads(os.environ["REPLAYED_FILES"])]
CASES = [case for case in read_cases(FILES) if (case.file, case.name) in CHOSEN]
NOTES = Path(os.environ["REPLAYED_NOTES"]).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115 - kept open
IDENTITIES = Identities(CASES)
ADDRESSES: dict[str, dict[str, str]] = json.loads(os.environ["REPLAYED_ADDRESSES"])

app = df.DFApp()


def reply_to(payload: str) -> str:
    """Notes a payload, and answers what was recorded."""
    key, line = IDENTITIES.accept(payload)
    NOTES.write(json.dumps({"key": key, "payload": payload}) + "\n")
    told = IDENTITIES.told(key, line, payload)
    if line is None:
        return answer_unrecorded(key, told)
    return answer(line, payload)


def answer_unrecorded(key: str, tasks: list[Task]) -> str:
    """The reply that leads to what others were told."""
    if key in IDENTITIES.operations:
        return entity_reply(tasks)
    end = tasks[0].end if tasks else None
    if end is None:
        raise RuntimeError(f"nothing more was recorded of {key}")
    return child_reply(end)


def answer(line: Line, payload: str) -> str:
    """The recorded reply to a payload; raises what was raised."""
    if isinstance(line.reply, dict) and "$raised" in line.reply:
        raise raising(IDENTITIES.moved(line, payload, line.reply["$raised"]))
    if isinstance(line.reply, str):
        return line.reply
    reply = IDENTITIES.moved(line, payload, json.dumps(line.reply, ensure_ascii=False))
    for recorded, address in ADDRESSES.get(line.key, {}).items():
        reply = reply.replace(recorded, address)
    return reply


async def orchestrate(context: func.OrchestrationContext) -> str:
    """Any orchestrator."""
    return reply_to(context.body)


async def operate(context: func.EntityContext) -> str:
    """Any entity."""
    return reply_to(context.body)


async def act(outcome: dict) -> Any:  # type: ignore[type-arg]
    """Any activity."""
    return Outcome(**outcome).give()


NAMES = function_names(CASES)
for kind, trigger, alias, function in (
    ("orchestrator", "orchestrationTrigger", "orchestration", orchestrate),
    ("entity", "entityTrigger", "entityName", operate),
    ("activity", "activityTrigger", "activity", act),
):
    argument = "outcome" if kind == "activity" else "context"
    for number, name in enumerate(NAMES[kind]):
        declare: Any = app.generic_trigger(arg_name=argument, type=trigger, **{alias: name})
        app.function_name(f"{kind}_{number}")(declare(function))
