"""The command line that hosts give a worker."""

from __future__ import annotations

import pytest

from worker_ext.worker.__main__ import parse
from worker_ext.worker.stream import Address

OLD = ["--host", "127.0.0.1", "--port", "5000", "--workerId", "w", "--requestId", "r"]
NEW = ["--functions-uri", "http://127.0.0.1:5001/", "--functions-worker-id", "W", "--functions-request-id", "R"]
LENGTHS = ["--grpcMaxMessageLength", "2147483647", "--functions-grpc-max-message-length", "2147483647"]


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (OLD, Address("127.0.0.1", 5000, "w", "r")),
        (NEW, Address("127.0.0.1", 5001, "W", "R")),
        ([*OLD, *LENGTHS, *NEW], Address("127.0.0.1", 5001, "W", "R")),
        ([*NEW, "--functions-something-new", "x", "--flag", *OLD], Address("127.0.0.1", 5001, "W", "R")),
        (OLD[:-2], Address("127.0.0.1", 5000, "w", "")),
    ],
    ids=["old", "new", "both", "unknown ones", "no request id"],
)
def test_both_spellings_are_read(arguments: list[str], expected: Address) -> None:
    assert parse(arguments) == expected


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--functions-uri (or --host and --port) is missing: this program is started by a Functions host"),
        (OLD[:4], "--functions-worker-id (or --workerId) is missing: the host says who this worker is"),
        (
            ["--functions-uri", "127.0.0.1:99999"],
            "--functions-uri must look like http://127.0.0.1:50123/, not '127.0.0.1:99999'",
        ),
        (
            ["--functions-uri", "http://x:port/"],
            "--functions-uri must look like http://127.0.0.1:50123/, not 'http://x:port/'",
        ),
    ],
)
def test_unusable_command_line_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert (caught.value.code, message in capsys.readouterr().err) == (2, True)
