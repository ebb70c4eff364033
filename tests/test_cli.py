"""The `worker-ext` command as a process: what it says, how it starts, how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_process import PATIENCE, Answer, HostProcess, children, cli, wait_until

APPS = Path(__file__).parent / "host" / "apps"


class Command(HostProcess):
    """The command, with what these tests do to it beside."""

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the host alone."""
        os.kill(self._running().pid, number)

    def start_instance(self, name: str) -> str:
        """Starts an orchestration through the management API; its id."""
        return str(self.post(f"{self.webhook}/orchestrators/{name}").json["id"])


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    command = [*cli(), *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, cwd=cwd, env=environment, check=False
    )


def refusal(*arguments: str | Path, cwd: Path | None = None) -> str:
    """What `worker-ext start` says when it does not start: one message, exit code 1."""
    done = run("start", *arguments, cwd=cwd)
    assert (done.returncode, done.stderr[:12]) == (1, "worker-ext: "), done.stdout + done.stderr
    assert "worker_ext/host" not in done.stderr
    return done.stderr.removeprefix("worker-ext: ").rstrip("\n")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return Path(shutil.copytree(APPS / "durable", tmp_path / "app"))


@pytest.fixture
def host(app: Path, tmp_path: Path) -> Iterator[Command]:
    process = Command(app, tmp_path / "x.db")
    yield process
    process.stop()


