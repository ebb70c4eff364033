"""Which pages of other origins a browser may let at the host: `Host.CORS` of local.settings.json.

Source: Core Tools' local.settings.json; the answers are those of ASP.NET Core's CORS middleware.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from worker_ext.host.settings import CorsSettings

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def with_cors(handler: Handler, settings: CorsSettings) -> Handler:
    """A handler that answers preflight requests and marks answers for the origins that are let in."""
    if not settings.origins:
        return handler

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        headers = _allowing(request.headers.get("Origin"), settings)
        method = request.headers.get("Access-Control-Request-Method")
        if request.method == "OPTIONS" and method is not None and "Origin" in request.headers:
            return web.Response(status=204, headers=headers and {**headers, **_preflight(request, method)})
        response = await handler(request)
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response

    return handle


def _allowing(origin: str | None, settings: CorsSettings) -> dict[str, str]:
    """The headers that let an origin in; none if it is not."""
    if origin is None:
        return {}
    is_any = "*" in settings.origins
    if not is_any and origin.lower() not in settings.origins:
        return {}
    if is_any and not settings.credentials:
        return {"Access-Control-Allow-Origin": "*"}
    headers = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
    return headers | ({"Access-Control-Allow-Credentials": "true"} if settings.credentials else {})


def _preflight(request: web.BaseRequest, method: str) -> dict[str, str]:
    wanted = request.headers.get("Access-Control-Request-Headers")
    headers = {"Access-Control-Allow-Methods": method}
    return headers | ({"Access-Control-Allow-Headers": wanted} if wanted else {})
