"""An activity that logs without end: what it does to others, and to the memory of its worker."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from running_host import PATIENCE, run_host

if sys.platform == "win32":
    pytest.skip("the memory of a process is not to be had here", allow_module_level=True)

LINES = 200_000
MOST_MEMORY = 150 << 10
"""KiB that a worker may take beside its own; what waits of the storm would take twice as much."""

APP = f"""
import logging
import resource
import worker_ext as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def calls(context):
    return (yield context.call_activity(context.get_input(), None))


@app.activity_trigger(input_name="nothing")
def storms(nothing: None) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range({LINES}):
        logging.info("line %d", number)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


@app.activity_trigger(input_name="nothing")
def greets(nothing: None) -> str:
    logging.warning("a greeting")
    return "hello"
"""


@pytest.mark.parametrize("transport", ["frames", "grpc"])
async def test_a_storm_of_logs_holds_up_no_other_reply_and_takes_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    monkeypatch.setenv("WORKER_EXT_TRANSPORT", transport)
    (tmp_path / "function_app.py").write_text(APP)
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    async with run_host(tmp_path) as host:
        scheduler = host.local.scheduler
        storm = await scheduler.start_instance("calls", '"storms"')
        await host.until(lambda: "line 0\n" in host.printed.getvalue(), "the storm to begin")
        greetings = 0
        while (found := await scheduler.get(storm)) is not None and found.status == "Running":
            greeting = await scheduler.start_instance("calls", '"greets"')
            instance = await scheduler.wait_for_completion(greeting, PATIENCE)
            assert instance is not None
            assert instance.output == '"hello"'
            greetings += 1
        assert found is not None
        assert found.status == "Completed"
        printed = host.printed.getvalue()
        # Each takes three trips to the worker; none of them waits for the lines that were logged before.
        assert greetings >= 5
        assert printed.count("a greeting") == greetings
        memory = json.loads(found.output or "null")
        assert 0 <= memory * (1 if sys.platform == "linux" else 1 / 1024) < MOST_MEMORY
        # All that is left of the storm was shown before its function's own reply, in order; the rest is counted.
        lines = [int(number) for number in re.findall(r": line (\d+)\n", printed)]
        dropped = [int(number) for number in re.findall(r"(\d+) log records were dropped", printed)]
        assert lines == sorted(lines)
        assert len(lines) + sum(dropped) == LINES
