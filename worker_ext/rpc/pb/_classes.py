"""Message classes from the committed descriptor set, in a private descriptor pool.

The default pool is one per process and refuses a second definition of a file name or of a symbol. A real worker has
its own FunctionRpc.proto there, and the helper files have no package, so whatever our copies were called,
`NullableString` would clash. A generated `_pb2` module would also refuse to run on a protobuf older than its compiler;
a descriptor set does not.

What differs for the user of these classes: `Duration` and `Timestamp` are this pool's, not google.protobuf's own, so a
field of such a type is set in place (`message.grace_period.FromTimedelta(...)`) or from `pb.Duration`.
"""

import importlib.resources
from collections.abc import Iterator

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

DESCRIPTOR_SET = "function_rpc.binpb"


def build() -> dict[str, type[Message] | EnumTypeWrapper]:
    """Build every top-level message and enum, by name. Nested ones are attributes of their message."""
    content = importlib.resources.files("worker_ext.rpc.pb").joinpath(DESCRIPTOR_SET).read_bytes()
    return dict(_classes(FileDescriptorSet.FromString(content)))


def _classes(files: FileDescriptorSet) -> Iterator[tuple[str, type[Message] | EnumTypeWrapper]]:
    pool = DescriptorPool()
    for proto in files.file:  # protoc puts a file after those it imports
        pool.AddSerializedFile(proto.SerializeToString())
        file = pool.FindFileByName(proto.name)
        for name, message in file.message_types_by_name.items():
            yield name, message_factory.GetMessageClass(message)
        for name, enum in file.enum_types_by_name.items():
            yield name, EnumTypeWrapper(enum)
