"""The numbers and types on the wire, stated once more by hand, so that a slip in a .proto file shows."""

from typing import Any, cast

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from worker_ext.rpc import pb

PACKAGE = "AzureFunctionsRpcMessages"
TYPES = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_SINT64: "sint64",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
}

# message: its fields as "number name: type", and the oneof that a field is in
MESSAGES = {
    "StreamingMessage": """
        1 request_id: string
        2 rpc_log: RpcLog in content
        4 invocation_request: InvocationRequest in content
        5 invocation_response: InvocationResponse in content
        6 file_change_event_request: FileChangeEventRequest in content
        7 worker_action_response: WorkerActionResponse in content
        8 function_load_request: FunctionLoadRequest in content
        9 function_load_response: FunctionLoadResponse in content
        12 worker_status_request: WorkerStatusRequest in content
        13 worker_status_response: WorkerStatusResponse in content
        14 worker_terminate: WorkerTerminate in content
        15 worker_heartbeat: WorkerHeartbeat in content
        16 worker_init_response: WorkerInitResponse in content
        17 worker_init_request: WorkerInitRequest in content
        20 start_stream: StartStream in content
        21 invocation_cancel: InvocationCancel in content
        25 function_environment_reload_request: FunctionEnvironmentReloadRequest in content
        26 function_environment_reload_response: FunctionEnvironmentReloadResponse in content
        27 close_shared_memory_resources_request: CloseSharedMemoryResourcesRequest in content
        28 close_shared_memory_resources_response: CloseSharedMemoryResourcesResponse in content
        29 functions_metadata_request: FunctionsMetadataRequest in content
        30 function_metadata_response: FunctionMetadataResponse in content
        31 function_load_request_collection: FunctionLoadRequestCollection in content
        32 function_load_response_collection: FunctionLoadResponseCollection in content
        33 worker_warmup_request: WorkerWarmupRequest in content
        34 worker_warmup_response: WorkerWarmupResponse in content
    """,
    "StartStream": "2 worker_id: string",
    "WorkerInitRequest": """
        1 host_version: string
        2 capabilities: map<string, string>
        3 log_categories: map<string, RpcLog.Level>
        4 worker_directory: string
        5 function_app_directory: string
    """,
    "WorkerInitResponse": """
        1 worker_version: string
        2 capabilities: map<string, string>
        3 result: StatusResult
        4 worker_metadata: WorkerMetadata
    """,
    "WorkerMetadata": """
        1 runtime_name: string
        2 runtime_version: string
        3 worker_version: string
        4 worker_bitness: string
        5 custom_properties: map<string, string>
    """,
    "FunctionsMetadataRequest": "1 function_app_directory: string",
    "FunctionMetadataResponse": """
        1 function_metadata_results: repeated RpcFunctionMetadata
        2 result: StatusResult
        3 use_default_metadata_indexing: bool
    """,
    "FunctionLoadRequest": """
        1 function_id: string
        2 metadata: RpcFunctionMetadata
        3 managed_dependency_enabled: bool
    """,
    "FunctionLoadResponse": """
        1 function_id: string
        2 result: StatusResult
        3 is_dependency_downloaded: bool
    """,
    "FunctionLoadRequestCollection": "1 function_load_requests: repeated FunctionLoadRequest",
    "FunctionLoadResponseCollection": "1 function_load_responses: repeated FunctionLoadResponse",
    "FunctionEnvironmentReloadRequest": """
        1 environment_variables: map<string, string>
        2 function_app_directory: string
    """,
    "FunctionEnvironmentReloadResponse": """
        1 worker_metadata: WorkerMetadata
        2 capabilities: map<string, string>
        3 result: StatusResult
        4 capabilities_update_strategy: FunctionEnvironmentReloadResponse.CapabilitiesUpdateStrategy
    """,
    "WorkerWarmupRequest": "1 worker_directory: string",
    "WorkerWarmupResponse": "1 result: StatusResult",
    "WorkerTerminate": "1 grace_period: google.protobuf.Duration",
    "WorkerStatusRequest": "",
    "WorkerStatusResponse": "",
    "WorkerHeartbeat": "",
    "FileChangeEventRequest": """
        1 type: FileChangeEventRequest.Type
        2 full_path: string
        3 name: string
    """,
    "WorkerActionResponse": """
        1 action: WorkerActionResponse.Action
        2 reason: string
    """,
    "CloseSharedMemoryResourcesRequest": "1 map_names: repeated string",
    "CloseSharedMemoryResourcesResponse": "1 close_map_results: map<string, bool>",
    "RpcFunctionMetadata": """
        1 directory: string
        2 script_file: string
        3 entry_point: string
        4 name: string
        6 bindings: map<string, BindingInfo>
        7 is_proxy: bool
        8 status: StatusResult
        9 language: string
        10 raw_bindings: repeated string
        13 function_id: string
        14 managed_dependency_enabled: bool
        15 retry_options: RpcRetryOptions
        16 properties: map<string, string>
    """,
    "BindingInfo": """
        2 type: string
        3 direction: BindingInfo.Direction
        4 data_type: BindingInfo.DataType
        5 properties: map<string, string>
    """,
    "RpcRetryOptions": """
        2 max_retry_count: int32
        3 delay_interval: google.protobuf.Duration
        4 minimum_interval: google.protobuf.Duration
        5 maximum_interval: google.protobuf.Duration
        6 retry_strategy: RpcRetryOptions.RetryStrategy
    """,
    "InvocationRequest": """
        1 invocation_id: string
        2 function_id: string
        3 input_data: repeated ParameterBinding
        4 trigger_metadata: map<string, TypedData>
        5 trace_context: RpcTraceContext
        6 retry_context: RetryContext
    """,
    "InvocationResponse": """
        1 invocation_id: string
        2 output_data: repeated ParameterBinding
        3 result: StatusResult
        4 return_value: TypedData
    """,
    "InvocationCancel": """
        1 grace_period: google.protobuf.Duration
        2 invocation_id: string
    """,
    "ParameterBinding": """
        1 name: string
        2 data: TypedData in rpc_data
        3 rpc_shared_memory: RpcSharedMemory in rpc_data
    """,
    "RpcSharedMemory": """
        1 name: string
        2 offset: int64
        3 count: int64
        4 type: RpcDataType
    """,
    "RpcTraceContext": """
        1 trace_parent: string
        2 trace_state: string
        3 attributes: map<string, string>
    """,
    "RetryContext": """
        1 retry_count: int32
        2 max_retry_count: int32
        3 exception: RpcException
    """,
    "StatusResult": """
        1 result: string
        2 exception: RpcException
        3 logs: repeated RpcLog
        4 status: StatusResult.Status
    """,
    "RpcException": """
        1 stack_trace: string
        2 message: string
        3 source: string
        4 is_user_exception: bool
        5 type: string
    """,
    "RpcLog": """
        1 invocation_id: string
        2 category: string
        3 level: RpcLog.Level
        4 message: string
        5 event_id: string
        6 exception: RpcException
        7 properties: string
        8 log_category: RpcLog.RpcLogCategory
        9 propertiesMap: map<string, TypedData>
    """,
    "TypedData": """
        1 string: string in data
        2 json: string in data
        3 bytes: bytes in data
        4 stream: bytes in data
        5 http: RpcHttp in data
        6 int: sint64 in data
        7 double: double in data
        8 collection_bytes: CollectionBytes in data
        9 collection_string: CollectionString in data
        10 collection_double: CollectionDouble in data
        11 collection_sint64: CollectionSInt64 in data
        12 model_binding_data: ModelBindingData in data
        13 collection_model_binding_data: CollectionModelBindingData in data
    """,
    "CollectionBytes": "1 bytes: repeated bytes",
    "CollectionString": "1 string: repeated string",
    "CollectionDouble": "1 double: repeated double",
    "CollectionSInt64": "1 sint64: repeated sint64",
    "ModelBindingData": """
        1 version: string
        2 source: string
        3 content_type: string
        4 content: bytes
    """,
    "CollectionModelBindingData": "1 model_binding_data: repeated ModelBindingData",
    "RpcHttp": """
        1 method: string
        2 url: string
        3 headers: map<string, string>
        4 body: TypedData
        10 params: map<string, string>
        12 status_code: string
        15 query: map<string, string>
        16 enable_content_negotiation: bool
        17 rawBody: TypedData
        18 identities: repeated .RpcClaimsIdentity
        19 cookies: repeated RpcHttpCookie
        20 nullable_headers: map<string, .NullableString>
        21 nullable_params: map<string, .NullableString>
        22 nullable_query: map<string, .NullableString>
    """,
    "RpcHttpCookie": """
        1 name: string
        2 value: string
        3 domain: .NullableString
        4 path: .NullableString
        5 expires: .NullableTimestamp
        6 secure: .NullableBool
        7 http_only: .NullableBool
        8 same_site: RpcHttpCookie.SameSite
        9 max_age: .NullableDouble
    """,
    "NullableString": "1 value: string in string",
    "NullableDouble": "1 value: double in double",
    "NullableBool": "1 value: bool in bool",
    "NullableTimestamp": "1 value: google.protobuf.Timestamp in timestamp",
    "RpcClaimsIdentity": """
        1 authentication_type: .NullableString
        2 name_claim_type: .NullableString
        3 role_claim_type: .NullableString
        4 claims: repeated .RpcClaim
    """,
    "RpcClaim": """
        1 value: string
        2 type: string
    """,
    "Duration": """
        1 seconds: int64
        2 nanos: int32
    """,
    "Timestamp": """
        1 seconds: int64
        2 nanos: int32
    """,
}

