"""`worker.py` of a worker folder: a process around Microsoft's request handlers, as the worker of Python 3.13 is one.

It is copied into a folder where `azure-functions-runtime`, `azure-functions-runtime-v1`, grpcio and protobuf were
installed, and knows nothing of this repository: the stream, its generated messages in protobuf's default pool, the
choice of a handler package, the order of `sys.path`, a task a message, logs. What it leaves out of the proxy worker:
shared memory, HTTP streaming, telemetry.

Source: Functions worker protocol, sections on the start of a worker, on `sys.path`, and on the message sequence.
"""

# mypy: ignore-errors

import argparse
import asyncio
import importlib
import logging
import os
import sys
import threading
import traceback
from pathlib import Path

FOLDER = str(Path(__file__).parent)
SCRIPT_ROOT = os.environ.get("AzureWebJobsScriptRoot", "")  # noqa: SIM112
APP_PACKAGES = str(Path(SCRIPT_ROOT, ".python_packages", "lib", "site-packages"))
sys.path.insert(0, FOLDER)
sys.path.append(SCRIPT_ROOT)

import grpc  # noqa: E402

from tests import protos  # noqa: E402 - the messages that the wheel of the handlers was tested with

HANDLERS = {
    "worker_init_request": "worker_init_response",
    "functions_metadata_request": "function_metadata_response",
    "function_load_request": "function_load_response",
    "function_environment_reload_request": "function_environment_reload_response",
    "invocation_request": "invocation_response",
}
SYSTEM_LOGS = ("proxy_worker", "azure.functions")
log = logging.getLogger("proxy_worker")


class Request:
    """What a handler is given: the message, and what the process knows."""

    def __init__(self, message, host):
        self.request = message
        self.properties = {"host": host, "protos": protos}


class Proxy:
    """One stream to one host."""

    def __init__(self, options):
        self.options = options
        self.loop = asyncio.get_running_loop()
        self.outgoing = asyncio.Queue()
        self.handlers = None
        self.tasks = set()

    def put(self, **content):
        message = protos.StreamingMessage(request_id=self.options.requestId, **content)
        self.loop.call_soon_threadsafe(self.outgoing.put_nowait, message)

    async def run(self):
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(f"{self.options.host}:{self.options.port}", options=options) as channel:
            await asyncio.wait_for(channel.channel_ready(), 5)
            call = protos.FunctionRpcStub(channel).EventStream()
            await call.write(protos.StreamingMessage(start_stream=protos.StartStream(worker_id=self.options.workerId)))
            self.spawn(self.write(call))
            logging.getLogger().addHandler(RpcLogHandler(self))
            logging.getLogger().setLevel(logging.INFO)
            while (message := await call.read()) is not grpc.aio.EOF:
                self.spawn(self.handle(message))

    def spawn(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.ended)

    def ended(self, task):
        """Ends the process where a handler raised: the proxy worker would go on without ever answering."""
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            traceback.print_exception(task.exception())
            os._exit(3)

    async def write(self, call):
        while True:
            await call.write(await self.outgoing.get())

    async def handle(self, message):
        kind = message.WhichOneof("content")
        if kind == "worker_status_request":
            self.put(worker_status_response=protos.WorkerStatusResponse())
        elif kind in HANDLERS:
            if kind in {"worker_init_request", "function_environment_reload_request"}:
                self.open_app(getattr(message, kind).function_app_directory)
            handler = getattr(self.handlers, kind)
            self.put(**{HANDLERS[kind]: await handler(Request(message, self.options.host))})
        else:
            log.error("unknown StreamingMessage content type %s", kind)

    def open_app(self, directory):
        """Puts the app's packages first, then chooses the handlers by the model of the app."""
        prefer_app_packages()
        script = os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
        is_v2 = Path(directory, script).exists()
        self.handlers = importlib.import_module("azure_functions_runtime" if is_v2 else "azure_functions_runtime_v1")
        self.handlers.start_threadpool_executor()
        log.info("handlers %s, azure.functions %s", self.handlers.__file__, importlib.import_module("azure.functions"))

    def invocation_id(self):
        variable = getattr(self.handlers, "invocation_id_cv", None)
        return (variable and variable.get()) or ""


def prefer_app_packages():
    """Leaves the worker's packages for the app's, and forgets the modules that came from the former."""
    packages = [
        entry for entry in sys.path if SCRIPT_ROOT and entry.startswith(SCRIPT_ROOT) and "site-packages" in entry
    ]
    if not packages and Path(APP_PACKAGES).is_dir():
        packages = [APP_PACKAGES]
    if not packages:
        return
    for name in [name for name, module in list(sys.modules.items()) if is_dropped(name, module)]:
        del sys.modules[name]
    sys.path[:] = [*packages, FOLDER, *(entry for entry in sys.path if entry not in {*packages, FOLDER, SCRIPT_ROOT})]
    sys.path.append(SCRIPT_ROOT)
    importlib.invalidate_caches()


def is_dropped(name, module):
    """Whether a module came from the worker's folder, and is not the worker's own code."""
    places = [getattr(module, "__file__", None) or "", *(getattr(module, "__path__", None) or ())]
    return name.partition(".")[0] not in {"__main__", "tests"} and any(str(x).startswith(FOLDER) for x in places)


class RpcLogHandler(logging.Handler):
    """Records as messages of the stream."""

    def __init__(self, proxy):
        super().__init__()
        self.proxy = proxy

    def emit(self, record):
        if threading.current_thread().name.startswith("grpc"):
            return
        levels = ((50, "Critical"), (40, "Error"), (30, "Warning"), (20, "Information"), (0, "Debug"))
        level = next(name for least, name in levels if record.levelno >= least)
        category = "System" if record.name.startswith(SYSTEM_LOGS) else "User"
        self.proxy.put(
            rpc_log=protos.RpcLog(
                level=protos.RpcLog.Level.Value(level),
                message=self.format(record),
                category=record.name,
                log_category=protos.RpcLog.RpcLogCategory.Value(category),
                invocation_id=self.proxy.invocation_id(),
            )
        )


async def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--workerId")
    parser.add_argument("--requestId")
    options, _ = parser.parse_known_args()
    await Proxy(options).run()


if __name__ == "__main__":
    asyncio.run(main())
