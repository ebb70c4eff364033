"""Programs of `tests/typing`, checked for real by mypy (strict) and by pyright: what they accept, and what they refuse.

pyright is a program for Node, which its package on PyPI fetches when it is first run; where that is not possible its
tests are skipped and say so.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from elsewhere import once

import worker_ext

pytestmark = once("checkers are told what Python to check for, whichever runs them")

PROGRAMS = Path(__file__).parent / "typing"
ROOT = Path(__file__).parents[1]
EXPECTATION = re.compile(r" *# ([MP])\[([\w-]+)\] (.+)")
CHECKERS = ["mypy", "pyright"]
OLDEST, NEWEST = "3.11", "3.14"
"""The Pythons that programs are checked for; checkers have the types of every standard library with them."""
PATIENCE = 300
"""Seconds that a checker may take; a first run of mypy reads everything that azure-functions is made of."""


class Complaint(NamedTuple):
    """What a checker says of a line."""

    line: int
    rule: str
    message: str


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", **variables}
    return subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
        timeout=PATIENCE,
    )


@pytest.fixture(scope="session")
def pyright() -> str:
    """The interpreter that pyright looks for packages in; skips where pyright cannot be run."""
    try:
        found = run("pyright", "--version", cwd=PROGRAMS)
    except subprocess.TimeoutExpired:
        pytest.skip("pyright cannot be run here: it could not be fetched in time")
    if found.returncode != 0:
        last_words = (found.stderr or found.stdout).strip().splitlines()[-1:]
        pytest.skip(f"pyright cannot be run here: {' '.join(last_words)}")
    return sys.executable


def complaints_of_mypy(program: str, version: str, cache: Path) -> list[Complaint]:
    options = ["--strict", "--config-file=", "--output=json", f"--cache-dir={cache}", f"--python-version={version}"]
    checked = run("mypy", *options, program, cwd=PROGRAMS)
    assert (checked.stderr, checked.returncode in (0, 1)) == ("", True)
    entries = [json.loads(line) for line in checked.stdout.splitlines() if line]
    return [
        Complaint(entry["line"], entry["code"], entry["message"])
        for entry in entries
        if entry["file"] == program and entry["severity"] == "error"
    ]


def complaints_of_pyright(program: str, version: str, python: str) -> list[Complaint]:
    options = ["--outputjson", "--pythonpath", python, "--pythonversion", version]
    checked = run("pyright", *options, program, cwd=PROGRAMS)
    entries = json.loads(checked.stdout)["generalDiagnostics"]
    return [
        Complaint(entry["range"]["start"]["line"] + 1, entry.get("rule", ""), entry["message"])
        for entry in entries
        if entry["severity"] != "information"
    ]


def expected_complaints(program: str, checker: str) -> list[Complaint]:
    """What the comments of a program say: each stands above the line that it is about."""
    waiting: list[tuple[str, str]] = []
    found = []
    for number, line in enumerate((PROGRAMS / program).read_text("utf-8").splitlines(), 1):
        expectation = EXPECTATION.fullmatch(line)
        if expectation is None:
            found += [Complaint(number, rule, text) for rule, text in waiting]
            waiting = []
        elif expectation[1] == checker[0].upper():
            waiting.append((expectation[2], expectation[3]))
    return found


def unexpected(found: Sequence[Complaint], expected: Sequence[Complaint]) -> list[str]:
    """What is said and not expected, and what is expected and not said."""
    left = list(expected)
    surplus = []
    for one in found:
        match = next((other for other in left if other[:2] == one[:2] and other.message in one.message), None)
        if match is None:
            surplus.append(f"said: {one}")
        else:
            left.remove(match)
    return surplus + [f"not said: {one}" for one in left]


def check(checker: str, program: str, version: str, request: pytest.FixtureRequest) -> list[Complaint]:
    if checker == "mypy":
        return complaints_of_mypy(program, version, request.config.cache.mkdir("mypy_typing"))
    return complaints_of_pyright(program, version, request.getfixturevalue("pyright"))


@pytest.mark.parametrize("program", ["accepted.py", "accepted_entities.py"])
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_well_typed_program_is_accepted(
    checker: str, version: str, program: str, request: pytest.FixtureRequest
) -> None:
    assert check(checker, program, version, request) == []


@pytest.mark.parametrize("program,least", [("rejected.py", 25), ("rejected_entities.py", 12)])
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("checker", CHECKERS)
def test_wrong_lines_are_refused_and_no_others(
    checker: str, version: str, program: str, least: int, request: pytest.FixtureRequest
) -> None:
    expected = expected_complaints(program, checker)
    assert len(expected) >= least
    assert unexpected(check(checker, program, version, request), expected) == []


# ---------------------------------------------------------------- what the package says of itself


TOLD_BY_INFERENCE = ("worker_ext.sync_client.", "worker_ext.commands.", "worker_ext.host.", "worker_ext.worker.")
"""Modules with attributes whose types follow from what they are set to: the synchronous client's methods, of which each
is made of one of the other client, and modules that nobody annotates with."""


@pytest.mark.usefixtures("pyright")
def test_every_type_of_the_package_is_known(tmp_path: Path) -> None:
    """Of what users name, each is written down as well, so that all checkers agree about it."""
    report = type_completeness(tmp_path)
    counts = report["exportedSymbolCounts"], report["otherSymbolCounts"]
    assert [count["withUnknownType"] for count in counts] == [0, 0]
    assert counts[0]["withKnownType"] > 1000
    inferred = [
        symbol["name"]
        for symbol in report["symbols"]
        for diagnostic in symbol["diagnostics"]
        if "missing type annotation" in diagnostic["message"]
    ]
    assert [name for name in inferred if not name.startswith(TOLD_BY_INFERENCE)] == []


def type_completeness(folder: Path) -> dict[str, Any]:
    """What `pyright --verifytypes` finds in the package that is tested, in an environment of its own.

    pyright looks for it where the first Python on the path does.
    """
    venv.create(folder / "env", symlinks=True)
    [packages] = (folder / "env").glob("**/site-packages")
    shutil.copytree(Path(worker_ext.__file__).parent, packages / "worker_ext")
    (packages / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    programs = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    options = ["--verifytypes", "worker_ext", "--ignoreexternal", "--outputjson"]
    checked = run("pyright", *options, cwd=folder, PATH=f"{programs}{os.pathsep}{os.environ['PATH']}")
    report: dict[str, Any] = json.loads(checked.stdout)["typeCompleteness"]
    return report


def test_the_comparison_sees_what_is_too_much_and_what_is_missing() -> None:
    """Else the tests above show nothing."""
    found = [Complaint(1, "a", "one two"), Complaint(2, "a", "three"), Complaint(2, "a", "four")]
    expected = [Complaint(1, "a", "two"), Complaint(2, "b", "three"), Complaint(2, "a", "four"), Complaint(9, "a", "x")]
    assert unexpected(found, expected) == [
        "said: Complaint(line=2, rule='a', message='three')",
        "not said: Complaint(line=2, rule='b', message='three')",
        "not said: Complaint(line=9, rule='a', message='x')",
    ]
