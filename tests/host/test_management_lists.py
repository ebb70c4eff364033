"""Lists and purges of a running host, answer for answer as extension 3.19.0 gives them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from running_host import APPS, PATIENCE, Answer, Host, run_host

from worker_ext.host.answers import read_date

pytestmark = pytest.mark.asyncio(loop_scope="module")

API = "/runtime/webhooks/durabletask"
JSON_TYPE = "application/json; charset=utf-8"
TOKEN = "x-ms-continuation-token"


async def reach(host: Host, instance_id: str, state: str) -> Any:
    """Waits until an instance is in a state; its output then."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await host.get(f"{API}/instances/{instance_id}")
            if answer.json["runtimeStatus"] == state:
                return answer.json["output"]
            await asyncio.sleep(0.01)


async def begin(host: Host, name: str, instance_id: str, state: str) -> None:
    """Starts an instance and waits until it is in a state."""
    answer = await host.post(f"{API}/orchestrators/{name}/{instance_id}", b'{"n":1}')
    assert answer.status == 202, answer.text
    await reach(host, instance_id, state)


@pytest_asyncio.fixture(loop_scope="module")
async def host() -> AsyncIterator[Host]:
    async with run_host(APPS / "durable") as running:
        await begin(running, "child", "q-1", "Completed")
        await begin(running, "breaks", "f-1", "Failed")
        await begin(running, "waits", "w-1", "Running")
        await begin(running, "child", "q-2", "Completed")
        yield running


def ids(answer: Answer) -> list[Any]:
    assert (answer.status, answer.headers["Content-Type"]) == (200, JSON_TYPE), answer.text
    return [item["instanceId"] for item in answer.json]


async def listed(host: Host, query: str = "", token: str | None = None) -> Answer:
    return await host.send("GET", f"{API}/instances{query}", headers={} if token is None else {TOKEN: token})


class TestList:
    async def test_an_item_is_the_status_of_its_instance(self, host: Host) -> None:
        answer = await listed(host, "/?instanceIdPrefix=q-1")
        alone = await host.get(f"{API}/instances/q-1")
        assert answer.text == f"[{alone.text}]"
        assert answer.json[0]["input"] == {"n": 1}

    async def test_inputs_are_left_out_on_request(self, host: Host) -> None:
        answer = await listed(host, "?showInput=False&instanceIdPrefix=q-1")
        assert answer.json[0] == (await host.get(f"{API}/instances/q-1?showInput=false")).json
        assert answer.json[0]["input"] is None

    @pytest.mark.parametrize(
        "query, expected",
        [
            ("", ["q-1", "f-1", "w-1", "q-2"]),
            ("/", ["q-1", "f-1", "w-1", "q-2"]),
            ("/?runtimeStatus=Failed,Bogus", ["f-1"]),
            ("/?runtimeStatus=Running,Failed", ["f-1", "w-1"]),
            ("/?runtimeStatus=failed", ["q-1", "f-1", "w-1", "q-2"]),
            ("/?RUNTIMESTATUS=Failed", ["f-1"]),
            ("/?instanceIdPrefix=q-", ["q-1", "q-2"]),
            ("/?instanceIdPrefix=q-&runtimeStatus=Failed", []),
            ("/?createdTimeFrom=2100-01-01T00:00:00Z", []),
            ("/?createdTimeTo=01/31/2020", []),
            ("/?createdTimeFrom=2020-01-01T00:00:00.0000000Z", ["q-1", "f-1", "w-1", "q-2"]),
            ("/?createdTimeFrom=soon&createdTimeTo=", ["q-1", "f-1", "w-1", "q-2"]),
            ("/?top=none", ["q-1", "f-1", "w-1", "q-2"]),
        ],
    )
    async def test_what_fits_is_shown_and_the_last_token_is_empty(
        self, host: Host, query: str, expected: list[str]
    ) -> None:
        answer = await listed(host, query)
        assert (ids(answer), answer.headers[TOKEN]) == (expected, "")

    async def test_the_token_of_a_page_asks_for_the_next(self, host: Host) -> None:
        first = await listed(host, "?top=3")
        second = await listed(host, "?top=3", first.headers[TOKEN])
        assert (ids(first), ids(second), second.headers[TOKEN]) == (["q-1", "f-1", "w-1"], ["q-2"], "")

    async def test_a_token_from_elsewhere_is_a_bad_argument(self, host: Host) -> None:
        answer = await listed(host, "/", "elsewhere")
        assert (answer.status, answer.json["Message"], answer.json["ExceptionType"]) == (
            400,
            "One or more of the arguments submitted is incorrect",
            "System.ArgumentException",
        )


