"""The functions a worker reported, as the host serves them.

A function whose bindings cannot be served is kept, with its fault: it is listed at start and the others go on.

Source: the Functions host's validation of indexed functions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import msgspec

from worker_ext.errors import HostError
from worker_ext.host.retry_policies import RETRIED_TRIGGERS, RetryPolicy, policy_of
from worker_ext.host.routes import RouteTemplate
from worker_ext.host.settings import HostSettings, resolve_placeholders
from worker_ext.host.timer_schedule import parse_schedule
from worker_ext.rpc import pb

DurableKind = Literal["orchestration", "activity", "entity"]

HTTP_TRIGGER = "httptrigger"
TIMER_TRIGGER = "timertrigger"
_DURABLE_TRIGGERS: dict[str, tuple[DurableKind, str]] = {
    "orchestrationtrigger": ("orchestration", "orchestration"),
    "activitytrigger": ("activity", "activity"),
    "entitytrigger": ("entity", "entityName"),
}
CLIENT_BINDINGS = frozenset({"durableclient", "orchestrationclient"})
_TRUE = frozenset({"1", "true"})


@dataclass(frozen=True)
class HostFunction:
    """One function.

    Attributes:
        bindings: Its bindings as the worker reported them, `%NAME%` placeholders replaced.
        trigger: The binding that starts it; empty if it has none.
        disabled: Whether app settings switch it off.
        fault: Why it cannot be served here, or None.
        retry: Its retry policy, or None; it is carried out if `is_retried`.
    """

    name: str
    function_id: str
    metadata: pb.RpcFunctionMetadata
    bindings: tuple[dict[str, Any], ...]
    trigger: dict[str, Any]
    disabled: bool = False
    fault: str | None = None
    retry: RetryPolicy | None = None

    @property
    def trigger_type(self) -> str:
        """The trigger's type as it is written in the binding, such as `httpTrigger`."""
        return str(self.trigger.get("type", ""))

    @property
    def kind(self) -> DurableKind | None:
        """What the function is to the durable engine, or None."""
        found = _DURABLE_TRIGGERS.get(self.trigger_type.lower())
        return found[0] if found else None

    @property
    def durable_name(self) -> str:
        """The name orchestrations and clients call it by: the alias in its binding, else the function's name."""
        found = _DURABLE_TRIGGERS.get(self.trigger_type.lower())
        return (self.trigger.get(found[1]) if found else None) or self.name

    @property
    def is_http(self) -> bool:
        """Whether an HTTP request starts it."""
        return self.trigger_type.lower() == HTTP_TRIGGER

    @property
    def is_timer(self) -> bool:
        """Whether a schedule starts it."""
        return self.trigger_type.lower() == TIMER_TRIGGER

    @property
    def is_retried(self) -> bool:
        """Whether the host repeats its failed executions: it has a policy, and its trigger is one that takes it."""
        return self.retry is not None and self.trigger_type.lower() in RETRIED_TRIGGERS

    @property
    def is_loaded(self) -> bool:
        """Whether the worker has it ready; what no trigger starts here can be started by hand."""
        return not self.disabled and self.fault is None

    @property
    def is_served(self) -> bool:
        """Whether a trigger starts it here."""
        return self.is_loaded and (self.is_http or self.is_timer or self.kind is not None)

    @cached_property
    def inputs(self) -> list[dict[str, Any]]:
        """The input bindings beside the trigger."""
        return [binding for binding in self.bindings if binding is not self.trigger and _direction(binding) == "in"]

    @property
    def route(self) -> str:
        """The route template of an HTTP function: its binding's, else its name."""
        route = self.trigger.get("route")
        return self.name if route is None else str(route)

    @property
    def methods(self) -> list[str]:
        """The methods an HTTP function takes, in upper case; none is any."""
        methods = self.trigger.get("methods") or []
        return [str(method).upper() for method in ([methods] if isinstance(methods, str) else methods)]

    @property
    def http_output(self) -> str | None:
        """The name of the HTTP output binding: `$return`, a parameter's name, or None."""
        outputs = (binding for binding in self.bindings if _direction(binding) == "out" and _type(binding) == "http")
        return next((str(binding["name"]) for binding in outputs), None)


FUNCTION_NAME = re.compile(r"(?!host$)[a-z][a-z0-9_-]{0,127}", re.IGNORECASE)
"""What a function may be called, as the Functions host has it."""


BINDING_NAME = re.compile(r"(?!.*__)[a-z_][a-z0-9_]{0,127}|\$return", re.IGNORECASE | re.ASCII)
"""What a binding, and so a parameter, may be called, as the Functions host has it from 4.1038 on."""


