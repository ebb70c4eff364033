"""Entities in the management API of a running host, answer for answer as extension 3.19.0 gives them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from running_host import APPS, PATIENCE, Host, run_host

pytestmark = pytest.mark.asyncio(loop_scope="module")

API = "/runtime/webhooks/durabletask"
JSON_TYPE = "application/json; charset=utf-8"
JSON = {"Content-Type": "application/json"}
TOKEN = "x-ms-continuation-token"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def host() -> AsyncIterator[Host]:
    """A host that several tests share, each with a key of its own."""
    async with run_host(APPS / "entities") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def fresh() -> AsyncIterator[Host]:
    async with run_host(APPS / "entities") as running:
        yield running


async def signal(host: Host, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> None:
    answer = await host.post(f"{API}/entities/{path}", body, headers)
    assert (answer.status, answer.body) == (202, b""), answer.text


async def until_state(host: Host, path: str, state: Any) -> None:
    """Waits until an entity has a state; None is that it does not exist."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await host.get(f"{API}/entities/{path}")
            if (answer.json if answer.status == 200 else None) == state:
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "key, body, headers, value",
    [
        ("body0", b'{"a": 1}', JSON, {"a": 1}),
        # azure-functions-durable sends JSON text inside a JSON text.
        ("body1", b'"{\\"a\\": 1}"', JSON, {"a": 1}),
        ("body2", b"5", {"Content-Type": "text/plain"}, 5),
        ("body3", b"5", None, 5),
        ("body4", b"hello", {"Content-Type": "text/plain"}, "hello"),
        ("body5", None, None, None),
    ],
)
async def test_a_signal_takes_its_body_as_input(
    host: Host, key: str, body: bytes | None, headers: dict[str, str] | None, value: Any
) -> None:
    await signal(host, f"Counter/{key}?op=add", body, headers)
    await until_state(host, f"counter/{key}", [["add", value]])


async def test_a_signal_without_an_operation_has_an_empty_one(host: Host) -> None:
    await signal(host, "Counter/no-op")
    await until_state(host, "counter/no-op", [["", None]])


async def test_a_state_is_the_body_of_its_entity(host: Host) -> None:
    await signal(host, "Counter/a?op=add", b"1", JSON)
    await until_state(host, "Counter/a", [["add", 1]])
    answer = await host.get(f"{API}/entities/COUNTER/a")
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, JSON_TYPE, b'[["add",1]]')


@pytest.mark.parametrize("path", ["Counter/zz", "Counter/$", "Nope/a"])
async def test_an_entity_that_does_not_exist_is_not_found(host: Host, path: str) -> None:
    answer = await host.get(f"{API}/entities/{path}")
    assert (answer.status, answer.body) == (404, b"")


async def test_a_dollar_is_an_empty_key_where_it_is_read_and_itself_where_it_is_sent(fresh: Host) -> None:
    await signal(fresh, "Counter/$?op=add", b"1", JSON)
    async with asyncio.timeout(PATIENCE):
        while True:
            listed = (await fresh.get(f"{API}/entities/Counter")).json
            if listed:
                break
            await asyncio.sleep(0.01)
    assert [item["entityId"] for item in listed] == [{"name": "counter", "key": "$"}]
    assert (await fresh.get(f"{API}/entities/Counter/$")).status == 404


async def test_a_delete_sends_the_operation(fresh: Host) -> None:
    await signal(fresh, "Counter/a?op=add", b"1", JSON)
    await until_state(fresh, "Counter/a", [["add", 1]])
    answer = await fresh.send("DELETE", f"{API}/entities/Counter/a")
    assert (answer.status, answer.body) == (202, b"")
    await until_state(fresh, "Counter/a", None)
    assert (await fresh.get(f"{API}/entities")).json == []


@pytest.mark.parametrize(
    "path, body, message",
    [
        (
            "Nope/a?op=x",
            b"1",
            "The function 'nope' doesn't exist, is disabled, or is not an entity function. "
            "Additional info: The following are the known entity functions: 'Counter', 'Starter'.",
        ),
        ("Counter/a%23b?op=x", b"1", "The entity key 'a#b' has '#' in it, which no key may have."),
    ],
)
async def test_a_signal_that_cannot_be_sent_is_refused(host: Host, path: str, body: bytes, message: str) -> None:
    answer = await host.post(f"{API}/entities/{path}", body, JSON)
    assert (answer.status, answer.json) == (400, {"Message": message})


async def test_a_body_that_is_not_the_json_it_says_is_refused(host: Host) -> None:
    answer = await host.post(f"{API}/entities/Counter/a?op=x", b"{bad", JSON)
    assert (answer.status, list(answer.json)) == (400, ["Message"])
    assert answer.json["Message"].startswith("Could not parse JSON content: ")


async def test_entities_are_listed_page_by_page(fresh: Host) -> None:
    for key in ("a", "b", "c"):
        await signal(fresh, f"Counter/{key}?op=add", b"1", JSON)
        await until_state(fresh, f"Counter/{key}", [["add", 1]])
    first = await fresh.get(f"{API}/entities/Counter?fetchState=true&top=2")
    second = await fresh.send("GET", f"{API}/entities?top=2", headers={TOKEN: first.headers[TOKEN]})
    assert (first.status, first.headers["Content-Type"], second.headers[TOKEN]) == (200, JSON_TYPE, "")
    assert [(item["entityId"], item["state"]) for item in [*first.json, *second.json]] == [
        ({"name": "counter", "key": "a"}, [["add", 1]]),
        ({"name": "counter", "key": "b"}, [["add", 1]]),
        ({"name": "counter", "key": "c"}, None),
    ]
    assert all(TIME.fullmatch(item["lastOperationTime"]) for item in first.json)
    late = await fresh.get(f"{API}/entities?lastOperationTimeTo=2020-01-01T00:00:00Z")
    assert late.json == []


async def test_a_token_of_another_list_is_refused(host: Host) -> None:
    answer = await host.send("GET", f"{API}/entities", headers={TOKEN: "xyz"})
    assert (answer.status, answer.json["Message"]) == (400, "One or more of the arguments submitted is incorrect")


async def test_an_entity_is_among_the_instances(fresh: Host) -> None:
    await signal(fresh, "Counter/a?op=add", b"1", JSON)
    await until_state(fresh, "Counter/a", [["add", 1]])
    (status,) = (await fresh.get(f"{API}/instances")).json
    assert {**status, "createdTime": "", "lastUpdatedTime": ""} == {
        "name": "@counter@a",
        "instanceId": "@counter@a",
        "runtimeStatus": "Running",
        "input": {"exists": True, "state": '[["add",1]]', "sorter": {}},
        "customStatus": {"entityExists": True},
        "output": None,
        "createdTime": "",
        "lastUpdatedTime": "",
    }


async def test_an_entity_may_start_orchestrations_with_a_client_of_its_own(host: Host) -> None:
    await signal(host, "Starter/one?op=go", b'"begun-by-one"', JSON)
    await until_state(host, "Starter/one", "begun-by-one")
    async with asyncio.timeout(PATIENCE):
        while True:
            status = await host.get(f"{API}/instances/begun-by-one")
            if status.status == 200:
                break
            await asyncio.sleep(0.01)
    assert status.json["output"] == {"key": "one"}


async def test_an_orchestration_may_signal_for_later(host: Host) -> None:
    started = await host.post(f"{API}/orchestrators/signals_later", b"")
    assert started.status == 202
    assert (await host.get(f"{API}/entities/Counter/later")).status == 404
    await until_state(host, "Counter/later", [["add", 1]])
