"""The message classes live in a pool of their own, beside whatever else the process has loaded."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from textwrap import dedent

import pytest

from worker_ext.rpc import pb

# A worker's process: other definitions under the very names our files and messages have.
CLASHING_COPY = """
    from google.protobuf import descriptor_pool
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    def other_copy():
        pool = descriptor_pool.Default()
        for name, package, message in (
            ("shared/NullableTypes.proto", "", "NullableString"),
            ("FunctionRpc.proto", "AzureFunctionsRpcMessages", "StreamingMessage"),
        ):
            file = FileDescriptorProto(name=name, package=package, syntax="proto3")
            file.message_type.add(name=message).field.add(name="other", number=99, type=9, label=1)
            pool.AddSerializedFile(file.SerializeToString())

    def ours():
        from worker_ext.rpc import pb
        message = pb.StreamingMessage(request_id="r", rpc_log=pb.RpcLog(message="m"))
        assert message.SerializeToString() == bytes.fromhex("0a017212032201 6d"), message.SerializeToString()
        assert pb.NullableString(value="v").SerializeToString() == bytes.fromhex("0a0176")
"""


def run(code: str, **environment: str) -> str:
    """Run `code` in a fresh interpreter; returns what it printed."""
    script = dedent(CLASHING_COPY) + dedent(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=environment or None,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("order", ["other_copy(); ours()", "ours(); other_copy()"])
def test_classes_work_beside_another_function_rpc_in_the_default_pool(order: str) -> None:
    assert run(f"{order}; print('both')") == "both"


def test_the_two_copies_would_clash_in_one_pool() -> None:
    """Else the test above shows nothing."""
    clash = """
        import importlib.resources
        from google.protobuf.descriptor_pb2 import FileDescriptorSet
        other_copy()
        content = importlib.resources.files("worker_ext.rpc.pb").joinpath("function_rpc.binpb").read_bytes()
        for file in FileDescriptorSet.FromString(content).file:
            try:
                descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
            except TypeError as error:
                print(file.name)
                break
    """
    assert run(clash) == "shared/NullableTypes.proto"


def test_pure_python_protobuf_serves_as_well() -> None:
    code = """
        from google.protobuf.internal import api_implementation
        ours()
        print(api_implementation.Type())
    """
    assert run(code, PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python") == "python"


def test_well_known_messages_convert_to_datetime_types() -> None:
    terminate = pb.WorkerTerminate()
    terminate.grace_period.FromTimedelta(timedelta(seconds=5))
    cookie = pb.RpcHttpCookie()
    cookie.expires.value.FromDatetime(datetime(2026, 1, 2, tzinfo=UTC))
    assert (terminate.grace_period.ToTimedelta(), cookie.expires.value.ToDatetime(UTC)) == (
        timedelta(seconds=5),
        datetime(2026, 1, 2, tzinfo=UTC),
    )


def test_enum_is_reached_by_name_and_number() -> None:
    level = pb.RpcLog.Level
    assert (level.Value("Warning"), level.Name(level.Error), pb.RpcLog.Critical, level.Value("None")) == (
        3,
        "Error",
        5,
        6,
    )


def test_unknown_fields_survive_a_round_trip() -> None:
    """A newer host or worker may send more than we know."""
    newer = bytes.fromhex("fa7d0161") + pb.RpcLog(message="m").SerializeToString()
    assert sorted(pb.RpcLog.FromString(newer).SerializeToString()) == sorted(newer)
