"""What all samples have in common: one can copy any of them and go."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from elsewhere import once
from host_process import cli, wait_until

APPS = Path(__file__).parent / "apps"
SAMPLES = sorted(folder.name for folder in APPS.iterdir() if (folder / "host.json").exists())


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_has_all_that_core_tools_and_a_deployment_need(name: str) -> None:
    model = APPS / "hello_sequence"
    for file in ("requirements.txt", "local.settings.json.sample"):
        assert (APPS / name / file).read_text() == (model / file).read_text(), file
    host = json.loads((APPS / name / "host.json").read_text())
    assert host["extensionBundle"] == json.loads((model / "host.json").read_text())["extensionBundle"]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_readme_of_a_sample_says_how_to_start_it_and_what_each_function_does(name: str) -> None:
    readme = (APPS / name / "README.md").read_text()
    assert f"worker-ext start e2e/apps/{name}\n" in readme
    rows = [line for line in readme.splitlines() if line.startswith("| `")]
    named = {function for row in rows for function in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert functions(APPS / name) - named == set()


def functions(app: Path) -> set[str]:
    """The functions of an app of either model, by name."""
    decorated = re.compile(r"(?:^@\w+\.\w+\(.*\n)+(?:async )?def (\w+)\(", re.MULTILINE)
    found = {name for file in app.glob("*.py") for name in decorated.findall(file.read_text())}
    return found | {file.parent.name for file in app.glob("*/function.json")}


def test_the_readme_lists_every_sample(repository: Path) -> None:
    listed = re.findall(r"\]\(e2e/apps/(\w+)\)", (repository / "README.md").read_text())
    assert sorted(set(listed)) == SAMPLES


BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATUS = "answered with status "


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="the READMEs' commands use both")
@once("the tests of the samples run them on every Python")
@pytest.mark.parametrize("name", SAMPLES)
def test_the_requests_in_the_readme_of_a_sample_are_answered(
    name: str, make_host: Any, repository: Path, tmp_path: Path
) -> None:
    """One after the other, as a reader types them; what has to come about first is waited for."""
    (tmp_path / "old").mkdir()
    (tmp_path / ".curlrc").write_text(f'silent\nwrite-out = "\\n{STATUS}%{{http_code}}\\n"\n')
    host = make_host(APPS / name, environment={"CLEAN_UP_FOLDER": str(tmp_path / "old")}).start()
    readme = (APPS / name / "README.md").read_text().replace("localhost:7071", f"localhost:{host.port}")
    blocks = [text.replace("/tmp/", f"{tmp_path}/") for text in BLOCK.findall(readme) if "curl" in text]
    commands = [command for block in blocks for command in re.split(r"(?<!\\)\n", block) if command]
    assert commands
    path = os.pathsep.join([str(Path(cli()[0]).parent), os.environ["PATH"]])
    home = {"HOME": str(tmp_path), "CURL_HOME": str(tmp_path)}
    environment = {**os.environ, **home, "PATH": path, "WORKER_EXT_URL": host.url}
    ids: list[str] = []

    def is_answered(command: str) -> bool:
        command = re.sub(r"\bID\b", ids[-1] if ids else "ID", command)
        script = ["bash", "-e", "-c", command]
        done = subprocess.run(script, cwd=repository, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        ids.extend(re.findall(r'^\{"id": "([^"]+)"', done.stdout, re.MULTILINE))
        statuses = [int(status) for status in re.findall(f"^{STATUS}(.*)$", done.stdout, re.MULTILINE)]
        print(command, statuses)
        return all(status < 300 for status in statuses)

    for command in commands:
        wait_until(lambda command=command: is_answered(command), f"an answer to {command}", host.log)
