"""What the local host is told: host.json, local.settings.json, environment and flags as frozen settings.

Rules, as the Functions host has them: names are read without regard to case; a variable of the environment wins over
local.settings.json's `Values`, and `AzureFunctionsJobHost__extensions__durableTask__hubName` over the member of
host.json that it spells; null means the default. A mistyped setting is an error; one that nobody knows is a warning;
one that only the cloud's host uses is left alone.

Source: host.json and extensions.durableTask of Durable extension 3.19.0; local.settings.json of Core Tools.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from worker_ext.errors import HostError, PayloadError
from worker_ext.host.log_levels import LogLevels
from worker_ext.host.versions import FailureStrategy, MatchStrategy
from worker_ext.protocol.codec import fault_of, parse_timespan
from worker_ext.protocol.jsonc import read_json_object

HOST_JSON = "host.json"
LOCAL_SETTINGS = "local.settings.json"
DEFAULT_PORT = 7071
PROCESS_COUNT = "FUNCTIONS_WORKER_PROCESS_COUNT"
MOST_PROCESSES = 10
BODY_LIMIT = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
DEFAULT_BODY_LIMIT = 100 * 1024 * 1024
DEFAULT_FUNCTION_TIMEOUT = timedelta(minutes=30)

_OVERRIDE = re.compile(r"AzureFunctionsJobHost(?:__|:)(.+)", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"%([^%\s]+)%")
_HUB_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{2,44}")

# Members that other hosts read; they mean nothing on one machine, so they are neither used nor complained about.
_IGNORED: dict[str, str] = {
    "": "$schema aggregator concurrency customHandler extensionBundle healthMonitor managedDependency retry"
    " singleton telemetryMode tracing watchDirectories watchFiles",
    "extensions": "blobs cosmosDB dapr eventGrid eventHubs kafka mySql openAI queues rabbitMQ redis sendGrid serviceBus"
    " signalR sql tables twilioSms warmup",
    "extensions.http": "dynamicThrottlesEnabled hsts",
    "extensions.durableTask": "allowEntityMessageReorder appLeaseOptions entityMessageReorderWindowInMinutes"
    " extendedSessionIdleTimeoutInSeconds extendedSessionsEnabled grpcHttpClientTimeout maxGrpcMessageSizeInBytes"
    " notifications rollbackEntityOperationsOnExceptions throwStatusExceptionsOnRaiseEvent tracing"
    " useAppLease useGracefulShutdown",
    "extensions.durableTask.storageProvider": "allowReplayingTerminalInstances connectionName connectionStringName"
    " controlQueueBatchSize controlQueueBufferThreshold controlQueueVisibilityTimeout createDatabaseIfNotExists"
    " fetchLargeMessagesAutomatically maxQueuePollingInterval partitionCount partitionTableOperationTimeout"
    " queueClientMessageEncoding schemaName taskEventLockTimeout trackingStoreConnectionName"
    " trackingStoreNamePrefix type useInstanceTableEtag useLegacyPartitionManagement"
    " useTablePartitionManagement workItemQueueVisibilityTimeout",
    "logging": "applicationInsights console fileLoggingMode",
    "Host": "LocalHttpsPort",
}


def _default_concurrency() -> int:
    return 10 * (os.cpu_count() or 1)


_T = TypeVar("_T", bound=Struct)

Count = Annotated[int, Meta(ge=1)]
Limit = Annotated[int, Meta(ge=-1)]


class DurableHttpSettings(Struct, frozen=True, kw_only=True, rename="camel"):
    """`extensions.durableTask.httpSettings`."""

    default_async_request_sleep_time_milliseconds: Annotated[int, Meta(ge=0)] = 30000
    use_forwarded_host: bool = False


class StorageSettings(Struct, frozen=True, kw_only=True, rename="camel"):
    """`extensions.durableTask.storageProvider`: what concerns the database file of this host."""

    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"


class DurableSettings(Struct, frozen=True, kw_only=True, rename="camel"):
    """`extensions.durableTask`: what the embedded engine honours of it."""

    hub_name: str = "TestHubName"
    default_version: str | None = None
    version_match_strategy: MatchStrategy = "CurrentOrOlder"
    version_failure_strategy: FailureStrategy = "Reject"
    max_concurrent_activity_functions: Count = msgspec.field(default_factory=_default_concurrency)
    max_concurrent_orchestrator_functions: Count = msgspec.field(default_factory=_default_concurrency)
    max_concurrent_entity_functions: Count = msgspec.field(default_factory=_default_concurrency)
    max_entity_operation_batch_size: Count = 5000
    max_orchestration_actions: Count = 100000
    overridable_existing_instance_states: Literal["NonRunningStates", "AnyState"] = "NonRunningStates"
    store_inputs_in_orchestration_history: bool = False
    local_rpc_endpoint_enabled: bool = True
    http_settings: DurableHttpSettings = DurableHttpSettings()
    storage_provider: StorageSettings = StorageSettings()

    @property
    def default_async_request_sleep_time_milliseconds(self) -> int:
        """How long durable HTTP waits between polls when the server names no time."""
        return self.http_settings.default_async_request_sleep_time_milliseconds


class HttpSettings(Struct, frozen=True, kw_only=True, rename="camel"):
    """`extensions.http`; -1 is no limit."""

    route_prefix: str = "api"
    max_concurrent_requests: Limit = -1
    max_outstanding_requests: Limit = -1
    custom_headers: dict[str, str] = {}


class _Extensions(Struct, frozen=True, kw_only=True, rename="camel"):
    http: HttpSettings = HttpSettings()
    durable_task: DurableSettings = DurableSettings()


class _Logging(Struct, frozen=True, kw_only=True, rename="camel"):
    log_level: dict[str, str] = msgspec.field(default_factory=lambda: {"default": "Information"})


class _HostJson(Struct, frozen=True, kw_only=True, rename="camel"):
    version: Literal["2.0"] | None = None
    function_timeout: str | None = None
    functions: list[str] | None = None
    logging: _Logging = _Logging()
    extensions: _Extensions = _Extensions()


class _LocalHostSection(Struct, frozen=True, kw_only=True, rename="pascal"):
    local_http_port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    cors: str = msgspec.field(default="", name="CORS")
    cors_credentials: bool = msgspec.field(default=False, name="CORSCredentials")


class _LocalSettings(Struct, frozen=True, kw_only=True, rename="pascal"):
    is_encrypted: bool = False
    values: dict[str, Any] = {}
    host: _LocalHostSection = _LocalHostSection()
    connection_strings: dict[str, Any] = {}


class CorsSettings(Struct, frozen=True):
    """`Host.CORS` and `Host.CORSCredentials` of local.settings.json; `*` among the origins is any."""

    origins: frozenset[str] = frozenset()
    credentials: bool = False


class HostSettings(Struct, frozen=True, kw_only=True):
    """Everything one run of the local host is told.

    Attributes:
        app_dir: The app's folder, absolute.
        port: The port of the HTTP listener; 0 is any free one.
        function_timeout: How long one invocation may take; None is for ever.
        functions: The only functions to load, or None for all.
        log_levels: Which logs are shown.
        worker_processes: How many workers run the app, by FUNCTIONS_WORKER_PROCESS_COUNT.
        body_limit: How many bytes the body of a request may have, by FUNCTIONS_REQUEST_BODY_SIZE_LIMIT.
        cors: Which origins browsers may let at the host.
        environment: The app's environment: the process's own, and `Values` where it has no such variable.
        warnings: Settings that nobody knows, one message each.
    """

    app_dir: Path
    port: int
    function_timeout: timedelta | None
    functions: frozenset[str] | None
    durable: DurableSettings
    http: HttpSettings
    log_levels: LogLevels = LogLevels()
    worker_processes: int = 1
    body_limit: int = DEFAULT_BODY_LIMIT
    cors: CorsSettings = CorsSettings()
    environment: dict[str, str]
    warnings: tuple[str, ...]


def load_settings(app_dir: Path, *, port: int | None = None, environ: Mapping[str, str] | None = None) -> HostSettings:
    """Reads the settings of the app in a folder; `port` is the flag, which wins.

    Raises:
        HostError: A file is not JSON or a setting has a wrong type; the message has the file and the path in it.
    """
    warnings: list[str] = []
    process = dict(os.environ if environ is None else environ)
    local = _read_local_settings(app_dir / LOCAL_SETTINGS, warnings)
    environment = _app_settings(app_dir / LOCAL_SETTINGS, local.values) | process
    host_json = _read_host_json(app_dir / HOST_JSON, environment, warnings)
    local_port = DEFAULT_PORT if local.host.local_http_port is None else local.host.local_http_port
    return HostSettings(
        app_dir=app_dir,
        port=local_port if port is None else port,
        function_timeout=_function_timeout(app_dir / HOST_JSON, host_json.function_timeout),
        functions=None if host_json.functions is None else frozenset(host_json.functions),
        durable=host_json.extensions.durable_task,
        http=host_json.extensions.http,
        log_levels=_log_levels(app_dir / HOST_JSON, host_json.logging.log_level),
        worker_processes=_number(environment, PROCESS_COUNT, 1, MOST_PROCESSES),
        body_limit=_number(environment, BODY_LIMIT, DEFAULT_BODY_LIMIT, sys.maxsize),
        cors=CorsSettings(_origins(local.host.cors), local.host.cors_credentials),
        environment=environment,
        warnings=tuple(warnings),
    )


def resolve_placeholders(text: str, environment: Mapping[str, str]) -> str:
    """Replaces each `%NAME%` by the app setting of that name.

    Raises:
        HostError: There is no such setting.
    """

    def setting(match: re.Match[str]) -> str:
        try:
            return environment[match[1]]
        except KeyError:
            raise HostError(
                f"{match[0]} names no app setting. Set {match[1]} in the environment or in {LOCAL_SETTINGS}"
            ) from None

    return _PLACEHOLDER.sub(setting, text)


# ---------------------------------------------------------------- files


def _read_local_settings(path: Path, warnings: list[str]) -> _LocalSettings:
    found = read_json_object(path) or {}
    local = _convert(path, _named(path, "", found, _LocalSettings, warnings), _LocalSettings, {})
    if local.is_encrypted:
        raise HostError(f"{path}: IsEncrypted is true. Decrypt it with `func settings decrypt` first")
    return local


def _read_host_json(path: Path, environment: Mapping[str, str], warnings: list[str]) -> _HostJson:
    found = read_json_object(path)
    if found is None:
        warnings.append(f'{path} is missing. Azure and `func start` need one; the shortest is {{"version": "2.0"}}')
    elif not any(name.lower() == "version" for name in found):
        warnings.append(f'{path}: version is missing. Azure and `func start` need "version": "2.0"')
    members = _named(path, "", found or {}, _HostJson, warnings)
    overrides = _override(members, environment, warnings)
    host_json = _convert(path, members, _HostJson, overrides)
    hub = _hub_name(path, host_json.extensions.durable_task.hub_name, "hubName" in _hub_section(members), environment)
    durable = msgspec.structs.replace(host_json.extensions.durable_task, hub_name=hub)
    extensions = msgspec.structs.replace(host_json.extensions, durable_task=durable)
    return msgspec.structs.replace(host_json, extensions=extensions)


def _hub_section(members: dict[str, Any]) -> dict[str, Any]:
    section: dict[str, Any] = members.get("extensions", {}).get("durableTask", {})
    return section


def _hub_name(path: Path, name: str, explicit: bool, environment: Mapping[str, str]) -> str:
    if not explicit:
        return _sanitized(environment.get("WEBSITE_SITE_NAME") or name)
    try:
        name = resolve_placeholders(name, environment)
    except HostError as error:
        raise HostError(f"{path}: extensions.durableTask.hubName: {error}") from None
    if not _HUB_NAME.fullmatch(name):
        raise HostError(
            f"{path}: extensions.durableTask.hubName: expected 3 to 45 letters and digits that start with a letter, "
            f"found {json.dumps(name)}"
        )
    return name


def _sanitized(name: str) -> str:
    """A hub name made from the site's name, as the extension makes it."""
    kept = re.sub(r"[^A-Za-z0-9]", "", name)[:45]
    if not kept[:1].isalpha():
        kept = f"t{kept}"
    return kept if len(kept) >= 3 else f"{kept}Hub"


