"""Threads for sync functions.

Like `concurrent.futures.ThreadPoolExecutor`, without the futures: a job answers by itself. The threads are daemons, so
that a function which never returns cannot keep the process alive.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from worker_ext.errors import AppError

SIZE_SETTING = "PYTHON_THREADPOOL_THREAD_COUNT"


def pool_size() -> int:
    """Return how many threads the settings allow.

    Raises:
        AppError: The setting is not a number.
    """
    text = os.environ.get(SIZE_SETTING)
    if text is None:
        return min(32, (os.cpu_count() or 1) + 4)  # as ThreadPoolExecutor has it
    try:
        return max(1, int(text))
    except ValueError:
        raise AppError(f"the setting {SIZE_SETTING} must be a whole number of threads, not {text!r}") from None


class ThreadPool:
    """Starts threads as they are needed, up to a limit, and keeps them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job in a thread and a context of its own. The job must not raise. One submitting thread only."""
        self._jobs.put(job)
        if self._idle.acquire(blocking=False) or self._threads >= self.size:
            return
        try:
            threading.Thread(target=self._work, name=f"invocations-{self._threads + 1}", daemon=True).start()
        except RuntimeError:  # the system gives no more threads; those that are there take the job in their turn
            if not self._threads:
                raise
            self.size = self._threads
        else:
            self._threads += 1

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            # An empty context: what a function leaves in its context variables ends with it.
            contextvars.Context().run(job)
            self._idle.release()
