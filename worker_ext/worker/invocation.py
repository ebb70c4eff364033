"""One call of a user function: values in, the call, values out.

`call_sync` runs in a thread and `call_async` on the loop; both fill the reply, whatever happens. Every conversion is in
here, so that it runs where the function runs and the loop is left to the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

import azure.functions

from worker_ext import tracing
from worker_ext.errors import PayloadError
from worker_ext.rpc import pb
from worker_ext.worker import bindings, datums, failures
from worker_ext.worker.checks import CONTEXT
from worker_ext.worker.context import INVOCATION_ID, InvocationContext
from worker_ext.worker.indexing import AppFunction


class Output(azure.functions.Out[Any]):
    """An output parameter: the function sets it, the worker sends it."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        """Set the value that goes out."""
        self._value = val

    def get(self) -> Any:
        """Return the value that was set, or None."""
        return self._value


def call_sync(function: AppFunction, request: pb.InvocationRequest, reply: pb.InvocationResponse) -> None:
    """Invoke a plain function and fill the reply."""
    INVOCATION_ID.set(request.invocation_id)
    token = tracing.attach(request.trace_context.trace_parent, request.trace_context.trace_state)
    try:
        arguments = read_arguments(function, request)
        result = function.call(**arguments)
        write_results(function, arguments, result, reply)
    except BaseException as error:  # noqa: BLE001 - the host waits for an answer, even after sys.exit()
        _fail(reply, error)
    finally:
        tracing.detach(token)
        _flush_prints()


async def call_async(function: AppFunction, request: pb.InvocationRequest, reply: pb.InvocationResponse) -> None:
    """Invoke a coroutine function and fill the reply; a task that is cancelled answers so."""
    INVOCATION_ID.set(request.invocation_id)
    token = tracing.attach(request.trace_context.trace_parent, request.trace_context.trace_state)
    try:
        arguments = read_arguments(function, request)
        result = await function.call(**arguments)
        write_results(function, arguments, result, reply)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            cancel(reply)
        else:
            _fail(reply, error)
    except BaseException as error:  # noqa: BLE001 - the host waits for an answer, even after sys.exit()
        _fail(reply, error)
    finally:
        tracing.detach(token)
        _flush_prints()


def _flush_prints() -> None:
    """Let the host see what the function printed; the app may have replaced or closed stdout."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()


def cancel(reply: pb.InvocationResponse) -> None:
    """Answer that the invocation did not run to its end because the host asked for that."""
    reply.result.status = pb.StatusResult.Cancelled


def _fail(reply: pb.InvocationResponse, error: BaseException) -> None:
    reply.ClearField("output_data")
    reply.ClearField("return_value")
    failures.fail(reply.result, error)


def read_arguments(function: AppFunction, request: pb.InvocationRequest) -> dict[str, Any]:
    """Convert what the host sent to the function's arguments.

    Raises:
        PayloadError: The host sent a value the function has no parameter for, or by a way this worker did not offer.
        TypeError: A binding cannot take the value.
    """
    ports = function.signature.inputs
    metadata = datums.TriggerMetadata(request.trigger_metadata)
    arguments: dict[str, Any] = {}
    for parameter in request.input_data:
        name = parameter.name
        port = ports.get(name)
        if port is None:
            raise PayloadError(f"input_data[{name!r}]", f"function {function.name!r} has the inputs {sorted(ports)}")
        if parameter.HasField("rpc_shared_memory"):
            raise PayloadError(f"input_data[{name!r}]", "expected the value itself, found a shared memory region")
        datum = datums.from_typed_data(parameter.data)
        arguments[name] = bindings.decode(port.binding_type, datum, metadata, port.label)
    if len(arguments) < len(ports):
        missing = sorted(ports.keys() - arguments.keys())
        raise PayloadError("input_data", f"the host sent no value for {', '.join(map(repr, missing))}")
    if function.signature.wants_context:
        arguments[CONTEXT] = InvocationContext(function, request)
    for name in function.signature.outputs:
        arguments[name] = Output()
    return arguments


def write_results(function: AppFunction, arguments: dict[str, Any], result: Any, reply: pb.InvocationResponse) -> None:
    """Convert the function's outputs and return value into the reply.

    Raises:
        TypeError: A binding cannot carry the value, or the function returned one without a binding for it.
    """
    for name, port in function.signature.outputs.items():
        value = arguments[name].get()
        if value is not None:
            datum = bindings.encode(port.binding_type, value, port.annotation, port.label)
            datums.write(datum, reply.output_data.add(name=name).data)
    returns = function.signature.returns
    if returns is not None:
        datum = bindings.encode(returns.binding_type, result, returns.annotation, returns.label)
        datums.write(datum, reply.return_value)
    elif result is not None:
        raise TypeError(
            f"the function returned a value of type {type(result).__name__!r}, but none of its bindings takes a return "
            "value: return nothing, or bind '$return'"
        )
    reply.result.status = pb.StatusResult.Success
