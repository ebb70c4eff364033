"""Random orchestrations through random interleavings and crashes: they end as they do when nothing comes in between."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kernel_driver import START, activity, all_of, any_of, child, nb, wait
from kernel_world import World, retried, run_at_random, run_straight

from worker_ext.protocol.codec import format_timestamp
from worker_ext.protocol.history import OrchestrationStatus

# ---------------------------------------------------------------- programs


def timer(seconds: int, canceled: bool = False) -> dict[str, Any]:
    fire_at = format_timestamp(START + timedelta(seconds=seconds))
    return {"actionType": 5, "fireAt": fire_at, "isCanceled": canceled}


leaves = st.one_of(
    st.sampled_from(["Good", "Bad", "NoSuch"]).map(activity),
    st.sampled_from(["Flaky", "Bad"]).map(retried),
    st.just(child("Child")),
    st.integers(-5, 60).map(timer),
    st.integers(0, 60).map(lambda seconds: timer(seconds, canceled=True)),
)
"""What runs to its end by itself."""

items = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda actions: all_of(*actions)),
        st.lists(inner, min_size=1, max_size=3).map(lambda actions: any_of(*actions)),
        inner.map(nb),
    ),
    max_leaves=5,
)

generations = st.lists(st.lists(st.one_of(items, st.just(wait("go"))), max_size=4), min_size=1, max_size=3)
"""An action list for each generation; a wait stands alone, so that one event after the other lets it go on."""


# ---------------------------------------------------------------- runs


def straight(program: list[list[dict[str, Any]]]) -> World:
    """A run where everything happens at once, in the order it was asked for."""
    world = World(program)
    run_straight(world)
    return world


def random(program: list[list[dict[str, Any]]], data: st.DataObject) -> World:
    """A run where anything that can happen next may happen next."""
    world = World(program)
    run_at_random(world, data)
    return world


@given(generations, st.data())
def test_any_interleaving_with_any_crashes_ends_like_the_straight_run(
    program: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    expected, actual = straight(program), random(program, data)
    main, same = expected.instances["main"], actual.instances["main"]
    assert (same.status, same.output) == (main.status, main.output)
    assert (main.status, main.output) == (OrchestrationStatus.COMPLETED, str(len(program) - 1))


@given(generations, st.data())
def test_any_interleaving_schedules_what_the_straight_run_does(
    program: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    def without_flaky(world: World) -> dict[tuple[str, str], int]:
        # How many attempts a flaky activity needs depends on whose attempts came before it.
        return {key: count for key, count in world.scheduled.items() if key != ("TaskScheduled", "Flaky")}

    expected, actual = straight(program), random(program, data)
    kinds = {("TaskScheduled", "Good"), ("TaskScheduled", "Bad"), ("TaskScheduled", "NoSuch")}
    assert {key: actual.scheduled[key] for key in kinds} == {key: expected.scheduled[key] for key in kinds}
    assert without_flaky(actual).keys() == without_flaky(expected).keys()
