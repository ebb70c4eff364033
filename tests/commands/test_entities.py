"""The commands for entities, against a host that runs."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from host_process import HostProcess, wait_until

from worker_ext import cli
from worker_ext.client import DurableOrchestrationClient
from worker_ext.status import EntityStatus

APP = Path(__file__).parent.parent / "host" / "apps" / "entities"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    folder = tmp_path_factory.mktemp("entities")
    process = HostProcess(Path(shutil.copytree(APP, folder / "app")), folder / "x.db")
    process.start()
    yield process
    process.stop()


def run(host: HostProcess, *arguments: str, code: int = 0) -> str:
    runner = CliRunner(env={"WORKER_EXT_URL": host.url})
    done = runner.invoke(cli._commands(), ["entities", *arguments], prog_name="worker-ext")
    assert done.exit_code == code, done.output
    return done.output.rstrip("\n")


def state(host: HostProcess, key: str, expected: object) -> None:
    """Waits until an entity has a state."""

    def has_it() -> bool:
        answer = host.get(f"{host.webhook}/entities/counter/{key}")
        return answer.status == 200 and answer.json == expected

    wait_until(has_it, f"{key} to be {expected}", host.log)


def test_a_signal_reaches_the_entity(host: HostProcess) -> None:
    assert run(host, "signal", "Counter", "a", "add", "--input", '{"n": 1}') == ""
    state(host, "a", [["add", {"n": 1}]])
    assert json.loads(run(host, "read", "counter", "a")) == [["add", {"n": 1}]]


def test_a_list_has_a_line_an_entity(host: HostProcess) -> None:
    for key in ("l-1", "l-2"):
        run(host, "signal", "Counter", key, "add")
        state(host, key, [["add", None]])
    rows = [line.split("\t") for line in run(host, "list", "counter").splitlines()]
    assert [(name, key, text) for name, key, _, text in rows if key.startswith("l-")] == [
        ("counter", "l-1", '[["add", null]]'),
        ("counter", "l-2", '[["add", null]]'),
    ]
    assert run(host, "list", "nosuch") == ""
    assert [item["entityId"]["name"] for item in json.loads(run(host, "list", "--json"))] == ["counter"] * len(rows)


def test_an_entity_that_is_not_there_has_an_exit_code_of_its_own(host: HostProcess) -> None:
    assert run(host, "read", "counter", "nobody", code=3) == "worker-ext: counter nobody: there is no such entity"


def test_an_unknown_function_is_refused_in_the_hosts_words(host: HostProcess) -> None:
    text = run(host, "signal", "nosuch", "a", "add", code=1)
    assert "The function 'nosuch' doesn't exist, is disabled, or is not an entity function." in text


def test_the_client_goes_through_every_page(host: HostProcess) -> None:
    for number in range(5):
        run(host, "signal", "Counter", f"p-{number}", "add")
        state(host, f"p-{number}", [["add", None]])

    async def listed(*, fetch_state: bool) -> list[EntityStatus]:
        client = DurableOrchestrationClient.connect(host.url)
        return [entity async for entity in client.list_entities("Counter", page_size=2, fetch_state=fetch_state)]

    found = asyncio.run(listed(fetch_state=True))
    mine = [entity for entity in found if entity.key.startswith("p-")]
    assert mine == [
        EntityStatus("counter", f"p-{number}", entity.last_operation_time, [["add", None]])
        for number, entity in enumerate(mine)
    ]
    assert len(mine) == 5
    assert [entity.state for entity in asyncio.run(listed(fetch_state=False))] == [None] * len(found)
