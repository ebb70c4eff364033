"""The management commands against a host that runs."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from host_process import PATIENCE, HostProcess, wait_until
from host_process import cli as cli_command
from terminals import all_of

from worker_ext import NonDeterminismError, TaskFailedError, cli
from worker_ext.testing import replay

APPS = Path(__file__).parent.parent / "host" / "apps"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    folder = tmp_path_factory.mktemp("commands")
    process = HostProcess(Path(shutil.copytree(APPS / "durable", folder / "app")), folder / "x.db")
    process.start()
    yield process
    process.stop()


class Commands:
    """Runs commands against a host."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, *arguments: str, stdin: str | None = None, code: int = 0) -> Result:
        runner = CliRunner(env={"COLUMNS": "120", "WORKER_EXT_URL": self.url})
        done = runner.invoke(cli._commands(), arguments, input=stdin, prog_name="worker-ext")
        assert done.exit_code == code, done.output
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    def out(self, *arguments: str, stdin: str | None = None) -> str:
        return self.run(*arguments, stdin=stdin).stdout.rstrip("\n")

    def refusal(self, *arguments: str, code: int) -> str:
        return self.run(*arguments, code=code).stderr.rstrip("\n")

    def status(self, instance_id: str) -> Any:
        return json.loads(self.out("show", instance_id, "--json"))

    def rows(self, *arguments: str) -> list[list[str]]:
        return [line.split("\t") for line in self.out("list", *arguments).splitlines()]


@pytest.fixture
def command(host: HostProcess) -> Iterator[Commands]:
    commands = Commands(host.url)
    yield commands
    commands.run("terminate", "--all", "--yes")
    # What was terminated ends in a turn of its own.
    while commands.rows("--status", "Running", "--status", "Pending", "--status", "Suspended"):
        pass
    commands.run("purge", "--all", "--yes")


class TestStartNew:
    def test_it_writes_the_id(self, command: Commands) -> None:
        assert command.out("start-new", "waits", "--id", "a-1") == "a-1"
        assert len(command.out("start-new", "child")) == 32

    def test_with_wait_it_writes_the_output(self, command: Commands) -> None:
        assert command.out("start-new", "versioned", "--version", "3.1", "--wait", "30") == '"3.1"'

    def test_an_instance_that_fails_is_told_by_the_exit_code(self, command: Commands) -> None:
        message = command.refusal("start-new", "breaks", "--id", "b", "--wait", "30", code=5)
        assert message.startswith("worker-ext: b: Failed: ")
        assert "boom" in message
        assert len(message.splitlines()) == 1

    def test_one_that_takes_too_long_too(self, command: Commands) -> None:
        message = command.refusal("start-new", "waits", "--id", "b", "--wait", "0.2", code=6)
        assert message == "worker-ext: instance 'b' has not ended within 0:00:00.200000"

    def test_the_input_is_what_the_orchestrator_gets(self, command: Commands, tmp_path: Path) -> None:
        (tmp_path / "input.json").write_text('{"n": 1}')
        inputs = [
            command.out("start-new", "child", "--input", text) for text in ('{"n": 1}', f"@{tmp_path}/input.json")
        ]
        inputs.append(command.out("start-new", "child", "--input", "@-", stdin='{"n": 1}'))
        assert [json.loads(command.status(instance_id)["input"]) for instance_id in inputs] == [{"n": 1}] * 3

    def test_an_id_that_runs_is_refused_in_the_hosts_words(self, command: Commands) -> None:
        command.out("start-new", "waits", "--id", "a-1")
        message = command.refusal("start-new", "waits", "--id", "a-1", code=1)
        assert message.startswith("worker-ext: a-1: An orchestration with id 'a-1' already exists. It is in state ")


