"""The default transport: one session a loop, loaded late, closed in time and in silence."""

import asyncio
import gc
import subprocess
import sys
import textwrap

import pytest

from worker_ext import http_transport
from worker_ext.http_transport import AiohttpTransport, Request

SERVER = """
import asyncio, json, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps(self.client_address).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"

from worker_ext.http_transport import AiohttpTransport, Request

async def ask():
    return (await AiohttpTransport().send(Request("GET", url))).body
"""


def run(program: str) -> str:
    """Runs a program in a fresh interpreter with every warning shown; what it says on both streams."""
    result = subprocess.run(
        [sys.executable, "-W", "always", "-c", SERVER + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return f"{result.stdout}{result.stderr}".strip()


def test_aiohttp_is_imported_at_the_first_request() -> None:
    program = """
        import worker_ext
        before = "aiohttp" in sys.modules
        asyncio.run(ask())
        print(before, "aiohttp" in sys.modules)
    """
    assert run(program) == "False True"


def test_the_session_of_a_loop_is_shared_and_closed_with_it() -> None:
    program = """
        from worker_ext import http_transport

        async def twice():
            first, second = await ask(), await ask()
            [(session, _)] = http_transport._sessions.values()
            return first == second, session

        for _ in range(2):
            same_connection, session = asyncio.run(twice())
            print(same_connection, session.closed, len(http_transport._sessions))
    """
    assert run(program).splitlines() == ["True True 0", "True True 0"]


@pytest.mark.parametrize("end", ["", "loop.close()"])
def test_a_loop_that_is_not_shut_down_leaves_no_warning_at_exit(end: str) -> None:
    program = f"""
        loop = asyncio.new_event_loop()
        print(loop.run_until_complete(ask()) != b"")
        {end}
    """
    shown = run(program).splitlines()
    # A loop that is dropped without being closed is told by asyncio itself; of the session nothing may be heard.
    assert [line for line in shown if "session" in line.lower() or "connector" in line.lower()] == []
    assert shown[0] == "True"


async def test_a_session_that_was_closed_is_opened_again_for_good() -> None:
    first = await http_transport._session()
    await first.close()
    second = await http_transport._session()
    gc.collect()
    await asyncio.sleep(0)  # what the loop does for the generator of the first one
    assert (second is first, second.closed, await http_transport._session() is second) == (False, False, True)


async def test_first_requests_side_by_side_share_a_session() -> None:
    first, second = await asyncio.gather(http_transport._session(), http_transport._session())
    assert first is second


async def test_a_host_that_is_not_there_is_told_by_aiohttp(unused_tcp_port: int) -> None:
    from aiohttp import ClientConnectionError

    with pytest.raises(ClientConnectionError):
        await AiohttpTransport().send(Request("GET", f"http://127.0.0.1:{unused_tcp_port}/"))


def test_two_loops_have_a_session_each() -> None:
    async def session() -> object:
        return await http_transport._session()

    assert asyncio.run(session()) is not asyncio.run(session())
