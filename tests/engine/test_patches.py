"""Code that was changed under running instances; old histories are replayed by the new code."""

import asyncio
import json
from collections.abc import Callable, Generator
from typing import Any

import pytest
from recordings import HISTORIES, records_of

import worker_ext as df
from worker_ext.engine.patches import mark_of
from worker_ext.protocol.actions import AnyAction, CallActivity, CreateTimer, WhenAll
from worker_ext.testing import HistoryBuilder, replay

Context = df.DurableOrchestrationContext
Program = Callable[[Context], Any]

A, B, NEW = (CallActivity(function_name=name, input="null") for name in ("A", "B", "New"))
MARK = CreateTimer(fire_at=mark_of("p").isoformat(timespec="microseconds").replace("+00:00", "Z"), is_canceled=True)


def in_generator(context: Context) -> Generator[Any, Any, Any]:
    yield context.call_activity("A")
    if context.patched("p"):
        yield context.call_activity("New")
    yield context.call_activity("B")
    return context.patched("p")


async def in_coroutine(context: Context) -> Any:
    await context.call_activity("A")
    if context.patched("p"):
        await context.call_activity("New")
    await context.call_activity("B")
    return context.patched("p")


both = pytest.mark.parametrize("orchestrator", [in_generator, in_coroutine])


def after_a() -> HistoryBuilder:
    return HistoryBuilder().started().scheduled("A", 0).batch().completed(0)


def marked(history: HistoryBuilder, task_id: int) -> HistoryBuilder:
    """The mark was listed, and the extension made a timer of it, which fires at once."""
    history.timer_created(task_id, mark_of("p") - history.now)
    return history


def flat(actions: list[AnyAction]) -> list[AnyAction]:
    return [
        leaf for action in actions for leaf in (action.compound_actions if isinstance(action, WhenAll) else [action])
    ]


@both
def test_an_instance_that_comes_to_it_now_runs_the_new_code_and_leaves_a_mark(orchestrator: Program) -> None:
    assert flat(replay(orchestrator, after_a()).actions) == [A, MARK, NEW]


@both
def test_the_mark_is_found_on_every_replay(orchestrator: Program) -> None:
    history = marked(after_a(), 1).scheduled("New", 2).batch().timer_fired(1).batch().completed(2)
    assert flat(replay(orchestrator, history).actions) == [A, MARK, NEW, B]
    assert replay(orchestrator, history.scheduled("B", 3).batch().completed(3)).output is True


@both
def test_an_instance_that_went_on_without_it_does_so_for_good(orchestrator: Program) -> None:
    history = after_a().scheduled("B", 1)
    assert replay(orchestrator, history).actions == [A, B]
    assert replay(orchestrator, history.batch().completed(1)).output is False


def test_an_instance_that_waits_for_an_event_there_takes_the_new_code() -> None:
    def orchestrator(context: Context) -> Generator[Any, Any, Any]:
        if context.patched("p"):
            yield context.call_activity("New")
        yield context.wait_for_external_event("go")

    assert replay(orchestrator, HistoryBuilder().started().batch()).actions == [MARK, NEW]


def test_a_branch_is_asked_for_itself() -> None:
    async def orchestrator(context: Context) -> Any:
        async def old() -> None:
            await context.call_activity("A")
            await context.call_activity("B")

        async def changed() -> bool:
            await context.call_activity("B")
            return context.patched("p")

        return (await asyncio.gather(old(), changed()))[1]

    history = HistoryBuilder().started().scheduled("A", 0).scheduled("B", 1).batch().completed(0)
    history.scheduled("B", 2).batch().completed(1).batch().completed(2)
    turn = replay(orchestrator, history)
    assert (turn.output, turn.actions[-1]) == (True, MARK)


def test_a_patch_without_a_name_is_refused() -> None:
    def orchestrator(context: Context) -> bool:
        return context.patched("")

    error = replay(orchestrator, HistoryBuilder().started()).error
    assert isinstance(error, ValueError)
    assert "patched was given an empty patch_id" in str(error)


class TestWhenTheOldCodeIsGone:
    """The `if` is taken out once no instance runs the old code, the call once none is left that has asked."""

    @staticmethod
    def without_if(context: Context) -> Generator[Any, Any, Any]:
        yield context.call_activity("A")
        context.patched("p")
        yield context.call_activity("New")
        yield context.call_activity("B")
        return True

    @staticmethod
    async def without_if_async(context: Context) -> Any:
        await context.call_activity("A")
        context.patched("p")
        await context.call_activity("New")
        await context.call_activity("B")
        return True

    @staticmethod
    async def without_patch(context: Context) -> Any:
        await context.call_activity("A")
        await context.call_activity("New")
        await context.call_activity("B")
        return True

    def with_mark(self) -> HistoryBuilder:
        history = marked(after_a(), 1).scheduled("New", 2).batch().timer_fired(1).batch().completed(2)
        return history.scheduled("B", 3).batch().completed(3)

    @pytest.mark.parametrize("orchestrator", [without_if, without_if_async])
    def test_the_call_alone_goes_on_with_instances_that_have_the_mark(self, orchestrator: Program) -> None:
        turn = replay(orchestrator, self.with_mark())
        assert (flat(turn.actions), turn.output) == ([A, MARK, NEW, B], True)

    def test_without_the_call_new_instances_have_no_mark(self) -> None:
        history = after_a().scheduled("New", 1).batch().completed(1).scheduled("B", 2).batch().completed(2)
        turn = replay(self.without_patch, history)
        assert (turn.actions, turn.output) == ([A, NEW, B], True)

    def test_a_call_that_went_too_early_is_named(self) -> None:
        error = replay(self.without_patch, self.with_mark()).error
        assert isinstance(error, df.NonDeterminismError)
        assert (error.event_id, error.actual) == (1, "activity 'New'")
        assert "the mark of a context.patched(...) that has to stay" in str(error)


# ---------------------------------------------------------------- recorded histories of old code


def test_recorded_histories_of_the_old_code_are_replayed_by_the_new() -> None:
    async def changed(context: Context) -> Any:
        async def chain(first: str, pause: float, second: str, then: float) -> None:
            await context.call_activity(first, {"sleep": pause})
            if context.patched("audit"):
                await context.call_activity("Audit")
            await context.call_activity(second, {"sleep": then})

        await asyncio.gather(chain("A", 0.2, "C", 0.6), chain("B", 0.5, "D", 0.1))
        return "ok"

    records = list(records_of(HISTORIES / "extension" / "e3_async_two.jsonl"))
    turns = [replay(changed, record["payload"]) for record in records[2:]]  # the old code has passed the change
    assert [json.loads(turn.state.encode())["actions"] for turn in turns] == [
        json.loads(json.dumps(record["response"]["actions"]).replace('\\": ', '\\":')) for record in records[2:]
    ]
    assert turns[-1].output == "ok"