class TestList:
    def test_a_pipe_gets_lines_of_columns(self, command: Commands) -> None:
        command.out("start-new", "child", "--id", "a-1", "--wait", "30")
        ((instance_id, function, state, created, updated),) = command.rows()
        assert (instance_id, function, state) == ("a-1", "child", "Completed")
        assert created <= updated

    def test_filters_choose(self, command: Commands) -> None:
        command.out("start-new", "child", "--id", "a-1", "--wait", "30")
        command.out("start-new", "child", "--id", "a-2", "--wait", "30")
        command.refusal("start-new", "breaks", "--id", "b-1", "--wait", "30", code=5)
        chosen = {
            "all": ["--limit", "0"],
            "failed": ["--status", "failed"],
            "prefix": ["--prefix", "a-"],
            "two": ["--limit", "2"],
            "recent": ["--created-after", "1h"],
            "old": ["--created-before", "2020-01-01"],
        }
        found = {name: [row[0] for row in command.rows(*options)] for name, options in chosen.items()}
        assert found == {
            "all": ["a-1", "a-2", "b-1"],
            "failed": ["b-1"],
            "prefix": ["a-1", "a-2"],
            "two": ["a-1", "a-2"],
            "recent": ["a-1", "a-2", "b-1"],
            "old": [],
        }

    def test_json_is_what_the_management_api_says(self, command: Commands, host: HostProcess) -> None:
        command.out("start-new", "child", "--id", "a-1", "--input", "7", "--wait", "30")
        assert json.loads(command.out("list", "--json")) == [host.get(f"{host.webhook}/instances/a-1").json]

    def test_a_bad_filter_is_wrong_usage(self, command: Commands) -> None:
        assert "'lost' is not one of" in command.refusal("list", "--status", "lost", code=2)
        assert "expected a time such as 2026-01-31T08:00" in command.refusal("list", "--created-after", "soon", code=2)


class TestShow:
    def test_it_shows_the_timeline_with_that_of_the_child(self, command: Commands) -> None:
        command.out("start-new", "walks", "--id", "w", "--wait", "30")
        text = command.out("show", "w")
        assert "State    Completed" in text
        steps = [line for line in text.splitlines() if "──" in line]
        assert [step.split("──")[1].split("  +")[0].strip() for step in steps] == [
            "✓ activity pack",
            "✓ timer",
            "✓ orchestration child (w-child)",
        ]
        assert '{"k": 1}' in steps[0]
        queued = r"  queued [\d.]+ m?s"
        assert re.search(rf"^Timeline{queued}$", text, re.MULTILINE)
        assert [bool(re.search(rf"{queued.lstrip()}, ran [\d.]+ m?s", step)) for step in steps] == [True, False, True]

    def test_an_unknown_instance_has_an_exit_code_of_its_own(self, command: Commands) -> None:
        assert command.refusal("show", "nosuch", code=3) == "worker-ext: nosuch: there is no such instance"


def app_function(name: str) -> Callable[..., Any]:
    """A function of the app that the host runs, as its tests have it."""
    found: Callable[..., Any] = runpy.run_path(str(APPS / "durable" / "function_app.py"))[name]
    return found


class TestExport:
    def test_what_is_written_is_replayed(self, command: Commands, tmp_path: Path) -> None:
        command.out("start-new", "walks", "--id", "w", "--wait", "30")
        done = command.run("export", "w", "--output", str(tmp_path / "w.json"))
        written = json.loads((tmp_path / "w.json").read_text())
        assert done.stderr == f"{tmp_path}/w.json: {len(written['history'])} events\n"
        assert written["instance"] == {k: v for k, v in command.status("w").items() if k != "historyEvents"}
        turn = replay(app_function("walks"), tmp_path / "w.json")
        assert (turn.error, turn.output) == (None, written["instance"]["output"])

    def test_a_changed_orchestrator_is_found_out(self, command: Commands, tmp_path: Path) -> None:
        command.out("start-new", "walks", "--id", "w", "--wait", "30")
        turn = replay(app_function("breaks"), command.out("export", "w"))
        assert isinstance(turn.error, NonDeterminismError)

    def test_an_instance_that_failed_fails_again(self, command: Commands) -> None:
        command.refusal("start-new", "breaks", "--id", "b", "--wait", "30", code=5)
        turn = replay(app_function("breaks"), command.out("export", "b"))
        assert isinstance(turn.error, TaskFailedError)

    def test_one_that_runs_waits_where_it_does(self, command: Commands) -> None:
        command.out("start-new", "waits", "--id", "a")
        while command.status("a")["customStatus"] is None:
            pass
        turn = replay(app_function("waits"), command.out("export", "a"))
        assert (turn.error, turn.is_done, turn.custom_status) == (None, False, {"s": 1})

    def test_an_unknown_instance_has_an_exit_code_of_its_own(self, command: Commands) -> None:
        assert command.refusal("export", "nosuch", code=3) == "worker-ext: nosuch: there is no such instance"

    def test_a_file_that_cannot_be_written_is_named(self, command: Commands, tmp_path: Path) -> None:
        command.out("start-new", "child", "--id", "c", "--wait", "30")
        message = command.refusal("export", "c", "-o", str(tmp_path / "no" / "c.json"), code=1)
        assert message == f"worker-ext: {tmp_path}/no/c.json: No such file or directory"


