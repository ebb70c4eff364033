"""The functions of `work`, in the v1 model: each a folder with a function.json and a script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def _binding(name: str, kind: str, direction: str = "in", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "direction": direction, **more}


def _http(route: str) -> list[dict[str, Any]]:
    return [
        _binding("req", "httpTrigger", authLevel="anonymous", route=route),
        _binding("$return", "http", "out"),
    ]


_CLIENT = """
import azure.functions as func
import work
import worker_ext as df

async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    return await work.{name}(req, df.DurableOrchestrationClient(starter))
"""
_FROM_QUEUE = """
import azure.functions as func
import work
import worker_ext as df

def main(msg: func.QueueMessage, starter: str, out: func.Out[str]) -> None:
    work.from_queue(msg, df.DurableOrchestrationClient(starter), out)
"""
_QUEUE = {"queueName": "q", "connection": "AzureWebJobsStorage"}
_ACTIVITY = "from work import {name} as main\n"
_ORCHESTRATOR = """
import work
import worker_ext as df

main = df.Orchestrator.create(work.{name})
"""
_ENTITY = """
import work
import worker_ext as df

main = df.Entity.create(work.{name})
"""
# A worker refuses the annotation `list[int] | None`, unless something stands between it and the function.
_TYPED_ACTIVITY = """
import work
import worker_ext as df

main = df.Activity.create(work.{name})
"""

FUNCTIONS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "start": (
        [*_http("orchestrators/{functionName}"), _binding("starter", "durableClient")],
        _CLIENT.format(name="start"),
    ),
    "counted": ([*_http("counters/{key}"), _binding("starter", "durableClient")], _CLIENT.format(name="counted")),
    "counter": ([_binding("context", "entityTrigger")], _ENTITY.format(name="counter")),
    "from_queue": (
        [
            _binding("msg", "queueTrigger", **_QUEUE),
            _binding("starter", "durableClient"),
            _binding("out", "queue", "out", **_QUEUE),
        ],
        _FROM_QUEUE,
    ),
    "about": (_http("about"), _ACTIVITY.format(name="about")),
    "total": ([_binding("numbers", "activityTrigger")], _TYPED_ACTIVITY.format(name="total")),
    **{
        name: ([_binding("context", "orchestrationTrigger")], _ORCHESTRATOR.format(name=name))
        for name in ("everything", "fails", "fails_at_once", "adds_up", "in_asyncio")
    },
    **{
        name: ([_binding("value", "activityTrigger")], _ACTIVITY.format(name=name))
        for name in ("in_thread", "on_loop", "nothing", "broken", "slow", "waits", "passes", "fails_twice")
    },
}


def write(app: Path) -> None:
    """Write the folders into an app."""
    for name, (bindings, source) in FUNCTIONS.items():
        folder = app / name
        folder.mkdir()
        (folder / "function.json").write_text(json.dumps({"scriptFile": "__init__.py", "bindings": bindings}))
        (folder / "__init__.py").write_text(source)
