"""Pythons, packages and worker folders for the tests with real workers.

Packages are installed once for each Python and list of requirements, into a folder that outlives the test run; what
cannot be had (a Python, a package) skips the tests that need it, with the reason. `worker_ext` itself is never cached:
the copy under test is put beside the packages of each app. Several processes may share all this.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

import worker_ext

HERE = Path(__file__).parent
PROXY = ("azure-functions-runtime", "azure-functions-runtime-v1", "grpcio>=1.70", "protobuf>=5.29")
OLD_WORKER = "azure-functions-worker==1.1.9"
OLD_WORKER_NEEDS = ("protobuf==3.20.3", "grpcio", "azure-functions<2")


def requirements(*, for_worker: bool = False) -> list[str]:
    """What the distribution under test asks for, with what its worker needs beside that or without."""
    listed = importlib.metadata.requires("worker-ext") or []
    base = [line for line in listed if "extra ==" not in line]
    extra = [line.partition(";")[0].strip() for line in listed if "extra ==" in line]
    return [*base, *(line for line in extra if for_worker and line.startswith(("grpcio", "protobuf")))]


def python(version: str) -> str:
    """The interpreter of a version, `3.13` and the like; skips the test where there is none."""
    found = _find(version)
    if found is None:
        pytest.skip(f"there is no Python {version} here")
    return found


def has_python(version: str) -> bool:
    """Whether there is an interpreter of a version."""
    return _find(version) is not None


@cache
def _find(version: str) -> str | None:
    matching = (candidate for candidate in _candidates(version) if _version(candidate) == version)
    return next((os.path.realpath(candidate) for candidate in matching), None)


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
    """Installs what is not installed yet, below a folder.

    Attributes:
        root: The folder, which outlives the test run.
        passing: Where interpreters go that see packages from elsewhere, which the next run will not have.
    """

    root: Path
    passing: Path
    _refusals: dict[tuple[str, ...], str] = field(default_factory=dict, compare=False)

    def packages(self, version: str, wanted: Sequence[str], without_dependencies: Sequence[str] = ()) -> Path:
        """A folder with these packages and what they need, for a Python."""
        folder = _named(self.root, "packages", version, *wanted, "", *without_dependencies)
        with made_once(folder) as new:
            if new is not None:
                if without_dependencies:
                    self._install(version, new, ["--no-deps", *without_dependencies])
                self._install(version, new, wanted)
        return folder

    def _install(self, version: str, folder: Path, wanted: Sequence[str]) -> None:
        refusal = self._refusals.get((version, *wanted)) or self._refusal(version, folder, wanted)
        if refusal:
            self._refusals[version, *wanted] = refusal
            pytest.skip(refusal)

    def _refusal(self, version: str, folder: Path, wanted: Sequence[str]) -> str | None:
        """Installs packages, or tells why they cannot be; pip tries for long where there is no network."""
        pip = [sys.executable, "-m", "pip", "--python", python(version), "--quiet", "--disable-pip-version-check"]
        command = [*pip, "install", "--no-compile", "--upgrade", "--target", str(folder), *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        if done.returncode == 0:
            return None
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return f"pip cannot install {' '.join(wanted)} for Python {version}: {last}"

    def interpreter(self, version: str, *packages: Path) -> Path:
        """A Python with the packages of these folders, as a virtual environment has them."""
        outlives = all(self.root in folder.parents for folder in packages)
        folder = _named(self.root if outlives else self.passing, "venv", version, *map(str, packages))
        with made_once(folder) as new:
            if new is not None:
                command = [python(version), "-m", "venv", "--without-pip", str(new)]
                subprocess.run(command, check=True, capture_output=True, env=_environment())
                site = new / "lib" / f"python{version}" / "site-packages"
                (site / "packages.pth").write_text("".join(f"{path}\n" for path in packages))
        return folder / "bin" / "python"


def _named(parent: Path, kind: str, version: str, *what: str) -> Path:
    key = hashlib.sha256(json.dumps([python(version), *what]).encode()).hexdigest()[:12]
    return parent / f"{kind}-{version}-{key}"


@contextmanager
def made_once(folder: Path) -> Iterator[Path | None]:
    """A place to make a folder in, or None where it is there already.

    Whoever wants it meanwhile waits. It is moved when it is whole, since this test run may be ended.
    """
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        if folder.exists():
            yield None
            return
        with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as made:
            new = Path(made, "new")
            yield new
            new.rename(folder)


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
    """The folder, with nothing in it but the `worker_ext` that is under test."""
    source = Path(worker_ext.__file__).parent
    with made_once(folder) as new:
        if new is not None:
            shutil.copytree(source, new / "worker_ext", ignore=shutil.ignore_patterns("__pycache__"))
    return folder
