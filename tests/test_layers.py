"""The layers of worker_ext, and what may import what.

    cli ─> worker ─> rpc, api ─> engine ─> protocol ─> errors
    cli ─> host ──> rpc, protocol
    cli ─> api, testing          testing ─> host, api          models, constants ─> api

The host never imports the engine or the api: worker and host are two readings of one contract, and each tests the
other. `protocol` and `errors`, which are data, are open to every layer above them. The base install has neither grpc
nor protobuf, and `import worker_ext` must stay light: see `HEAVY`.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import worker_ext

ROOT = Path(worker_ext.__file__).parent

# Module or package directly under worker_ext: its layer. Whoever adds one decides here where it belongs.
LAYERS = {
    "__init__": "api",
    "__main__": "cli",
    "arguments": "api",
    "bulk": "api",
    "calls": "api",
    "cli": "cli",
    "client": "api",
    "commands": "cli",
    "connection": "api",
    "constants": "reexports",
    "context": "api",
    "converters": "api",
    "decorators": "api",
    "engine": "engine",
    "entity": "api",
    "entity_calls": "api",
    "entity_class": "api",
    "entity_definition": "api",
    "entity_proxy": "api",
    "errors": "errors",
    "flow": "api",
    "function_calls": "api",
    "handlers": "api",
    "host": "host",
    "http_transport": "api",
    "limits": "api",
    "management": "api",
    "models": "reexports",
    "orchestrator": "reexports",
    "payload_converter": "api",
    "payloads": "api",
    "protocol": "protocol",
    "recording": "api",
    "references": "api",
    "replacement": "api",
    "replay_logs": "api",
    "rpc": "rpc",
    "status": "api",
    "sync_client": "api",
    "tasks": "api",
    "testing": "testing",
    "tracing": "api",
    "trigger_view": "api",
    "turn_traces": "api",
    "typed": "api",
    "v1_model": "api",
    "worker": "worker",
}

# Layer: what it may import besides itself.
ALLOWED = {
    "errors": set[str](),
    "protocol": {"errors"},
    "engine": {"protocol", "errors"},
    "api": {"engine", "protocol", "errors"},
    "reexports": {"api", "protocol", "errors"},
    "rpc": {"errors"},
    "worker": {"rpc", "api", "reexports", "protocol", "errors"},
    "host": {"rpc", "protocol", "errors"},
    "testing": {"host", "api", "reexports", "protocol", "errors"},
    "cli": {"worker", "host", "api", "reexports", "testing", "protocol", "errors"},
}

# Not in the base install, or too slow to import before it is needed.
HEAVY = {
    "aiohttp",
    "click",
    "croniter",
    "google.protobuf",
    "grpc",
    "opentelemetry",
    "pydantic",
    "rich",
    "watchfiles",
}
MAY_BE_HEAVY = {"cli", "host", "rpc", "testing", "worker"}

# Clocks, sockets, threads, logs and chance: the engine is told of them by history.
IMPURE = {
    "asyncio.subprocess",
    "http",
    "logging",
    "multiprocessing",
    "random",
    "secrets",
    "select",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "urllib.request",
}


@dataclass(frozen=True)
class Import:
    """One import statement's module, and where it stands."""

    file: str
    line: int
    module: str
    at_import: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"

    def is_of(self, modules: set[str]) -> bool:
        return any(self.module == module or self.module.startswith(f"{module}.") for module in modules)


