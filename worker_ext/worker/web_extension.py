"""The web extension that the app has imported, if any: the types and the server of HTTP streaming.

Rule: such a package (azurefunctions-extensions-http-fastapi is the one there is) tells azurefunctions-extensions-base,
when it is imported, its type of requests, its types of answers, and the module of its server. The worker imports
neither: an app that streams has done so.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

BASE = "azurefunctions.extensions.base"


def is_installed() -> bool:
    """Whether an app can have imported a web extension; looks for the package without importing it."""
    try:
        return BASE in sys.modules or importlib.util.find_spec(BASE) is not None
    except ModuleNotFoundError:  # not even the package it would be in
        return False


def _base() -> Any | None:
    """The package that knows the web extension, where one is imported."""
    base = sys.modules.get(BASE)
    return base if base is not None and base.HttpV2FeatureChecker.http_v2_enabled() else None


def is_imported() -> bool:
    """Whether the app has imported a web extension."""
    return _base() is not None


def is_request(annotation: Any) -> bool:
    """Whether this is the extension's type of requests."""
    base = _base()
    return base is not None and bool(base.RequestTrackerMeta.check_type(annotation))


def is_answer(annotation: Any) -> bool:
    """Whether this is one of the extension's types of answers: its responses, and the values it makes them of."""
    base = _base()
    return base is not None and bool(base.ResponseTrackerMeta.check_type(annotation))


def set_route_params(request: Any, params: Mapping[str, str]) -> None:
    """Give a request the values of the function's route, which the extension's server does not know."""
    base = _base()
    assert base is not None
    base.RequestTrackerMeta.get_synchronizer().sync_route_params(request, dict(params))


def server(host: str, port: int, answer: Callable[[Any], Awaitable[Any]]) -> Coroutine[Any, Any, None]:
    """The extension's server, not started yet, for an address; it has every request answered by `answer`."""
    base = _base()
    assert base is not None
    module = sys.modules[base.ModuleTrackerMeta.get_module()]

    async def answer_any(request: Any) -> Any:
        return await answer(request)

    # The framework looks at the annotation to see that it is to pass the request.
    answer_any.__annotations__ = {"request": base.RequestTrackerMeta.get_request_type()}
    app = module.WebApp()
    app.route(answer_any)
    serving: Coroutine[Any, Any, None] = module.WebServer(host, port, app).serve()
    return serving
