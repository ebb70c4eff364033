"""Write worker_ext/rpc/pb from the .proto files beside this script.

    python protos/generate.py            write the files
    python protos/generate.py --check    fail if the committed files are not what would be written

Two files come out: `function_rpc.binpb`, a FileDescriptorSet with every file FunctionRpc.proto needs, the well-known
ones included, from which `worker_ext.rpc.pb` builds its classes; and `__init__.pyi`, which tells type checkers and
editors what those classes have. The compiler is grpcio-tools, needed here only.
"""

import argparse
import importlib.util
import keyword
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    OneofDescriptorProto,
)

PROTOS = Path(__file__).resolve().parent
OUTPUT = PROTOS.parent / "worker_ext" / "rpc" / "pb"
MAIN_FILE = "FunctionRpc.proto"
DESCRIPTOR_SET = "function_rpc.binpb"
STUB = "__init__.pyi"

_SCALARS = {
    FieldDescriptorProto.TYPE_DOUBLE: "builtins.float",
    FieldDescriptorProto.TYPE_INT64: "builtins.int",
    FieldDescriptorProto.TYPE_INT32: "builtins.int",
    FieldDescriptorProto.TYPE_SINT64: "builtins.int",
    FieldDescriptorProto.TYPE_BOOL: "builtins.bool",
    FieldDescriptorProto.TYPE_STRING: "builtins.str",
    FieldDescriptorProto.TYPE_BYTES: "builtins.bytes",
}

# The runtime mixes these into the well-known messages of every pool, by their full names.
_WELL_KNOWN = {
    ".google.protobuf.Duration": "well_known_types.Duration",
    ".google.protobuf.Timestamp": "well_known_types.Timestamp",
}

_HEADER = '''\
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
'''


class GenerateError(Exception):
    """The files cannot be generated, or are not up to date; the message is for the developer."""


# ---------------------------------------------------------------- compiling


def compile_protos() -> FileDescriptorSet:
    """Compile FunctionRpc.proto and what it imports.

    Raises:
        GenerateError: grpcio-tools is missing, or refuses a file.
    """
    if importlib.util.find_spec("grpc_tools") is None:
        raise GenerateError("grpcio-tools is not installed here: run `tox run -e protos`, or `-e check`")
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / DESCRIPTOR_SET
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}", "--include_imports"]
        run = subprocess.run(
            [*command, f"--descriptor_set_out={target}", MAIN_FILE], capture_output=True, text=True, check=False
        )
        if run.returncode:
            raise GenerateError(f"protoc refused the files in {PROTOS}:\n{run.stderr.strip()}")
        return FileDescriptorSet.FromString(target.read_bytes())


def generate() -> dict[str, bytes]:
    """Make every generated file: its name, and its content."""
    files = compile_protos()
    return {DESCRIPTOR_SET: files.SerializeToString(deterministic=True), STUB: stub(files).encode()}


# ---------------------------------------------------------------- the stub


def stub(files: FileDescriptorSet) -> str:
    """Describe every message and enum of `files` as one module."""
    names = _python_names(files)
    blocks = [_HEADER]
    for file in files.file:
        package = f".{file.package}" if file.package else ""
        blocks += ["\n".join(_enum(enum, f"{package}.{enum.name}", names, nested=False)) for enum in file.enum_type]
        blocks += ["\n".join(_message(message, f"{package}.{message.name}", names)) for message in file.message_type]
    return "\n".join(f"{block.rstrip()}\n" for block in blocks)


def _python_names(files: FileDescriptorSet) -> dict[str, str]:
    """Map full proto names to names in the stub.

    Raises:
        GenerateError: two packages define one name, so one module cannot hold both.
    """
    names: dict[str, str] = {}
    for file in files.file:
        package = f".{file.package}" if file.package else ""
        for name in [*(message.name for message in file.message_type), *(enum.name for enum in file.enum_type)]:
            if name in names.values():
                raise GenerateError(f"{file.name}: the name {name} is taken by another file; rename one of them")
            names[f"{package}.{name}"] = name
        for message in file.message_type:
            for enum in message.enum_type:
                names[f"{package}.{message.name}.{enum.name}"] = f"{message.name}.{enum.name}"
            if unknown := [nested.name for nested in message.nested_type if not nested.options.map_entry]:
                raise GenerateError(f"{message.name}: teach the stub nested messages, as {unknown[0]} is one")
    return names


def _enum(enum: EnumDescriptorProto, full_name: str, names: dict[str, str], *, nested: bool) -> Iterator[str]:
    python_name = names[full_name]
    # `None` is a value of two enums and a keyword: only getattr() and Value() reach it.
    values = [value.name for value in enum.value if not keyword.iskeyword(value.name)]
    yield "@final"
    yield f"class {enum.name}(_Enum):"
    yield from (f"    {value}: ClassVar[{python_name}]" for value in values)
    if nested:
        yield ""
        yield from (f"{value}: ClassVar[{python_name}]" for value in values)


