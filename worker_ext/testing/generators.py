"""orchestrator_generator_wrapper(): an orchestrator over stand-ins for tasks, without history or engine."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any


def orchestrator_generator_wrapper(generator: Generator[Any, Any, Any]) -> Generator[Any, None, None]:
    """Runs an orchestrator by the `result` of what it yields.

    As azure-functions-durable 1.7.0 has it, for tests whose context is a mock: each yielded task is answered with its
    `result`; where reading that raises, the error is raised at the yield.

    Args:
        generator: The orchestrator, called with the mock.

    Yields:
        Each task that the orchestrator yields, then what it returns.
    """
    try:
        task = next(generator)
        while True:
            yield task
            try:
                result = task.result
            except Exception as error:  # noqa: BLE001 - what a stand-in raises is the failure of its task
                task = generator.throw(error)
            else:
                task = generator.send(result)
    except StopIteration as stop:
        yield stop.value
