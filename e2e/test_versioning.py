"""The sample versioning: instances that began with other code go on, and new ones begin with the new."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from host_process import wait_until

APP = "versioning"
CHANGE = """    if context.patched("wrapping"):
        done.append((yield context.call_activity("wrap", item)))
"""


@pytest.fixture
def host(make_host: Any, tmp_path: Path) -> Any:
    """A host of a copy of the sample, which is not started yet."""
    return make_host(Path(shutil.copytree(Path(__file__).parent / "apps" / APP, tmp_path / APP)))


def code(host: Any) -> str:
    text: str = (host.app / "function_app.py").read_text()
    assert CHANGE in text
    return text


def start(host: Any, code: str) -> None:
    (host.app / "function_app.py").write_text(code)
    host.start()


def waiting(host: Any, item: str, activities: int) -> str:
    """An order that waits to be picked up, after so many activities."""
    instance_id: str = host.begin("order", item)

    def done() -> bool:
        history = host.status(instance_id, "?showHistory=true").get("historyEvents", [])
        return [event["EventType"] for event in history].count("TaskCompleted") == activities

    wait_until(done, f"{activities} activities", host.log)
    return instance_id


def steps(*names: str, item: str) -> list[str]:
    return [f"{name} {item}" for name in names]


def pick_up(host: Any, instance_id: str) -> Any:
    host.post(f"{host.webhook}/instances/{instance_id}/raiseEvent/picked_up", b"null")
    return host.output_of(instance_id)


def test_orders_of_the_old_code_go_on_and_new_ones_are_wrapped(host: Any) -> None:
    today = code(host)
    start(host, today.replace(CHANGE, ""))
    old = waiting(host, "cup", 2)
    host.interrupt()
    start(host, today)
    new = waiting(host, "book", 3)
    assert pick_up(host, old) == steps("packed", "labelled", "billed", item="cup")
    assert pick_up(host, new) == steps("packed", "wrapped", "labelled", "billed", item="book")


@pytest.mark.local_host("Core Tools print the same in other words")
def test_without_the_patch_the_old_ones_fail_and_the_log_says_where(host: Any) -> None:
    careless = code(host).replace('if context.patched("wrapping")', "if True")
    start(host, code(host).replace(CHANGE, ""))
    old = waiting(host, "cup", 2)
    host.interrupt()
    start(host, careless)
    host.post(f"{host.webhook}/instances/{old}/raiseEvent/picked_up", b"null")
    assert host.result(old)["runtimeStatus"] == "Failed"
    line = careless.splitlines().index('        done.append((yield context.call_activity("wrap", item)))') + 1
    place = f"{host.app / 'function_app.py'}:{line}"
    host.until_it_says(f"has activity 'label' (event id 1), but the code at {place} asked for activity 'wrap'")


def test_patched_is_true_from_the_start_of_new_instances(sample: Any) -> None:
    order = waiting(sample, "tea", 3)
    assert pick_up(sample, order) == steps("packed", "wrapped", "labelled", "billed", item="tea")


@pytest.mark.parametrize(
    "query, version, paid, months",
    [("", "2", "yearly", 12), ("?version=2", "2", "yearly", 12), ("?version=1", "1", "monthly", 1)],
)
def test_an_instance_and_its_child_keep_their_version(
    sample: Any, query: str, version: str, paid: str, months: int
) -> None:
    instance_id = sample.begin(f"subscription{query}", "Ann")
    bill = f"billed {months} months of Ann"
    assert sample.output_of(instance_id) == {"version": version, "paid": paid, "bill": bill}
