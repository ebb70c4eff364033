"""Durable HTTP: a request that an orchestration sends is an activity of the host's own.

The replay turns a CallHttp into such an activity and, where the action asks for it, polls a 202's `Location`; here the
request is sent and its answer put into a result. Any status is a success; only what never got an answer fails. With
`retryOptions` the statuses that they name fail too (4xx and 5xx where they name none), and the replay repeats the
request as it repeats an activity.

Source: durable-functions JSON protocol, httpRequest and durable HTTP (recorded from extension 3.19.0);
HttpRetryOptions.cs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urljoin

import msgspec
from msgspec import Meta, Struct

from worker_ext.errors import PayloadError
from worker_ext.host.gateway import Reply
from worker_ext.host.identity import TokenError, TokenSource
from worker_ext.protocol.actions import RetryOptions
from worker_ext.protocol.codec import JSON, encode_value, parse_timespan
from worker_ext.protocol.history import TaskCompleted, TaskFailed

HTTP_ACTIVITY = "BuiltIn::HttpActivity"
"""The name of the activity in histories."""

_NAMESPACE = "Microsoft.Azure.WebJobs.Extensions.DurableTask"
_TYPE = f"{_NAMESPACE}.DurableHttpRequest, {_NAMESPACE}"
_USER_AGENT = f"{_NAMESPACE}/3.19.0"
_DEFAULT_TIMEOUT = timedelta(seconds=100)
_ACCEPTED = 202
_FIRST_ERROR = 400
# .NET keeps these apart from the headers of a response.
_CONTENT_HEADERS = frozenset(
    {
        "allow",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-md5",
        "content-range",
        "content-type",
        "expires",
        "last-modified",
    }
)


class HttpResult(Struct, rename="camel"):
    """What the activity returns."""

    status_code: int
    headers: dict[str, str | list[str]]
    content: str | None


class _Request(Struct, rename="camel"):
    """The activity's input, as the extension writes it."""

    method: str
    uri: str
    headers: dict[str, str | list[str]]
    content: str | None
    token_source: JSON
    asynchronous_pattern_enabled: bool
    retry_options: JSON
    timeout: str | None


def activity_request(http_request: dict[str, Any]) -> dict[str, Any]:
    """The activity's input for the request in a CallHttp action."""
    found = {name.lower(): value for name, value in http_request.items()}
    return {
        "$type": _TYPE,
        "method": found.get("method") or "GET",
        "uri": found.get("uri"),
        "headers": found.get("headers") or {},
        "content": found.get("content"),
        "tokenSource": found.get("tokensource"),
        "asynchronousPatternEnabled": bool(found.get("asynchronouspatternenabled")),
        "retryOptions": found.get("retryoptions"),
        "timeout": found.get("timeout"),
    }


class _RetryOptions(Struct, rename="pascal"):
    """`retryOptions` of a request, as .NET writes them: TimeSpans, and the statuses that count as failures."""

    first_retry_interval: str
    max_number_of_attempts: Annotated[int, Meta(ge=1)]
    backoff_coefficient: float = 1
    max_retry_interval: str | None = None
    retry_timeout: str | None = None
    status_codes_to_retry: list[int] = []


def _read_options(found: JSON) -> _RetryOptions:
    try:
        return msgspec.convert(found, _RetryOptions)
    except msgspec.ValidationError as error:
        raise PayloadError("httpRequest.retryOptions", str(error)) from None


def retry_options(request: dict[str, Any]) -> RetryOptions | None:
    """How a request is repeated; None for not at all.

    Raises:
        PayloadError: Its `retryOptions` are not what the contract says.
    """
    if request["retryOptions"] is None:
        return None
    found = _read_options(request["retryOptions"])
    longest, limit = found.max_retry_interval, found.retry_timeout
    return RetryOptions(
        first_retry_interval_in_milliseconds=_milliseconds(found.first_retry_interval),
        max_number_of_attempts=found.max_number_of_attempts,
        backoff_coefficient=found.backoff_coefficient,
        max_retry_interval_in_milliseconds=None if longest is None else _milliseconds(longest),
        retry_timeout_in_milliseconds=None if limit is None else _milliseconds(limit),
    )


def _milliseconds(timespan: str) -> int:
    return parse_timespan(timespan) // timedelta(milliseconds=1)


class Poll(Struct, frozen=True):
    """How a request goes on that was answered by 202."""

    delay: timedelta
    request: dict[str, Any]


