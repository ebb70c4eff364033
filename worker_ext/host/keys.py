"""Keys that callers must show, where the host is told to ask for them, and the file they are kept in.

A master key opens all; the system key `durabletask_extension` opens the management API; a host key opens every
function of level `function`, a key of a function that one. The header `x-functions-key` is looked at before the
parameter `code`.

Source: worker protocol, section on authorization.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from pathlib import Path

import msgspec
from aiohttp import web
from msgspec import Struct

from worker_ext.errors import HostError
from worker_ext.host.functions import HostFunction

DURABLE_KEY = "durabletask_extension"
KEY_HEADER = "x-functions-key"


class Keys(Struct, frozen=True, rename="camel"):
    """All keys of a host, each by its name."""

    master_key: str
    function_keys: dict[str, str] = {}
    system_keys: dict[str, str] = {}
    functions: dict[str, dict[str, str]] = {}

    @property
    def durable_key(self) -> str:
        """The key that management URLs carry."""
        return self.system_keys.get(DURABLE_KEY, self.master_key)

    def opens_function(self, request: web.BaseRequest, function: HostFunction) -> bool:
        """Whether a request may start an HTTP function."""
        level = str(function.trigger.get("authLevel") or "function").lower()
        if level == "anonymous":
            return True
        own = next((keys for name, keys in self.functions.items() if name.lower() == function.name.lower()), {})
        return self._opens(request, *([*self.function_keys.values(), *own.values()] if level == "function" else []))

    def opens_management(self, request: web.BaseRequest) -> bool:
        """Whether a request may use the durable management API."""
        return self._opens(request, self.durable_key)

    def opens_admin(self, request: web.BaseRequest) -> bool:
        """Whether a request may use the host's own pages."""
        return self._opens(request)

    def _opens(self, request: web.BaseRequest, *keys: str) -> bool:
        shown = request.headers.get(KEY_HEADER) or request.query.get("code", "")
        return any(hmac.compare_digest(shown.encode(), key.encode()) for key in (self.master_key, *keys) if key)


def load_keys(path: Path) -> Keys:
    """The keys in a file; a new file with new keys if there is none.

    Raises:
        HostError: The file cannot be read or written, or is not one of keys.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return _make(path)
    except OSError as error:
        raise HostError(f"{path}: the keys cannot be read: {error.strerror}") from None
    try:
        keys = msgspec.json.decode(text, type=Keys)
    except msgspec.DecodeError as error:
        raise HostError(f"{path}: {error}. Put it right, or remove it and get new keys") from None
    if not keys.master_key:
        raise HostError(f"{path}: masterKey is empty. Put it right, or remove the file and get new keys")
    return keys


def _make(path: Path) -> Keys:
    keys = Keys(
        master_key=secrets.token_urlsafe(32),
        function_keys={"default": secrets.token_urlsafe(32)},
        system_keys={DURABLE_KEY: secrets.token_urlsafe(32)},
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(msgspec.to_builtins(keys), file, indent=2)
    except OSError as error:
        raise HostError(f"{path}: the keys cannot be written: {error.strerror}") from None
    return keys
