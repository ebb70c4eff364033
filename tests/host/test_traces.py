"""Traces of a real app on the real host: one tree from the request to the last activity."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_host import APPS, PATIENCE, Host, run_host

Spans = list[dict[str, Any]]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return Path(shutil.copytree(APPS / "traced", tmp_path / "app"))


async def spans_of(host: Host, app: Path, path: str, headers: dict[str, str] | None = None) -> Spans:
    """Starts an orchestrator and waits for its end; the spans that were written."""
    answer = await host.send("GET", path, headers=headers)
    assert answer.status == 200, answer
    found: Spans = []
    await host.local.scheduler.wait_for_completion(answer.text, PATIENCE)

    def has_ended() -> bool:
        found[:] = [json.loads(line) for line in (app / "spans.jsonl").read_text().splitlines()]
        return any(span["attributes"].get("durabletask.task.instance_id") == answer.text for span in found)

    await host.until(has_ended, "the spans")
    return found


def tree(spans: Spans) -> list[str]:
    """The spans as lines, each under its parent, in the order in which they began."""
    ids = {span["context"]["span_id"] for span in spans}

    def below(parent: str | None, indent: str) -> Iterator[str]:
        for span in sorted(spans, key=lambda span: str(span["start_time"])):
            own = span["parent_id"] if span["parent_id"] in ids else None
            if own == parent:
                kind = span["kind"].removeprefix("SpanKind.")
                status = " " + span["status"]["description"] if span["status"]["status_code"] == "ERROR" else ""
                yield f"{indent}{span['name']} {kind}{status}"
                yield from below(span["context"]["span_id"], indent + "  ")

    return list(below(None, ""))


STEPS = """\
request INTERNAL
  create_orchestration:steps PRODUCER
    orchestration:steps SERVER
      activity:Pack CLIENT
        activity:Pack SERVER
          inside INTERNAL
      timer INTERNAL
      entity:counter:add CLIENT
        entity:counter:add SERVER
      orchestration:child CLIENT
        orchestration:child SERVER
          activity:rests CLIENT
            activity:rests SERVER
      activity:breaks CLIENT Activity function 'breaks' failed: LookupError: no such item
        activity:breaks SERVER LookupError: no such item
""".splitlines()


async def test_everything_that_a_request_leads_to_is_one_tree(app: Path) -> None:
    async with run_host(app) as host:
        spans = await spans_of(host, app, "/api/start/steps")
    assert tree(spans) == STEPS
    assert len({span["context"]["trace_id"] for span in spans}) == 1
    assert len({span["context"]["span_id"] for span in spans}) == len(spans)


BRANCHES = """\
request INTERNAL
  create_orchestration:branches PRODUCER
    orchestration:branches SERVER ValueError: no more
      activity:Pack CLIENT
        activity:Pack SERVER
          inside INTERNAL
      activity:rests CLIENT
        activity:rests SERVER
      timer INTERNAL
""".splitlines()


async def test_an_asyncio_orchestrator_that_fails_says_so(app: Path) -> None:
    async with run_host(app) as host:
        spans = await spans_of(host, app, "/api/start/branches")
    assert sorted(tree(spans)) == sorted(BRANCHES)  # what runs side by side may begin in either order


async def test_a_trace_that_comes_with_the_request_goes_on(app: Path) -> None:
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with run_host(app) as host:
        spans = await spans_of(host, app, "/api/start/child", {"traceparent": caller})
    first = min(spans, key=lambda span: str(span["start_time"]))
    assert first["parent_id"] == "0xb7ad6b7169203331"
    assert {span["context"]["trace_id"] for span in spans} == {"0x0af7651916cd43dd8448eb211c80319c"}


async def test_generations_are_spans_of_one_trace(app: Path) -> None:
    async with run_host(app) as host:
        spans = await spans_of(host, app, "/api/start/again")
        await host.until(
            lambda: (app / "spans.jsonl").read_text().count("orchestration:again") == 3, "both generations"
        )
        spans = [json.loads(line) for line in (app / "spans.jsonl").read_text().splitlines()]
    ended = [span for span in spans if span["name"] == "orchestration:again"]
    assert [span["attributes"]["durabletask.task.status"] for span in ended] == ["ContinuedAsNew", "Completed"]
    assert len({span["context"]["trace_id"] for span in spans}) == 1


async def test_what_was_queued_is_told_apart_from_what_ran(app: Path) -> None:
    async with run_host(app) as host:
        spans = await spans_of(host, app, "/api/start/child")
    call, run = sorted((span for span in spans if span["name"] == "activity:rests"), key=lambda span: str(span["kind"]))
    assert (call["kind"], run["kind"]) == ("SpanKind.CLIENT", "SpanKind.SERVER")
    assert call["start_time"] <= run["start_time"] <= run["end_time"] <= call["end_time"]
    [orchestration] = [span for span in spans if span["name"] == "orchestration:child"]
    assert orchestration["attributes"]["durabletask.queue_time_ms"] >= 0