class ImportReader(ast.NodeVisitor):
    """Collects the imports of one module, those inside functions too; TYPE_CHECKING blocks count for layers only."""

    def __init__(self, file: Path, root: Path) -> None:
        self.file = file.relative_to(root)
        self.imports: list[Import] = []
        self._deferred = 0

    @property
    def package(self) -> list[str]:
        return ["worker_ext", *self.file.parent.parts]

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            kept = self.package[: len(self.package) - node.level + 1]
            base = ".".join([*kept, base] if base else kept)
        for alias in node.names:
            # `from worker_ext import client` names the module; `from worker_ext.client import x` may name a submodule.
            self._add(node, f"{base}.{alias.name}")

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self._defer(*node.body)
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._defer(*node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._defer(*node.body)

    def _defer(self, *nodes: ast.stmt) -> None:
        self._deferred += 1
        for node in nodes:
            self.visit(node)
        self._deferred -= 1

    def _add(self, node: ast.stmt, module: str) -> None:
        self.imports.append(Import(str(self.file), node.lineno, module, not self._deferred))


def imports(file: Path, root: Path) -> list[Import]:
    reader = ImportReader(file, root)
    reader.visit(ast.parse(file.read_text(encoding="utf-8"), str(file)))
    return reader.imports


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Each module or package directly under `root`, with each source file of it."""
    for file in sorted([*root.rglob("*.py"), *root.rglob("*.pyi")]):
        yield file.relative_to(root).with_suffix("").parts[0], file


def layer_of(item: Import) -> str:
    """The layer of an import from worker_ext; what is no module there is one of the names `__init__` re-exports."""
    _, _, rest = item.module.partition(".")
    return LAYERS.get(rest.partition(".")[0], LAYERS["__init__"])


def wrong_layers(root: Path) -> list[str]:
    """Every import between layers that the drawing does not have."""
    wrong = []
    for name, file in modules(root):
        layer = LAYERS.get(name, f"unknown: worker_ext.{name}")
        for item in imports(file, root):
            if not item.is_of({"worker_ext"}):
                continue
            target = layer_of(item)
            if target != layer and target not in ALLOWED.get(layer, set()):
                wrong.append(f"{item} ({layer} -> {target})")
    return wrong


def heavy_imports(root: Path) -> list[str]:
    """Imports of heavy modules that run when a light layer is imported."""
    return [
        str(item)
        for name, file in modules(root)
        if LAYERS.get(name) not in MAY_BE_HEAVY
        for item in imports(file, root)
        if item.at_import and item.is_of(HEAVY)
    ]


def test_every_module_has_its_place_in_the_drawing() -> None:
    unknown = {name for name, _ in modules(ROOT)} - LAYERS.keys()
    assert not unknown, f"say in LAYERS to which layer {unknown} belong"


def test_layers_import_only_what_the_drawing_allows() -> None:
    assert wrong_layers(ROOT) == []


def test_light_layers_import_nothing_heavy() -> None:
    assert heavy_imports(ROOT) == []


@pytest.mark.parametrize("name", ["engine", "protocol", "errors"])
def test_pure_layer_imports_no_clock_socket_thread_logger_or_chance(name: str) -> None:
    impure = [
        str(item)
        for layer, file in modules(ROOT)
        if layer == name
        for item in imports(file, ROOT)
        if item.is_of(IMPURE)
    ]
    assert impure == []


def test_engine_and_below_need_the_standard_library_orjson_and_msgspec_alone() -> None:
    outside = [
        str(item)
        for name, file in modules(ROOT)
        if name in ("engine", "protocol", "errors")
        for item in imports(file, ROOT)
        if item.module.split(".")[0] not in {*sys.stdlib_module_names, "worker_ext", "orjson", "msgspec"}
        and not (item.is_of({"typing_extensions"}) and not item.at_import)  # type checkers have it without installing
    ]
    assert outside == []


# ---------------------------------------------------------------- the checks themselves


@pytest.mark.parametrize(
    "file,source,expected",
    [
        ("host/kernel.py", "from worker_ext.engine import tasks", "(host -> engine)"),
        ("host/kernel.py", "from worker_ext import engine", "(host -> engine)"),
        ("host/kernel.py", "import worker_ext.engine.tasks", "(host -> engine)"),
        ("host/kernel.py", "from ..engine import tasks", "(host -> engine)"),
        ("host/kernel.py", "from worker_ext import DFApp", "(host -> api)"),
        ("host/kernel.py", "import worker_ext", "(host -> api)"),
        ("host/kernel.py", "def late():\n    from worker_ext.client import x", "(host -> api)"),
        ("engine/tasks.py", "if TYPE_CHECKING:\n    from worker_ext.context import x", "(engine -> api)"),
        ("protocol/codec.py", "from worker_ext.engine import x", "(protocol -> engine)"),
        ("errors.py", "from worker_ext.protocol import x", "(errors -> protocol)"),
        ("client.py", "from worker_ext.rpc import pb", "(api -> rpc)"),
        ("worker/stream.py", "from worker_ext.host import x", "(worker -> host)"),
        ("novel.py", "from worker_ext.errors import x", "(unknown: worker_ext.novel -> errors)"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, file: str, source: str, expected: str) -> None:
    write(tmp_path / file, source)
    [found] = wrong_layers(tmp_path)
    assert (found.partition(":")[0], found.endswith(expected)) == (file, True)


@pytest.mark.parametrize(
    "file,source",
    [
        ("client.py", "import aiohttp"),
        ("client.py", "from aiohttp import web"),
        ("client.py", "try:\n    import grpc\nexcept ImportError:\n    pass"),
        ("converters.py", "class A:\n    from google.protobuf import message"),
        ("engine/tasks.py", "import rich.console"),
    ],
)
def test_a_heavy_import_is_found(tmp_path: Path, file: str, source: str) -> None:
    write(tmp_path / file, source)
    assert len(heavy_imports(tmp_path)) == 1


@pytest.mark.parametrize(
    "file,source",
    [
        ("client.py", "def request():\n    import aiohttp"),
        ("client.py", "async def request():\n    import aiohttp"),
        ("client.py", "if TYPE_CHECKING:\n    import aiohttp"),
        ("client.py", "import aiohttp_like"),
        ("worker/stream.py", "import grpc"),
    ],
)
def test_a_deferred_or_permitted_import_passes(tmp_path: Path, file: str, source: str) -> None:
    write(tmp_path / file, source)
    assert heavy_imports(tmp_path) == []


def write(file: Path, source: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
