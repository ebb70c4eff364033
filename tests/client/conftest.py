"""A client, and the host it talks to over a real socket."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from management_host import FakeHost, client_payload

from worker_ext.client import DurableOrchestrationClient


@pytest.fixture
async def host() -> AsyncIterator[FakeHost]:
    fake = FakeHost()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    async with TestServer(app) as server:
        fake.base = str(server.make_url("/durabletask/"))
        yield fake


@pytest.fixture
def client(host: FakeHost) -> DurableOrchestrationClient:
    return DurableOrchestrationClient(client_payload(host.base), "0d6ff2ac-0b1b-4d3e-a2f6-3f1f6b2c0001")
