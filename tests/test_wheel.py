"""What ships: the files of the wheel and of the sdist, and that the suite runs on the wheel."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import pytest

import worker_ext

BUILD = "hatchling is a development dependency: pip install the group `dev`, or run `tox run -e test`"


@pytest.fixture(scope="session")
def dist(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the sdist of the checkout."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(directory)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{BUILD}"
    return directory


@pytest.fixture(scope="session")
def wheel(dist: Path) -> list[str]:
    """The names of the files in the wheel."""
    [file] = dist.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        return archive.namelist()


@pytest.fixture(scope="session")
def sdist(dist: Path) -> list[str]:
    """The names of the files in the sdist, below its own folder."""
    [file] = dist.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


@pytest.fixture(scope="session")
def metadata(dist: Path, wheel: list[str]) -> Message:
    """The wheel's METADATA."""
    [file] = dist.glob("*.whl")
    [name] = [name for name in wheel if name.endswith(".dist-info/METADATA")]
    with zipfile.ZipFile(file) as archive:
        return Parser().parsestr(archive.read(name).decode())


def test_suite_runs_on_the_installed_wheel(repository: Path) -> None:
    """A module that the wheel forgets would still be found in the checkout."""
    if "WORKER_EXT_TEST_INSTALLED" not in os.environ:
        pytest.skip("the suite runs on a checkout here; `tox run -e test` runs it on the wheel")
    location = Path(worker_ext.__file__).resolve()
    assert repository / "worker_ext" not in location.parents
    assert location.parent.parent.name == "site-packages"
    assert distribution("worker-ext").read_text("direct_url.json") is not None


def test_wheel_has_one_top_level_name(wheel: list[str]) -> None:
    version = "0.1.0"
    assert {name.partition("/")[0] for name in wheel} == {"worker_ext", f"worker_ext-{version}.dist-info"}


@pytest.mark.parametrize("name", ["py.typed", "rpc/pb/__init__.pyi", "rpc/pb/function_rpc.binpb"])
def test_wheel_has_the_files_that_are_not_python(wheel: list[str], name: str) -> None:
    assert f"worker_ext/{name}" in wheel


def test_wheel_has_every_module_of_the_checkout(repository: Path, wheel: list[str]) -> None:
    modules = {str(file.relative_to(repository)) for file in (repository / "worker_ext").rglob("*.py")}
    assert {name for name in wheel if name.endswith(".py")} == modules


def test_sdist_has_every_file_of_the_repository(repository: Path, sdist: list[str]) -> None:
    done = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"not a git checkout: {done.stderr.strip()}")
    tracked = {name for name in done.stdout.splitlines() if (repository / name).is_file()}
    assert tracked - set(sdist) == set()


@pytest.mark.parametrize("name", ["protos/FunctionRpc.proto", "tests/test_wheel.py", "README.md", "LICENSE", ".ci/run"])
def test_sdist_has(sdist: list[str], name: str) -> None:
    assert name in sdist


def test_metadata_states_the_promise(metadata: Message) -> None:
    assert {key: metadata[key] for key in ("Name", "Requires-Python", "License-Expression", "License-File")} == {
        "Name": "worker-ext",
        "Requires-Python": ">=3.11",
        "License-Expression": "MIT",
        "License-File": "LICENSE",
    }
    assert metadata.get_all("Provides-Extra") == ["host", "otel", "pydantic"]


def test_base_install_needs_neither_grpc_nor_protobuf(metadata: Message) -> None:
    requirements = metadata.get_all("Requires-Dist") or []
    base = sorted(line.split(">")[0] for line in requirements if "extra ==" not in line)
    assert base == ["aiohttp", "azure-functions", "msgspec", "orjson"]


def test_every_supported_python_has_a_task(repository: Path, metadata: Message) -> None:
    tasks = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["tox"]["env_list"]
    prefix = "Programming Language :: Python :: "
    classifiers = [
        value.removeprefix(prefix) for value in metadata.get_all("Classifier") or [] if value.startswith(prefix)
    ]
    assert [version for version in tasks if version != "check"] == [name for name in classifiers if "." in name]


def test_ci_runs_the_test_command_of_the_readme(repository: Path) -> None:
    [command] = [line for line in (repository / ".ci" / "run").read_text().splitlines() if "tox run" in line]
    assert command in (repository / "README.md").read_text().splitlines()
