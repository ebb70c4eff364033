"""What the host prints."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys

import pytest
from terminals import all_of

from worker_ext.host.console import Console, ConsoleHandler


def test_a_log_entry_has_its_time_in_front() -> None:
    stream = io.StringIO()
    Console(stream).info("hello")
    assert re.fullmatch(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] hello\n", stream.getvalue())


def test_what_a_function_logs_has_its_name_and_instance_in_front() -> None:
    stream = io.StringIO()
    Console(stream).log("info", "packed", "ship", "order-1")
    assert stream.getvalue().endswith("Z] ship order-1: packed\n")


@pytest.mark.parametrize("verbose, shown", [(True, True), (False, False)])
def test_debug_entries_are_for_those_who_ask(verbose: bool, shown: bool) -> None:
    stream = io.StringIO()
    Console(stream, verbose=verbose).log("debug", "detail")
    assert ("detail" in stream.getvalue()) is shown


def test_brackets_are_text_and_no_colours_go_into_a_file() -> None:
    stream = io.StringIO()
    Console(stream).error("[red]not markup[/red]")
    assert stream.getvalue().endswith("] [red]not markup[/red]\n")


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
def test_a_terminal_gets_colours() -> None:
    import pty

    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        Console(terminal).error("[bad] news")
    with os.fdopen(master, "rb") as seen:
        assert b"\x1b[31m" in (text := os.read(seen.fileno(), 1000))
    assert b"[bad] news" in text


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
def test_functions_and_instances_have_colours_of_their_own() -> None:
    import pty

    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        console = Console(terminal)
        for instance_id in ("a", "b", "a"):
            console.log("info", "packed", "ship", instance_id)
    lines = all_of(master).decode().splitlines()
    colours = [re.search(r"\x1b\[([\d;]+)mship (\w): ", line) for line in lines]
    first, second, third = [found.groups() for found in colours if found is not None]
    assert (first, second[1]) == (third, "b")
    assert first[0] != second[0]


def test_a_reader_that_goes_away_is_no_trouble() -> None:
    code = (
        "import sys, time\nfrom worker_ext.host.console import Console\nconsole = Console()\nsys.stdin.read()\n"
        "for _ in range(3): console.info('x' * 100_000)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, complaint = process.communicate(b"", timeout=60)
    assert (process.returncode, complaint) == (0, b"")


def test_what_libraries_log_is_shown() -> None:
    stream = io.StringIO()
    logger = logging.getLogger("tests.some_library")
    handler = ConsoleHandler(Console(stream))
    logger.addHandler(handler)
    logger.info("too little")
    logger.warning("worth %s", "knowing")
    logger.removeHandler(handler)
    assert [line.partition("] ")[2] for line in stream.getvalue().splitlines()] == ["worth knowing"]


def test_as_json_each_entry_is_an_object_on_a_line() -> None:
    stream = io.StringIO()
    console = Console(stream, as_json=True)
    console.error("two\nlines “quoted”")
    console.log("info", "done", "ship", "order-1")
    console.line()
    console.listing("hello", "[GET] http://localhost/api/hello")
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time")) for entry in entries)
    assert entries == [
        {"level": "error", "message": "two\nlines “quoted”"},
        {"level": "info", "message": "done", "function": "ship", "instanceId": "order-1"},
        {"level": "info", "message": "hello: [GET] http://localhost/api/hello"},
    ]