class FunctionCatalog:
    """All functions of an app; durable names are looked up without regard to case."""

    def __init__(self, functions: Iterable[HostFunction]) -> None:
        self.functions = tuple(functions)
        self._durable: dict[tuple[DurableKind, str], HostFunction] = {
            (function.kind, function.durable_name.lower()): function
            for function in self.functions
            if function.kind is not None and function.is_served
        }
        self._names = {kind: self._names_of(kind) for kind in get_args(DurableKind)}

    @cached_property
    def metadata(self) -> list[tuple[str, bool, str | None, tuple[dict[str, Any], ...]]]:
        """What one worker's functions have in common with another's of the same app; not their ids."""
        return [(item.name, item.disabled, item.fault, item.bindings) for item in self.functions]

    def http_functions(self) -> list[HostFunction]:
        """The functions that HTTP requests start."""
        return [function for function in self.functions if function.is_http and function.is_served]

    def durable_names(self, kind: DurableKind) -> Collection[str]:
        """The names of the orchestrators, activities or entities: always the same object."""
        return self._names[kind]

    def _names_of(self, kind: DurableKind) -> tuple[str, ...]:
        return tuple(function.durable_name for (known, _), function in self._durable.items() if known == kind)

    def find(self, kind: DurableKind, name: str) -> HostFunction | None:
        """The orchestrator, activity or entity of that name."""
        return self._durable.get((kind, name.lower()))


def read_catalog(results: Iterable[pb.RpcFunctionMetadata], settings: HostSettings) -> FunctionCatalog:
    """Reads the functions a worker reported, those that host.json and the app settings let through."""
    allowed = settings.functions
    return FunctionCatalog(
        _read_function(metadata, settings.environment)
        for metadata in results
        if allowed is None or metadata.name in allowed
    )


def _read_function(metadata: pb.RpcFunctionMetadata, environment: Mapping[str, str]) -> HostFunction:
    fault = None
    try:
        bindings = tuple(_resolved(msgspec.json.decode(raw), environment) for raw in metadata.raw_bindings)
    except (HostError, msgspec.DecodeError) as error:
        bindings, fault = (), str(error)
    triggers = [binding for binding in bindings if _type(binding).endswith("trigger")]
    function = HostFunction(
        name=metadata.name,
        function_id=metadata.function_id,
        metadata=metadata,
        bindings=bindings,
        trigger=triggers[0] if triggers else {},
        disabled=environment.get(f"AzureWebJobs.{metadata.name}.Disabled", "").lower() in _TRUE,
        fault=fault or _fault_of_name(metadata.name) or _fault(bindings, triggers),
    )
    if function.fault is None:
        try:
            if metadata.HasField("retry_options"):
                function = replace(function, retry=policy_of(metadata.retry_options))
            if function.is_http:
                RouteTemplate.parse(function.route)
            elif function.is_timer:
                parse_schedule(str(function.trigger.get("schedule", "")), environment)
        except HostError as error:
            return replace(function, fault=str(error))
    return function


def _resolved(binding: object, environment: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(binding, dict):
        raise HostError(f"expected a binding as a JSON object, found {binding!r}")
    return {
        name: resolve_placeholders(value, environment) if isinstance(value, str) else value
        for name, value in binding.items()
    }


def _fault_of_name(name: str) -> str | None:
    if FUNCTION_NAME.fullmatch(name):
        return None
    return (
        "expected a name of a letter and up to 127 letters, digits, '_' and '-', and not 'host': the Functions host "
        "takes no other. Rename the function, or name it with function_name"
    )


def _fault(bindings: Collection[dict[str, Any]], triggers: list[dict[str, Any]]) -> str | None:
    if len(triggers) != 1:
        found = "none" if not triggers else ", ".join(trigger["type"] for trigger in triggers)
        return f"expected one trigger, found {found}"
    names = [str(binding.get("name", "")) for binding in bindings]
    for name in names:
        if not BINDING_NAME.fullmatch(name):
            return (
                f"its binding {name!r}: expected a name of a letter or '_' and up to 127 letters, digits and '_', but "
                "no '__': the Functions host takes no other. Rename the parameter"
            )
        if names.count(name) > 1:
            return f"expected bindings of different names, found {names.count(name)} named {name!r}"
    for binding in bindings:
        supported = CLIENT_BINDINGS if _direction(binding) == "in" else {"http"}
        if binding is not triggers[0] and _type(binding) not in supported:
            return f"its {_direction(binding)}put binding {binding.get('type')!r} needs a service that is not here"
    return None


def _type(binding: Mapping[str, Any]) -> str:
    return str(binding.get("type", "")).lower()


def _direction(binding: Mapping[str, Any]) -> str:
    return str(binding.get("direction", "in")).lower()