class TestHelp:
    def test_the_version_is_the_distributions(self) -> None:
        assert re.fullmatch(r"worker-ext, version \d+\.\d+\.\d+\n", run("--version").stdout)

    def test_help_names_the_commands_and_shows_an_example(self) -> None:
        text = run("--help").stdout
        assert re.search("^  start +Run an app on this machine.$", text, re.MULTILINE)
        assert re.search("^  list +List instances.$", text, re.MULTILINE)
        assert "worker-ext start my_app" in text

    def test_help_of_start_says_where_instances_are_kept(self) -> None:
        text = run("start", "-h").stdout
        assert ".worker_ext/<task hub>.db" in text
        assert "worker-ext start my_app --port 7072" in text

    def test_every_command_the_readme_names_is_in_the_help(self) -> None:
        readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
        (tools,) = re.findall(r"^\| tools \|([^|]*)\|", readme, re.MULTILINE)
        named = set(re.findall(r"worker-ext ([a-z][a-z-]+)", readme)) | set(re.findall(r"`([a-z-]+)`", tools))
        listed = re.findall(r"^  ([a-z-]+)  +[A-Z]", run("--help").stdout, re.MULTILINE)
        assert len(named) > 10
        assert named - set(listed) == set()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device of a full disk")
    @pytest.mark.parametrize("words", [["--help"], ["list", "--help"]])
    def test_output_that_cannot_be_written_is_one_message(self, words: list[str]) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [*cli(), *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False
            )
        assert (done.returncode, done.stderr) == (
            1,
            "worker-ext: the output cannot be written: No space left on device\n",
        )

    @pytest.mark.parametrize("missing", ["click", "aiohttp"])
    def test_without_the_extra_it_says_what_to_install(self, app: Path, missing: str) -> None:
        code = f"import sys; sys.modules[{missing!r}] = None\nfrom worker_ext.cli import main\nmain(sys.argv[1:])"
        done = subprocess.run(
            [sys.executable, "-c", code, "start", str(app), "--port", "0", "--db", ":memory:"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stderr) == (
            1,
            f"worker-ext: {missing} is not installed. The command needs it: pip install 'worker-ext[host]'\n",
        )


class TestRefusals:
    """Start-up failures: one clear message each, exit code 1."""

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        folder = tmp_path / "nosuch"
        assert refusal(folder) == f"{folder}: expected the folder of an app, found nothing"

    def test_a_file_instead_of_a_folder(self, app: Path) -> None:
        file = app / "function_app.py"
        assert refusal(file) == f"{file}: expected the folder of an app, found a file"

    def test_a_folder_without_an_app(self, tmp_path: Path) -> None:
        assert refusal(cwd=tmp_path) == (
            f"{tmp_path}: there is no function_app.py here, nor a folder with a function.json. Name the app's folder: "
            "worker-ext start APP_DIR"
        )

    def test_a_port_that_is_taken(self, app: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            said = refusal(app, "--port", str(port))
        assert said == f"port {port} is taken. Stop what listens there, or choose another port with --port"

    def test_a_syntax_error_in_the_app(self, app: Path) -> None:
        (app / "function_app.py").write_text("import worker_ext\n\ndef broken(:\n")
        said = refusal(app, "--port", "0", "--db", ":memory:")
        assert said.startswith(f"{app}/function_app.py:3: the app could not be loaded")
        assert "SyntaxError: invalid syntax" in said

    def test_an_error_in_a_module_of_the_app(self, app: Path) -> None:
        (app / "function_app.py").write_text("import parts\n")
        (app / "parts.py").write_text("\n\nmissing + 1\n")
        said = refusal(app, "--port", "0", "--db", ":memory:")
        assert said.startswith(f"{app}/parts.py:3: the app could not be loaded")
        assert "NameError: name 'missing' is not defined" in said

    def test_a_worker_that_dies_before_it_has_loaded_the_app(self, app: Path) -> None:
        (app / "function_app.py").write_text("import os\nos.write(2, b'last words\\n')\nos._exit(7)\n")
        assert refusal(app, "--port", "0", "--db", ":memory:") == (
            "the worker ended with exit code 7 before it had loaded the app:\n  last words"
        )

    def test_a_setting_that_its_worker_refuses(self, app: Path) -> None:
        (app / "local.settings.json").write_text('{"Values": {"PYTHON_THREADPOOL_THREAD_COUNT": "many"}}')
        assert refusal(app, "--port", "0", "--db", ":memory:") == (
            "the worker ended with exit code 1 before it had loaded the app:\n  worker_ext.worker: error: the setting "
            "PYTHON_THREADPOOL_THREAD_COUNT must be a whole number of threads, not 'many'"
        )

    def test_a_host_json_that_is_not_json(self, app: Path) -> None:
        (app / "host.json").write_text('{\n  "version" "2.0"\n}\n')
        assert refusal(app).startswith(f"{app}/host.json:2:13: not valid JSON: ")

    def test_a_setting_of_the_wrong_type(self, app: Path) -> None:
        (app / "host.json").write_text('{"version": "2.0", "extensions": {"http": {"routePrefix": 5}}}')
        assert refusal(app) == f"{app}/host.json: extensions.http.routePrefix: expected `str`, found 5"

    def test_a_file_that_is_no_database(self, app: Path, tmp_path: Path) -> None:
        file = tmp_path / "notes.txt"
        file.write_text("not a database")
        assert refusal(app, "--port", "0", "--db", file).startswith(f"{file} is not a SQLite database")
        assert file.read_text() == "not a database"

    def test_a_database_of_another_program(self, app: Path, tmp_path: Path) -> None:
        file = tmp_path / "other.db"
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE notes (text)")
        connection.close()
        before = file.read_bytes()
        assert refusal(app, "--port", "0", "--db", file).startswith(str(file))
        assert file.read_bytes() == before

    def test_a_database_of_a_newer_version(self, app: Path, host: Command) -> None:
        host.start()
        host.interrupt()
        connection = sqlite3.connect(host.db)
        connection.execute("PRAGMA user_version = 9999")
        connection.commit()
        connection.close()
        said = refusal(app, "--port", "0", "--db", host.db)
        assert said.startswith(str(host.db))
        assert "newer" in said

    def test_a_database_that_another_host_has(self, app: Path, host: Command) -> None:
        host.start()
        said = refusal(app, "--port", "0", "--db", host.db)
        assert said.startswith(f"{host.db} is in use by another worker-ext host")

    def test_a_port_that_is_none(self, app: Path) -> None:
        done = run("start", app, "--port", "70000")
        assert done.returncode == 2
        assert "70000 is not in the range" in done.stderr


class TestStart:
    def test_it_lists_functions_and_where_they_answer(self, host: Command) -> None:
        host.start()
        assert host.listed() == [
            f"client_binding: {host.url}/api/client",
            f"start: [POST] {host.url}/api/start/{{name}}",
            "break_it: activityTrigger",
            "breaks: orchestrationTrigger",
            "child: orchestrationTrigger",
            "crowds: orchestrationTrigger",
            "known_otherwise: orchestrationTrigger",
            "pack: activityTrigger",
            "read_file: activityTrigger",
            "reads: orchestrationTrigger",
            "versioned: orchestrationTrigger",
            "wait_for_file: activityTrigger",
            "waits: orchestrationTrigger",
            "walks: orchestrationTrigger",
        ]
        assert f"Task hub:  TestHub ({host.db})" in host.output
        assert any(line.endswith("Worker process started and initialized.") for line in host.output)

    def test_what_is_not_served_is_said_with_the_reason(self, tmp_path: Path) -> None:
        environment = {"ROUTE_OF_SETTING": "x", "AzureWebJobs.switched_off.Disabled": "1"}
        host = Command(APPS / "web", tmp_path / "x.db", environment=environment)
        try:
            host.start()
            host.until_it_says("Press Ctrl-C to stop.")
        finally:
            host.stop()
        assert [line for line in host.output if re.match("badly|hourly|stored|switched_off", line)] == [
            "badly_routed: not served: route '{broken:nonsense}': parameter 'broken': unknown constraint 'nonsense'",
            "stored: not served: its output binding 'blob' needs a service that is not here",
            "switched_off: disabled by an app setting or by function.json",
        ]

    def test_unknown_settings_are_named(self, host: Command) -> None:
        (host.app / "host.json").write_text('{"version": "2.0", "bogus": 1}')
        host.start()
        host.until_it_says("host.json: bogus: unknown setting, not used")

    def test_functions_that_host_json_names_and_the_app_does_not_have_are_named(self, host: Command) -> None:
        (host.app / "host.json").write_text('{"version": "2.0", "functions": ["walks", "Walks", "gone"]}')
        host.start()
        assert host.listed() == ["walks: orchestrationTrigger"]
        host.until_it_says("host.json: functions names Walks, gone, which the app does not have.")


class TestLogs:
    def test_as_json_every_line_is_an_entry(self, host: Command) -> None:
        host.options.append("--json")
        host.start()
        instance_id = host.start_instance("breaks")
        host.result(instance_id)

        def entries() -> list[dict[str, str]]:
            return [json.loads(line) for line in host.output]

        failures = ["break_it", "breaks"]
        wait_until(lambda: [e["function"] for e in entries() if "function" in e] == failures, "the failures", host.log)
        found = [entry for entry in entries() if "function" in entry]
        assert [(entry["level"], entry["instanceId"]) for entry in found] == [("error", instance_id)] * 2
        assert found[0]["message"].startswith("failed: ValueError: boom")
        assert all(entry.keys() >= {"time", "level", "message"} for entry in entries())

    @pytest.mark.parametrize("options, shown", [([], False), (["--verbose"], True)])
    def test_debug_entries_are_shown_on_request(
        self, app: Path, host: Command, options: list[str], shown: bool
    ) -> None:
        source = (app / "function_app.py").read_text()
        speaks = 'raise ValueError("boom")'
        (app / "function_app.py").write_text(
            source.replace(speaks, f'import logging; logging.debug("%s of it", "details"); {speaks}')
        )
        host.options += options
        host.start()
        host.result(host.start_instance("breaks"))
        wait_until(lambda: any("breaks " in line for line in host.output), "the failure", host.log)
        assert any("details of it" in line for line in host.output) is shown


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_cleanly(self, host: Command, number: signal.Signals) -> None:
        host.start()
        host.start_instance("waits")
        (worker,) = host.workers()
        host.signal(number)
        assert host.wait() == 0
        assert "Traceback" not in host.log()
        assert is_gone(worker)

    def test_a_signal_during_the_start_ends_it_cleanly(self, host: Command) -> None:
        (host.app / "function_app.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(600)\n")
        host.launch()
        wait_until(lambda: any("loading" in line for line in host.output), "the app to load", host.log)
        (worker,) = host.workers()
        assert host.interrupt() == 0
        assert "Traceback" not in host.log()
        assert is_gone(worker)

    def test_running_work_goes_on_at_the_next_start(self, host: Command) -> None:
        host.start()
        instance_id = host.start_instance("waits")
        assert host.interrupt() == 0
        host.start()
        assert host.post(f"{host.webhook}/instances/{instance_id}/raiseEvent/go", {"a": 1}).status == 202
        assert host.output_of(instance_id) == {"got": {"a": 1}}

    def test_who_waits_for_the_end_of_an_instance_is_answered_where_to_ask(self, host: Command) -> None:
        host.start()
        answers: list[Answer] = []
        path = f"{host.webhook}/orchestrators/waits/i?timeout=600&pollingInterval=1"
        waiting = threading.Thread(target=lambda: answers.append(host.post(path)))
        waiting.start()
        wait_until(lambda: host.get(f"{host.webhook}/instances/i").status == 202, "the instance to run", host.log)
        assert host.interrupt() == 0
        waiting.join(PATIENCE)
        (answer,) = answers
        assert (answer.status, answer.json["id"]) == (202, "i")

    def test_a_second_signal_ends_it_at_once(self, host: Command) -> None:
        (host.app / "function_app.py").write_text(STUBBORN)
        host.start()
        host.start_instance("stubborn")
        wait_until(lambda: any("stubborn work" in line for line in host.output), "the activity to run", host.log)
        (worker,) = host.workers()
        host.signal(signal.SIGINT)
        wait_until(lambda: any("Stopping" in line for line in host.output), "the host to stop", host.log)
        assert host.interrupt() == 130
        assert "Traceback" not in host.log()
        wait_until(lambda: is_gone(worker), "the worker to end", host.log)

    def test_a_killed_host_takes_its_worker_along(self, host: Command) -> None:
        host.start()
        (worker,) = host.workers()
        host.signal(signal.SIGKILL)
        host.wait()
        wait_until(lambda: is_gone(worker), "the worker to end", host.log)

    def test_what_a_worker_started_goes_with_it(self, host: Command) -> None:
        (host.app / "function_app.py").write_text(PARENT)
        host.start()
        (worker,) = host.workers()
        (grandchild,) = children(worker)
        assert host.interrupt() == 0
        wait_until(lambda: is_gone(grandchild), "the process the app started to end", host.log)


STUBBORN = """
import time
import worker_ext as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def stubborn(context):
    yield context.call_activity("work", None)


@app.activity_trigger(input_name="nothing")
def work(nothing: None) -> None:
    print("stubborn work", flush=True)
    time.sleep(600)
"""

PARENT = """
import subprocess, sys
import azure.functions as func

app = func.FunctionApp()
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


@app.route()
def hello(req: func.HttpRequest) -> str:
    return "hello"
"""


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be reaped has."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() in {"", "Z", "Zs", "Z+"}