def _function_timeout(path: Path, text: str | None) -> timedelta | None:
    if text is None:
        return DEFAULT_FUNCTION_TIMEOUT
    if text == "-1":
        return None
    try:
        limit = parse_timespan(text)
    except PayloadError:
        limit = timedelta(0)
    if limit < timedelta(seconds=1):
        raise HostError(f'{path}: functionTimeout: expected "hh:mm:ss" of at least 1 s, or "-1", found "{text}"')
    return limit


def _log_levels(path: Path, names: Mapping[str, str]) -> LogLevels:
    try:
        return LogLevels.of(names)
    except ValueError as error:
        raise HostError(f"{path}: logging.logLevel.{error}") from None


def _number(environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    """An app setting that is a whole number from 1 on."""
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= most:
        bounds = f"from 1 to {most}" if most < sys.maxsize else "of at least 1"
        raise HostError(f"{name}: expected a number {bounds}, found {text!r}")
    return int(text)


def _origins(text: str) -> frozenset[str]:
    return frozenset(origin.strip().rstrip("/").lower() for origin in text.split(",") if origin.strip())


def _app_settings(path: Path, values: Mapping[str, Any]) -> dict[str, str]:
    for name, value in values.items():
        if isinstance(value, dict | list):
            raise HostError(f"{path}: Values.{name}: expected text, found {json.dumps(value)[:80]}")
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
        if value is not None
    }
    for name, text in texts.items():
        if not name or "=" in name or "\0" in name:
            raise HostError(
                f"{path}: Values: expected names that environment variables can have, without '=', found {name!r}"
            )
        if "\0" in text:
            raise HostError(
                f"{path}: Values.{name}: expected a text that an environment variable can have, found a NUL"
            )
    return texts


