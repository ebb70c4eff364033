"""replace_durable_functions(): `import azure.durable_functions` means this package from then on.

For libraries that import azure-functions-durable and that nobody can edit. A module of this package is given under both
names, so that a class is one class whichever way it was imported, and patching one name patches the other.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from worker_ext.errors import AppError

_PEER = "azure.durable_functions"
_OURS = __name__.partition(".")[0]


class DurableFunctionsCompatibilityWarning(UserWarning):
    """A category of azure-functions-durable 1.7.0: this package has no such warnings, filters may name it."""


def replace_durable_functions() -> None:
    """Makes `import azure.durable_functions`, and that of its submodules, mean this package.

    Call it before anything imports azure-functions-durable, whether that is installed or not. A second call does
    nothing.

    Raises:
        AppError: Something of azure-functions-durable has been imported already, so that its classes are in use.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    imported = sorted(name for name in sys.modules if name == _PEER or name.startswith(f"{_PEER}."))
    if imported:
        found = ", ".join([*imported[:3], "..."] if imported[3:] else imported)
        raise AppError(
            f"replace_durable_functions() was called when {found} had already been imported, so that its classes may "
            "be in use. Call it first, at the top of function_app.py, before the import that brings "
            "azure-functions-durable in"
        )
    sys.meta_path.insert(0, _Finder())
    importlib.import_module(_PEER)


class _Finder(MetaPathFinder):
    """Finds modules of azure-functions-durable among those of this package, before anyone looks on the path."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module of this package under the other name; None for modules of other packages.

        Raises:
            ModuleNotFoundError: This package has no such module. The real one must not come in its place.
        """
        if fullname != _PEER and not fullname.startswith(f"{_PEER}."):
            return None
        name = _OURS + fullname.removeprefix(_PEER)
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: azure.durable_functions is replaced by {_OURS}, which has no {name!r}",
                name=fullname,
            )
        return ModuleSpec(fullname, _Loader(name))


class _Loader(Loader):
    """Loads a module of this package, once, under whichever name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Imports the module; it keeps the spec of its own name."""
        module = importlib.import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do but to take back the spec that the import system has given the module."""
        module.__spec__ = self._spec