class TestMessages:
    def test_an_event_brings_its_data(self, command: Commands) -> None:
        command.out("start-new", "waits", "--id", "a")
        command.out("raise-event", "a", "go", "--data", '{"by": "Ann"}')
        command.out("start-new", "child", "--id", "later", "--wait", "30")
        while (status := command.status("a"))["runtimeStatus"] != "Completed":
            pass
        assert status["output"] == {"got": {"by": "Ann"}}

    def test_suspend_and_resume(self, command: Commands) -> None:
        command.out("start-new", "waits", "--id", "a")
        command.out("suspend", "a")
        while command.status("a")["runtimeStatus"] != "Suspended":
            pass
        message = command.refusal("suspend", "a", code=1)
        assert message == (
            "worker-ext: a: Cannot suspend the orchestration instance a because instance is in the Suspended state."
        )
        command.out("resume", "a")
        while command.status("a")["runtimeStatus"] != "Running":
            pass

    def test_rewind_lets_a_failed_instance_try_again(self, command: Commands, tmp_path: Path) -> None:
        file = tmp_path / "order.txt"
        command.refusal("start-new", "reads", "--id", "r", "--input", json.dumps(str(file)), "--wait", "30", code=5)
        file.write_text("two boxes")
        assert command.out("rewind", "r", "--reason", "the file is there") == ""
        while (status := command.status("r"))["runtimeStatus"] != "Completed":
            assert status["runtimeStatus"] in ("Failed", "Running", "Pending")
        assert status["output"] == "two boxes"
        message = "This orchestration has status Completed, but only orchestrations in the"
        assert command.refusal("rewind", "r", code=1).startswith(f"worker-ext: r: {message}")

    def test_restart_writes_the_new_id(self, command: Commands) -> None:
        command.out("start-new", "child", "--id", "a", "--input", "5", "--wait", "30")
        new_id = command.out("restart", "a")
        assert (new_id != "a", command.status(new_id)["input"], command.out("restart", "a", "--same-id")) == (
            True,
            "5",
            "a",
        )

    @pytest.mark.parametrize("name", ["suspend", "resume", "terminate"])
    def test_an_instance_that_has_ended_is_told(self, command: Commands, name: str) -> None:
        command.out("start-new", "child", "--id", "a", "--wait", "30")
        assert command.refusal(name, "a", code=1) == "worker-ext: a: has already ended (Completed)"

    @pytest.mark.parametrize(
        "words",
        [
            ["raise-event", "nosuch", "go"],
            ["suspend", "nosuch"],
            ["terminate", "nosuch"],
            ["restart", "nosuch"],
            ["restart", "nosuch", "--same-id"],
        ],
    )
    def test_an_unknown_instance_is_told_by_the_exit_code(self, command: Commands, words: list[str]) -> None:
        assert command.refusal(*words, code=3) == "worker-ext: nosuch: there is no such instance"

    def test_data_that_is_not_json_is_wrong_usage(self, command: Commands) -> None:
        message = command.refusal("raise-event", "a", "go", "--data", "yes", code=2)
        assert "expected JSON, such as '\"yes\"', found 'yes'" in message