# ---------------------------------------------------------------- names and types


def _named(path: Path, where: str, found: object, shape: type[Struct], warnings: list[str]) -> Any:
    """A section's members under the names its class has, without nulls; what is unknown goes to the warnings."""
    if not isinstance(found, dict):
        return found
    fields = {field.encode_name.lower(): field for field in msgspec.structs.fields(shape)}
    ignored = _IGNORED.get(where, "").lower().split()
    members: dict[str, Any] = {}
    for name, value in found.items():
        field = fields.get(name.lower())
        place = f"{where}.{name}" if where else name
        if field is None:
            if name.lower() not in ignored:
                warnings.append(f"{path}: {place}: unknown setting, not used")
        elif value is not None:
            nested = isinstance(field.type, type) and issubclass(field.type, Struct)
            inner = f"{where}.{field.encode_name}" if where else field.encode_name
            members[field.encode_name] = _named(path, inner, value, field.type, warnings) if nested else value
    return members


def _override(members: dict[str, Any], environment: Mapping[str, str], warnings: list[str]) -> dict[str, str]:
    """Puts the environment's overrides of host.json into its members; which variable gave which path."""
    origins: dict[str, str] = {}
    for variable in sorted(environment):
        match = _OVERRIDE.fullmatch(variable)
        if match is None:
            continue
        names = re.split(r"__|:", match[1])
        if names[0].lower() == "functions":
            members["functions"] = [*(members["functions"] if "functions" in origins else []), environment[variable]]
            origins["functions"] = variable
            continue
        known = _named(Path(variable), "", _tree(names, environment[variable]), _HostJson, warnings)
        origins[_merge(members, known)] = variable
    return origins


