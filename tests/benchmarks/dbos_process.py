"""DBOS on SQLite, in a Python of its own: runs the chains of the local host's benchmark on command.

Commands and answers are lines of JSON. `{"chains": count, "steps": count}` runs so many workflows side by side and
answers with the seconds that took; `{"alone": steps}` runs one and answers with the seconds from each step to the next.

Its workflows and steps are coroutines, which is its faster way; its settings are its defaults.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import tempfile
import time
from itertools import pairwise
from typing import Any

dbos: Any = importlib.import_module("dbos")
moments: list[float] = []


def main() -> None:
    """Answers commands until there are no more."""
    with tempfile.TemporaryDirectory() as folder:
        dbos.DBOS(
            config={
                "name": "benchmark",
                "system_database_url": f"sqlite:///{folder}/dbos.sqlite",
                "log_level": "CRITICAL",
                "run_admin_server": False,
            }
        )
        chain = _define()
        dbos.DBOS.launch()
        for line in sys.stdin:
            print(json.dumps(asyncio.run(_answer(chain, json.loads(line)))), flush=True)
        dbos.DBOS.destroy()


def _define() -> Any:
    async def add_one(number: int) -> int:
        moments.append(time.perf_counter())
        return number + 1

    step = dbos.DBOS.step()(add_one)

    async def chain(steps: int) -> int:
        total = 0
        for _ in range(steps):
            total = await step(total)
        return total

    return dbos.DBOS.workflow()(chain)


async def _answer(chain: Any, command: dict[str, int]) -> dict[str, Any]:
    try:
        if "alone" in command:
            moments.clear()
            await _run(chain, 1, command["alone"])
            return {"seconds": [later - earlier for earlier, later in pairwise(moments)]}
        return {"seconds": await _run(chain, command["chains"], command["steps"])}
    except Exception as error:  # noqa: BLE001 - what fails is the peer's own; the other side says it
        return {"error": f"{type(error).__name__}: {error}"}


async def _run(chain: Any, chains: int, steps: int) -> float:
    start = time.perf_counter()
    handles = await asyncio.gather(*(dbos.DBOS.start_workflow_async(chain, steps) for _ in range(chains)))
    results = await asyncio.gather(*(handle.get_result() for handle in handles))
    spent = time.perf_counter() - start
    if results != [steps] * chains:
        raise ValueError(f"the workflows gave {results}, not {steps} each")
    return spent


if __name__ == "__main__":
    main()
