"""What all samples have in common: one can copy any of them and go."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

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
    assert sorted(listed) == SAMPLES
