"""Listing: what a yielded task has that was not listed before, and the template that 1.7.0 would list for it."""

from __future__ import annotations

from collections.abc import Callable

from worker_ext.engine.items import Node, Template
from worker_ext.engine.retries import RetryTask, SteppedTask
from worker_ext.engine.tasks import CompoundTask, Leaf, LongTimerTask, Task, WaitTask, WhenAnyTask


class Listing:
    """Collects the new parts of one task, depth first.

    Args:
        answered: Asked of each new wait; whether it was answered and needs no listing. None: none was.

    Attributes:
        leaves: The new leaves in the order in which they take ids.
        waits: The new waits.
        retries: The new tasks that the extension repeats.
    """

    def __init__(self, answered: Callable[[WaitTask], bool] | None) -> None:
        self._answered = answered
        self.leaves: list[Leaf] = []
        self._seen: set[int] = set()
        self.waits: list[WaitTask] = []
        self.retries: list[RetryTask] = []

    def template(self, task: Task) -> Node | None:
        """The template of a task without what was listed before; None if nothing in it is new."""
        if isinstance(task, Leaf):
            return self._leaf(task)
        if isinstance(task, CompoundTask):
            nodes = [self.template(member) for member in task.members]
            new = [node for node in nodes if node is not None]
            return Template(new, any=isinstance(task, WhenAnyTask)) if new else None
        if isinstance(task, WaitTask):
            return self._wait(task)
        if isinstance(task, RetryTask):
            return self._retry(task)
        if isinstance(task, LongTimerTask):
            first = self._leaf(task.first)
            return None if first is None else Template([first], any=False)
        assert isinstance(task, SteppedTask)
        return self._leaf(task.first)

    def _leaf(self, leaf: Leaf) -> Leaf | None:
        if leaf.id >= 0 or id(leaf) in self._seen:
            return None
        self._seen.add(id(leaf))
        self.leaves.append(leaf)
        return leaf

    def _wait(self, wait: WaitTask) -> WaitTask | None:
        if wait.entered or (self._answered is not None and self._answered(wait)):
            return None
        wait.entered = True
        self.waits.append(wait)
        return wait

    def _retry(self, retry: RetryTask) -> RetryTask | None:
        if self._leaf(retry.first) is None:
            return None
        self.retries.append(retry)
        return retry
