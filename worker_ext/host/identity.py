"""Tokens for durable HTTP: what a request's `tokenSource` asks for, from where a developer's machine has it.

A managed identity answers at `IDENTITY_ENDPOINT`, as in App Service and as its emulators do. Without one, the Azure CLI
is asked, so that a request is sent as whoever is logged in there. A token is kept until shortly before it ends.

Source: durable-functions JSON protocol, httpRequest (2.3.3); App Service's REST protocol of managed identities.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from worker_ext.errors import HostError

if TYPE_CHECKING:
    import aiohttp

_KIND = "azuremanagedidentity"
_API_VERSION = "2019-08-01"
_EARLY = 300.0
_PATIENCE = 30.0
_NOWHERE = (
    "tokenSource: there is nowhere to get a token from. Log in with the Azure CLI (az login), or set IDENTITY_ENDPOINT "
    "and IDENTITY_HEADER"
)


class TokenError(HostError):
    """There is no token for a request; the text says why."""


class _Answer(Struct, frozen=True):
    """What both sources answer with, as far as it is needed; times are seconds since 1970, also as text."""

    access_token: str
    expires_on: int | str | None = None


class _CliAnswer(Struct, frozen=True, rename={"access_token": "accessToken"}):
    access_token: str
    expires_on: int | str | None = None


_T = TypeVar("_T", _Answer, _CliAnswer)


class TokenSource:
    """Gets tokens and keeps them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}

    async def token(self, source: Any, session: aiohttp.ClientSession) -> str:
        """The token for a request.

        Args:
            source: The request's `tokenSource`.
            session: What to ask with.

        Raises:
            TokenError: There is none.
        """
        resource, tenant = _read_source(source)
        token, until = self._kept.get((resource, tenant), ("", 0.0))
        if until > time.time():
            return token
        if os.environ.get("IDENTITY_ENDPOINT"):
            answer: _Answer | _CliAnswer = await _from_endpoint(resource, session)
        else:
            answer = await _from_cli(resource, tenant)
        self._kept[resource, tenant] = answer.access_token, _end(answer.expires_on) - _EARLY
        return answer.access_token


def _end(expires_on: int | str | None) -> float:
    """When a token ends, in seconds since 1970; one whose end cannot be read is used once."""
    try:
        return float(expires_on or 0)
    except ValueError:
        return 0.0


def _read_source(source: Any) -> tuple[str, str]:
    """The resource and the tenant that a token is for."""
    members = {name.lower(): value for name, value in source.items()} if isinstance(source, dict) else {}
    kind, resource = members.get("kind"), members.get("resource")
    if not isinstance(kind, str) or kind.lower() != _KIND:
        raise TokenError(f"tokenSource: expected the kind AzureManagedIdentity, found {kind!r}")
    if not isinstance(resource, str) or not resource:
        raise TokenError(f"tokenSource: expected a resource, found {resource!r}")
    options = members.get("options")
    tenant = options.get("tenantid") if isinstance(options, dict) else None
    return resource.removesuffix("/.default"), tenant if isinstance(tenant, str) else ""


async def _from_endpoint(resource: str, session: aiohttp.ClientSession) -> _Answer:
    import aiohttp

    url = os.environ["IDENTITY_ENDPOINT"]
    headers = {"X-IDENTITY-HEADER": os.environ.get("IDENTITY_HEADER", "")}
    query = {"resource": resource, "api-version": _API_VERSION}
    try:
        async with session.get(
            url, params=query, headers=headers, timeout=aiohttp.ClientTimeout(_PATIENCE)
        ) as response:
            text = await response.text()
    except (aiohttp.ClientError, ValueError, TimeoutError) as error:
        raise TokenError(f"tokenSource: IDENTITY_ENDPOINT {url} does not answer: {error}") from None
    if response.status != 200:
        raise TokenError(f"tokenSource: IDENTITY_ENDPOINT answered {response.status} for {resource}: {text[:200]}")
    return _decode(text, _Answer, "IDENTITY_ENDPOINT")


async def _from_cli(resource: str, tenant: str) -> _CliAnswer:
    command = shutil.which("az")
    if command is None:
        raise TokenError(_NOWHERE)
    arguments = ["account", "get-access-token", "--output", "json", "--resource", resource]
    if tenant:
        arguments += ["--tenant", tenant]
    process = await asyncio.create_subprocess_exec(
        command, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise TokenError(f"tokenSource: the Azure CLI did not answer within {_PATIENCE:g} s") from None
    if process.returncode:
        last = errors.decode(errors="replace").strip().splitlines()[-1:]
        raise TokenError(f"tokenSource: the Azure CLI has no token for {resource}: {''.join(last)}")
    return _decode(output.decode(errors="replace"), _CliAnswer, "the Azure CLI")


def _decode(text: str, cls: type[_T], source: str) -> _T:
    try:
        return msgspec.json.decode(text, type=cls)
    except msgspec.DecodeError as error:
        raise TokenError(f"tokenSource: {source} answered with something else than a token: {error}") from None
