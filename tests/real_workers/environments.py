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
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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


@cache
def python(version: str) -> str:
    """The interpreter of a version, `3.13` and the like; skips the test where there is none."""
    found = _find(version)
    if found is None:
        pytest.skip(f"there is no Python {version} here")
    return found


def has_python(version: str) -> bool:
    """Whether there is an interpreter of a version."""
    return _find(version) is not None


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
    """Installs what is not installed yet, below a folder."""

    root: Path

    def packages(self, version: str, wanted: Sequence[str], without_dependencies: Sequence[str] = ()) -> Path:
        """A folder with these packages and what they need, for a Python."""
        with self._made_once("packages", version, *wanted, "", *without_dependencies) as (folder, new):
            if new is not None:
                if without_dependencies:
                    self._install(version, new, ["--no-deps", *without_dependencies])
                self._install(version, new, wanted)
        return folder

    def _install(self, version: str, folder: Path, wanted: Sequence[str]) -> None:
        pip = [str(self._venv(version)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command = [*pip, "--no-compile", "--upgrade", "--target", str(folder), *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"pip cannot install {' '.join(wanted)} for Python {version}: {last}")

    def interpreter(self, version: str, *packages: Path) -> Path:
        """A Python with the packages of these folders, as a virtual environment has them."""
        return self._venv(version, "--without-pip", packages=packages)

    def _venv(self, version: str, *options: str, packages: Sequence[Path] = ()) -> Path:
        with self._made_once("venv", version, *options, *map(str, packages)) as (folder, new):
            if new is not None:
                command = [python(version), "-m", "venv", *options, str(new)]
                subprocess.run(command, check=True, capture_output=True, env=_environment())
                site = new / "lib" / f"python{version}" / "site-packages"
                (site / "packages.pth").write_text("".join(f"{folder}\n" for folder in packages))
        return folder / "bin" / "python"

    @contextmanager
    def _made_once(self, kind: str, version: str, *what: str) -> Iterator[tuple[Path, Path | None]]:
        """The place of something, and a place to make it in if it is not there yet.

        It is moved when it is whole: another test run may want the same at the same time, and this one may be ended.
        """
        key = hashlib.sha256(json.dumps([python(version), *what]).encode()).hexdigest()[:12]
        folder = self.root / f"{kind}-{version}-{key}"
        if folder.exists():
            yield folder, None
            return
        with tempfile.TemporaryDirectory(dir=self.root, ignore_cleanup_errors=True) as made:
            yield folder, Path(made, "new")
            try:
                Path(made, "new").rename(folder)
            except OSError:
                assert folder.exists()


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