def _message(message: DescriptorProto, full_name: str, names: dict[str, str]) -> Iterator[str]:
    entries = {f"{full_name}.{entry.name}": entry for entry in message.nested_type if entry.options.map_entry}
    fields = [_Field(field, entries, names) for field in message.field]
    mixin = _WELL_KNOWN.get(full_name)
    yield "@final"
    yield f"class {message.name}(Message{f', {mixin}' if mixin else ''}):"
    for enum in message.enum_type:
        yield from _indent(_enum(enum, f"{full_name}.{enum.name}", names, nested=True))
        yield ""
    for field in fields:
        yield from _indent(field.attribute())
    yield from _indent(_constructor(fields))
    yield from _indent(_presence(fields, message.oneof_decl))


def _constructor(fields: "Sequence[_Field]") -> Iterator[str]:
    if not fields:
        yield "def __init__(self) -> None: ..."
        return
    yield "def __init__("
    yield "    self,"
    yield "    *,"
    yield from (f"    {field.name}: {field.argument} | None = None," for field in fields)
    yield ") -> None: ..."


def _presence(fields: "Sequence[_Field]", oneofs: Sequence[OneofDescriptorProto]) -> Iterator[str]:
    """HasField, ClearField and WhichOneof, which take the names that this message has, and no other."""
    groups = [oneof.name for oneof in oneofs]
    if present := [*groups, *(field.name for field in fields if field.has_presence)]:
        yield f"def HasField(self, field_name: {_literal(present)}) -> builtins.bool: ..."
    if fields:
        clearable = [*groups, *(field.name for field in fields)]
        yield f"def ClearField(self, field_name: {_literal(clearable)}) -> None: ..."
    if len(groups) > 1:
        raise GenerateError(f"oneofs {', '.join(groups)} in one message: teach the stub overloads of WhichOneof")
    for group in groups:
        members = [field.name for field in fields if field.oneof is not None]
        yield f"def WhichOneof(self, oneof_group: {_literal([group])}) -> {_literal(members)} | None: ..."


class _Field:
    """One field: how it is read, and what the constructor takes for it."""

    def __init__(self, field: FieldDescriptorProto, entries: dict[str, DescriptorProto], names: dict[str, str]) -> None:
        repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
        is_message = field.type == FieldDescriptorProto.TYPE_MESSAGE
        self.name = field.name
        self.oneof = field.oneof_index if field.HasField("oneof_index") else None
        self.has_presence = self.oneof is not None or (is_message and not repeated)
        # A message, a map or a list is changed in place; only a scalar can be assigned.
        self.assignable = not repeated and not is_message
        if is_message and field.type_name in entries:
            key, value = entries[field.type_name].field
            container = "MessageMap" if value.type == FieldDescriptorProto.TYPE_MESSAGE else "ScalarMap"
            arguments = f"[{_value_type(key, names)}, {_value_type(value, names)}]"
            self.annotation, self.argument = container + arguments, "Mapping" + arguments
        elif repeated:
            item = _value_type(field, names)
            container = "RepeatedCompositeFieldContainer" if is_message else "RepeatedScalarFieldContainer"
            self.annotation, self.argument = f"{container}[{item}]", f"Iterable[{item}]"
        else:
            self.annotation = self.argument = _value_type(field, names)

    def attribute(self) -> Iterator[str]:
        if self.assignable:
            yield f"{self.name}: {self.annotation}"
        else:
            yield "@builtins.property"
            yield f"def {self.name}(self) -> {self.annotation}: ..."


def _value_type(field: FieldDescriptorProto, names: dict[str, str]) -> str:
    if field.type in (FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_ENUM):
        return names[field.type_name]
    try:
        return _SCALARS[field.type]
    except KeyError:
        kind = FieldDescriptorProto.Type.Name(field.type)
        raise GenerateError(f"field {field.name}: the stub has no Python type for {kind}; add it to _SCALARS") from None


def _literal(values: Iterable[str]) -> str:
    return "Literal[" + ", ".join(f'"{value}"' for value in values) + "]"


def _indent(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" if line else "" for line in lines)


# ---------------------------------------------------------------- command line


def check(files: dict[str, bytes], directory: Path) -> None:
    """Compare the files in `directory` with what was generated.

    Raises:
        GenerateError: one is missing or different.
    """
    stale = [name for name, content in files.items() if not _holds(directory / name, content)]
    if stale:
        raise GenerateError(
            f"not what {PROTOS.name}/ generates: {', '.join(str(directory / name) for name in stale)}\n"
            "run `tox run -e protos` and commit the result"
        )


def _holds(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Write worker_ext/rpc/pb from the .proto files beside this script.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the files are not up to date")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="directory of the generated files")
    options = parser.parse_args(arguments)
    try:
        files = generate()
        if options.check:
            check(files, options.output)
    except GenerateError as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 1
    if not options.check:
        for name, content in files.items():
            (options.output / name).write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
