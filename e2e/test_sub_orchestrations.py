"""The sample sub_orchestrations: a child a server, each with an id and retries, all failures reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

APP = "sub_orchestrations"


def servers(folder: Path, *names: str) -> dict[str, str]:
    for name in names:
        (folder / name).mkdir()
    return {name: str(folder / name) for name in names}


def release(server: str) -> str:
    return Path(server, "RELEASE").read_text()


def test_every_server_gets_the_release(sample: Any, tmp_path: Path) -> None:
    folders = servers(tmp_path, *(f"server{number}" for number in range(8)))
    instance_id = sample.begin("deploy", {"release": "1.0", "servers": folders})
    assert sample.output_of(instance_id) == {"deployed": list(folders), "failed": {}}
    assert {release(folder) for folder in folders.values()} == {"1.0"}
    child = sample.status(f"{instance_id}:server3")
    assert (child["name"], child["runtimeStatus"], child["output"]) == ("deploy_to_server", "Completed", "1.0")


def test_failures_are_reported_together_and_do_not_keep_others_from_their_end(sample: Any, tmp_path: Path) -> None:
    missing = {name: str(tmp_path / name) for name in ("missing", "lost")}
    job = {"release": "1.0", "servers": {**missing, **servers(tmp_path, "good", "late")}, "retry_delay": 10}
    instance_id = sample.begin("deploy", job)
    output = sample.output_of(instance_id)
    assert (output["deployed"], list(output["failed"])) == (["good", "late"], ["missing", "lost"])
    for name, folder in missing.items():
        assert f"No such file or directory: '{folder}/RELEASE'" in output["failed"][name]
    assert sample.status(instance_id)["customStatus"] == "2 of 4 servers failed"


def test_each_deployment_is_logged_with_an_id_of_its_own_and_its_parent(sample: Any, tmp_path: Path) -> None:
    folders = servers(tmp_path, "one")
    parents = [sample.begin("deploy", {"release": version, "servers": folders}) for version in ("1.0", "1.1")]
    for parent in parents:
        sample.output_of(parent)
    lines = [line.partition(" ") for line in Path(folders["one"], "DEPLOYMENTS").read_text().splitlines()]
    assert sorted(text for _, _, text in lines) == [
        f"{version}, ordered by {parent}" for version, parent in zip(("1.0", "1.1"), parents, strict=True)
    ]
    assert len({str(UUID(deployment)) for deployment, _, _ in lines}) == 2


def test_a_child_undoes_its_own_work(sample: Any, tmp_path: Path) -> None:
    folders = servers(tmp_path, "one")
    for version in ("1.0", "2.0-beta"):
        job = {"release": version, "servers": folders, "retry_delay": 10}
        output = sample.output_of(sample.begin("deploy", job))
    assert "2.0-beta is not well; 1.0 is back" in output["failed"]["one"]
    assert release(folders["one"]) == "1.0"
