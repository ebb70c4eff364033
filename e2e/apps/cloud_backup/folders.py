"""The file work of the backup: listing, copying, tidying up. Nothing here knows of workflows."""

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

CHUNK = 1 << 20
"""How many bytes of a file are in memory at once."""


class BackupError(Exception):
    """The backup cannot be made; the message names the path and what to do about it."""


def list_files(source: str, destination: str) -> list[dict]:
    """Names every file below a folder.

    Returns:
        One `{"path", "size"}` a file, the path relative to `source` and with `/` between its parts, in order of path.

    Raises:
        BackupError: The folders do not fit, or something below `source` is no file or cannot be read.
    """
    root = _checked(source, destination)
    found = []
    for folder, subfolders, names in os.walk(root, onerror=_unreadable):
        for name in (*subfolders, *names):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if not _is_text(name):
                raise BackupError(f"the name of {path!r} is not valid UTF-8; rename it")
            if stat.S_ISREG(mode):
                found.append({"path": path.relative_to(root).as_posix(), "size": path.lstat().st_size})
            elif not stat.S_ISDIR(mode):
                raise BackupError(_unfit(path, mode))
    return sorted(found, key=lambda file: file["path"])


def _checked(source: str, destination: str) -> Path:
    """The source folder, once it is sure that a backup of it can be made at all."""
    if not Path(source).is_absolute() or not Path(destination).is_absolute():
        raise BackupError(f"source and destination must be absolute paths, found {source!r} and {destination!r}")
    root, target = Path(source).resolve(), Path(destination).resolve()
    if not root.is_dir():
        raise BackupError(f"the source {source} is {'not a folder' if root.exists() else 'missing'}")
    if target.exists() and not target.is_dir():
        raise BackupError(f"the destination {destination} is a file; name a folder, which may be missing")
    if target.is_relative_to(root) or root.is_relative_to(target):
        raise BackupError(f"source {source} and destination {destination} must not lie inside each other")
    return root


def _is_text(name: str) -> bool:
    """Whether a name can be written as JSON; Linux allows names that are no text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unreadable(error: OSError) -> None:
    raise BackupError(f"cannot list {error.filename}: {error.strerror}") from error


def _unfit(path: Path, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return f"{path} is a symbolic link; a backup holds files. Remove it, or back up what it points to"
    return f"{path} is neither a file nor a folder (a socket, a pipe or a device); remove it"


def copy_file(source: str, destination: str, staging: str, path: str) -> dict:
    """Copies one file, complete or not at all; a repeat gives the same file.

    Returns:
        `{"path", "bytes", "sha256"}` of what was copied.

    Raises:
        BackupError: The file cannot be read, or its copy cannot be written.
    """
    target = Path(destination, path)
    workplace = Path(destination, staging)
    try:
        workplace.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            open(Path(source, path), "rb") as original,
            tempfile.NamedTemporaryFile(dir=workplace, delete=False) as copy,
        ):
            digest = hashlib.sha256()
            while chunk := original.read(CHUNK):
                digest.update(chunk)
                copy.write(chunk)
            size = original.tell()
        shutil.copystat(original.name, copy.name)
        os.replace(copy.name, target)
    except OSError as error:
        raise BackupError(f"cannot copy {path}: {error.strerror} ({error.filename})") from error
    return {"path": path, "bytes": size, "sha256": digest.hexdigest()}


def remove_staging(destination: str, staging: str) -> None:
    """Removes the staging folder, which may be gone already.

    Raises:
        BackupError: It is there and cannot be removed.
    """
    try:
        shutil.rmtree(Path(destination, staging))
    except FileNotFoundError:
        return
    except OSError as error:
        raise BackupError(f"cannot remove {error.filename}: {error.strerror}") from error
