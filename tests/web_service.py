"""A web service on this machine, for apps under test that call one; the test says what it answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """What the service was asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The body as the fields of a form."""
        return _single(self.body.decode())


@dataclass(frozen=True)
class Reply:
    """What the service answers: a status, a body that is sent as JSON, and headers."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[Request], Reply]


@dataclass
class WebService:
    """A server for as many requests at a time as come.

    Attributes:
        url: Its address, without a slash at the end.
        answers: What answers requests to a path; others get a 404.
        requests: What it was asked, oldest first.
    """

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def serve(self, path: str, answer: Answer) -> str:
        """Has a path answered from now on; returns its URL."""
        self.answers[path] = answer
        return self.url + path

    def serve_in_turn(self, path: str, *replies: Reply) -> str:
        """Has a path answered with one reply after the other, and then with the last for ever; returns its URL."""
        waiting = list(replies)
        lock = threading.Lock()

        def answer(_: Request) -> Reply:
            with lock:
                return waiting.pop(0) if len(waiting) > 1 else waiting[0]

        return self.serve(path, answer)

    def asked(self, path: str) -> list[Request]:
        """The requests for a path."""
        return [request for request in self.requests if request.path == path]


@contextmanager
def web_service() -> Iterator[WebService]:
    """Runs a service on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.command, address.path, _single(address.query), dict(self.headers), body)
            service.requests.append(request)
            answer = service.answers.get(address.path)
            reply = answer(request) if answer else Reply(404)
            content = b"" if reply.body is None else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - as the base class looks for them

        def log_message(self, *args: Any) -> None:
            """Says nothing: the test's output is for the host."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = WebService(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _single(encoded: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(encoded, keep_blank_values=True).items()}
