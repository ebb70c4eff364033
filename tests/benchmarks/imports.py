"""What an import costs, over `import azure.functions`, which every app has made already. A fresh Python each time."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator

from .report import Row

PROBE = """
import gc, json, sys, time
import azure.functions

def resident():
    gc.collect()
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
    except OSError:  # no /proc: the highest mark so far, in KiB, or in bytes on macOS
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))

before = resident()
start = time.perf_counter()
__import__(sys.argv[1])
spent = time.perf_counter() - start
print(json.dumps([spent * 1e3, resident() - before]))
"""


def measure(rounds: int) -> Iterator[Row]:
    """Imports each package `rounds` times, in turns."""
    packages = ["worker_ext"]
    if importlib.util.find_spec("azure.durable_functions") is not None:
        packages.append("azure.durable_functions")
    samples: dict[str, list[tuple[float, float]]] = {package: [] for package in packages}
    for package in packages:
        _import(package)  # writes the byte code
    for _ in range(rounds):
        for package in packages:
            samples[package].append(_import(package))
    for package, values in samples.items():
        yield Row.of("import over azure.functions", package, "ms", [ms for ms, _ in values])
        yield Row.of("import over azure.functions", package, "MiB", [mib for _, mib in values])


def _import(package: str) -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", PROBE, package], capture_output=True, text=True, check=True)
    ms, mib = json.loads(done.stdout)
    return ms, mib
