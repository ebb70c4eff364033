"""What the management API's handlers share: a request with its route and query, and the forms of answers.

Source: durable-functions JSON protocol, section on the HTTP APIs; recordings of extension 3.19.0.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from worker_ext.host.http_trigger import JSON_TYPE
from worker_ext.host.instance_status import shown_value
from worker_ext.host.records import Instance
from worker_ext.protocol.codec import decode_json, encode_value

BAD_ARGUMENT = "One or more of the arguments submitted is incorrect"
WENT_WRONG = "Something went wrong while processing your request"
ARGUMENT_ERROR = "System.ArgumentException"
CONTINUATION_HEADER = "x-ms-continuation-token"

# What .NET reads as a date beside ISO 8601, in the invariant culture: month before day.
_DATES = ("%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d %b %Y", "%d %B %Y")


class Call:
    """One request: what the route and the query say. The names of query parameters are read without regard to case."""

    def __init__(self, request: web.BaseRequest, params: dict[str, str]) -> None:
        self.request = request
        self.params = params
        self.query = CIMultiDict(request.query)

    @property
    def instance_id(self) -> str:
        """The instance in the route."""
        return self.params["instanceId"]

    def flag(self, name: str, default: bool) -> bool:
        """A truth value of the query; what is none counts as absent."""
        return {"true": True, "false": False}.get(self.query.get(name, "").strip().lower(), default)

    def seconds(self, name: str) -> float | None:
        """A number of the query; what is none counts as absent."""
        try:
            return float(self.query[name])
        except (KeyError, ValueError):
            return None

    def count(self, name: str, default: int) -> int:
        """A whole number above nought of the query; what is none counts as absent."""
        text = self.query.get(name, "").strip()
        return int(text) if text.isdecimal() and int(text) > 0 else default

    def date(self, name: str) -> datetime | None:
        """A date of the query, as leniently as the extension reads it; what is none counts as absent."""
        return read_date(self.query.get(name, ""))


Handler = Callable[[Call], Awaitable[web.Response]]


def read_date(text: str) -> datetime | None:
    """A date in one of many forms, in UTC where it names no zone; None if it is none.

    A plus that came unquoted in a query is a space by now; it is taken for the plus it was.
    """
    text = text.strip()
    readers: list[Callable[[str], datetime]] = [
        datetime.fromisoformat,
        lambda text: datetime.fromisoformat("+".join(text.rsplit(" ", 1))),
        parsedate_to_datetime,
        *(partial(_strptime, form) for form in _DATES),
    ]
    for read in readers:
        try:
            time = read(text)
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return None


def _strptime(form: str, text: str) -> datetime:
    return datetime.strptime(text, form).replace(tzinfo=UTC)


def status_body(instance: Instance, *, show_input: bool) -> dict[str, Any]:
    """The status of an instance without its history; a child's names its parent."""
    parent = {} if instance.parent_id is None else {"parentInstanceId": instance.parent_id}
    return {
        "name": instance.name,
        "instanceId": instance.instance_id,
        **parent,
        "runtimeStatus": instance.status,
        "input": shown_value(instance.input) if show_input else None,
        "customStatus": shown_value(instance.custom_status),
        "output": shown_value(instance.output),
        "createdTime": f"{instance.created:%Y-%m-%dT%H:%M:%SZ}",
        "lastUpdatedTime": f"{instance.updated:%Y-%m-%dT%H:%M:%SZ}",
    }


def json_answer(status: int, value: object, headers: dict[str, str] | None = None) -> web.Response:
    """An answer with a JSON body."""
    text = msgspec.json.encode(value) if isinstance(value, msgspec.Struct) else encode_value(value).encode()
    return web.Response(status=status, body=text, headers={"Content-Type": JSON_TYPE, **(headers or {})})


def short_error(status: int, message: str) -> web.Response:
    """An error in the extension's short form."""
    return json_answer(status, {"Message": message})


def long_error(status: int, message: str, exception_message: str, exception_type: str) -> web.Response:
    """An error in the extension's long form."""
    exception = {"ExceptionMessage": exception_message, "ExceptionType": exception_type, "StackTrace": ""}
    return json_answer(status, {"Message": message, **exception})


def went_wrong(error: Exception) -> web.Response:
    """The answer to a request that the host could not serve."""
    return long_error(500, WENT_WRONG, str(error), f"{type(error).__module__}.{type(error).__qualname__}")


def json_fault(body: bytes) -> web.Response | None:
    """The refusal of a body that is not JSON."""
    what = "Error reading JToken from JsonReader. Path '', line 0, position 0."
    if body:
        try:
            decode_json(body.decode("utf-8-sig"))
        except ValueError as error:
            what = str(error)
        else:
            return None
    return long_error(400, "Invalid JSON content", what, "Newtonsoft.Json.JsonReaderException")
