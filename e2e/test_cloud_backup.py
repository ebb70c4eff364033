"""The sample cloud_backup on real folders."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

APP = "cloud_backup"


def real_tree(folder: Path, least: int) -> Path:
    """Copies the standard library's sources: real files of many sizes, in folders of many depths."""
    library = Path(sysconfig.get_path("stdlib"))
    copied = 0
    for source in sorted(library.rglob("*.py")):
        inside = source.relative_to(library)
        if "site-packages" in inside.parts or "test" in inside.parts:
            continue
        target = folder / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        copied += 1
    assert copied >= least, f"{library} has only {copied} sources"
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expected(tree: dict[str, bytes]) -> dict[str, Any]:
    """What the backup of a tree must say."""
    lines = (f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(tree.items()))
    return {
        "files": len(tree),
        "bytes": sum(map(len, tree.values())),
        "sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
    }


def paths(source: Path, destination: Path) -> dict[str, str]:
    return {"source": str(source), "destination": str(destination)}


def test_backs_up_a_real_tree_byte_for_byte(make_host: Any, tmp_path: Path) -> None:
    source = real_tree(tmp_path / "source", least=500)
    tree = contents(source)
    host = make_host("apps/cloud_backup").start()
    output = host.output_of(host.begin("cloud_backup", paths(source, tmp_path / "deep" / "copy")))
    assert output == expected(tree)
    assert contents(tmp_path / "deep" / "copy") == tree
    assert sorted(path.name for path in (tmp_path / "deep" / "copy").glob(".backup-*")) == []


def test_a_second_backup_brings_the_copy_up_to_date(sample: Any, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    (source / "a").mkdir(parents=True)
    (source / "a" / "empty").touch()
    (source / "Zürich 50% & more.txt").write_text("old")
    sample.output_of(sample.begin("cloud_backup", paths(source, copy)))
    (source / "Zürich 50% & more.txt").write_text("new and longer")
    (source / "a" / "large").write_bytes(os.urandom(3_000_001))
    output = sample.output_of(sample.begin("cloud_backup", paths(source, copy)))
    tree = contents(source)
    assert (output, contents(copy)) == (expected(tree), tree)


def test_an_empty_folder_is_backed_up_as_nothing(sample: Any, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    output = sample.output_of(sample.begin("cloud_backup", paths(tmp_path / "source", tmp_path / "copy")))
    assert output == {"files": 0, "bytes": 0, "sha256": hashlib.sha256().hexdigest()}


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="compares with the sha256sum command")
def test_the_digest_is_what_sha256sum_gives(make_host: Any, tmp_path: Path) -> None:
    """The sample's README says how to compute it by hand."""
    source = tmp_path / "source"
    for name in ("b", "a/x", "a.b"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    host = make_host("apps/cloud_backup").start()
    output = host.output_of(host.begin("cloud_backup", paths(source, tmp_path / "copy")))
    script = r"find . -type f -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum"
    done = subprocess.run(script, shell=True, cwd=tmp_path / "copy", capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == output["sha256"]


EXPECTS = 'cloud_backup expects {"source": "<folder>", "destination": "<folder>"}, found '


def test_what_cannot_be_backed_up_fails_with_the_path_and_the_reason(make_host: Any, tmp_path: Path) -> None:
    """One host, one instance a case: input, the activity that fails, and what it says."""
    source, copy, linked, piped, blocked = (
        tmp_path / name for name in ("source", "copy", "linked", "piped", "blocked")
    )
    for folder in (source, linked, piped, blocked, blocked / "file"):
        folder.mkdir()
    (source / "file").write_text("x")
    (linked / "link").symlink_to(source)
    os.mkfifo(piped / "pipe")
    inside = "source {} and destination {} must not lie inside each other".format
    cases: list[tuple[Any, str | None, str]] = [
        (None, None, f"{EXPECTS}None"),
        ({"source": "x"}, None, f"{EXPECTS}{{'source': 'x'}}"),
        (paths(tmp_path / "gone", copy), "list_files", f"the source {tmp_path / 'gone'} is missing"),
        (paths(source / "file", copy), "list_files", f"the source {source / 'file'} is not a folder"),
        (
            {"source": "source", "destination": "copy"},
            "list_files",
            "source and destination must be absolute paths, found 'source' and 'copy'",
        ),
        (paths(source, source / "copy"), "list_files", inside(source, source / "copy")),
        (paths(source, source), "list_files", inside(source, source)),
        (paths(source, tmp_path), "list_files", inside(source, tmp_path)),
        (paths(source, linked / "link"), "list_files", inside(source, linked / "link")),
        (
            paths(linked, source / "file"),
            "list_files",
            f"the destination {source / 'file'} is a file; name a folder, which may be missing",
        ),
        (
            paths(linked, copy),
            "list_files",
            f"{linked / 'link'} is a symbolic link; a backup holds files. Remove it, or back up what it points to",
        ),
        (
            paths(piped, copy),
            "list_files",
            f"{piped / 'pipe'} is neither a file nor a folder (a socket, a pipe or a device); remove it",
        ),
        (paths(source, blocked), "copy_file", "cannot copy file: Is a directory"),
    ]
    host = make_host("apps/cloud_backup").start()
    started = [host.begin("cloud_backup", input_) for input_, _, _ in cases]
    for instance_id, (_, activity, reason) in zip(started, cases, strict=True):
        status = host.result(instance_id)
        failure = f"Activity function '{activity}' failed: BackupError: {reason}" if activity else reason
        expected = f"Orchestrator function 'cloud_backup' failed: {failure}"
        assert (status["runtimeStatus"], status["output"][: len(expected)]) == ("Failed", expected)
    assert contents(source) == {"file": b"x"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read_fails_the_backup_by_its_name(make_host: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "secret").touch(mode=0)
    host = make_host("apps/cloud_backup").start()
    status = host.result(host.begin("cloud_backup", paths(source, tmp_path / "copy")))
    assert (status["runtimeStatus"], "cannot copy secret: Permission denied" in status["output"]) == ("Failed", True)
