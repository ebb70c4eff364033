"""JSON as the Functions host reads its own files: with comments and trailing commas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from worker_ext.errors import HostError
from worker_ext.protocol.codec import JSON_STRING

_COMMENT = re.compile(JSON_STRING + r"|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(JSON_STRING + r"|,(?=\s*[}\]])", re.DOTALL)


def read_json_object(path: Path) -> dict[str, Any] | None:
    """Reads a JSON file that holds an object; None when there is no such file.

    Raises:
        HostError: The file cannot be read, is not JSON, or holds something other than an object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"{path}: cannot be read: {error}") from None
    try:
        value = msgspec.json.decode(without_comments(text))
    except msgspec.DecodeError as error:
        raise HostError(f"{_place(path, text, str(error))}") from None
    if not isinstance(value, dict):
        raise HostError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def without_comments(text: str) -> str:
    """Blanks comments and trailing commas out, so that every other character keeps its place."""
    return _TRAILING_COMMA.sub(_blank, _COMMENT.sub(_blank, text))


def _blank(match: re.Match[str]) -> str:
    found = match.group()
    return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)


def _place(path: Path, text: str, error: str) -> str:
    """The decoder's complaint with the line it is about; it counts in bytes of UTF-8."""
    match = re.search(r" \(byte (\d+)\)", error)
    # Without a place, the decoder ran into the end.
    before = text if match is None else text.encode()[: int(match[1])].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"{path}:{line}:{column}: not valid JSON: {error.replace(match[0], '') if match else error}"