def next_poll(request: dict[str, Any], result: str | None, default_delay: timedelta) -> Poll | None:
    """The request that follows an answer; None if the answer is the result.

    Args:
        request: The activity's input so far.
        result: The answer, as the activity returned it.
        default_delay: The wait where the server names none in whole seconds.
    """
    if not request["asynchronousPatternEnabled"] or result is None:
        return None
    try:
        answer = msgspec.json.decode(result, type=HttpResult)
    except msgspec.DecodeError:
        return None
    headers = {name.lower(): value for name, value in answer.headers.items()}
    location, retry_after = headers.get("location"), headers.get("retry-after")
    if answer.status_code != _ACCEPTED or not isinstance(location, str):
        return None
    seconds = isinstance(retry_after, str) and retry_after.isdecimal()
    delay = timedelta(seconds=int(str(retry_after))) if seconds else default_delay
    kept = {name: value for name, value in request["headers"].items() if name.lower() != "x-functions-key"}
    polled = {"method": "GET", "uri": urljoin(request["uri"], location), "headers": kept, "content": None}
    return Poll(delay, {**request, **polled, "retryOptions": None})


def http_result(task_id: int, reply: Reply, timestamp: str) -> TaskCompleted | TaskFailed:
    """The event that a request gives its orchestration; a failure's text stands as it is."""
    if reply.failure is not None:
        return TaskFailed(task_scheduled_id=task_id, reason=reply.failure, timestamp=timestamp)
    return TaskCompleted(task_scheduled_id=task_id, result=reply.value, timestamp=timestamp)


# ---------------------------------------------------------------- sending


class HttpSender:
    """Sends requests over one client session, which is made with the first of them."""

    def __init__(self) -> None:
        self._session: Any = None
        self._tokens = TokenSource()

    async def send(self, input_text: str | None) -> Reply:
        """Sends the request in an activity's input."""
        try:
            request = msgspec.json.decode(input_text or "null", type=_Request)
            return Reply(await self._send(request))
        except (msgspec.DecodeError, PayloadError) as error:
            return Reply(None, f"The HTTP request cannot be sent: {error}")
        except (_FailedError, TokenError) as error:
            return Reply(None, str(error))

    async def close(self) -> None:
        """Closes the session."""
        if self._session is not None:
            await self._session.close()

    async def _send(self, request: _Request) -> str:
        import aiohttp

        headers = _sent_headers(request)
        if self._session is None:
            self._session = aiohttp.ClientSession(skip_auto_headers=("User-Agent", "Content-Type"))
        if request.token_source is not None:
            token = await self._tokens.token(request.token_source, self._session)
            headers.append(("Authorization", f"Bearer {token}"))
        limit = _DEFAULT_TIMEOUT if request.timeout is None else parse_timespan(request.timeout)
        try:
            async with self._session.request(
                request.method,
                request.uri,
                headers=headers,
                data=None if request.content is None else request.content.encode(),
                timeout=aiohttp.ClientTimeout(limit.total_seconds()),
            ) as response:
                if _is_failure(request, response.status):
                    raise _FailedError(f"{request.method} {request.uri} was answered with status {response.status}")
                content = await response.text(errors="replace")
                return encode_value(
                    {"statusCode": response.status, "headers": _received(response.headers), "content": content}
                )
        except TimeoutError:
            raise _FailedError(f"{request.method} {request.uri} was not answered within {limit}") from None
        except aiohttp.InvalidURL:
            raise _FailedError(f"{request.method} {request.uri}: expected an absolute http or https URL") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise _FailedError(f"{request.method} {request.uri}: {error}") from None


class _FailedError(Exception):
    """There is no answer; the text is why."""


def _is_failure(request: _Request, status: int) -> bool:
    """Whether an answer has the request repeated: by its status, which is one of 4xx and 5xx where none is named."""
    if request.retry_options is None:
        return False
    named = _read_options(request.retry_options).status_codes_to_retry
    return status in named if named else status >= _FIRST_ERROR


def _sent_headers(request: _Request) -> list[tuple[str, str]]:
    headers = [
        (name, value)
        for name, values in request.headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    content_type = next((value for name, value in headers if name.lower() == "content-type"), None)
    if not any(name.lower() == "user-agent" for name, _ in headers):
        headers.append(("User-Agent", _USER_AGENT))
    if content_type is not None and content_type.lower().startswith("multipart/"):
        raise _FailedError("Multipart content is not supported with CallHttpAsync.")
    if content_type is None and request.content is not None:
        headers.append(("Content-Type", "text/plain; charset=utf-8"))
    return headers


def _received(headers: Any) -> dict[str, str | list[str]]:
    """Response headers without those of the content; one that came several times is a list, as are Server's words."""
    received: dict[str, str | list[str]] = {}
    for name in dict.fromkeys(headers):
        if name.lower() in _CONTENT_HEADERS:
            continue
        values = headers.getall(name)
        if name.lower() == "server":
            values = [word for value in values for word in value.split()]
        received[name] = values[0] if len(values) == 1 else list(values)
    return received
