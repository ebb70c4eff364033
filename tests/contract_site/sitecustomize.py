"""Loaded by the Pythons of hosts that tests start as processes: has them check themselves once they are a host.

Workers inherit it and never import what it waits for.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

HOST = "worker_ext.host.local_host"


class _Watch(importlib.abc.MetaPathFinder):
    """Finds the host's outermost module as ever, and lets the checks in when it has been loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != HOST:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert isinstance(spec.loader, importlib.machinery.SourceFileLoader)
        spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        tests = str(Path(__file__).parents[1])
        sys.path.append(tests)
        import contract

        sys.path.remove(tests)
        contract.watch_host()


if os.environ.get("WORKER_EXT_CONTRACT_FAULTS"):
    sys.meta_path.insert(0, _Watch())