def _tree(names: list[str], value: str) -> dict[str, Any]:
    first, *rest = names
    return {first: _tree(rest, value) if rest else value}


def _merge(members: dict[str, Any], more: dict[str, Any]) -> str:
    """Merges a tree with one leaf into another; where the leaf went."""
    for name, value in more.items():
        if isinstance(value, dict):
            inner = members.setdefault(name, {})
            return f"{name}.{_merge(inner, value)}" if isinstance(inner, dict) else name
        members[name] = value
        return name
    return ""


def _convert(path: Path, members: object, shape: type[_T], origins: Mapping[str, str]) -> _T:
    """Checks types; text is taken for a number or a truth value, since configuration is text at heart.

    Raises:
        HostError: A value has the wrong type.
    """
    try:
        return msgspec.convert(members, shape, strict=False)
    except msgspec.ValidationError as error:
        what, path_below = fault_of(error)
        place = path_below.lstrip(".")
        source = f"environment variable {origins[place]}" if place in origins else str(path)
        expected = what.partition(", got ")[0].replace("Expected", "expected")
        if expected.startswith("Invalid enum value"):
            expected = f"expected {_choices(shape, place)}"
        raise HostError(f"{source}: {place or 'the file'}: {expected}, found {_found(members, place)}") from None


def _choices(shape: type[Struct], place: str) -> str:
    """The values that a setting may have, where it may have but a few."""
    kind: Any = shape
    for name in place.split("."):
        kind = next(field.type for field in msgspec.structs.fields(kind) if field.encode_name == name)
    values = [value for part in get_args(kind) for value in ([part] if isinstance(part, str) else get_args(part))]
    return " or ".join(json.dumps(value) for value in sorted(values))


def _found(members: object, place: str) -> str:
    value: object = members
    for name in filter(None, re.split(r"\.|\[(\d+)\]", place)):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdigit():
            value = value[int(name)]
        else:
            return "another type"
    return json.dumps(value, default=str)[:80]
