"""Which instances an app runs, by their versions: the comparison, and what becomes of those that it does not run."""

from __future__ import annotations

from pathlib import Path

import pytest
from running_scheduler import outcome, running, until
from scripted_gateway import ScriptedGateway, state

from worker_ext.host.versions import MatchStrategy, mismatch


@pytest.mark.parametrize(
    "instance, app, strategy, runs",
    [
        ("9.0", None, "CurrentOrOlder", True),
        ("9.0", None, "Strict", True),
        ("1.0", "2.0", "CurrentOrOlder", True),
        ("2.0", "2.0", "CurrentOrOlder", True),
        ("2.1", "2.0", "CurrentOrOlder", False),
        ("2.9", "2.10", "CurrentOrOlder", True),
        ("2.10", "2.9", "CurrentOrOlder", False),
        (None, "2.0", "CurrentOrOlder", True),
        ("", "2.0", "CurrentOrOlder", True),
        ("blue", "GREEN", "CurrentOrOlder", True),
        ("green", "Blue", "CurrentOrOlder", False),
        ("2.0", "2.0", "Strict", True),
        ("1.0", "2.0", "Strict", False),
        (None, "2.0", "Strict", False),
        ("3.0", "2.0", "None", True),
    ],
)
def test_an_app_runs_the_versions_of_its_strategy(
    instance: str | None, app: str | None, strategy: MatchStrategy, runs: bool
) -> None:
    assert (mismatch(instance, app, strategy) is None) is runs


def app() -> ScriptedGateway:
    return ScriptedGateway({"Ship": lambda context: state(done=True, output="shipped")}, {})


async def test_a_rejected_instance_waits_for_an_app_of_its_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, gateway = tmp_path / "hub.db", app()
    async with running(path, gateway, default_version="1.0") as scheduler:
        await scheduler.start_instance("Ship", None, "i", "2.0")
        await scheduler.start_instance("Ship", None, "j")
        assert await outcome(scheduler, "j") == ("Completed", "shipped")
        await until(lambda: caplog.records)
        found = await scheduler.get("i")
    assert (found.status if found else None, list(gateway.payloads)) == ("Pending", ["j"])
    assert caplog.messages[0] == (
        "instance i is looked at again in 0.1 s: its version is '2.0', the app runs '1.0' and older "
        "(versionMatchStrategy is CurrentOrOlder); it waits for an app that runs it (versionFailureStrategy is Reject)"
    )
    async with running(path, app(), default_version="2.0") as scheduler:
        assert await outcome(scheduler, "i") == ("Completed", "shipped")


async def test_an_instance_of_another_version_fails_where_the_setting_says_so(tmp_path: Path) -> None:
    settings = {"default_version": "2.0", "version_match_strategy": "Strict", "version_failure_strategy": "Fail"}
    gateway = app()
    async with running(tmp_path / "hub.db", gateway, **settings) as scheduler:
        await scheduler.start_instance("Ship", None, "i", "1.0")
        assert await outcome(scheduler, "i") == (
            "Failed",
            "VersionMismatch: its version is '1.0', the app runs '2.0' alone (versionMatchStrategy is Strict)",
        )
    assert gateway.payloads == {}