WITHOUT_PACKAGE = {
    "NullableString",
    "NullableDouble",
    "NullableBool",
    "NullableTimestamp",
    "RpcClaimsIdentity",
    "RpcClaim",
}

ENUMS = {
    "StatusResult.Status": {"Failure": 0, "Success": 1, "Cancelled": 2},
    "BindingInfo.Direction": {"in": 0, "out": 1, "inout": 2},
    "BindingInfo.DataType": {"undefined": 0, "string": 1, "binary": 2, "stream": 3},
    "RpcRetryOptions.RetryStrategy": {"exponential_backoff": 0, "fixed_delay": 1},
    "FunctionEnvironmentReloadResponse.CapabilitiesUpdateStrategy": {"merge": 0, "replace": 1},
    "FileChangeEventRequest.Type": {"Unknown": 0, "Created": 1, "Deleted": 2, "Changed": 4, "Renamed": 8, "All": 15},
    "WorkerActionResponse.Action": {"Restart": 0, "Reload": 1},
    "RpcLog.Level": {
        "Trace": 0,
        "Debug": 1,
        "Information": 2,
        "Warning": 3,
        "Error": 4,
        "Critical": 5,
        "None": 6,
    },
    "RpcLog.RpcLogCategory": {"User": 0, "System": 1, "CustomMetric": 2},
    "RpcHttpCookie.SameSite": {"None": 0, "Lax": 1, "Strict": 2, "ExplicitNone": 3},
    "RpcDataType": {
        "unknown": 0,
        "string": 1,
        "json": 2,
        "bytes": 3,
        "stream": 4,
        "http": 5,
        "int": 6,
        "double": 7,
        "collection_bytes": 8,
        "collection_string": 9,
        "collection_double": 10,
        "collection_sint64": 11,
    },
}


