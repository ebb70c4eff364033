"""What an import costs, and that of every public name, over `import azure.functions`, which every app has made already.

A fresh Python each time.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator

from .report import Row

PROBE = """
import gc, importlib, json, sys, time
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
package = importlib.import_module(sys.argv[1])
if sys.argv[2:]:
    for name in package.__all__:
        getattr(package, name)
spent = time.perf_counter() - start
print(json.dumps([spent * 1e3, resident() - before]))
"""


def measure(rounds: int) -> Iterator[Row]:
    """Imports each package `rounds` times, in turns."""
    packages = ["worker_ext"]
    if importlib.util.find_spec("azure.durable_functions") is not None:
        packages.append("azure.durable_functions")
    cases = [(package, *names) for names in ((), ("every name",)) for package in packages]
    samples: dict[tuple[str, ...], list[tuple[float, float]]] = {case: [] for case in cases}
    for case in cases:
        _import(*case)  # writes the byte code
    for _ in range(rounds):
        for case in cases:
            samples[case].append(_import(*case))
    for (package, *names), values in samples.items():
        what = ", ".join(["import over azure.functions", *names])
        yield Row.of(what, package, "ms", [ms for ms, _ in values])
        yield Row.of(what, package, "MiB", [mib for _, mib in values])


def _import(package: str, *names: str) -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", PROBE, package, *names], capture_output=True, text=True, check=True)
    ms, mib = json.loads(done.stdout)
    return ms, mib
