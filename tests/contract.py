"""Holds everything that goes over the wire in this suite to `bindings/`.

`watch()` puts a check behind each place where something leaves us: the decorators' declarations, the host's payloads,
the engine's replies, and what any worker answers, ours or not. A fault is noted, not raised, since the code under test
may take an error for the app's; the fixture below ends the test with it. Hosts that run as processes of their own note
their faults in a file: `environment()` has them load `contract_site/sitecustomize.py`.

What a test itself sends, which is damaged on purpose often enough, is not looked at.
"""

from __future__ import annotations

import functools
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

BINDINGS = Path(__file__).resolve().parents[1] / "bindings"
KINDS = ("activityTrigger", "durableClient", "entityTrigger", "orchestrationTrigger")
DECLARATION, REQUEST, RESPONSE = "declaration", "request", "response"
MARKER = "\n\n$OutOfProcData$:"
FILE_SETTING = "WORKER_EXT_CONTRACT_FAULTS"

_SITE = Path(__file__).parent / "contract_site"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_SHOWN = 600

faults: list[str] = []
"""What was found in this process since the last test began."""


@functools.cache
def validator(kind: str, part: str) -> jsonschema_rs.Draft202012Validator:
    """The compiled schema of a binding's declaration, request or response."""
    return jsonschema_rs.Draft202012Validator(schema(kind, part))


def schema(kind: str, part: str) -> dict[str, Any]:
    """The schema of a binding's declaration, request or response."""
    folder = BINDINGS / kind
    path = folder / ("binding.json" if part == DECLARATION else f"{part}.schema.json")
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, Any] = read["schema"] if part == DECLARATION else read
    return found


def check(kind: str, part: str, value: Any) -> None:
    """Notes how a value breaks the schema of a binding's part, if it does."""
    for error in validator(kind, part).iter_errors(value):
        where = "".join(f"[{step!r}]" for step in error.instance_path)
        _note(f"{kind} {part}{where}: {error.message[:_SHOWN]}\nin {json.dumps(value, default=str)[:_SHOWN]}")


def check_text(kind: str, part: str, text: str | None) -> None:
    """The same for JSON text; None is null."""
    try:
        value = None if text is None else _loads(text)
    except ValueError as error:
        _note(f"{kind} {part}: expected JSON ({error}), found {str(text)[:_SHOWN]}")
    else:
        check(kind, part, value)


def _loads(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:  # half a surrogate pair is JSON, and no text that can be written as UTF-8
        return json.loads(_SURROGATE.sub("?", text))


def check_declarations(bindings: list[dict[str, Any]]) -> None:
    """Notes what is wrong with the durable ones among a function's bindings."""
    for binding in bindings:
        if binding.get("type") in KINDS:
            check(binding["type"], DECLARATION, binding)


def check_answer(kind: str, response: Any) -> None:
    """Notes what is wrong with what a worker answered for a function of a durable trigger."""
    from worker_ext.host.workers import json_text
    from worker_ext.rpc import pb

    if response.result.status == pb.StatusResult.Success:
        check_text(kind, RESPONSE, json_text(response.return_value))
    elif kind == "orchestrationTrigger":
        message = response.result.exception.message
        _, marker, state = message.partition(MARKER)
        if marker:
            check_text(kind, RESPONSE, state)


def check_answer_of(metadata: Any, response: Any) -> None:
    """The same, for a function as a worker or the host has described it."""
    for binding in metadata.bindings.values():
        if binding.type in KINDS and binding.type.endswith("Trigger"):
            check_answer(binding.type, response)


def _note(fault: str) -> None:
    file = os.environ.get(FILE_SETTING)
    if file is None:
        faults.append(fault)
        return
    with Path(file).open("a", encoding="utf-8") as noted:
        noted.write(json.dumps(fault) + "\n")


# ---------------------------------------------------------------- where things leave us


def watch() -> None:
    """Checks from now on what this process declares, sends and answers; calling it again does nothing."""
    if not _watched:
        _watch_declarations()
        _watch_engine()
        watch_host()


_watched: list[str] = []


def _behind(owner: Any, name: str, look: Callable[..., None]) -> None:
    """Has `look(result, *arguments)` called behind a function of a class or module."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        look(result, *args, **kwargs)
        return result

    setattr(owner, name, watched)
    _watched.append(name)


def _watch_declarations() -> None:
    from azure.functions.decorators.function_app import Function

    _behind(Function, "get_raw_bindings", lambda raw, _self: check_declarations([json.loads(text) for text in raw]))


def _watch_engine() -> None:
    from worker_ext.engine.entity import EntityExecutor
    from worker_ext.engine.orchestration import OrchestrationExecutor
    from worker_ext.errors import PayloadError

    def look(state: Any, _self: OrchestrationExecutor) -> None:
        try:
            text = state.encode()
        except PayloadError:  # nothing that can be sent; whoever encodes it hears that too
            return
        check_text("orchestrationTrigger", RESPONSE, text)

    _behind(OrchestrationExecutor, "state", look)
    _behind(EntityExecutor, "state", lambda state, _self: check_text("entityTrigger", RESPONSE, state.encode()))


def watch_host() -> None:
    """Checks what the local host sends, and what workers answer it."""
    from worker_ext.host import entities, functions, links, rendering, v1_functions, worker_member, workers

    def catalog(found: Any, *_: Any) -> None:
        for function in found.functions:
            check_declarations(list(function.bindings))

    _behind(rendering.PayloadWriter, "write", lambda text, *_: check_text("orchestrationTrigger", REQUEST, text))
    _behind(entities, "payload", lambda text, *_: check_text("entityTrigger", REQUEST, text))
    _behind(links.Links, "client_payload", lambda text, *_: check_text("durableClient", REQUEST, text))
    for module in (functions, v1_functions, worker_member):
        _behind(module, "read_catalog", catalog)
    invoke = workers.Workers.invoke

    async def watched(self: Any, function: Any, trigger_data: Any, *options: Any, **named: Any) -> Any:
        kind = function.trigger_type
        if kind == "activityTrigger":
            check(kind, REQUEST, trigger_data.string if trigger_data.HasField("string") else None)
        response = await invoke(self, function, trigger_data, *options, **named)
        check_answer_of(function.metadata, response)
        return response

    workers.Workers.invoke = watched  # type: ignore[method-assign]


# ---------------------------------------------------------------- faults and tests


@functools.cache
def _file() -> Path:
    """Where hosts of this run that are processes of their own note what they find."""
    handle, name = tempfile.mkstemp(prefix="contract-", suffix=".jsonl")
    os.close(handle)
    return Path(name)


def environment() -> dict[str, str]:
    """What makes a host that is started as a process watch itself; nothing where this process does not."""
    if not _watched:
        return {}
    path = os.pathsep.join(filter(None, [str(_SITE), os.environ.get("PYTHONPATH", "")]))
    return {"PYTHONPATH": path, FILE_SETTING: str(_file())}


def forget_file() -> None:
    """Removes the file of faults."""
    if _file.cache_info().currsize:
        _file().unlink()
        _file.cache_clear()


def take_faults() -> list[str]:
    """What was found since this was last asked, here and in hosts that are processes of their own."""
    found = faults[:]
    faults.clear()
    if _file.cache_info().currsize and _file().stat().st_size:
        found += [json.loads(line) for line in _file().read_text(encoding="utf-8").splitlines()]
        _file().write_text("")
    return found


@contextmanager
def expected_faults() -> Iterator[list[str]]:
    """Takes away what is found meanwhile, for tests that break the contract on purpose."""
    found: list[str] = []
    assert take_faults() == []
    yield found
    found += take_faults()
