"""What leaves the worker in which order, and what of its logs is dropped."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker_ext.rpc import pb
from worker_ext.worker import outbox as outbox_module
from worker_ext.worker.outbox import FEW, RECORD_BYTES, Outbox


def reply(invocation_id: str) -> pb.StreamingMessage:
    return pb.StreamingMessage(invocation_response=pb.InvocationResponse(invocation_id=invocation_id))


def record(text: str, invocation_id: str = "") -> pb.StreamingMessage:
    return pb.StreamingMessage(rpc_log=pb.RpcLog(message=text, invocation_id=invocation_id))


def put_log(outbox: Outbox, text: str, invocation_id: str = "", *, is_grave: bool = False) -> None:
    outbox.put_log(lambda: record(text, invocation_id), text, invocation_id, is_grave=is_grave)


def copy(message: pb.StreamingMessage) -> pb.StreamingMessage:
    return pb.StreamingMessage.FromString(message.SerializeToString())


def taken(outbox: Outbox) -> list[str]:
    """What is in the box, in order: texts of records, ids of invocations that are answered, or kinds."""
    found = []
    while (message := outbox.take()) is not None:
        found.append(
            message.rpc_log.message or message.invocation_response.invocation_id or str(message.WhichOneof("content"))
        )
    return found


def test_a_reply_overtakes_the_logs_of_others() -> None:
    outbox = Outbox()
    put_log(outbox, "a1", "a")
    put_log(outbox, "background")
    outbox.put(reply("b"))
    assert taken(outbox) == ["b", "a1", "background"]


def test_a_reply_stays_behind_what_its_invocation_logged() -> None:
    outbox = Outbox()
    for text, invocation_id in [("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b")]:
        put_log(outbox, text, invocation_id)
    outbox.put(reply("a"))
    assert taken(outbox) == ["a1", "b1", "a2", "a", "b2"]


def test_an_answer_of_the_start_up_stays_behind_what_was_logged_before_it() -> None:
    outbox = Outbox()
    put_log(outbox, "imported")
    outbox.put(pb.StreamingMessage(function_load_response=pb.FunctionLoadResponse()))
    outbox.put(pb.StreamingMessage(worker_status_response=pb.WorkerStatusResponse()))
    put_log(outbox, "later")
    assert taken(outbox) == ["imported", "function_load_response", "worker_status_response", "later"]


def test_what_is_logged_after_a_reply_holds_up_nobody() -> None:
    outbox = Outbox()
    outbox.put(reply("a"))
    put_log(outbox, "late", "a")
    assert taken(outbox) == ["a", "late"]
    outbox.put(reply("a"))
    assert taken(outbox) == ["a"]


def test_a_reply_and_the_few_records_before_it_overtake_a_storm() -> None:
    outbox = Outbox()
    for number in range(FEW):
        put_log(outbox, f"storm {number}", "a")
    put_log(outbox, "b1", "b")
    put_log(outbox, "more", "a")
    put_log(outbox, "b2", "b")
    outbox.put(reply("b"))
    storm = [f"storm {number}" for number in range(FEW)]
    assert taken(outbox) == ["b1", "b2", "b", *storm, "more"]


def test_a_reply_overtakes_nothing_of_its_own_storm() -> None:
    outbox = Outbox()
    storm = [f"storm {number}" for number in range(2 * FEW)]
    for text in storm:
        put_log(outbox, text, "a")
    outbox.put(reply("a"))
    put_log(outbox, "b1", "b")
    assert taken(outbox) == [*storm, "a", "b1"]


def dropped(count: int) -> str:
    return f"{count} log records were dropped: the app logs faster than the host takes them"


def test_records_that_find_no_room_are_dropped_and_counted_once_there_is_room() -> None:
    outbox = Outbox(log_bytes=2 * FEW * (RECORD_BYTES + 1))
    for _ in range(2 * FEW + 3):
        put_log(outbox, "x")
    assert taken(outbox) == [*["x"] * FEW, dropped(3), *["x"] * FEW]
    put_log(outbox, "y")
    assert taken(outbox) == ["y"]


@pytest.mark.parametrize("invocation_id, is_grave", [("", True), ("a", False)])
def test_grave_records_and_those_of_who_has_few_find_room_where_a_storm_does_not(
    invocation_id: str, is_grave: bool
) -> None:
    outbox = Outbox(log_bytes=FEW * (RECORD_BYTES + 1))
    for _ in range(FEW):
        put_log(outbox, "x")
    for _ in range(FEW + 3):
        put_log(outbox, "y", invocation_id, is_grave=is_grave)
    put_log(outbox, "z")
    assert taken(outbox) == [*["x"] * FEW, *["y"] * (FEW // 2), dropped(4), *["y"] * (FEW // 2)]


def test_a_record_that_is_too_long_alone_is_dropped_and_told() -> None:
    outbox = Outbox(log_bytes=1000)
    put_log(outbox, "x" * 2000)
    assert taken(outbox) == [dropped(1)]


async def test_that_a_record_was_dropped_is_told_though_nothing_else_is_sent() -> None:
    outbox = Outbox(log_bytes=1000)
    waiting = asyncio.create_task(outbox.wait())
    await asyncio.sleep(0)
    put_log(outbox, "x" * 2000)
    async with asyncio.timeout(30):
        await waiting
    assert taken(outbox) == [dropped(1)]


steps = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["log", "reply", "take"])), max_size=60)


@given(steps, st.integers(0, 5))
def test_every_message_leaves_once_and_each_invocations_own_keep_their_order(
    given: list[tuple[str, str]], few: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox_module, "FEW", few)
        check_order(given)


def check_order(given: list[tuple[str, str]]) -> None:
    outbox, sent, found = Outbox(), [], []
    for number, (invocation_id, step) in enumerate(given):
        if step == "take":
            message = outbox.take()
            if message is not None:
                found.append(message.request_id)
            continue
        message = record("x", invocation_id) if step == "log" else reply(invocation_id)
        message.request_id = f"{invocation_id}{number}"  # what copies keep
        sent.append(message.request_id)
        if step == "log":
            outbox.put_log(partial(copy, message), "x", invocation_id)
        else:
            outbox.put(message)
    while (message := outbox.take()) is not None:
        found.append(message.request_id)
    assert sorted(found) == sorted(sent)
    replies = {f"{invocation_id}{number}" for number, (invocation_id, step) in enumerate(given) if step == "reply"}
    for name in "abc":
        before: set[str] = set()
        for one in [one for one in sent if one[0] == name]:
            if one in replies:
                assert {earlier for earlier in found[: found.index(one)] if earlier[0] == name} >= before
            else:
                before.add(one)


def test_nothing_is_lost_between_threads() -> None:
    outbox, count, threads = Outbox(), 2000, 4

    def work(name: str) -> None:
        for number in range(count):
            put_log(outbox, f"{name}{number}", f"{name}{number}")
            outbox.put(reply(f"{name}{number}"))

    workers = [threading.Thread(target=work, args=[name]) for name in "abcd"[:threads]]
    for worker in workers:
        worker.start()
    found: list[str] = []
    while any(worker.is_alive() for worker in workers):
        found += taken(outbox)
    found += taken(outbox)
    assert sorted(found) == sorted([f"{name}{number}" for name in "abcd" for number in range(count)] * 2)
