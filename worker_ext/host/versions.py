"""Which instances an app may run, by their versions.

Nothing is checked in an app without `defaultVersion`. Versions of numbers and dots are compared as such, others as text
without regard to case; none is older than any.

Source: durable-functions JSON protocol, host.json (9); TaskOrchestrationVersioningUtils.cs of DurableTask.Core.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from worker_ext.errors import HostError

MatchStrategy: TypeAlias = Literal["None", "Strict", "CurrentOrOlder"]
FailureStrategy: TypeAlias = Literal["Reject", "Fail"]

_NUMBERS = re.compile(r"\d+(\.\d+){1,3}")


class VersionRejectedError(HostError):
    """An instance is of a version that this app does not run; it waits for an app that does."""


def mismatch(instance: str | None, app: str | None, strategy: MatchStrategy) -> str | None:
    """Why an instance of a version must not be run by an app of another; None if it may."""
    if not app or strategy == "None":
        return None
    if strategy == "Strict" and (instance or "") != app:
        return f"its version is '{instance or ''}', the app runs '{app}' alone (versionMatchStrategy is Strict)"
    if strategy == "CurrentOrOlder" and _is_newer(instance, app):
        return f"its version is '{instance}', the app runs '{app}' and older (versionMatchStrategy is CurrentOrOlder)"
    return None


def _is_newer(version: str | None, other: str) -> bool:
    if not version:
        return False
    if _NUMBERS.fullmatch(version) and _NUMBERS.fullmatch(other):
        return _parts(version) > _parts(other)
    return version.lower() > other.lower()


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
