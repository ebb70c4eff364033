"""Apps that are an ASGI or a WSGI app as a whole, with durable functions beside it, on each worker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from real_workers.apps import web_app
from real_workers.cases import HANDLERS, Case, prepare
from real_workers.environments import Environments
from running_host import PATIENCE, run_host


@pytest.mark.parametrize(
    "source, started", [(web_app.ASGI, "['lifespan.startup']"), (web_app.WSGI, "[]")], ids=["asgi", "wsgi"]
)
@pytest.mark.parametrize(
    "case",
    [
        Case("v2", "proxy", "3.13"),
        Case("v2", "own", "3.11"),
        Case("v2", "own", "3.13"),
        Case("v2", "own", "3.13", more=HANDLERS),
    ],
    ids=str,
)
async def test_the_web_app_answers_and_the_workflow_runs(
    case: Case, source: str, started: str, environments: Environments, code: Path, tmp_path: Path
) -> None:
    app = prepare(case, environments, code, tmp_path)
    (app / "function_app.py").write_text(source)
    (app / "workflow.py").write_text(web_app.WORKFLOW)
    async with run_host(app) as host:
        answers = [await host.get("/api/any/thing?x=1"), await host.post("/api/any/thing", b"body")]
        assert [(answer.status, answer.text) for answer in answers] == [
            (418, f"{started} GET /api/any/thing"),
            (418, f"{started} POST /api/any/thing"),
        ]
        begun = await host.post("/runtime/webhooks/durabletask/orchestrators/greets", b'"Oslo"')
        async with asyncio.timeout(PATIENCE):
            while (status := await host.get(begun.json["statusQueryGetUri"])).status == 202:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (status.json["runtimeStatus"], status.json["output"]) == ("Completed", "Hello Oslo!"), status.json