def descriptor(name: str) -> Descriptor:
    return cast(Descriptor, getattr(pb, name).DESCRIPTOR)


def relative(item: Descriptor | EnumDescriptor) -> str:
    """A type's name as the tables have it: bare in the package, with a leading dot where there is none."""
    if item.full_name.startswith("google."):
        return item.full_name
    return item.full_name.removeprefix(f"{PACKAGE}.") if item.file.package else f".{item.full_name}"


def type_name(field: FieldDescriptor) -> str:
    if field.message_type and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_name
        return f"map<{type_name(entry['key'])}, {type_name(entry['value'])}>"
    defined = field.message_type or field.enum_type
    base = relative(defined) if defined else TYPES[field.type]
    return f"repeated {base}" if is_repeated(field) else base


def is_repeated(field: FieldDescriptor) -> bool:
    """Ask the proto: the descriptor's own `label` is gone from new runtimes, `is_repeated` missing from old ones."""
    assert field.containing_type
    message = DescriptorProto()
    field.containing_type.CopyToProto(message)
    return message.field[field.index].label == FieldDescriptorProto.LABEL_REPEATED


def line(field: FieldDescriptor) -> str:
    oneof = f" in {field.containing_oneof.name}" if field.containing_oneof else ""
    return f"{field.number} {field.name}: {type_name(field)}{oneof}"