class TestMany:
    def test_terminate_takes_those_that_run(self, command: Commands) -> None:
        for instance_id in ("a-1", "a-2", "b-1"):
            command.out("start-new", "waits", "--id", instance_id)
        command.out("start-new", "child", "--id", "a-3", "--wait", "30")
        assert command.out("terminate", "--prefix", "a-", "--yes", "--reason", "enough") == "2 asked to terminate"
        while len(ended := command.rows("--status", "Terminated")) < 2:
            pass
        assert [row[0] for row in ended] == ["a-1", "a-2"]
        assert command.status("a-1")["output"] == "enough"

    def test_purge_takes_those_that_have_ended(self, command: Commands) -> None:
        command.out("start-new", "waits", "--id", "a-1")
        command.out("start-new", "child", "--id", "a-2", "--wait", "30")
        assert command.out("purge", "--created-after", "1h", "--yes") == "1 purged"
        assert [row[0] for row in command.rows()] == ["a-1"]

    @pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
    def test_a_terminal_gets_a_bar(self, command: Commands) -> None:
        import pty

        for number in range(3):
            command.out("start-new", "child", "--id", f"a-{number}", "--wait", "30")
        master, slave = pty.openpty()
        done = subprocess.run(
            [*cli_command(), "purge", "--prefix", "a-", "--yes", "--url", command.url],
            stdout=subprocess.PIPE,
            stderr=slave,
            timeout=PATIENCE,
            check=True,
        )
        os.close(slave)
        shown = all_of(master)
        assert done.stdout == b"3 purged\n"
        assert b"  0%" in shown
        assert b"100%" in shown

    def test_it_asks_first(self, command: Commands) -> None:
        command.out("start-new", "child", "--id", "a-2", "--wait", "30")
        asked = command.run("purge", "--all", stdin="n\n", code=1)
        assert asked.stderr.startswith("1 instances will be purged. Go on? [y/N]: ")
        assert [row[0] for row in command.rows()] == ["a-2"]

    def test_those_named_are_each_tried(self, command: Commands) -> None:
        command.out("start-new", "waits", "--id", "a-1")
        command.out("start-new", "child", "--id", "a-2", "--wait", "30")
        message = command.refusal("purge", "nosuch", "a-1", "a-2", code=3)
        first, second = message.splitlines()
        assert first == "worker-ext: nosuch: there is no such instance"
        assert second.startswith("worker-ext: a-1: Only orchestrations in a terminal state can be purged")
        assert [row[0] for row in command.rows()] == ["a-1"]

    @pytest.mark.parametrize(
        "words", [["purge"], ["terminate"], ["purge", "a", "--all"], ["purge", "--status", "Running"]]
    )
    def test_what_is_meant_must_be_said(self, command: Commands, words: list[str]) -> None:
        assert "Error: " in command.refusal(*words, code=2)


def test_a_host_that_is_not_there_has_an_exit_code_of_its_own() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        message = Commands(url).refusal("list", code=4)
    assert message == f"worker-ext: {url} does not answer. Check the address, or name another host with --url"


def test_a_host_that_speaks_no_tls_is_told(host: HostProcess) -> None:
    message = Commands(host.url.replace("http:", "https:")).refusal("list", code=4)
    assert "does not answer (Cannot connect to host" in message
    assert "ssl" in message.lower()


@pytest.mark.parametrize(
    "words, path",
    [
        (["list"], "instances/"),
        (["start-new", "child", "--id", "a"], "orchestrators/child/a"),
        (["show", "a"], "instances/"),
        (["export", "a"], "instances/"),
        (["terminate", "a"], "instances/"),
        (["raise-event", "a", "go"], "instances/"),
        (["purge", "a"], "instances/"),
        (["rewind", "a"], "instances/"),
    ],
)
def test_a_wrong_address_is_told(host: HostProcess, words: list[str], path: str) -> None:
    url = f"{host.url}/bogus"
    stranger = f"404 from {url}/runtime/webhooks/durabletask/{path}: not a Durable management API"
    assert Commands(url).refusal(*words, code=1) == f"worker-ext: {stranger}"


