"""Apps of the v1 model, as a test writes them and as a host describes them to a worker."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from worker_ext.rpc import pb

IN, OUT, INOUT = (pb.BindingInfo.Direction.Value(name) for name in ("in", "out", "inout"))
Bindings = Mapping[str, tuple[str, pb.BindingInfo.Direction]]


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def described(
    app: Path, name: str, bindings: Bindings, script: str = "__init__.py", entry_point: str = ""
) -> pb.RpcFunctionMetadata:
    """What a host says of a function of the v1 model: whole paths, and no word of who has found it."""
    return pb.RpcFunctionMetadata(
        name=name,
        function_id=f"id of {name}",
        directory=str(app / name),
        script_file=str(app / name / script),
        entry_point=entry_point,
        bindings={key: pb.BindingInfo(type=kind, direction=direction) for key, (kind, direction) in bindings.items()},
    )
