"""The messages of FunctionRpc. Written by protos/generate.py: change the .proto files and generate again."""

import builtins
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal, Never, Self, final

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.internal import well_known_types
from google.protobuf.internal.containers import (
    MessageMap,
    RepeatedCompositeFieldContainer,
    RepeatedScalarFieldContainer,
    ScalarMap,
)
from google.protobuf.message import Message

class _Enum(builtins.int):
    """What an enum offers. At run time it is an EnumTypeWrapper, no class, and its values are plain ints."""

    DESCRIPTOR: ClassVar[EnumDescriptor]
    def __new__(cls, value: Never) -> Self: ...
    @classmethod
    def Name(cls, number: builtins.int) -> builtins.str: ...
    @classmethod
    def Value(cls, name: builtins.str) -> Self: ...
    @classmethod
    def keys(cls) -> builtins.list[builtins.str]: ...
    @classmethod
    def values(cls) -> builtins.list[Self]: ...
    @classmethod
    def items(cls) -> builtins.list[builtins.tuple[builtins.str, Self]]: ...

@final
class Duration(Message, well_known_types.Duration):
    seconds: builtins.int
    nanos: builtins.int
    def __init__(
        self,
        *,
        seconds: builtins.int | None = None,
        nanos: builtins.int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["seconds", "nanos"]) -> None: ...

@final
class Timestamp(Message, well_known_types.Timestamp):
    seconds: builtins.int
    nanos: builtins.int
    def __init__(
        self,
        *,
        seconds: builtins.int | None = None,
        nanos: builtins.int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["seconds", "nanos"]) -> None: ...