def test_ctrl_c_ends_a_command_without_a_word(command: Commands) -> None:
    waiting = subprocess.Popen(
        [*cli_command(), "start-new", "waits", "--id", "w", "--wait", "600", "--url", command.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: [row[0] for row in command.rows()] == ["w"], "the instance")
    waiting.send_signal(signal.SIGINT)
    assert (*waiting.communicate(timeout=PATIENCE), waiting.returncode) == ("", "", 130)


def test_a_host_may_ask_for_a_key(tmp_path: Path) -> None:
    app = Path(shutil.copytree(APPS / "durable", tmp_path / "app"))
    guarded = HostProcess(app, tmp_path / "x.db", options=["--enable-auth"]).start()
    try:
        commands = Commands(guarded.url)
        system = json.loads((app / ".worker_ext" / "keys.json").read_text())["systemKeys"]["durabletask_extension"]
        for words in (["list"], ["list", "--key", "wrong"], ["show", "a"], ["purge", "a"]):
            assert commands.refusal(*words, code=1) == (
                "worker-ext: the host wants a key, or another one. Give it with --key or in WORKER_EXT_KEY"
            )
        assert commands.out("start-new", "child", "--id", "a", "--wait", "30", "--key", system) == '"c"'
        assert "Completed" in commands.out("show", "a", "--key", system)
        assert json.loads(commands.out("export", "a", "--key", system))["instanceId"] == "a"
        assert commands.out("entities", "list", "--key", system) == ""
    finally:
        guarded.stop()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device of a full disk")
@pytest.mark.parametrize("words", [["list", "--tsv"], ["list", "--json"], ["show", "full"]])
def test_results_that_cannot_be_written_are_one_message(command: Commands, words: list[str]) -> None:
    command.out("start-new", "child", "--id", "full", "--wait", "30")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*cli_command(), *words, "--url", command.url],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "worker-ext: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("bad", ["", ".", ".."])
@pytest.mark.parametrize(
    "words",
    [
        ["show", "{}"],
        ["export", "{}"],
        ["purge", "a", "{}"],
        ["terminate", "{}"],
        ["suspend", "{}"],
        ["raise-event", "{}", "go"],
        ["raise-event", "a", "{}"],
        ["start-new", "child", "--id", "{}"],
        ["entities", "read", "counter", "{}"],
    ],
)
def test_what_is_no_id_is_wrong_usage(words: list[str], bad: str) -> None:
    message = Commands("http://localhost:9").refusal(*(word.format(bad) for word in words), code=2)
    assert f"expected an id or a name, found {bad!r}" in message


@pytest.mark.parametrize("bad", ["", "..", "a/b/c"])
@pytest.mark.parametrize("words", [["start-new"], ["entities", "list"]])
def test_what_is_no_function_is_wrong_usage(words: list[str], bad: str) -> None:
    message = Commands("http://localhost:9").refusal(*words, bad, code=2)
    assert f"expected the name of a function, found {bad!r}" in message


def test_a_url_that_is_none_is_wrong_usage() -> None:
    assert "expected the URL of a host, such as http://localhost:7071" in Commands("").refusal(
        "list", "--url", "my-app", code=2
    )


def management_commands() -> list[str]:
    """Every command that talks to a host, with the group it is in."""
    found: list[str] = []
    group = cli._commands()
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            found += [f"{name} {inner}" for inner in command.commands] if isinstance(command, click.Group) else [name]
    return [name for name in found if name != "start"]


@pytest.mark.parametrize("name", management_commands())
def test_help_teaches_each_command(name: str) -> None:
    """An example, what the exit codes mean, and how another host is reached."""
    text = Commands("").out(*name.split(), "--help")
    parts = [
        f"  worker-ext {name}",
        "Exit codes: 0 done, ",
        "--url URL",
        "WORKER_EXT_URL",
        "--key KEY",
        "WORKER_EXT_KEY",
    ]
    assert [part for part in parts if part not in text] == []
    assert text.splitlines()[2].strip()
