"""HTTP triggers: a request as RpcHttp, and what a function answered as a response.

Source: worker protocol, section on the HTTP trigger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web
from multidict import CIMultiDict

from worker_ext.host.functions import HostFunction
from worker_ext.protocol.codec import decode_json, encode_value
from worker_ext.rpc import pb

JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"

# What the server works out for itself.
_OWN_HEADERS = frozenset({"content-length", "transfer-encoding", "connection"})
_SAME_SITE = {1: "lax", 2: "strict", 3: "none"}


def request_data(request: web.BaseRequest, body: bytes, params: Mapping[str, str], *, raw_body: bool) -> pb.TypedData:
    """The request as the trigger's datum. Empty query values are left out; repeated names are joined by commas."""
    data = pb.TypedData()
    http = data.http
    http.method = request.method
    http.url = f"{request.scheme}://{request.host}{request.raw_path}"
    http.headers.update(_joined((name.lower(), value) for name, value in request.headers.items()))
    http.query.update(_joined(pair for pair in request.query.items() if pair[1]))
    http.params.update(params)
    if body and raw_body:
        http.body.bytes = body
    elif body:
        http.body.string = body.decode(errors="replace")
    return data


def response_from(function: HostFunction, answer: pb.InvocationResponse) -> web.Response:
    """What goes to the caller: a failure is an empty 500, no answer an empty 200."""
    if answer.result.status != pb.StatusResult.Success:
        return web.Response(status=500)
    data = answer.return_value
    named = [item.data for item in answer.output_data if item.name == function.http_output]
    if named:
        data = named[0]
    match data.WhichOneof("data"):
        case None:
            return web.Response()
        case "http":
            return _from_rpc_http(data.http)
        case "string":
            return _from_text(data.string)
        case "json":
            return _from_value(decode_json(data.json))
        case "bytes":
            return web.Response(body=data.bytes, headers={"Content-Type": "application/octet-stream"})
        case case:
            return _text_response(str(getattr(data, case)))


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _from_rpc_http(http: pb.RpcHttp) -> web.Response:
    headers = CIMultiDict((name, value) for name, value in http.headers.items() if name.lower() not in _OWN_HEADERS)
    body, content_type = _body(http.body)
    if content_type is not None:
        headers.setdefault("Content-Type", content_type)
    for cookie in http.cookies:
        headers.add("Set-Cookie", _cookie(cookie))
    status = int(http.status_code) if http.status_code.isdecimal() else 200
    return web.Response(status=status, body=body, headers=headers)


def _body(data: pb.TypedData) -> tuple[bytes, str | None]:
    match data.WhichOneof("data"):
        case None:
            return b"", None
        case "bytes":
            return data.bytes, "application/octet-stream"
        case "json":
            return data.json.encode(), JSON_TYPE
        case case:
            return str(getattr(data, case)).encode(), TEXT_TYPE


def _from_text(text: str) -> web.Response:
    """A returned `str`: JSON is answered as JSON, an object with a `body` is a whole response."""
    try:
        value = decode_json(text)
    except ValueError:
        return _text_response(text)
    return _from_value(value)


def _from_value(value: Any) -> web.Response:
    if not isinstance(value, dict) or "body" not in value:
        return web.Response(text=encode_value(value), headers={"Content-Type": JSON_TYPE})
    status = str(value.get("statusCode", value.get("status")))
    given = value.get("headers")
    headers = CIMultiDict({name: str(item) for name, item in given.items()} if isinstance(given, dict) else {})
    body = value["body"]
    is_text = isinstance(body, str)
    headers.setdefault("Content-Type", TEXT_TYPE if is_text else JSON_TYPE)
    text = body if is_text else encode_value(body)
    return web.Response(status=int(status) if status.isdecimal() else 200, body=text.encode(), headers=headers)


def _text_response(text: str) -> web.Response:
    return web.Response(body=text.encode(), headers={"Content-Type": TEXT_TYPE})


def _cookie(cookie: pb.RpcHttpCookie) -> str:
    """One Set-Cookie header as ASP.NET Core writes it: the value escaped, the path `/` unless it is given."""
    parts = [f"{cookie.name}={quote(cookie.value, safe='')}"]
    if cookie.HasField("expires"):
        parts.append(f"expires={format_datetime(cookie.expires.value.ToDatetime(UTC), usegmt=True)}")
    if cookie.HasField("max_age"):
        parts.append(f"max-age={int(cookie.max_age.value)}")
    if cookie.HasField("domain"):
        parts.append(f"domain={cookie.domain.value}")
    parts.append(f"path={cookie.path.value if cookie.HasField('path') else '/'}")
    if cookie.secure.value:
        parts.append("secure")
    if cookie.same_site in _SAME_SITE:
        parts.append(f"samesite={_SAME_SITE[cookie.same_site]}")
    if cookie.http_only.value:
        parts.append("httponly")
    return "; ".join(parts)
