"""Tokens for durable HTTP: from a managed identity's endpoint, a real server here, or from the Azure CLI, a script."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from worker_ext.host.durable_http import HttpSender, activity_request
from worker_ext.host.gateway import Reply

SOURCE = {"kind": "AzureManagedIdentity", "resource": "https://example.org/.default"}


class Site:
    """A server that is asked for tokens at /token and for everything else by durable HTTP."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str | None, dict[str, str]]] = []
        self.seen: list[str | None] = []
        self.answer: Any = {"access_token": "secret", "expires_on": str(int(time.time()) + 3600)}
        self.status = 200

    async def token(self, request: web.Request) -> web.Response:
        self.asked.append((request.headers.get("X-IDENTITY-HEADER"), dict(request.query)))
        return web.json_response(self.answer, status=self.status)

    async def target(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers.get("Authorization"))
        return web.Response()


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    site, app = Site(), web.Application()
    app.router.add_get("/token", site.token)
    app.router.add_get("/", site.target)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{site.url}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "the header")
    yield site
    await runner.cleanup()


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    sender = HttpSender()
    yield sender
    await sender.close()


async def send(sender: HttpSender, site: Site, source: Any = SOURCE) -> Reply:
    return await sender.send(json.dumps(activity_request({"uri": site.url, "tokenSource": source})))


async def test_a_request_carries_the_token_of_the_managed_identity(site: Site, sender: HttpSender) -> None:
    reply = await send(sender, site)
    assert reply.failure is None
    assert site.asked == [("the header", {"resource": "https://example.org", "api-version": "2019-08-01"})]
    assert site.seen == ["Bearer secret"]


async def test_a_token_is_kept_until_it_is_about_to_end(site: Site, sender: HttpSender) -> None:
    await send(sender, site)
    await send(sender, site)
    assert (len(site.asked), site.seen) == (1, ["Bearer secret"] * 2)


@pytest.mark.parametrize("expires_on", [None, "soon", pytest.param(int(time.time()) + 60, id="in a minute")])
async def test_a_token_that_ends_soon_is_not_kept(site: Site, sender: HttpSender, expires_on: Any) -> None:
    site.answer = {"access_token": "secret", "expires_on": expires_on}
    await send(sender, site)
    await send(sender, site)
    assert len(site.asked) == 2


@pytest.mark.parametrize(
    "status, answer, source, text",
    [
        (
            400,
            {"e": "no identity"},
            SOURCE,
            'IDENTITY_ENDPOINT answered 400 for https://example.org: {"e": "no identity"}',
        ),
        (200, {}, SOURCE, "IDENTITY_ENDPOINT answered with something else than a token: Object missing required field"),
        (200, {}, {"kind": "Other", "resource": "r"}, "expected the kind AzureManagedIdentity, found 'Other'"),
        (200, {}, "x", "expected the kind AzureManagedIdentity, found None"),
        (200, {}, {"kind": "AzureManagedIdentity", "resource": ""}, "expected a resource, found ''"),
    ],
)
async def test_without_a_token_the_request_is_not_sent(
    site: Site, sender: HttpSender, status: int, answer: Any, source: Any, text: str
) -> None:
    site.status, site.answer = status, answer
    reply = await send(sender, site, source)
    assert ((reply.failure or "")[: len(text) + 13], site.seen) == (f"tokenSource: {text}", [])


@pytest.fixture
def azure_cli(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command `az` that answers with its arguments as the token, and no managed identity."""
    monkeypatch.delenv("IDENTITY_ENDPOINT")
    command = tmp_path / "az"
    command.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        "if 'bad' in sys.argv: sys.exit('ERROR: Please run az login')\n"
        "print(json.dumps({'accessToken': ' '.join(sys.argv[1:]), 'expires_on': 4102444800}))\n"
    )
    command.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    return command


@pytest.fixture
def no_azure_cli(azure_cli: Path) -> None:
    """Neither a managed identity nor a command `az`."""
    azure_cli.unlink()


@pytest.mark.usefixtures("azure_cli")
async def test_without_a_managed_identity_the_azure_cli_is_asked(site: Site, sender: HttpSender) -> None:
    await send(sender, site, {**SOURCE, "options": {"tenantid": "t"}})
    asked = "account get-access-token --output json --resource https://example.org --tenant t"
    assert site.seen == [f"Bearer {asked}"]


@pytest.mark.usefixtures("azure_cli")
async def test_what_the_azure_cli_refuses_is_said(site: Site, sender: HttpSender) -> None:
    reply = await send(sender, site, {**SOURCE, "resource": "bad"})
    assert reply.failure == "tokenSource: the Azure CLI has no token for bad: ERROR: Please run az login"


@pytest.mark.usefixtures("no_azure_cli")
async def test_without_either_it_is_said_what_to_do(site: Site, sender: HttpSender) -> None:
    reply = await send(sender, site)
    assert reply.failure == (
        "tokenSource: there is nowhere to get a token from. Log in with the Azure CLI (az login), or set "
        "IDENTITY_ENDPOINT and IDENTITY_HEADER"
    )
