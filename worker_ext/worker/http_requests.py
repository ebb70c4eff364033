"""HTTP streaming: requests that come to the worker's own server, each brought together with its invocation.

Rule: an invocation of a streamed function tells the route's values and no more; the request itself comes over HTTP,
before or after, with the invocation's id in a header. The function gets that request, and what it returns answers it; a
failure is told to both sides. Whichever of the two stays away for `ARRIVAL_LIMIT` seconds fails the other.

Source: Functions worker protocol, capabilities HttpUri and RequiresRouteParameters.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import azure.functions

from worker_ext.errors import AppError, PayloadError
from worker_ext.rpc import pb
from worker_ext.worker import bindings, web_extension
from worker_ext.worker.checks import HTTP, HTTP_TRIGGER
from worker_ext.worker.indexing import AppFunction

INVOCATION_HEADER = "x-ms-invocation-id"
ARRIVAL_LIMIT = 60.0
"""Seconds between a request and its invocation, whichever is first: a host sends both at once."""

TOLD: contextvars.ContextVar[BaseException | None] = contextvars.ContextVar("told", default=None)
"""The failure that a request is answered with: the host has been told of it by the invocation."""


def streamed(functions: Iterable[AppFunction]) -> dict[str, str]:
    """Say which functions of an app are streamed: by id, the parameter that takes the request.

    All HTTP functions are, or none. They ask for it by their annotations; where they leave it open, the app does by
    importing the extension.

    Raises:
        AppError: Some HTTP functions have types of the extension, and some those of azure-functions.
    """
    if not web_extension.is_imported():
        return {}
    found = {function.function_id: (function, name) for function in functions for name in _request_names(function)}
    asking = [function.name for function, name in found.values() if _asks_for_streams(function, name)]
    others = [function.name for function, name in found.values() if _asks_for_messages(function, name)]
    if asking and others:
        raise AppError(
            f"HTTP functions with types of the web extension ({', '.join(asking)}) are beside others with those of "
            f"azure.functions ({', '.join(others)}), but a host streams all HTTP requests of an app or none: annotate "
            "the requests and answers of all HTTP functions with types of the extension, or of none"
        )
    return {} if others else {function_id: name for function_id, (_, name) in found.items()}


def _request_names(function: AppFunction) -> list[str]:
    return [name for name, info in function.metadata.bindings.items() if info.type == HTTP_TRIGGER]


def _asks_for_streams(function: AppFunction, request: str) -> bool:
    answer = _answer_type(function)
    return web_extension.is_request(function.signature.inputs[request].annotation) or (
        web_extension.is_answer(answer) and not bindings.accepts_output(HTTP, answer)
    )


def _asks_for_messages(function: AppFunction, request: str) -> bool:
    annotation, answer = function.signature.inputs[request].annotation, _answer_type(function)
    return (annotation is not None and not web_extension.is_request(annotation)) or (
        answer is not None and not web_extension.is_answer(answer)
    )


def _answer_type(function: AppFunction) -> Any:
    returns = function.signature.returns
    return returns.annotation if returns is not None and returns.binding_type == HTTP else None


class Exchange:
    """A request, its invocation and its answer. Only the loop may call in here, apart from the bound function."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.expiry: asyncio.TimerHandle | None = None
        self.request: asyncio.Future[Any] = loop.create_future()
        self.answer: asyncio.Future[Any] = loop.create_future()
        self.is_invoked = False
        self._result: Any = None
        self._error: Exception | None = None

    def bind(self, function: AppFunction, parameter: str) -> AppFunction:
        """Return a function that takes the request for this parameter, and leaves its answer here."""
        call = self._call_async if function.is_async else self._call_sync
        return dataclasses.replace(
            function,
            call=functools.partial(call, function.call, parameter),
            signature=dataclasses.replace(function.signature, returns=None),
        )

    def when_requested(self, callback: Callable[[], None]) -> None:
        """Call something when the request is there, or will not come."""
        self.request.add_done_callback(lambda _: callback())

    def end(self, result: pb.StatusResult) -> None:
        """Have the request answered, now that the invocation has ended."""
        if self.answer.done():
            return
        if result.status == pb.StatusResult.Success:
            self.answer.set_result(self._result)
        else:
            self.fail(
                self._error or AppError(f"the invocation failed: {result.exception.message or 'it was cancelled'}")
            )

    def fail(self, error: Exception) -> None:
        """Have the request answered with an error."""
        self.answer.set_exception(error)
        self.answer.exception()  # there may be no request that hears of it

    async def _call_async(self, call: Callable[..., Awaitable[Any]], parameter: str, /, **arguments: Any) -> None:
        await asyncio.shield(self.request)
        self._take_request(arguments, parameter)
        try:
            self._take_result(await call(**arguments))
        except Exception as error:
            self._error = error
            raise

    def _call_sync(self, call: Callable[..., Any], parameter: str, /, **arguments: Any) -> None:
        self._take_request(arguments, parameter)
        try:
            self._take_result(call(**arguments))
        except Exception as error:
            if not isinstance(error, StopIteration):  # no future takes that
                self._error = error
            raise

    def _take_request(self, arguments: dict[str, Any], parameter: str) -> None:
        request = self.request.result()
        web_extension.set_route_params(request, arguments[parameter].route_params)
        arguments[parameter] = request

    def _take_result(self, result: Any) -> None:
        if result is None or isinstance(result, azure.functions.HttpResponse):
            found = "nothing" if result is None else "an azure.functions.HttpResponse"
            raise TypeError(
                f"the function returned {found}; where HTTP streams, return a response of the web extension, such as "
                "StreamingResponse, JSONResponse or Response"
            )
        self._result = result


