"""Requests and invocations that wait for each other, and those that wait in vain."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from worker_ext.errors import PayloadError
from worker_ext.rpc import pb
from worker_ext.worker.http_requests import INVOCATION_HEADER, HttpRequests

SUCCESS = pb.StatusResult(status=pb.StatusResult.Success)
AT_ONCE = 0.0


@dataclass(frozen=True)
class Request:
    """What is looked at in a request of any framework."""

    headers: Mapping[str, str] = field(default_factory=dict)


def request_for(invocation_id: str) -> Request:
    return Request({INVOCATION_HEADER: invocation_id})


async def test_a_request_without_the_id_of_an_invocation_is_refused() -> None:
    with pytest.raises(PayloadError) as error:
        await HttpRequests().answer(Request())
    assert str(error.value) == "header x-ms-invocation-id: expected the id of an invocation, found nothing"


async def test_a_request_whose_invocation_does_not_come_is_answered_with_an_error() -> None:
    with pytest.raises(PayloadError) as error:
        await HttpRequests(AT_ONCE).answer(request_for("i1"))
    assert str(error.value) == "header x-ms-invocation-id (i1): the host sent no such invocation within 0 seconds"


async def test_an_invocation_whose_request_does_not_come_fails() -> None:
    exchange = HttpRequests(AT_ONCE).invoked("i1")
    with pytest.raises(PayloadError) as error:
        await exchange.request
    assert str(error.value) == "invocation i1: the host sent no HTTP request for this invocation within 0 seconds"


async def test_a_second_request_for_an_invocation_is_refused() -> None:
    requests = HttpRequests()
    first = asyncio.create_task(requests.answer(request_for("i1")))
    await requests.invoked("i1").request
    with pytest.raises(PayloadError, match="invocation i1 has its request already"):
        await requests.answer(request_for("i1"))
    requests.invoked("i1").end(SUCCESS)
    assert await first is None


async def test_a_request_that_comes_after_the_end_of_its_invocation_hears_why() -> None:
    requests = HttpRequests()
    failed = pb.StatusResult(status=pb.StatusResult.Failure, exception=pb.RpcException(message="ValueError: too big"))
    requests.invoked("i1").end(failed)
    with pytest.raises(Exception, match=r"^the invocation failed: ValueError: too big$"):
        await requests.answer(request_for("i1"))


async def test_nothing_is_kept_of_requests_that_were_answered() -> None:
    requests = HttpRequests()
    answer = asyncio.create_task(requests.answer(request_for("i1")))
    exchange = requests.invoked("i1")
    exchange.end(SUCCESS)
    await answer
    kept = weakref.ref(exchange)
    del exchange, answer
    gc.collect()
    assert kept() is None
