"""TypedData to Datum and back: FunctionRpc's values, and the (kind, value) pairs that converters read and write.

Outgoing data is written into the message that carries it, so that a large value is copied once.
"""

from __future__ import annotations

import datetime
import email.utils
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from http.cookies import Morsel, SimpleCookie
from typing import Any

from azure.functions.meta import Datum

from worker_ext.errors import PayloadError
from worker_ext.rpc import pb

_MESSAGES = frozenset(
    {
        "collection_bytes",
        "collection_string",
        "collection_double",
        "collection_sint64",
        "model_binding_data",
        "collection_model_binding_data",
    }
)


def from_typed_data(data: pb.TypedData) -> Datum | None:
    """Read a value of the host's; None stands for null.

    Raises:
        PayloadError: The value is of a kind that hosts do not send to workers.
    """
    kind = data.WhichOneof("data")
    match kind:
        case None:
            return None
        case "string" | "json" | "bytes" | "int" | "double":
            return Datum(getattr(data, kind), kind)
        case "http":
            return Datum(_http_members(data.http), "http")
        case _ if kind in _MESSAGES:
            return Datum(getattr(data, kind), kind)
        case _:
            raise PayloadError(f"TypedData.{kind}", "expected a value, collection or http request, found a stream")


def _http_members(http: pb.RpcHttp) -> dict[str, Any]:
    return {
        "method": Datum(http.method, "string"),
        "url": Datum(http.url, "string"),
        "headers": _texts(http.headers),
        "params": _texts(http.params),
        "query": _texts(http.query),
        "body": from_typed_data(http.body) or Datum(b"", "bytes"),
    }


def _texts(texts: Mapping[str, str]) -> dict[str, Datum]:
    return {name: Datum(text, "string") for name, text in texts.items()}


class TriggerMetadata(Mapping[str, Datum | None]):
    """The metadata of a trigger, each value converted when it is read.

    The host repeats the whole input of some triggers here, which few converters look at.
    """

    def __init__(self, values: Mapping[str, pb.TypedData]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Datum | None:
        if name not in self._values:  # reading a missing key would add it to the message
            raise KeyError(name)
        return from_typed_data(self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def write(datum: Datum | None, target: pb.TypedData) -> None:
    """Write a converter's output into the message that takes it to the host.

    Raises:
        TypeError: The converter made a Datum of a kind that no host reads.
    """
    kind = None if datum is None else datum.type
    if datum is None or kind is None:
        target.SetInParent()
        return
    writer = _WRITERS.get(kind)
    if writer is None:
        raise TypeError(f"a converter gave a Datum of kind {kind!r}; expected one of {', '.join(_WRITERS)}")
    try:
        writer(target, datum.value)
    except TypeError as error:
        found = type(datum.value).__name__
        raise TypeError(f"a converter gave a Datum of kind {kind!r} that holds a {found!r}: {error}") from error


def _write_string(target: pb.TypedData, value: Any) -> None:
    target.string = value


def _write_json(target: pb.TypedData, value: Any) -> None:
    target.json = value


def _write_bytes(target: pb.TypedData, value: Any) -> None:
    target.bytes = value


def _write_int(target: pb.TypedData, value: Any) -> None:
    target.int = int(value)


def _write_double(target: pb.TypedData, value: Any) -> None:
    target.double = value


def _write_document(target: pb.TypedData, value: Any) -> None:
    target.json = json.dumps(value)


def _write_http(target: pb.TypedData, value: Mapping[str, Any]) -> None:
    http = target.http
    http.status_code = value["status_code"].value
    for name, header in value["headers"].items():
        http.headers[name] = header.value
    http.cookies.extend(_cookies(value.get("cookies") or ()))
    write(value["body"], http.body)


_WRITERS: dict[str, Callable[[pb.TypedData, Any], None]] = {
    "string": _write_string,
    "json": _write_json,
    "bytes": _write_bytes,
    "http": _write_http,
    "int": _write_int,
    "bool": _write_int,
    "double": _write_double,
    "dict": _write_document,
    "list": _write_document,
}


def _cookies(headers: Iterable[SimpleCookie]) -> Iterator[pb.RpcHttpCookie]:
    """One cookie a `Set-Cookie` header, as the host rebuilds them."""
    for header in headers:
        for morsel in header.values():
            yield _cookie(morsel)


# The host takes None (0) as "not stated"; the attribute SameSite=None is ExplicitNone.
_SAME_SITE = {"lax": "Lax", "strict": "Strict", "none": "ExplicitNone"}


def _cookie(morsel: Morsel[str]) -> pb.RpcHttpCookie:
    cookie = pb.RpcHttpCookie(name=morsel.key, value=morsel.value)
    if morsel["domain"]:
        cookie.domain.value = morsel["domain"]
    if morsel["path"]:
        cookie.path.value = morsel["path"]
    if morsel["expires"]:
        cookie.expires.value.FromDatetime(_expiry(morsel["expires"]))
    if morsel["secure"]:
        cookie.secure.value = True
    if morsel["httponly"]:
        cookie.http_only.value = True
    if morsel["max-age"]:
        cookie.max_age.value = _seconds(morsel["max-age"])
    if same_site := _SAME_SITE.get(morsel["samesite"].lower()):
        cookie.same_site = pb.RpcHttpCookie.SameSite.Value(same_site)
    return cookie


def _expiry(text: str) -> datetime.datetime:
    """Read the date of a cookie, in the old form with dashes too."""
    try:
        moment = email.utils.parsedate_to_datetime(text.replace("-", " ") if text.count("-") == 2 else text)
    except ValueError:
        raise ValueError(
            f"a cookie's 'expires' must be a date such as 'Wed, 21 Oct 2026 07:28:00 GMT': {text!r}"
        ) from None
    return moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"a cookie's 'max-age' must be a number of seconds: {text!r}") from None
