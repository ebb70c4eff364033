"""Pythons, packages and worker folders for the tests with real workers.

Packages are installed once for each Python and list of requirements, into a folder that outlives the test run; what
cannot be had (a Python, a package) skips the tests that need it, with the reason. `worker_ext` itself is never cached:
the copy under test is put beside the packages of each app.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import worker_ext

HERE = Path(__file__).parent
DONE = "installed"
PROXY = ("azure-functions-runtime", "azure-functions-runtime-v1", "grpcio>=1.70", "protobuf>=5.29")
OLD_WORKER = "azure-functions-worker==1.1.9"
OLD_WORKER_NEEDS = ("protobuf==3.20.3", "grpcio", "azure-functions<2")


def requirements(extra: str | None = None) -> list[str]:
    """What the distribution under test asks for, without or with one of its extras."""
    listed = importlib.metadata.requires("worker-ext") or []
    base = [line for line in listed if "extra ==" not in line]
    more = [line.partition(";")[0].strip() for line in listed if extra and f"extra == '{extra}'" in line]
    return [*base, *more]


@cache
def python(version: str) -> str:
    """The interpreter of a version, `3.13` and the like; skips the test where there is none."""
    for candidate in _candidates(version):
        if _version(candidate) == version:
            return candidate
    pytest.skip(f"there is no Python {version} here")


def _candidates(version: str) -> Iterator[str]:
    yield getattr(sys, "_base_executable", sys.executable)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(map(str, root.glob(f"versions/{version}.*/bin/python")), reverse=True)
    found = shutil.which(f"python{version}")
    if found:
        yield found


def _version(executable: str) -> str:
    code = "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([executable, "-c", code], capture_output=True, text=True, check=False, env=_environment())
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    """Without what would make one Python look at the packages of another."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}


@dataclass(frozen=True)
class Environments:
    """Installs what is not installed yet, below a folder."""

    root: Path

    def packages(self, version: str, wanted: Sequence[str], without_dependencies: Sequence[str] = ()) -> Path:
        """A folder with these packages and what they need, for a Python."""
        executable = python(version)
        key = hashlib.sha256(json.dumps([executable, *wanted, "", *without_dependencies]).encode()).hexdigest()[:12]
        folder = self.root / f"{version}-{key}"
        if not (folder / DONE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            if without_dependencies:
                self._install(version, folder, ["--no-deps", *without_dependencies])
            self._install(version, folder, wanted)
            (folder / DONE).touch()
        return folder

    def _install(self, version: str, folder: Path, wanted: Sequence[str]) -> None:
        pip = self._venv(version, "pip", [])
        command = [str(pip), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
        done = subprocess.run(
            [*command, "--target", str(folder), *wanted],
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"pip cannot install {' '.join(wanted)} for Python {version}: {last}")

    def interpreter(self, version: str, *packages: Path) -> Path:
        """A Python with the packages of these folders, as a virtual environment has them."""
        name = hashlib.sha256(repr(packages).encode()).hexdigest()[:12]
        executable = self._venv(version, name, ["--without-pip"])
        site = executable.parents[1] / "lib" / f"python{version}" / "site-packages"
        (site / "packages.pth").write_text("".join(f"{folder}\n" for folder in packages))
        return executable

    def _venv(self, version: str, name: str, options: Sequence[str]) -> Path:
        folder = self.root / f"venv-{version}-{name}"
        executable = folder / "bin" / "python"
        if not (folder / DONE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            command = [python(version), "-m", "venv", *options, str(folder)]
            subprocess.run(command, check=True, capture_output=True, env=_environment())
            (folder / DONE).touch()
        return executable


def worker_folder(folder: Path, packages: Path, script: str, *, finds_functions: bool) -> Path:
    """A worker as a host finds it: its packages, `worker.py` and `worker.config.json` in one folder."""
    _link_all(packages, folder)
    shutil.copy(HERE / script, folder / "worker.py")
    description = {
        "language": "python",
        "extensions": [".py"],
        "defaultExecutablePath": "python",
        "defaultWorkerPath": "worker.py",
        **({"workerIndexing": "true"} if finds_functions else {}),
    }
    (folder / "worker.config.json").write_text(json.dumps({"description": description}))
    return folder


def put_into_app(app: Path, packages: Path, code: Path) -> None:
    """The Azure layout: the app's packages in a folder of the app."""
    site = app / ".python_packages" / "lib" / "site-packages"
    _link_all(packages, site)
    (site / "worker_ext").symlink_to(code / "worker_ext")


def _link_all(packages: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for entry in packages.iterdir():
        (folder / entry.name).symlink_to(entry)


def copy_of_worker_ext(folder: Path) -> Path:
    """A folder with nothing in it but the `worker_ext` that is under test."""
    source = Path(worker_ext.__file__).parent
    shutil.copytree(source, folder / "worker_ext", ignore=shutil.ignore_patterns("__pycache__"))
    return folder
