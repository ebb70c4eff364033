"""The kinds of tasks, under the names that azure-functions-durable 1.7.0 gives them.

Tasks are made by the methods of the context. The names are for annotations and for telling tasks apart.
"""

from __future__ import annotations

from typing import TypeAlias

from worker_ext.engine.retries import PolicyRetryTask, RetryTask
from worker_ext.engine.tasks import (
    CompoundTask,
    Leaf,
    LongTimerTask,
    Task,
    TaskState,
    TimerTask,
    WaitTask,
    WhenAllTask,
    WhenAnyTask,
)

TaskBase: TypeAlias = Task
AtomicTask: TypeAlias = Leaf | WaitTask
RetryAbleTask: TypeAlias = RetryTask | PolicyRetryTask

__all__ = [
    "AtomicTask",
    "CompoundTask",
    "LongTimerTask",
    "RetryAbleTask",
    "Task",
    "TaskBase",
    "TaskState",
    "TimerTask",
    "WhenAllTask",
    "WhenAnyTask",
]
