"""`python -m worker_ext.worker`: what a Functions host starts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from worker_ext.errors import DurableError
from worker_ext.rpc.frames import SCHEME
from worker_ext.worker import logs, stream
from worker_ext.worker.outbox import Outbox

_EXIT_SECONDS = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the host named by the arguments until it is done; return the exit code."""
    # Ctrl-C goes to every process of a terminal, and it is the host's to say what it means. A handler, unlike SIG_IGN,
    # is not inherited by what the app starts.
    signal.signal(signal.SIGINT, lambda *_: None)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    # Python takes cached bytecode for a file's where size and second agree, which hides a change made at once.
    sys.dont_write_bytecode = True
    address = parse(sys.argv[1:] if arguments is None else arguments)
    outbox = Outbox()
    logs.install(outbox, address.request_id)
    try:
        asyncio.run(_serve(address, outbox))
    except DurableError as error:
        logs.print_unsent(outbox)
        logs.console(f"worker_ext.worker: error: {error}")
        return 1
    finally:
        sys.stdout.flush()
    return 0


async def _serve(address: stream.Address, outbox: Outbox) -> None:
    code = 1
    try:
        await stream.serve(address, outbox)
        code = 0
    finally:
        # Whatever the app left running (a task that ignores its cancellation, a thread) must not keep the process.
        watchdog = threading.Timer(_EXIT_SECONDS, os._exit, args=(code,))
        watchdog.daemon = True
        watchdog.start()


def parse(arguments: Sequence[str]) -> stream.Address:
    """Read the command line: hosts send each value in an old and a new spelling, and may add others."""
    parser = argparse.ArgumentParser("python -m worker_ext.worker", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--functions-uri",
        help="address of the host, such as http://127.0.0.1:50123/; tcp:// where it speaks plain frames",
    )
    parser.add_argument("--functions-worker-id", help="who the host takes this process for")
    parser.add_argument("--functions-request-id", help="request id of messages that answer none")
    parser.add_argument("--host", help="older spelling of --functions-uri, with --port")
    parser.add_argument("--port", type=int)
    parser.add_argument("--workerId", help="older spelling of --functions-worker-id")
    parser.add_argument("--requestId", help="older spelling of --functions-request-id")
    options, _ = parser.parse_known_args(arguments)
    host, port, scheme = _address(parser, options)
    worker_id = options.functions_worker_id or options.workerId
    if not worker_id:
        parser.error("--functions-worker-id (or --workerId) is missing: the host says who this worker is")
    request_id = options.functions_request_id or options.requestId or ""
    return stream.Address(host, port, worker_id, request_id, speaks_frames=scheme == SCHEME)


def _address(parser: argparse.ArgumentParser, options: argparse.Namespace) -> tuple[str, int, str]:
    if options.functions_uri:
        scheme, host, port = "", None, None
        with contextlib.suppress(ValueError):
            parts = urlsplit(options.functions_uri)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
        if host is None or port is None:
            parser.error(f"--functions-uri must look like http://127.0.0.1:50123/, not {options.functions_uri!r}")
        return host, port, scheme
    if not options.host or not options.port:
        parser.error("--functions-uri (or --host and --port) is missing: this program is started by a Functions host")
    return options.host, options.port, "http"


if __name__ == "__main__":
    sys.exit(main())
