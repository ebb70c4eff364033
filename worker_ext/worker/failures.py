"""How an error is told to the host: message, stack and type.

The stack holds the user's frames: those of this package above the first of them only say how the worker calls code.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from worker_ext.errors import AppError
from worker_ext.rpc import pb

_OURS = str(Path(__file__).parents[1])
_PYTHON_IMPORTS = "<frozen importlib"


def fail(result: pb.StatusResult, error: BaseException) -> None:
    """Turn an error into a failed result."""
    result.status = pb.StatusResult.Failure
    result.exception.message = clean(str(error) if isinstance(error, AppError) else message(error))
    result.exception.stack_trace = clean(stack(error))
    result.exception.type = type(error).__qualname__
    result.exception.is_user_exception = not isinstance(error, AppError)


def message(error: BaseException) -> str:
    """Return `TypeName: text`, the form that extensions parse."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - an error class of the user's own, whose text fails as well
        text = f"<its text cannot be made: {type(broken).__name__}>"
    return f"{type(error).__name__}: {text}"


def stack(error: BaseException) -> str:
    """Return the traceback with its causes, without the worker's own frames."""
    report = traceback.TracebackException.from_exception(error)
    _trim(report, set())
    return "".join(report.format())


def _trim(report: traceback.TracebackException, seen: set[int]) -> None:
    if id(report) in seen:
        return
    seen.add(id(report))
    first = next((number for number, frame in enumerate(report.stack) if not _is_ours(frame.filename)), None)
    if first:
        del report.stack[:first]
    for other in (report.__cause__, report.__context__, *(report.exceptions or ())):
        if other is not None:
            _trim(other, seen)


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OURS, _PYTHON_IMPORTS))


def syntax_error(error: SyntaxError) -> str:
    """Return file, line and text of a syntax error, as Python shows them."""
    return "".join(traceback.TracebackException(type(error), error, None).format_exception_only()).strip("\n")


def clean(text: str) -> str:
    """Make text fit for the wire, which takes no lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
