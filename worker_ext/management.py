"""The management API as the client speaks it: requests and replies as pure functions.

Values that user code gives travel as JSON text inside a JSON string, as azure-functions-durable 1.7.0 sends them: the
receiving side decodes both levels.

Source: durable-functions JSON protocol, sections on the HTTP APIs and on what the Python client sends and accepts.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from worker_ext.errors import ClientError, PayloadError
from worker_ext.http_transport import Request, Response
from worker_ext.protocol import codec
from worker_ext.protocol.client import TERMINAL_STATUSES, DurableClientPayload, OrchestrationRuntimeStatus
from worker_ext.protocol.codec import JSON

CONTINUATION_HEADER = "x-ms-continuation-token"
ABSENT: Any = object()
"""The value of a body that has none; None is null."""

_NO_INSTANCE = "there is no such instance"
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)

Words = Mapping[int, str]
"""How 1.7.0 words the refusal of a request, by status; 0 stands for every other one."""

UNEXPECTED: Words = {0: "The operation failed with an unexpected status code {status}"}
MANAGING: Words = {**UNEXPECTED, 404: "No instance with ID '{instance_id}' found."}
RAISING: Words = {
    0: "Webhook returned unrecognized status code {status}",
    400: "Only application/json request content is supported",
    404: "No instance with ID {instance_id} found.",
    410: "Instance with ID {instance_id} is gone: either completed or failed",
}
REWINDING: Words = {
    404: "No instance with ID {instance_id} found.",
    410: "The rewind operation is only supported on failed orchestration instances.",
}
STARTING: Words = {}
NEWER: Words = {}
"""For requests that 1.7.0 does not make."""


class Endpoint:
    """Where the management API of a client binding is, and the headers that go with each request.

    The address is the local one that only the worker can reach or, where host.json turns that off, the public one with
    its key.
    """

    def __init__(self, payload: DurableClientPayload, function_invocation_id: str | None) -> None:
        if payload.rpc_base_url is not None:
            self._base, self._key = payload.rpc_base_url.rstrip("/") + "/", ""
        elif payload.base_url is not None:
            self._base, self._key = payload.base_url.rstrip("/") + "/", payload.required_query_string_parameters or ""
        else:
            raise PayloadError("durableClient $", "expected an object with `rpcBaseUrl` or `baseUrl`, found neither")
        self._headers = {}
        if function_invocation_id:
            self._headers["X-Azure-Functions-InvocationId"] = function_invocation_id

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | None] | None = None,
        text: str | None = None,
        headers: Mapping[str, str] | None = None,
        value: Any = ABSENT,
    ) -> Request:
        """A request for a quoted path.

        Args:
            method: The HTTP method.
            path: Below the address, quoted.
            query: Parameters not yet quoted; those that are None are left out.
            text: A value's JSON text, which becomes a JSON string in the body.
            headers: More headers.
            value: A JSON value that is the body as it is, in the place of `text`.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        parameters = "&".join(filter(None, (urlencode(given, quote_via=quote, safe=",:"), self._key)))
        url = f"{self._base}{path}" + (f"?{parameters}" if parameters else "")
        content = text if value is ABSENT else value
        if content is None and value is ABSENT:
            return Request(method, url, None, {**self._headers, **(headers or {})})
        content_type = {"Content-Type": "application/json"}
        return Request(
            method, url, codec.encode_value(content).encode(), content_type | self._headers | dict(headers or {})
        )


def path(*segments: Any) -> str:
    """A path of quoted segments: text, or what an ID is made of, such as a number or a UUID.

    Raises:
        ValueError: A segment is none, so that another address would be asked: that of all instances, for one.
    """
    for segment in segments:
        if segment in (None, "", ".", ".."):
            raise ValueError(f"expected an ID or a name, found {segment!r}, which would change what is asked for")
    return "/".join(quote(segment if isinstance(segment, str) else str(segment), safe="") for segment in segments)


def filter_query(
    created_time_from: datetime | None,
    created_time_to: datetime | None,
    runtime_status: Iterable[OrchestrationRuntimeStatus] | None,
) -> dict[str, str | None]:
    """The query of a listing or a purge.

    Raises:
        ValueError: A status is none of OrchestrationRuntimeStatus. The host would ignore it, and with it the filter.
    """
    names = [OrchestrationRuntimeStatus(status).value for status in runtime_status or ()]
    return {
        "createdTimeFrom": utc_text(created_time_from),
        "createdTimeTo": utc_text(created_time_to),
        "runtimeStatus": ",".join(names) or None,
    }


