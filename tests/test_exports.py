"""`worker_ext.__all__` is the promise; importing the package costs little and does nothing."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import worker_ext

HEAVY = [
    "aiohttp",
    "click",
    "croniter",
    "google.protobuf",
    "grpc",
    "opentelemetry",
    "pydantic",
    "rich",
    "watchfiles",
]

# Prints what importing `argv[1]` loads, prints, starts and changes, over an interpreter that has imported what the
# package builds on.
PROBE = """
import io, json, logging, os, signal, sys, threading
import azure.functions

started = set(sys.modules)
handlers = list(logging.getLogger().handlers)
environment, directory, path = dict(os.environ), os.getcwd(), list(sys.path)
signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
hooks = sys.excepthook, threading.excepthook
audited = []
watched = "open", "socket.connect", "socket.bind", "subprocess.Popen", "os.system", "sqlite3.connect"

def audit(event, arguments):
    if event not in watched:
        return
    if event == "open":  # every import reads sources, and may write caches: by name first, then through the number
        name, mode = arguments[0], str(arguments[1] or "r")
        if isinstance(name, int) or "__pycache__" in str(name) or not set(mode) & set("wax+"):
            return
    audited.append([event, repr(arguments)])

sys.addaudithook(audit)
real, sys.stdout, sys.stderr = sys.stdout, io.StringIO(), io.StringIO()
__import__(sys.argv[1])
printed, sys.stdout = sys.stdout.getvalue() + sys.stderr.getvalue(), real
json.dump({
    "loaded": sorted(set(sys.modules) - started),
    "printed": printed,
    "threads": threading.active_count(),
    "handlers": len(logging.getLogger().handlers) - len(handlers),
    "environment": dict(os.environ) != environment,
    "directory": os.getcwd() != directory,
    "path": sys.path != path,
    "signals": any(signal.getsignal(number) is not before for number, before in signals.items()),
    "hooks": hooks != (sys.excepthook, threading.excepthook),
    "audited": audited,
}, sys.stdout)
"""


def probe(module: str, path: Path | None = None) -> dict[str, Any]:
    """Import `module` in a fresh interpreter, from `path` if given; returns what that did."""
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else None
    command = [sys.executable, "-W", "error", "-c", PROBE, module]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_all_is_sorted_and_names_nothing_twice() -> None:
    assert list(worker_ext.__all__) == sorted(set(worker_ext.__all__))


@pytest.mark.parametrize("name", worker_ext.__all__)
def test_name_in_all_resolves(name: str) -> None:
    assert getattr(worker_ext, name) is not None


def test_checkers_and_python_find_a_name_in_the_same_module() -> None:
    """What type checkers read stands in a block of its own, which Python passes over."""
    tree = ast.parse(Path(worker_ext.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    read = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted(read) == worker_ext.__all__
    homes = {name: module for name, module in read.items() if module != "worker_ext"}  # the rest are submodules
    assert homes == vars(worker_ext)["_HOMES"]


def test_a_name_is_imported_when_it_is_asked_for() -> None:
    code = """
import sys, worker_ext as df
assert [name for name in sys.modules if name.startswith("worker_ext.")] == []
df.ClientError
assert [name for name in sys.modules if name.startswith("worker_ext.")] == ["worker_ext.errors"]
assert df.models.RetryOptions is df.RetryOptions
assert callable(df.flow.race)
from worker_ext import *
assert DFApp is df.DFApp
assert set(dir(df)) >= set(df.__all__)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("name", ["nonsense", "_nonsense", "__wrapped__"])
def test_there_are_no_other_names(name: str) -> None:
    with pytest.raises(AttributeError, match=f"^module 'worker_ext' has no attribute '{name}'$"):
        getattr(worker_ext, name)
    assert not hasattr(worker_ext, name)


def test_no_public_name_is_missing_from_all() -> None:
    """A module that the package imported for itself is no promise; anything else without an underscore is."""
    public = {
        name
        for name, value in vars(worker_ext).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public - set(worker_ext.__all__) == set()


@pytest.mark.parametrize("name", worker_ext.__all__)
def test_public_name_is_documented(name: str) -> None:
    value = getattr(worker_ext, name)
    if isinstance(value, type) or callable(value):
        assert (value.__doc__ or "").strip()


def test_import_loads_nothing_heavy() -> None:
    loaded = probe("worker_ext")["loaded"]
    assert "worker_ext" in loaded
    assert [name for name in loaded if any(name == heavy or name.startswith(f"{heavy}.") for heavy in HEAVY)] == []


def test_import_does_nothing_but_define() -> None:
    report = probe("worker_ext")
    del report["loaded"]
    assert report == {
        "printed": "",
        "threads": 1,
        "handlers": 0,
        "environment": False,
        "directory": False,
        "path": False,
        "signals": False,
        "hooks": False,
        "audited": [],
    }


ACTIVE_MODULE = """
import os, sys, threading
print("hello")
threading.Thread(target=threading.Event().wait, daemon=True).start()
os.environ["ACTIVE"] = "1"
sys.path.append("elsewhere")
open(os.path.join(os.path.dirname(__file__), "written"), "w").close()
"""


def test_the_probe_sees_a_module_that_does_things(tmp_path: Path) -> None:
    """Else the test above shows nothing."""
    (tmp_path / "active.py").write_text(ACTIVE_MODULE)
    report = probe("active", path=tmp_path)
    [[event, arguments]] = report.pop("audited")
    assert (event, str(tmp_path / "written") in arguments) == ("open", True)
    assert report == {
        "loaded": ["active"],
        "printed": "hello\n",
        "threads": 2,
        "handlers": 0,
        "environment": True,
        "directory": False,
        "path": True,
        "signals": False,
        "hooks": False,
    }
