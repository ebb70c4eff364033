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
def app(tmp_path: Path) -> Path:
    """A copy of the sample, to change."""
    return Path(shutil.copytree(Path(__file__).parent / "apps" / APP, tmp_path / APP))


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
    host.post(f"{host.webhook}/instances/{instance_id}/raiseEvent/picked%20up", b"null")
    return host.output_of(instance_id)


def test_orders_of_the_old_code_go_on_and_new_ones_are_wrapped(make_host: Any, app: Path) -> None:
    today = (app / "function_app.py").read_text()
    assert CHANGE in today
    (app / "function_app.py").write_text(today.replace(CHANGE, ""))
    host = make_host(app).start()
    old = waiting(host, "cup", 2)
    host.interrupt()
    (app / "function_app.py").write_text(today)
    host.start()
    new = waiting(host, "book", 3)
    assert pick_up(host, old) == steps("packed", "labelled", "billed", item="cup")
    assert pick_up(host, new) == steps("packed", "wrapped", "labelled", "billed", item="book")


def test_without_the_patch_the_old_ones_fail_and_say_where(make_host: Any, app: Path) -> None:
    today = (app / "function_app.py").read_text()
    (app / "function_app.py").write_text(today.replace(CHANGE, ""))
    host = make_host(app).start()
    old = waiting(host, "cup", 2)
    host.interrupt()
    careless = today.replace('if context.patched("wrapping")', "if True")
    (app / "function_app.py").write_text(careless)
    host.start()
    host.post(f"{host.webhook}/instances/{old}/raiseEvent/picked%20up", b"null")
    status = host.result(old)
    assert status["runtimeStatus"] == "Failed", status
    line = careless.splitlines().index('        done.append((yield context.call_activity("wrap", item)))') + 1
    said = f"activity 'label' (event id 1), but the code at {app / 'function_app.py'}:{line} asked for activity 'wrap'"
    assert said in host.log(), host.log()


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
