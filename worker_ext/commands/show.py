"""An instance as a person reads it: facts, values, and the timeline as a tree."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec.structs import replace
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from worker_ext.client import DurableOrchestrationClient
from worker_ext.commands.output import STATE_STYLES, brief, show_seconds, show_time
from worker_ext.commands.timeline import Step, begun, started, timeline
from worker_ext.status import DurableOrchestrationStatus

_DEPTH = 5
_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "open": ("…", "cyan"), "": ("•", "dim")}


async def render(client: DurableOrchestrationClient, status: DurableOrchestrationStatus, *, children: bool) -> None:
    """Writes an instance to standard output."""
    console = Console(highlight=False)
    for name, value in _facts(status):
        if value:
            console.print(Text.assemble((f"{name:<9}", "bold"), (value, STATE_STYLES.get(value, ""))), soft_wrap=True)
    steps = timeline(status.history or [])
    if not steps:
        return
    tree = Tree(_title(status.history or []), guide_style="dim")
    await _grow(client, tree, steps, begun(status.history or []) or steps[0].begun, _DEPTH if children else 0)
    console.print()
    console.print(tree, soft_wrap=True)


def _title(history: list[Any]) -> Text:
    """What stands over the timeline: how long the instance waited for its first turn."""
    asked, first = begun(history), started(history)
    waited = "" if asked is None or first is None else show_seconds(max(0.0, (first - asked).total_seconds()))
    return Text.assemble(("Timeline", "bold"), (f"  queued {waited}" if waited else "", "dim"))


def _facts(status: DurableOrchestrationStatus) -> list[tuple[str, str]]:
    state = "" if status.runtime_status is None else status.runtime_status.value
    return [
        ("Instance", status.instance_id or ""),
        ("Function", status.name or ""),
        ("State", state),
        ("Custom", brief(status.custom_status, 200)),
        ("Created", show_time(status.created_time)),
        ("Updated", show_time(status.last_updated_time)),
        ("Input", brief(status.input_, 200)),
        ("Output", brief(status.output, 1000)),
    ]


async def _grow(client: DurableOrchestrationClient, tree: Tree, steps: list[Step], start: datetime, depth: int) -> None:
    for step in steps:
        history = await _history_of_child(client, step) if depth else []
        branch = tree.add(_line(replace(step, started=step.started or started(history)), start))
        if history:
            await _grow(client, branch, timeline(history), start, depth - 1)


async def _history_of_child(client: DurableOrchestrationClient, step: Step) -> list[Any]:
    if step.child_id is None:
        return []
    child = await client.get_status(step.child_id, show_history=True, show_history_output=True, show_starts=True)
    return child.history or [] if child else []


def _line(step: Step, start: datetime) -> Text:
    mark, style = _MARKS[step.state]
    what = f"{step.kind} {step.name}".rstrip()
    if step.child_id is not None:
        what += f" ({step.child_id})"
    at = max(0.0, (step.begun - start).total_seconds())
    value = brief(step.value)
    return Text.assemble(
        (f"{mark} ", style), what, (f"  +{show_seconds(at)}{_took(step)}", "dim"), f"  {value}" if value else ""
    )


def _took(step: Step) -> str:
    """How long a step waited and ran, as far as the host tells them apart."""
    if step.queued is not None:
        ran = "running" if step.ran is None else f"ran {show_seconds(step.ran)}"
        return f" queued {show_seconds(step.queued)}, {ran}"
    return f" took {show_seconds(step.seconds)}" if step.seconds else ""