def purge_query(
    created_time_from: datetime | None,
    created_time_to: datetime | None,
    runtime_status: Iterable[OrchestrationRuntimeStatus] | None,
) -> dict[str, str | None]:
    """The query of a purge.

    Raises:
        ValueError: There is no lower bound, or the filter names states that cannot be purged and no other: the host
            drops those, finds no filter left, and purges everything, running instances included.
    """
    if created_time_from is None:
        raise ValueError("created_time_from is required: it says from when on instances are purged")
    query = filter_query(created_time_from, created_time_to, runtime_status)
    names = query["runtimeStatus"]
    if names is not None and TERMINAL_STATUSES.isdisjoint(names.split(",")):
        raise ValueError(
            f"runtime_status={names} names no state whose instances can be purged; expected some of "
            f"{', '.join(sorted(TERMINAL_STATUSES))}. Terminate running instances first"
        )
    return query


def utc_text(time: datetime | None) -> str | None:
    """The wire form of a time; a naive one is taken as UTC."""
    if time is None:
        return None
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def body(response: Response) -> JSON:
    """The body's JSON value; None if it is empty, the text if it is not JSON."""
    if not response.body.strip():
        return None
    try:
        return codec.decode_json(response.body)
    except ValueError:
        return response.body.decode(errors="replace")


def expect(
    response: Response, accepted: set[int], instance_id: str | None, words: Words = UNEXPECTED, **explanations: str
) -> None:
    """Checks the status of an answer.

    Args:
        response: The answer.
        accepted: The statuses that are fine.
        instance_id: The instance that was asked for.
        words: How 1.7.0 words the refusal.
        explanations: What to say where the host says nothing, as `s410="..."`.

    Raises:
        ClientError: The status is another one, or the answer is not one of the management API.
    """
    # An accepted 400 or 500 is a false status whatever came with it, as in 1.7.0.
    if response.status not in accepted or (response.status not in {400, 500} and _is_foreign(response)):
        refuse(response, instance_id, words, explanations.get(f"s{response.status}"))


def refuse(
    response: Response,
    instance_id: str | None,
    words: Words = UNEXPECTED,
    explanation: str | None = None,
    *,
    is_address_wrong: bool = False,
) -> NoReturn:
    """Raises the error of an answer: in the words of 1.7.0, then in the host's where it has any."""
    text = words.get(response.status, words.get(0, "")).format(status=response.status, instance_id=instance_id)
    is_about_instance = instance_id is not None and words is not STARTING
    is_address_wrong |= response.status == 404 and not response.body.strip() and not is_about_instance
    if is_address_wrong or _is_foreign(response):
        stranger = f"{response.status} from {response.origin}: not a Durable management API{_title(response)}"
        raise ClientError(response.status, None, stranger, text=": ".join(filter(None, (text, stranger))))
    said = _message(body(response))
    if explanation is None and response.status == 404 and is_about_instance:
        explanation = _NO_INSTANCE
    raise ClientError(
        response.status,
        instance_id,
        said or explanation or "the answer is empty",
        text=": ".join(filter(None, (text, said))) or None,
    )


def _is_foreign(response: Response) -> bool:
    """Whether some other server answered. Plain words with an error may be those of the host under the extension."""
    text = response.body.strip()
    if not text:
        return False
    try:
        codec.decode_json(text)
    except ValueError:
        return response.status < 300 or response.status == 404 or text.startswith(b"<")
    return False


def _title(response: Response) -> str:
    """The title of a page, for a message."""
    found = _TITLE.search(response.body)
    title = " ".join(html.unescape(found[1].decode(errors="replace")).split()) if found else ""
    return f" (a page with the title {title[:80]!r})" if title else ""


def _message(answer: JSON) -> str | None:
    """The host's message: a JSON string, or the exception's own text before the general one."""
    if isinstance(answer, dict):
        answer = answer.get("ExceptionMessage") or answer.get("Message") or codec.encode_value(answer)
    return None if answer is None else str(answer)


def management_links(urls: Mapping[str, str], instance_id: str, request_url: str | None) -> dict[str, str]:
    """The management URLs of an instance, reached over the host that the request came to.

    Args:
        urls: The binding's `managementUrls`, whose member `id` is the placeholder in the others.
        instance_id: The instance.
        request_url: The request's URL; None keeps the host of the binding.
    """
    placeholder = urls["id"]
    quoted = quote(instance_id, safe="")
    links = {name: _at_origin(url, request_url).replace(placeholder, quoted) for name, url in urls.items()}
    return links | {"id": instance_id}


def _at_origin(url: str, request_url: str | None) -> str:
    """The URL with scheme and host of the request's, if that has both."""
    origin = urlsplit(request_url or "")
    if not (origin.scheme and origin.netloc):
        return url
    parts = urlsplit(url)
    return url.replace(f"{parts.scheme}://{parts.netloc}/", f"{origin.scheme}://{origin.netloc}/", 1)


def read_object(value: Any, response: Response, instance_id: str | None) -> dict[str, Any]:
    """The value as the JSON object that the answer should be.

    Raises:
        ClientError: It is something else.
    """
    if not isinstance(value, dict):
        found = "nothing" if value is None else type(value).__name__
        raise ClientError(response.status, instance_id, f"expected a JSON object in the answer, found {found}")
    return value
