"""What an orchestrator yields."""

from worker_ext.tasks import (
    AtomicTask,
    CompoundTask,
    LongTimerTask,
    RetryAbleTask,
    Task,
    TaskBase,
    TaskState,
    TimerTask,
    WhenAllTask,
    WhenAnyTask,
)

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