class TestPurge:
    async def test_an_instance_that_has_ended_is_gone(self, host: Host) -> None:
        answer = await host.send("DELETE", f"{API}/instances/q-1")
        assert (answer.status, answer.text, answer.headers["Content-Type"]) == (
            200,
            '{"instancesDeleted":1}',
            JSON_TYPE,
        )
        assert (await host.get(f"{API}/instances/q-1")).status == 404

    async def test_an_instance_that_runs_stays(self, host: Host) -> None:
        answer = await host.send("DELETE", f"{API}/instances/w-1")
        what = "Only orchestrations in a terminal state can be purged, but the orchestration with instance ID w-1 has "
        assert (answer.status, answer.text) == (412, json.dumps(f"{what}status Running"))
        assert (await host.get(f"{API}/instances/w-1")).status == 202

    async def test_an_unknown_instance_is_not_found(self, host: Host) -> None:
        answer = await host.send("DELETE", f"{API}/instances/nosuch")
        assert (answer.status, answer.body, "Content-Type" in answer.headers) == (404, b"", False)

    @pytest.mark.parametrize("query", ["", "?createdTimeFrom=soon", "?runtimeStatus=Failed"])
    async def test_of_many_needs_a_lower_bound(self, host: Host, query: str) -> None:
        answer = await host.send("DELETE", f"{API}/instances/{query}")
        assert (answer.status, answer.json) == (400, "Please provide value for 'createdTimeFrom' parameter.")

    @pytest.mark.parametrize(
        "query, deleted, left",
        [
            ("&runtimeStatus=Failed", 1, ["q-1", "w-1", "q-2"]),
            ("&runtimeStatus=Failed,Running", 1, ["q-1", "w-1", "q-2"]),
            ("", 3, ["w-1"]),
        ],
    )
    async def test_of_many_takes_what_fits_and_has_ended(
        self, host: Host, query: str, deleted: int, left: list[str]
    ) -> None:
        answer = await host.send("DELETE", f"{API}/instances/?createdTimeFrom=2020-01-01T00:00:00Z{query}")
        assert (answer.status, answer.text) == (200, f'{{"instancesDeleted":{deleted}}}')
        assert ids(await listed(host)) == left

    @pytest.mark.parametrize(
        "query", ["2100-01-01", "2020-01-01&createdTimeTo=2020-01-02", "2020-01-01&runtimeStatus=Running"]
    )
    async def test_of_many_finds_none(self, host: Host, query: str) -> None:
        answer = await host.send("DELETE", f"{API}/instances?createdTimeFrom={query}")
        assert (answer.status, answer.body) == (404, b"")

    async def test_a_purged_id_starts_anew(self, host: Host) -> None:
        await host.send("DELETE", f"{API}/instances/q-1")
        await begin(host, "waits", "q-1", "Running")
        await host.post(f"{API}/instances/q-1/raiseEvent/go", b"1", {"Content-Type": "application/json"})
        assert await reach(host, "q-1", "Completed") == {"got": 1}


async def test_this_host_is_the_primary_one(host: Host) -> None:
    answer = await host.post(f"{API}/makeprimary")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.1234567Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T03:04:05+01:00", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05 01:00", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04", datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("1/2/2026", datetime(2026, 1, 2, tzinfo=UTC)),
        ("01/02/2026 3:04:05 PM", datetime(2026, 1, 2, 15, 4, 5, tzinfo=UTC)),
        ("Fri, 02 Jan 2026 03:04:05 GMT", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("9999-12-31T23:59:59-14:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
async def test_dates_are_read_leniently(text: str, expected: datetime | None) -> None:
    assert read_date(text) == expected