@pytest.mark.parametrize("name", MESSAGES)
def test_message_has_exactly_the_fields_of_the_wire(name: str) -> None:
    fields = sorted(descriptor(name).fields, key=lambda field: field.number)
    assert [line(field) for field in fields] == [text.strip() for text in MESSAGES[name].strip().splitlines()]


@pytest.mark.parametrize("name", sorted(MESSAGES.keys() - {"Duration", "Timestamp"}))
def test_message_is_in_the_package_of_the_wire(name: str) -> None:
    assert descriptor(name).full_name == (name if name in WITHOUT_PACKAGE else f"{PACKAGE}.{name}")


@pytest.mark.parametrize("name", ENUMS)
def test_enum_has_exactly_the_values_of_the_wire(name: str) -> None:
    enum: Any = pb
    for part in name.split("."):
        enum = getattr(enum, part)
    assert dict(enum.items()) == ENUMS[name]


def test_tables_name_every_message_and_enum_there_is() -> None:
    public = {name for name in vars(pb) if not name.startswith("_")}
    assert public == MESSAGES.keys() | {"RpcDataType"}


def test_file_names_and_imports_are_those_of_the_wire() -> None:
    file = descriptor("StreamingMessage").file
    assert file.name == "FunctionRpc.proto"
    assert [needed.name for needed in file.dependencies] == [
        "google/protobuf/duration.proto",
        "identity/ClaimsIdentityRpc.proto",
        "shared/NullableTypes.proto",
    ]


def test_event_stream_is_the_only_method_and_streams_both_ways() -> None:
    service = descriptor("StreamingMessage").file.services_by_name["FunctionRpc"]
    assert service.full_name == f"{PACKAGE}.FunctionRpc"
    assert [
        (
            method.name,
            relative(method.input_type),
            method.client_streaming,
            relative(method.output_type),
            method.server_streaming,
        )
        for method in service.methods
    ] == [("EventStream", "StreamingMessage", True, "StreamingMessage", True)]


@pytest.mark.parametrize(
    "message,encoded",
    [
        (pb.StreamingMessage(start_stream=pb.StartStream(worker_id="w")), "a2 01 03 12 01 77"),
        (pb.TypedData(int=-3), "30 05"),
        (pb.TypedData(collection_sint64=pb.CollectionSInt64(sint64=[1, -1])), "5a 04 0a 02 02 01"),
        (pb.TypedData(string=""), "0a 00"),
        (pb.TypedData(), ""),
        (pb.StatusResult(status=pb.StatusResult.Success), "20 01"),
        (pb.RpcHttp(query={"q": "1"}), "7a 06 0a 01 71 12 01 31"),
        (pb.WorkerTerminate(grace_period=pb.Duration(seconds=5)), "0a 02 08 05"),
        (pb.InvocationCancel(invocation_id="i"), "12 01 69"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_message_has_these_bytes(message: Any, encoded: str) -> None:
    """Bytes worked out from the encoding's own rules, so that not even the library is taken on trust."""
    assert message.SerializeToString() == bytes.fromhex(encoded)
    assert type(message).FromString(bytes.fromhex(encoded)) == message
