"""Which logs are shown, by `logging.logLevel` of host.json."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from running_host import APPS, run_host

from worker_ext.errors import HostError
from worker_ext.host.console import Console
from worker_ext.host.log_levels import LogLevels
from worker_ext.host.settings import load_settings

LEVELS = LogLevels.of(
    {
        "Default": "warning",
        "Function": "Error",
        "Function.ship": "Debug",
        "Function.ship.User": "None",
        "Host.a": "Trace",
    }
)


@pytest.mark.parametrize(
    "category, shown",
    [
        ("Worker", ["warning", "error"]),
        ("Function.pack", ["error"]),
        ("Function.pack.User", ["error"]),
        ("function.SHIP", ["debug", "info", "warning", "error"]),
        ("Function.shipper.User", ["error"]),
        ("Function.ship.User", []),
        ("Host", ["warning", "error"]),
        ("Host.a.b", ["debug", "info", "warning", "error"]),
    ],
)
def test_the_longest_category_that_fits_counts(category: str, shown: list[str]) -> None:
    assert [level for level in ("debug", "info", "warning", "error") if LEVELS.shows(level, category)] == shown


def test_verbose_shows_all_of_them() -> None:
    assert LEVELS.shows("debug", "Function.ship.User", verbose=True)


def test_without_settings_debug_entries_are_left_out() -> None:
    assert [level for level in ("debug", "info", "warning") if LogLevels().shows(level, "Host")] == ["info", "warning"]


def test_a_level_that_is_none_is_named_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0", "logging": {"logLevel": {"Function": "loud"}}}')
    names = "Trace, Debug, Information, Warning, Error, Critical, None"
    expected = f'host.json: logging.logLevel.Function: expected one of {names}, found "loud"'
    with pytest.raises(HostError, match=expected):
        load_settings(tmp_path, environ={})


def test_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0", "logging": {"logLevel": {"default": "Error"}}}')
    environ = {"AzureFunctionsJobHost__logging__logLevel__default": "Debug"}
    assert load_settings(tmp_path, environ=environ).log_levels == LogLevels.of({"default": "Debug"})


def test_a_console_leaves_out_what_is_not_to_be_shown() -> None:
    stream = io.StringIO()
    console = Console(stream)
    console.levels = LEVELS
    console.info("of the host")
    console.log("error", "of the user", "ship")
    console.log("error", "of another", "pack")
    console.of_run("error", "of its run", "ship", "order-1")
    assert [line.partition("] ")[2] for line in stream.getvalue().splitlines()] == [
        "pack: of another",
        "ship order-1: of its run",
    ]


async def test_a_host_shows_what_its_settings_say(tmp_path: Path) -> None:
    app = Path(shutil.copytree(APPS / "web", tmp_path / "app"))
    levels = {"Function.log.User": "Error"}
    (app / "host.json").write_text(json.dumps({"version": "2.0", "logging": {"logLevel": levels}}))
    async with run_host(app) as host:
        assert (await host.get("/api/log")).status == 200
        assert (await host.get("/api/boom")).status == 500
        await host.until(lambda: "boom: failed" in host.printed.getvalue(), "the failure")
        assert "logged by the app" not in host.printed.getvalue()
