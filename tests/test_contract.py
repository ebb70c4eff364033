"""The checks behind everything that goes over the wire: that they see what is wrong, wherever it leaves us."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Generator
from pathlib import Path
from typing import Any

import contract
import pytest
from host_process import HostProcess

from worker_ext import DFApp, DurableEntityContext, DurableOrchestrationContext
from worker_ext.engine import orchestration
from worker_ext.handlers import run_entity, run_orchestrator
from worker_ext.host.links import Links
from worker_ext.protocol import entity as entity_protocol

BINDINGS = Path(__file__).resolve().parents[1] / "bindings"
TURN = json.loads((BINDINGS / "orchestrationTrigger" / "samples" / "chain_first_turn.json").read_text())["request"]
BATCH = json.loads((BINDINGS / "entityTrigger" / "samples" / "call_and_signal.json").read_text())["request"]


def call_one(context: DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    return (yield context.call_activity("A"))


def test_what_keeps_to_the_contract_is_not_noted() -> None:
    run_orchestrator(json.dumps(TURN), call_one)
    assert contract.take_faults() == []


@pytest.mark.parametrize(
    "kind, part, value",
    [
        (
            "orchestrationTrigger",
            "declaration",
            {"direction": "OUT", "type": "orchestrationTrigger", "name": "context"},
        ),
        ("activityTrigger", "declaration", {"direction": "IN", "type": "activityTrigger", "name": "two__lines"}),
        (
            "entityTrigger",
            "declaration",
            {"direction": "IN", "type": "entityTrigger", "name": "c", "entityName": 1},
        ),
        ("durableClient", "declaration", {"direction": "IN", "type": "durableClient"}),
        ("orchestrationTrigger", "request", {**TURN, "history": [{**TURN["history"][0], "EventId": "-1"}] * 2}),
        ("orchestrationTrigger", "response", {"isDone": True, "actions": [], "schemaVersion": 2}),
        ("orchestrationTrigger", "response", {"isDone": False, "actions": [[{"actionType": 5, "fireAt": "noon"}]]}),
        (
            "orchestrationTrigger",
            "response",
            {"isDone": False, "actions": [[{"actionType": 6, "externalEventName": "go", "Reason": "a stray member"}]]},
        ),
        ("activityTrigger", "request", 1),
        ("entityTrigger", "request", {**BATCH, "state": {"not": "text"}}),
        ("entityTrigger", "response", {"entityExists": True, "entityState": "1", "results": [{}], "signals": []}),
        ("durableClient", "request", {"taskHubName": "hub"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_breaks_the_contract_is_noted(kind: str, part: str, value: object) -> None:
    with contract.expected_faults() as found:
        contract.check(kind, part, value)
    assert [fault.startswith(f"{kind} {part}") for fault in found] != []


def test_a_reply_of_the_engine_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestration.OrchestrationExecutor, "_schema_version", lambda _self: 9)
    with contract.expected_faults() as found:
        run_orchestrator(json.dumps(TURN), call_one)
    assert [fault.partition(":")[0] for fault in found] == ["orchestrationTrigger response['schemaVersion']"]


def test_a_reply_of_an_entity_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def entity(context: DurableEntityContext) -> None:
        context.set_result(1)

    state = entity_protocol.EntityState.encode
    monkeypatch.setattr(
        entity_protocol.EntityState, "encode", lambda self: state(self).replace("entityExists", "exists")
    )
    with contract.expected_faults() as found:
        run_entity(json.dumps(BATCH), entity)
    assert {fault.splitlines()[0] for fault in found} == {
        'entityTrigger response: "entityExists" is a required property',
        "entityTrigger response: Additional properties are not allowed ('exists' was unexpected)",
    }


def test_a_declaration_of_a_decorator_is_checked() -> None:
    def order(two__lines: str) -> None: ...

    app = DFApp()
    app.activity_trigger(input_name="two__lines")(order)
    [function] = app.get_functions()
    with contract.expected_faults() as found:
        function.get_raw_bindings()
    assert [fault.startswith("activityTrigger declaration['name']") for fault in found] == [True]


def test_a_payload_of_the_host_is_checked() -> None:
    with contract.expected_faults() as found:
        Links("ftp://localhost", None, "hub").client_payload({})
    assert {fault.partition(":")[0] for fault in found} >= {
        "durableClient request['creationUrls']['createNewInstancePostUri']"
    }


def test_a_host_that_is_a_process_of_its_own_is_checked(tmp_path: Path) -> None:
    """The app answers by itself what is no reply."""
    app = tmp_path / "app"
    (app / "wrong").mkdir(parents=True)
    (app / "host.json").write_text('{"version": "2.0"}')
    trigger = {"name": "context", "type": "orchestrationTrigger", "direction": "in"}
    (app / "wrong" / "function.json").write_text(json.dumps({"bindings": [trigger]}))
    (app / "wrong" / "__init__.py").write_text('def main(context): return \'{"isDone": "perhaps"}\'')
    host = HostProcess(app, tmp_path / "x.db")
    with contract.expected_faults() as found:
        host.start()
        try:
            host.result(host.post(f"{host.webhook}/orchestrators/wrong").json["id"])
        finally:
            host.stop()
    assert "orchestrationTrigger response['isDone']" in {fault.partition(":")[0] for fault in found}, host.log()


def test_a_test_in_which_something_breaks_the_contract_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from contract_fixtures import *\n")
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
            import contract

            def test_it():
                contract.check("activityTrigger", "request", 1)

            def test_next(): ...
        """)
    )
    options = ["-q", "-p", "no:cacheprovider", "-o", f"pythonpath={Path(contract.__file__).parent}"]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    facts = ["2 passed, 1 error", "not as bindings/ has it:", "activityTrigger request: 1 is not of types"]
    assert (done.returncode, [fact for fact in facts if fact not in done.stdout]) == (1, []), done.stdout
