"""protos/generate.py writes what is committed, and says so when it would not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

GENERATED = ["__init__.pyi", "function_rpc.binpb"]


def generate(protos: Path, *arguments: str | Path) -> tuple[int, str]:
    command = [sys.executable, protos / "generate.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    """The protos and what is generated from them, side by side as in the repository, to be changed at will."""
    shutil.copytree(repository / "protos", tmp_path / "protos")
    pb = tmp_path / "worker_ext" / "rpc" / "pb"
    pb.mkdir(parents=True)
    for name in GENERATED:
        shutil.copy(repository / "worker_ext" / "rpc" / "pb" / name, pb)
    return tmp_path


def test_committed_files_are_what_is_generated(repository: Path) -> None:
    assert generate(repository / "protos", "--check") == (0, "")


def test_generate_writes_both_files_and_check_accepts_them(copy: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    assert generate(copy / "protos", "--output", output) == (0, "")
    assert sorted(file.name for file in output.iterdir()) == GENERATED
    assert generate(copy / "protos", "--check", "--output", output) == (0, "")


@pytest.mark.parametrize("name", GENERATED)
def test_check_names_a_file_that_was_edited_and_the_command_that_helps(copy: Path, name: str) -> None:
    file = copy / "worker_ext" / "rpc" / "pb" / name
    edited = file.read_bytes() + b"\n"
    file.write_bytes(edited)
    code, error = generate(copy / "protos", "--check")
    assert (code, str(file) in error, "tox run -e protos" in error) == (1, True, True)
    assert file.read_bytes() == edited, "--check must not write"


def test_check_fails_after_a_change_of_a_number(copy: Path) -> None:
    proto = copy / "protos" / "FunctionRpc.proto"
    proto.write_text(proto.read_text().replace("StartStream start_stream = 20;", "StartStream start_stream = 19;"))
    code, error = generate(copy / "protos", "--check")
    assert (code, "function_rpc.binpb" in error) == (1, True)


def test_a_proto_that_does_not_compile_is_reported_as_protoc_says_it(copy: Path) -> None:
    proto = copy / "protos" / "FunctionRpc.proto"
    proto.write_text(proto.read_text().replace("StartStream start_stream = 20;", "Nonsense start_stream = 20;"))
    code, error = generate(copy / "protos")
    assert (code, '"Nonsense" is not defined' in error, "Traceback" in error) == (1, True, False)