@final
class NullableString(Message):
    value: builtins.str
    def __init__(
        self,
        *,
        value: builtins.str | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["string", "value"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["string", "value"]) -> None: ...
    def WhichOneof(self, oneof_group: Literal["string"]) -> Literal["value"] | None: ...

@final
class NullableDouble(Message):
    value: builtins.float
    def __init__(
        self,
        *,
        value: builtins.float | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["double", "value"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["double", "value"]) -> None: ...
    def WhichOneof(self, oneof_group: Literal["double"]) -> Literal["value"] | None: ...

@final
class NullableBool(Message):
    value: builtins.bool
    def __init__(
        self,
        *,
        value: builtins.bool | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["bool", "value"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["bool", "value"]) -> None: ...
    def WhichOneof(self, oneof_group: Literal["bool"]) -> Literal["value"] | None: ...

@final
class NullableTimestamp(Message):
    @builtins.property
    def value(self) -> Timestamp: ...
    def __init__(
        self,
        *,
        value: Timestamp | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["timestamp", "value"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["timestamp", "value"]) -> None: ...
    def WhichOneof(self, oneof_group: Literal["timestamp"]) -> Literal["value"] | None: ...

@final
class RpcClaimsIdentity(Message):
    @builtins.property
    def authentication_type(self) -> NullableString: ...
    @builtins.property
    def name_claim_type(self) -> NullableString: ...
    @builtins.property
    def role_claim_type(self) -> NullableString: ...
    @builtins.property
    def claims(self) -> RepeatedCompositeFieldContainer[RpcClaim]: ...
    def __init__(
        self,
        *,
        authentication_type: NullableString | None = None,
        name_claim_type: NullableString | None = None,
        role_claim_type: NullableString | None = None,
        claims: Iterable[RpcClaim] | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["authentication_type", "name_claim_type", "role_claim_type"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["authentication_type", "name_claim_type", "role_claim_type", "claims"]) -> None: ...

@final
class RpcClaim(Message):
    value: builtins.str
    type: builtins.str
    def __init__(
        self,
        *,
        value: builtins.str | None = None,
        type: builtins.str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["value", "type"]) -> None: ...

@final
class RpcDataType(_Enum):
    unknown: ClassVar[RpcDataType]
    string: ClassVar[RpcDataType]
    json: ClassVar[RpcDataType]
    bytes: ClassVar[RpcDataType]
    stream: ClassVar[RpcDataType]
    http: ClassVar[RpcDataType]
    int: ClassVar[RpcDataType]
    double: ClassVar[RpcDataType]
    collection_bytes: ClassVar[RpcDataType]
    collection_string: ClassVar[RpcDataType]
    collection_double: ClassVar[RpcDataType]
    collection_sint64: ClassVar[RpcDataType]

@final
class StreamingMessage(Message):
    request_id: builtins.str
    @builtins.property
    def start_stream(self) -> StartStream: ...
    @builtins.property
    def rpc_log(self) -> RpcLog: ...
    @builtins.property
    def worker_init_response(self) -> WorkerInitResponse: ...
    @builtins.property
    def function_metadata_response(self) -> FunctionMetadataResponse: ...
    @builtins.property
    def function_load_response(self) -> FunctionLoadResponse: ...
    @builtins.property
    def function_load_response_collection(self) -> FunctionLoadResponseCollection: ...
    @builtins.property
    def invocation_response(self) -> InvocationResponse: ...
    @builtins.property
    def worker_status_response(self) -> WorkerStatusResponse: ...
    @builtins.property
    def function_environment_reload_response(self) -> FunctionEnvironmentReloadResponse: ...
    @builtins.property
    def close_shared_memory_resources_response(self) -> CloseSharedMemoryResourcesResponse: ...
    @builtins.property
    def worker_warmup_response(self) -> WorkerWarmupResponse: ...
    @builtins.property
    def worker_init_request(self) -> WorkerInitRequest: ...
    @builtins.property
    def functions_metadata_request(self) -> FunctionsMetadataRequest: ...
    @builtins.property
    def function_load_request(self) -> FunctionLoadRequest: ...
    @builtins.property
    def function_load_request_collection(self) -> FunctionLoadRequestCollection: ...
    @builtins.property
    def invocation_request(self) -> InvocationRequest: ...
    @builtins.property
    def invocation_cancel(self) -> InvocationCancel: ...
    @builtins.property
    def worker_status_request(self) -> WorkerStatusRequest: ...
    @builtins.property
    def worker_terminate(self) -> WorkerTerminate: ...
    @builtins.property
    def function_environment_reload_request(self) -> FunctionEnvironmentReloadRequest: ...
    @builtins.property
    def close_shared_memory_resources_request(self) -> CloseSharedMemoryResourcesRequest: ...
    @builtins.property
    def worker_warmup_request(self) -> WorkerWarmupRequest: ...
    @builtins.property
    def file_change_event_request(self) -> FileChangeEventRequest: ...
    @builtins.property
    def worker_action_response(self) -> WorkerActionResponse: ...
    @builtins.property
    def worker_heartbeat(self) -> WorkerHeartbeat: ...
    def __init__(
        self,
        *,
        request_id: builtins.str | None = None,
        start_stream: StartStream | None = None,
        rpc_log: RpcLog | None = None,
        worker_init_response: WorkerInitResponse | None = None,
        function_metadata_response: FunctionMetadataResponse | None = None,
        function_load_response: FunctionLoadResponse | None = None,
        function_load_response_collection: FunctionLoadResponseCollection | None = None,
        invocation_response: InvocationResponse | None = None,
        worker_status_response: WorkerStatusResponse | None = None,
        function_environment_reload_response: FunctionEnvironmentReloadResponse | None = None,
        close_shared_memory_resources_response: CloseSharedMemoryResourcesResponse | None = None,
        worker_warmup_response: WorkerWarmupResponse | None = None,
        worker_init_request: WorkerInitRequest | None = None,
        functions_metadata_request: FunctionsMetadataRequest | None = None,
        function_load_request: FunctionLoadRequest | None = None,
        function_load_request_collection: FunctionLoadRequestCollection | None = None,
        invocation_request: InvocationRequest | None = None,
        invocation_cancel: InvocationCancel | None = None,
        worker_status_request: WorkerStatusRequest | None = None,
        worker_terminate: WorkerTerminate | None = None,
        function_environment_reload_request: FunctionEnvironmentReloadRequest | None = None,
        close_shared_memory_resources_request: CloseSharedMemoryResourcesRequest | None = None,
        worker_warmup_request: WorkerWarmupRequest | None = None,
        file_change_event_request: FileChangeEventRequest | None = None,
        worker_action_response: WorkerActionResponse | None = None,
        worker_heartbeat: WorkerHeartbeat | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["content", "start_stream", "rpc_log", "worker_init_response", "function_metadata_response", "function_load_response", "function_load_response_collection", "invocation_response", "worker_status_response", "function_environment_reload_response", "close_shared_memory_resources_response", "worker_warmup_response", "worker_init_request", "functions_metadata_request", "function_load_request", "function_load_request_collection", "invocation_request", "invocation_cancel", "worker_status_request", "worker_terminate", "function_environment_reload_request", "close_shared_memory_resources_request", "worker_warmup_request", "file_change_event_request", "worker_action_response", "worker_heartbeat"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["content", "request_id", "start_stream", "rpc_log", "worker_init_response", "function_metadata_response", "function_load_response", "function_load_response_collection", "invocation_response", "worker_status_response", "function_environment_reload_response", "close_shared_memory_resources_response", "worker_warmup_response", "worker_init_request", "functions_metadata_request", "function_load_request", "function_load_request_collection", "invocation_request", "invocation_cancel", "worker_status_request", "worker_terminate", "function_environment_reload_request", "close_shared_memory_resources_request", "worker_warmup_request", "file_change_event_request", "worker_action_response", "worker_heartbeat"]) -> None: ...
    def WhichOneof(self, oneof_group: Literal["content"]) -> Literal["start_stream", "rpc_log", "worker_init_response", "function_metadata_response", "function_load_response", "function_load_response_collection", "invocation_response", "worker_status_response", "function_environment_reload_response", "close_shared_memory_resources_response", "worker_warmup_response", "worker_init_request", "functions_metadata_request", "function_load_request", "function_load_request_collection", "invocation_request", "invocation_cancel", "worker_status_request", "worker_terminate", "function_environment_reload_request", "close_shared_memory_resources_request", "worker_warmup_request", "file_change_event_request", "worker_action_response", "worker_heartbeat"] | None: ...

@final
class StartStream(Message):
    worker_id: builtins.str
    def __init__(
        self,
        *,
        worker_id: builtins.str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["worker_id"]) -> None: ...

@final
class WorkerInitRequest(Message):
    host_version: builtins.str
    @builtins.property
    def capabilities(self) -> ScalarMap[builtins.str, builtins.str]: ...
    @builtins.property
    def log_categories(self) -> ScalarMap[builtins.str, RpcLog.Level]: ...
    worker_directory: builtins.str
    function_app_directory: builtins.str
    def __init__(
        self,
        *,
        host_version: builtins.str | None = None,
        capabilities: Mapping[builtins.str, builtins.str] | None = None,
        log_categories: Mapping[builtins.str, RpcLog.Level] | None = None,
        worker_directory: builtins.str | None = None,
        function_app_directory: builtins.str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["host_version", "capabilities", "log_categories", "worker_directory", "function_app_directory"]) -> None: ...

@final
class WorkerInitResponse(Message):
    worker_version: builtins.str
    @builtins.property
    def capabilities(self) -> ScalarMap[builtins.str, builtins.str]: ...
    @builtins.property
    def result(self) -> StatusResult: ...
    @builtins.property
    def worker_metadata(self) -> WorkerMetadata: ...
    def __init__(
        self,
        *,
        worker_version: builtins.str | None = None,
        capabilities: Mapping[builtins.str, builtins.str] | None = None,
        result: StatusResult | None = None,
        worker_metadata: WorkerMetadata | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["result", "worker_metadata"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["worker_version", "capabilities", "result", "worker_metadata"]) -> None: ...

@final
class WorkerMetadata(Message):
    runtime_name: builtins.str
    runtime_version: builtins.str
    worker_version: builtins.str
    worker_bitness: builtins.str
    @builtins.property
    def custom_properties(self) -> ScalarMap[builtins.str, builtins.str]: ...
    def __init__(
        self,
        *,
        runtime_name: builtins.str | None = None,
        runtime_version: builtins.str | None = None,
        worker_version: builtins.str | None = None,
        worker_bitness: builtins.str | None = None,
        custom_properties: Mapping[builtins.str, builtins.str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["runtime_name", "runtime_version", "worker_version", "worker_bitness", "custom_properties"]) -> None: ...

@final
class StatusResult(Message):
    @final
    class Status(_Enum):
        Failure: ClassVar[StatusResult.Status]
        Success: ClassVar[StatusResult.Status]
        Cancelled: ClassVar[StatusResult.Status]

    Failure: ClassVar[StatusResult.Status]
    Success: ClassVar[StatusResult.Status]
    Cancelled: ClassVar[StatusResult.Status]

    status: StatusResult.Status
    result: builtins.str
    @builtins.property
    def exception(self) -> RpcException: ...
    @builtins.property
    def logs(self) -> RepeatedCompositeFieldContainer[RpcLog]: ...
    def __init__(
        self,
        *,
        status: StatusResult.Status | None = None,
        result: builtins.str | None = None,
        exception: RpcException | None = None,
        logs: Iterable[RpcLog] | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["exception"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["status", "result", "exception", "logs"]) -> None: ...

@final
class FunctionsMetadataRequest(Message):
    function_app_directory: builtins.str
    def __init__(
        self,
        *,
        function_app_directory: builtins.str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["function_app_directory"]) -> None: ...

@final
class FunctionMetadataResponse(Message):
    @builtins.property
    def function_metadata_results(self) -> RepeatedCompositeFieldContainer[RpcFunctionMetadata]: ...
    @builtins.property
    def result(self) -> StatusResult: ...
    use_default_metadata_indexing: builtins.bool
    def __init__(
        self,
        *,
        function_metadata_results: Iterable[RpcFunctionMetadata] | None = None,
        result: StatusResult | None = None,
        use_default_metadata_indexing: builtins.bool | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["result"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["function_metadata_results", "result", "use_default_metadata_indexing"]) -> None: ...

@final
class RpcFunctionMetadata(Message):
    name: builtins.str
    directory: builtins.str
    script_file: builtins.str
    entry_point: builtins.str
    @builtins.property
    def bindings(self) -> MessageMap[builtins.str, BindingInfo]: ...
    is_proxy: builtins.bool
    @builtins.property
    def status(self) -> StatusResult: ...
    language: builtins.str
    @builtins.property
    def raw_bindings(self) -> RepeatedScalarFieldContainer[builtins.str]: ...
    function_id: builtins.str
    managed_dependency_enabled: builtins.bool
    @builtins.property
    def retry_options(self) -> RpcRetryOptions: ...
    @builtins.property
    def properties(self) -> ScalarMap[builtins.str, builtins.str]: ...
    def __init__(
        self,
        *,
        name: builtins.str | None = None,
        directory: builtins.str | None = None,
        script_file: builtins.str | None = None,
        entry_point: builtins.str | None = None,
        bindings: Mapping[builtins.str, BindingInfo] | None = None,
        is_proxy: builtins.bool | None = None,
        status: StatusResult | None = None,
        language: builtins.str | None = None,
        raw_bindings: Iterable[builtins.str] | None = None,
        function_id: builtins.str | None = None,
        managed_dependency_enabled: builtins.bool | None = None,
        retry_options: RpcRetryOptions | None = None,
        properties: Mapping[builtins.str, builtins.str] | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["status", "retry_options"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["name", "directory", "script_file", "entry_point", "bindings", "is_proxy", "status", "language", "raw_bindings", "function_id", "managed_dependency_enabled", "retry_options", "properties"]) -> None: ...

@final
class BindingInfo(Message):
    @final
    class Direction(_Enum):
        out: ClassVar[BindingInfo.Direction]
        inout: ClassVar[BindingInfo.Direction]

    out: ClassVar[BindingInfo.Direction]
    inout: ClassVar[BindingInfo.Direction]

    @final
    class DataType(_Enum):
        undefined: ClassVar[BindingInfo.DataType]
        string: ClassVar[BindingInfo.DataType]
        binary: ClassVar[BindingInfo.DataType]
        stream: ClassVar[BindingInfo.DataType]

    undefined: ClassVar[BindingInfo.DataType]
    string: ClassVar[BindingInfo.DataType]
    binary: ClassVar[BindingInfo.DataType]
    stream: ClassVar[BindingInfo.DataType]

    type: builtins.str
    direction: BindingInfo.Direction
    data_type: BindingInfo.DataType
    @builtins.property
    def properties(self) -> ScalarMap[builtins.str, builtins.str]: ...
    def __init__(
        self,
        *,
        type: builtins.str | None = None,
        direction: BindingInfo.Direction | None = None,
        data_type: BindingInfo.DataType | None = None,
        properties: Mapping[builtins.str, builtins.str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["type", "direction", "data_type", "properties"]) -> None: ...

@final
class RpcRetryOptions(Message):
    @final
    class RetryStrategy(_Enum):
        exponential_backoff: ClassVar[RpcRetryOptions.RetryStrategy]
        fixed_delay: ClassVar[RpcRetryOptions.RetryStrategy]

    exponential_backoff: ClassVar[RpcRetryOptions.RetryStrategy]
    fixed_delay: ClassVar[RpcRetryOptions.RetryStrategy]

    max_retry_count: builtins.int
    @builtins.property
    def delay_interval(self) -> Duration: ...
    @builtins.property
    def minimum_interval(self) -> Duration: ...
    @builtins.property
    def maximum_interval(self) -> Duration: ...
    retry_strategy: RpcRetryOptions.RetryStrategy
    def __init__(
        self,
        *,
        max_retry_count: builtins.int | None = None,
        delay_interval: Duration | None = None,
        minimum_interval: Duration | None = None,
        maximum_interval: Duration | None = None,
        retry_strategy: RpcRetryOptions.RetryStrategy | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["delay_interval", "minimum_interval", "maximum_interval"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["max_retry_count", "delay_interval", "minimum_interval", "maximum_interval", "retry_strategy"]) -> None: ...

@final
class FunctionLoadRequest(Message):
    function_id: builtins.str
    @builtins.property
    def metadata(self) -> RpcFunctionMetadata: ...
    managed_dependency_enabled: builtins.bool
    def __init__(
        self,
        *,
        function_id: builtins.str | None = None,
        metadata: RpcFunctionMetadata | None = None,
        managed_dependency_enabled: builtins.bool | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["metadata"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["function_id", "metadata", "managed_dependency_enabled"]) -> None: ...

@final
class FunctionLoadResponse(Message):
    function_id: builtins.str
    @builtins.property
    def result(self) -> StatusResult: ...
    is_dependency_downloaded: builtins.bool
    def __init__(
        self,
        *,
        function_id: builtins.str | None = None,
        result: StatusResult | None = None,
        is_dependency_downloaded: builtins.bool | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["result"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["function_id", "result", "is_dependency_downloaded"]) -> None: ...

@final
class FunctionLoadRequestCollection(Message):
    @builtins.property
    def function_load_requests(self) -> RepeatedCompositeFieldContainer[FunctionLoadRequest]: ...
    def __init__(
        self,
        *,
        function_load_requests: Iterable[FunctionLoadRequest] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["function_load_requests"]) -> None: ...

@final
class FunctionLoadResponseCollection(Message):
    @builtins.property
    def function_load_responses(self) -> RepeatedCompositeFieldContainer[FunctionLoadResponse]: ...
    def __init__(
        self,
        *,
        function_load_responses: Iterable[FunctionLoadResponse] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["function_load_responses"]) -> None: ...

@final
class FunctionEnvironmentReloadRequest(Message):
    @builtins.property
    def environment_variables(self) -> ScalarMap[builtins.str, builtins.str]: ...
    function_app_directory: builtins.str
    def __init__(
        self,
        *,
        environment_variables: Mapping[builtins.str, builtins.str] | None = None,
        function_app_directory: builtins.str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["environment_variables", "function_app_directory"]) -> None: ...

@final
class FunctionEnvironmentReloadResponse(Message):
    @final
    class CapabilitiesUpdateStrategy(_Enum):
        merge: ClassVar[FunctionEnvironmentReloadResponse.CapabilitiesUpdateStrategy]
        replace: ClassVar[FunctionEnvironmentReloadResponse.CapabilitiesUpdateStrategy]

    merge: ClassVar[FunctionEnvironmentReloadResponse.CapabilitiesUpdateStrategy]
    replace: ClassVar[FunctionEnvironmentReloadResponse.CapabilitiesUpdateStrategy]

    @builtins.property
    def worker_metadata(self) -> WorkerMetadata: ...
    @builtins.property
    def capabilities(self) -> ScalarMap[builtins.str, builtins.str]: ...
    @builtins.property
    def result(self) -> StatusResult: ...
    capabilities_update_strategy: FunctionEnvironmentReloadResponse.CapabilitiesUpdateStrategy
    def __init__(
        self,
        *,
        worker_metadata: WorkerMetadata | None = None,
        capabilities: Mapping[builtins.str, builtins.str] | None = None,
        result: StatusResult | None = None,
        capabilities_update_strategy: FunctionEnvironmentReloadResponse.CapabilitiesUpdateStrategy | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["worker_metadata", "result"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["worker_metadata", "capabilities", "result", "capabilities_update_strategy"]) -> None: ...

@final
class WorkerWarmupRequest(Message):
    worker_directory: builtins.str
    def __init__(
        self,
        *,
        worker_directory: builtins.str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["worker_directory"]) -> None: ...

@final
class WorkerWarmupResponse(Message):
    @builtins.property
    def result(self) -> StatusResult: ...
    def __init__(
        self,
        *,
        result: StatusResult | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["result"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["result"]) -> None: ...

@final
class WorkerTerminate(Message):
    @builtins.property
    def grace_period(self) -> Duration: ...
    def __init__(
        self,
        *,
        grace_period: Duration | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["grace_period"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["grace_period"]) -> None: ...

@final
class WorkerStatusRequest(Message):
    def __init__(self) -> None: ...

@final
class WorkerStatusResponse(Message):
    def __init__(self) -> None: ...

@final
class WorkerHeartbeat(Message):
    def __init__(self) -> None: ...

@final
class FileChangeEventRequest(Message):
    @final
    class Type(_Enum):
        Unknown: ClassVar[FileChangeEventRequest.Type]
        Created: ClassVar[FileChangeEventRequest.Type]
        Deleted: ClassVar[FileChangeEventRequest.Type]
        Changed: ClassVar[FileChangeEventRequest.Type]
        Renamed: ClassVar[FileChangeEventRequest.Type]
        All: ClassVar[FileChangeEventRequest.Type]

    Unknown: ClassVar[FileChangeEventRequest.Type]
    Created: ClassVar[FileChangeEventRequest.Type]
    Deleted: ClassVar[FileChangeEventRequest.Type]
    Changed: ClassVar[FileChangeEventRequest.Type]
    Renamed: ClassVar[FileChangeEventRequest.Type]
    All: ClassVar[FileChangeEventRequest.Type]

    type: FileChangeEventRequest.Type
    full_path: builtins.str
    name: builtins.str
    def __init__(
        self,
        *,
        type: FileChangeEventRequest.Type | None = None,
        full_path: builtins.str | None = None,
        name: builtins.str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["type", "full_path", "name"]) -> None: ...

@final
class WorkerActionResponse(Message):
    @final
    class Action(_Enum):
        Restart: ClassVar[WorkerActionResponse.Action]
        Reload: ClassVar[WorkerActionResponse.Action]

    Restart: ClassVar[WorkerActionResponse.Action]
    Reload: ClassVar[WorkerActionResponse.Action]

    action: WorkerActionResponse.Action
    reason: builtins.str
    def __init__(
        self,
        *,
        action: WorkerActionResponse.Action | None = None,
        reason: builtins.str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["action", "reason"]) -> None: ...

@final
class CloseSharedMemoryResourcesRequest(Message):
    @builtins.property
    def map_names(self) -> RepeatedScalarFieldContainer[builtins.str]: ...
    def __init__(
        self,
        *,
        map_names: Iterable[builtins.str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["map_names"]) -> None: ...

@final
class CloseSharedMemoryResourcesResponse(Message):
    @builtins.property
    def close_map_results(self) -> ScalarMap[builtins.str, builtins.bool]: ...
    def __init__(
        self,
        *,
        close_map_results: Mapping[builtins.str, builtins.bool] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["close_map_results"]) -> None: ...

@final
class InvocationRequest(Message):
    invocation_id: builtins.str
    function_id: builtins.str
    @builtins.property
    def input_data(self) -> RepeatedCompositeFieldContainer[ParameterBinding]: ...
    @builtins.property
    def trigger_metadata(self) -> MessageMap[builtins.str, TypedData]: ...
    @builtins.property
    def trace_context(self) -> RpcTraceContext: ...
    @builtins.property
    def retry_context(self) -> RetryContext: ...
    def __init__(
        self,
        *,
        invocation_id: builtins.str | None = None,
        function_id: builtins.str | None = None,
        input_data: Iterable[ParameterBinding] | None = None,
        trigger_metadata: Mapping[builtins.str, TypedData] | None = None,
        trace_context: RpcTraceContext | None = None,
        retry_context: RetryContext | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["trace_context", "retry_context"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["invocation_id", "function_id", "input_data", "trigger_metadata", "trace_context", "retry_context"]) -> None: ...

@final
class InvocationResponse(Message):
    invocation_id: builtins.str
    @builtins.property
    def output_data(self) -> RepeatedCompositeFieldContainer[ParameterBinding]: ...
    @builtins.property
    def result(self) -> StatusResult: ...
    @builtins.property
    def return_value(self) -> TypedData: ...
    def __init__(
        self,
        *,
        invocation_id: builtins.str | None = None,
        output_data: Iterable[ParameterBinding] | None = None,
        result: StatusResult | None = None,
        return_value: TypedData | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["result", "return_value"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["invocation_id", "output_data", "result", "return_value"]) -> None: ...

@final
class InvocationCancel(Message):
    invocation_id: builtins.str
    @builtins.property
    def grace_period(self) -> Duration: ...
    def __init__(
        self,
        *,
        invocation_id: builtins.str | None = None,
        grace_period: Duration | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["grace_period"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["invocation_id", "grace_period"]) -> None: ...

@final
class ParameterBinding(Message):
    name: builtins.str
    @builtins.property
    def data(self) -> TypedData: ...
    @builtins.property
    def rpc_shared_memory(self) -> RpcSharedMemory: ...
    def __init__(
        self,
        *,
        name: builtins.str | None = None,
        data: TypedData | None = None,
        rpc_shared_memory: RpcSharedMemory | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["rpc_data", "data", "rpc_shared_memory"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["rpc_data", "name", "data", "rpc_shared_memory"]) -> None: ...
    def WhichOneof(self, oneof_group: Literal["rpc_data"]) -> Literal["data", "rpc_shared_memory"] | None: ...

@final
class RpcTraceContext(Message):
    trace_parent: builtins.str
    trace_state: builtins.str
    @builtins.property
    def attributes(self) -> ScalarMap[builtins.str, builtins.str]: ...
    def __init__(
        self,
        *,
        trace_parent: builtins.str | None = None,
        trace_state: builtins.str | None = None,
        attributes: Mapping[builtins.str, builtins.str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["trace_parent", "trace_state", "attributes"]) -> None: ...

@final
class RetryContext(Message):
    retry_count: builtins.int
    max_retry_count: builtins.int
    @builtins.property
    def exception(self) -> RpcException: ...
    def __init__(
        self,
        *,
        retry_count: builtins.int | None = None,
        max_retry_count: builtins.int | None = None,
        exception: RpcException | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["exception"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["retry_count", "max_retry_count", "exception"]) -> None: ...

@final
class RpcException(Message):
    source: builtins.str
    stack_trace: builtins.str
    message: builtins.str
    is_user_exception: builtins.bool
    type: builtins.str
    def __init__(
        self,
        *,
        source: builtins.str | None = None,
        stack_trace: builtins.str | None = None,
        message: builtins.str | None = None,
        is_user_exception: builtins.bool | None = None,
        type: builtins.str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["source", "stack_trace", "message", "is_user_exception", "type"]) -> None: ...

@final
class RpcLog(Message):
    @final
    class Level(_Enum):
        Trace: ClassVar[RpcLog.Level]
        Debug: ClassVar[RpcLog.Level]
        Information: ClassVar[RpcLog.Level]
        Warning: ClassVar[RpcLog.Level]
        Error: ClassVar[RpcLog.Level]
        Critical: ClassVar[RpcLog.Level]

    Trace: ClassVar[RpcLog.Level]
    Debug: ClassVar[RpcLog.Level]
    Information: ClassVar[RpcLog.Level]
    Warning: ClassVar[RpcLog.Level]
    Error: ClassVar[RpcLog.Level]
    Critical: ClassVar[RpcLog.Level]

    @final
    class RpcLogCategory(_Enum):
        User: ClassVar[RpcLog.RpcLogCategory]
        System: ClassVar[RpcLog.RpcLogCategory]
        CustomMetric: ClassVar[RpcLog.RpcLogCategory]

    User: ClassVar[RpcLog.RpcLogCategory]
    System: ClassVar[RpcLog.RpcLogCategory]
    CustomMetric: ClassVar[RpcLog.RpcLogCategory]

    invocation_id: builtins.str
    category: builtins.str
    level: RpcLog.Level
    message: builtins.str
    event_id: builtins.str
    @builtins.property
    def exception(self) -> RpcException: ...
    properties: builtins.str
    log_category: RpcLog.RpcLogCategory
    @builtins.property
    def propertiesMap(self) -> MessageMap[builtins.str, TypedData]: ...
    def __init__(
        self,
        *,
        invocation_id: builtins.str | None = None,
        category: builtins.str | None = None,
        level: RpcLog.Level | None = None,
        message: builtins.str | None = None,
        event_id: builtins.str | None = None,
        exception: RpcException | None = None,
        properties: builtins.str | None = None,
        log_category: RpcLog.RpcLogCategory | None = None,
        propertiesMap: Mapping[builtins.str, TypedData] | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["exception"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["invocation_id", "category", "level", "message", "event_id", "exception", "properties", "log_category", "propertiesMap"]) -> None: ...

@final
class TypedData(Message):
    string: builtins.str
    json: builtins.str
    bytes: builtins.bytes
    stream: builtins.bytes
    @builtins.property
    def http(self) -> RpcHttp: ...
    int: builtins.int
    double: builtins.float
    @builtins.property
    def collection_bytes(self) -> CollectionBytes: ...
    @builtins.property
    def collection_string(self) -> CollectionString: ...
    @builtins.property
    def collection_double(self) -> CollectionDouble: ...
    @builtins.property
    def collection_sint64(self) -> CollectionSInt64: ...
    @builtins.property
    def model_binding_data(self) -> ModelBindingData: ...
    @builtins.property
    def collection_model_binding_data(self) -> CollectionModelBindingData: ...
    def __init__(
        self,
        *,
        string: builtins.str | None = None,
        json: builtins.str | None = None,
        bytes: builtins.bytes | None = None,
        stream: builtins.bytes | None = None,
        http: RpcHttp | None = None,
        int: builtins.int | None = None,
        double: builtins.float | None = None,
        collection_bytes: CollectionBytes | None = None,
        collection_string: CollectionString | None = None,
        collection_double: CollectionDouble | None = None,
        collection_sint64: CollectionSInt64 | None = None,
        model_binding_data: ModelBindingData | None = None,
        collection_model_binding_data: CollectionModelBindingData | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["data", "string", "json", "bytes", "stream", "http", "int", "double", "collection_bytes", "collection_string", "collection_double", "collection_sint64", "model_binding_data", "collection_model_binding_data"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["data", "string", "json", "bytes", "stream", "http", "int", "double", "collection_bytes", "collection_string", "collection_double", "collection_sint64", "model_binding_data", "collection_model_binding_data"]) -> None: ...
    def WhichOneof(self, oneof_group: Literal["data"]) -> Literal["string", "json", "bytes", "stream", "http", "int", "double", "collection_bytes", "collection_string", "collection_double", "collection_sint64", "model_binding_data", "collection_model_binding_data"] | None: ...

@final
class CollectionBytes(Message):
    @builtins.property
    def bytes(self) -> RepeatedScalarFieldContainer[builtins.bytes]: ...
    def __init__(
        self,
        *,
        bytes: Iterable[builtins.bytes] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["bytes"]) -> None: ...

@final
class CollectionString(Message):
    @builtins.property
    def string(self) -> RepeatedScalarFieldContainer[builtins.str]: ...
    def __init__(
        self,
        *,
        string: Iterable[builtins.str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["string"]) -> None: ...

@final
class CollectionDouble(Message):
    @builtins.property
    def double(self) -> RepeatedScalarFieldContainer[builtins.float]: ...
    def __init__(
        self,
        *,
        double: Iterable[builtins.float] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["double"]) -> None: ...

@final
class CollectionSInt64(Message):
    @builtins.property
    def sint64(self) -> RepeatedScalarFieldContainer[builtins.int]: ...
    def __init__(
        self,
        *,
        sint64: Iterable[builtins.int] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["sint64"]) -> None: ...

@final
class ModelBindingData(Message):
    version: builtins.str
    source: builtins.str
    content_type: builtins.str
    content: builtins.bytes
    def __init__(
        self,
        *,
        version: builtins.str | None = None,
        source: builtins.str | None = None,
        content_type: builtins.str | None = None,
        content: builtins.bytes | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["version", "source", "content_type", "content"]) -> None: ...

@final
class CollectionModelBindingData(Message):
    @builtins.property
    def model_binding_data(self) -> RepeatedCompositeFieldContainer[ModelBindingData]: ...
    def __init__(
        self,
        *,
        model_binding_data: Iterable[ModelBindingData] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["model_binding_data"]) -> None: ...

@final
class RpcSharedMemory(Message):
    name: builtins.str
    offset: builtins.int
    count: builtins.int
    type: RpcDataType
    def __init__(
        self,
        *,
        name: builtins.str | None = None,
        offset: builtins.int | None = None,
        count: builtins.int | None = None,
        type: RpcDataType | None = None,
    ) -> None: ...
    def ClearField(self, field_name: Literal["name", "offset", "count", "type"]) -> None: ...

@final
class RpcHttp(Message):
    method: builtins.str
    url: builtins.str
    @builtins.property
    def headers(self) -> ScalarMap[builtins.str, builtins.str]: ...
    @builtins.property
    def body(self) -> TypedData: ...
    @builtins.property
    def params(self) -> ScalarMap[builtins.str, builtins.str]: ...
    status_code: builtins.str
    @builtins.property
    def query(self) -> ScalarMap[builtins.str, builtins.str]: ...
    enable_content_negotiation: builtins.bool
    @builtins.property
    def rawBody(self) -> TypedData: ...
    @builtins.property
    def identities(self) -> RepeatedCompositeFieldContainer[RpcClaimsIdentity]: ...
    @builtins.property
    def cookies(self) -> RepeatedCompositeFieldContainer[RpcHttpCookie]: ...
    @builtins.property
    def nullable_headers(self) -> MessageMap[builtins.str, NullableString]: ...
    @builtins.property
    def nullable_params(self) -> MessageMap[builtins.str, NullableString]: ...
    @builtins.property
    def nullable_query(self) -> MessageMap[builtins.str, NullableString]: ...
    def __init__(
        self,
        *,
        method: builtins.str | None = None,
        url: builtins.str | None = None,
        headers: Mapping[builtins.str, builtins.str] | None = None,
        body: TypedData | None = None,
        params: Mapping[builtins.str, builtins.str] | None = None,
        status_code: builtins.str | None = None,
        query: Mapping[builtins.str, builtins.str] | None = None,
        enable_content_negotiation: builtins.bool | None = None,
        rawBody: TypedData | None = None,
        identities: Iterable[RpcClaimsIdentity] | None = None,
        cookies: Iterable[RpcHttpCookie] | None = None,
        nullable_headers: Mapping[builtins.str, NullableString] | None = None,
        nullable_params: Mapping[builtins.str, NullableString] | None = None,
        nullable_query: Mapping[builtins.str, NullableString] | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["body", "rawBody"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["method", "url", "headers", "body", "params", "status_code", "query", "enable_content_negotiation", "rawBody", "identities", "cookies", "nullable_headers", "nullable_params", "nullable_query"]) -> None: ...

@final
class RpcHttpCookie(Message):
    @final
    class SameSite(_Enum):
        Lax: ClassVar[RpcHttpCookie.SameSite]
        Strict: ClassVar[RpcHttpCookie.SameSite]
        ExplicitNone: ClassVar[RpcHttpCookie.SameSite]

    Lax: ClassVar[RpcHttpCookie.SameSite]
    Strict: ClassVar[RpcHttpCookie.SameSite]
    ExplicitNone: ClassVar[RpcHttpCookie.SameSite]

    name: builtins.str
    value: builtins.str
    @builtins.property
    def domain(self) -> NullableString: ...
    @builtins.property
    def path(self) -> NullableString: ...
    @builtins.property
    def expires(self) -> NullableTimestamp: ...
    @builtins.property
    def secure(self) -> NullableBool: ...
    @builtins.property
    def http_only(self) -> NullableBool: ...
    same_site: RpcHttpCookie.SameSite
    @builtins.property
    def max_age(self) -> NullableDouble: ...
    def __init__(
        self,
        *,
        name: builtins.str | None = None,
        value: builtins.str | None = None,
        domain: NullableString | None = None,
        path: NullableString | None = None,
        expires: NullableTimestamp | None = None,
        secure: NullableBool | None = None,
        http_only: NullableBool | None = None,
        same_site: RpcHttpCookie.SameSite | None = None,
        max_age: NullableDouble | None = None,
    ) -> None: ...
    def HasField(self, field_name: Literal["domain", "path", "expires", "secure", "http_only", "max_age"]) -> builtins.bool: ...
    def ClearField(self, field_name: Literal["name", "value", "domain", "path", "expires", "secure", "http_only", "same_site", "max_age"]) -> None: ...
