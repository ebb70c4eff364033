"""The thread pool and the outbox: work goes out to threads and comes back to the loop."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading

import pytest

from worker_ext.errors import AppError
from worker_ext.rpc import pb
from worker_ext.worker.outbox import Outbox
from worker_ext.worker.pool import ThreadPool, pool_size

PATIENCE = 30.0


def message(number: int) -> pb.StreamingMessage:
    return pb.StreamingMessage(request_id=str(number))


def run_together(pool: ThreadPool, jobs: int) -> set[str]:
    """Run jobs that wait for each other; the names of the threads they ran in."""
    meeting = threading.Barrier(jobs + 1)
    names: set[str] = set()

    def job() -> None:
        names.add(threading.current_thread().name)
        meeting.wait(PATIENCE)

    for _ in range(jobs):
        pool.submit(job)
    meeting.wait(PATIENCE)
    return names


def test_jobs_that_wait_for_each_other_get_a_thread_each() -> None:
    assert len(run_together(ThreadPool(5), 5)) == 5


def test_no_more_threads_than_allowed_are_started() -> None:
    pool, names, done = ThreadPool(2), set(), threading.Semaphore(0)

    def job() -> None:
        names.add(threading.current_thread().name)
        done.release()

    for _ in range(50):
        pool.submit(job)
    for _ in range(50):
        assert done.acquire(timeout=PATIENCE)
    assert names <= {"invocations-1", "invocations-2"}


def test_what_a_job_leaves_in_context_variables_ends_with_it() -> None:
    variable = contextvars.ContextVar("variable", default="clean")
    pool, seen, done = ThreadPool(1), [], threading.Semaphore(0)

    def job() -> None:
        seen.append(variable.get())
        variable.set("dirty")
        done.release()

    for _ in range(2):
        pool.submit(job)
        assert done.acquire(timeout=PATIENCE)
    assert seen == ["clean", "clean"]


@pytest.mark.parametrize("text, size", [("1000", 1000), ("0", 1), (None, min(32, (os.cpu_count() or 1) + 4))])
def test_pool_size_is_a_setting(monkeypatch: pytest.MonkeyPatch, text: str | None, size: int) -> None:
    monkeypatch.delenv("PYTHON_THREADPOOL_THREAD_COUNT", raising=False)
    if text is not None:
        monkeypatch.setenv("PYTHON_THREADPOOL_THREAD_COUNT", text)
    assert pool_size() == size


def test_pool_size_must_be_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_THREADPOOL_THREAD_COUNT", "many")
    with pytest.raises(AppError) as caught:
        pool_size()
    assert str(caught.value) == (
        "the setting PYTHON_THREADPOOL_THREAD_COUNT must be a whole number of threads, not 'many'"
    )


async def emptied(outbox: Outbox, count: int) -> list[str]:
    found: list[str] = []

    async def empty() -> None:
        while len(found) < count:
            while (taken := outbox.take()) is not None:
                found.append(taken.request_id)
            if len(found) < count:
                await outbox.wait()

    await asyncio.wait_for(empty(), PATIENCE)
    return found


async def test_messages_from_many_threads_all_arrive_in_each_threads_order() -> None:
    outbox = Outbox()

    def send(first: int) -> None:
        for number in range(500):
            outbox.put(message(first + number))

    for thread in range(4):
        threading.Thread(target=send, args=[thread * 500]).start()
    found = [int(text) for text in await emptied(outbox, 2000)]
    assert sorted(found) == list(range(2000))
    by_thread = [[number for number in found if number // 500 == thread] for thread in range(4)]
    assert all(numbers == sorted(numbers) for numbers in by_thread)


async def test_message_put_before_the_loop_looked_is_not_lost() -> None:
    outbox = Outbox()
    outbox.put(message(1))
    assert await emptied(outbox, 1) == ["1"]


async def test_message_of_a_thread_wakes_the_loop() -> None:
    outbox = Outbox()
    waiting = asyncio.create_task(emptied(outbox, 2))
    await asyncio.sleep(0)
    outbox.put(message(1))
    await asyncio.to_thread(outbox.put, message(2))
    assert await waiting == ["1", "2"]


def test_outbox_without_a_loop_keeps_what_it_gets() -> None:
    outbox = Outbox()

    async def listen() -> None:
        outbox.put(message(1))
        await outbox.wait()

    asyncio.run(listen())
    outbox.put(message(2))
    taken = [outbox.take() for _ in range(3)]
    assert taken == [message(1), message(2), None]