class HttpRequests:
    """The requests and invocations that wait for each other or run. Only the loop may call in here.

    Args:
        arrival_limit: Seconds that one waits for the other.
    """

    def __init__(self, arrival_limit: float = ARRIVAL_LIMIT) -> None:
        self._arrival_limit = arrival_limit
        self._exchanges: dict[str, Exchange] = {}

    def invoked(self, invocation_id: str) -> Exchange:
        """The exchange that an invocation is for; its request may be there or not."""
        exchange = self._exchange(invocation_id)
        exchange.is_invoked = True
        return exchange

    async def answer(self, request: Any) -> Any:
        """What a function returned for a request.

        Raises:
            PayloadError: The request is none that the host sent, or its invocation did not come.
            Exception: What the function raised.
        """
        invocation_id = request.headers.get(INVOCATION_HEADER)
        if not invocation_id:
            raise PayloadError(f"header {INVOCATION_HEADER}", "expected the id of an invocation, found nothing")
        exchange = self._exchange(invocation_id)
        if exchange.request.done():
            raise PayloadError(f"header {INVOCATION_HEADER}", f"invocation {invocation_id} has its request already")
        exchange.request.set_result(request)
        try:
            return await exchange.answer
        except Exception as error:
            TOLD.set(error)
            raise
        finally:
            self._forget(invocation_id, exchange)

    def _forget(self, invocation_id: str, exchange: Exchange) -> None:
        self._exchanges.pop(invocation_id, None)
        if exchange.expiry is not None:  # else it is kept until then
            exchange.expiry.cancel()

    def _exchange(self, invocation_id: str) -> Exchange:
        exchange = self._exchanges.get(invocation_id)
        if exchange is None:
            exchange = self._exchanges[invocation_id] = Exchange()
            loop = asyncio.get_running_loop()
            exchange.expiry = loop.call_later(self._arrival_limit, self._expire, invocation_id, exchange)
        return exchange

    def _expire(self, invocation_id: str, exchange: Exchange) -> None:
        if not exchange.request.done():
            self._exchanges.pop(invocation_id, None)
            text = f"the host sent no HTTP request for this invocation within {self._arrival_limit:g} seconds"
            exchange.request.set_exception(PayloadError(f"invocation {invocation_id}", text))
            exchange.request.exception()  # the invocation may have ended for another reason
        elif not exchange.is_invoked and not exchange.answer.done():
            text = f"the host sent no such invocation within {self._arrival_limit:g} seconds"
            exchange.fail(PayloadError(f"header {INVOCATION_HEADER} ({invocation_id})", text))
