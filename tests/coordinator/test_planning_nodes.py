"""Unit commitment: the need is carried from when it can be, minimum times hold, more never costs less."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tidewatt_coordinator.planning.nodes import Commitment, Held, NodePool, commit

STEP_MIN = 5.0
needs = st.lists(st.sampled_from([0.0, 40.0, 100.0, 130.0, 260.0, 700.0]), min_size=2, max_size=8)


@st.composite
def pools(draw: st.DrawFn) -> list[NodePool]:
    made = []
    for name in ("spot", "steady")[: draw(st.integers(1, 2))]:
        held = draw(st.integers(0, 4))
        ages = draw(st.lists(st.sampled_from([0.0, 3.0, 6.0, 12.0]), max_size=held))
        times = {
            key: draw(st.sampled_from([0.0, 2.0, 7.0, 15.0])) for key in ("start_min", "up_min", "down_min")
        }
        made.append(
            NodePool(
                name=name,
                node_rps=draw(st.sampled_from([50.0, 120.0])),
                per_hour=draw(st.sampled_from([0.1, 0.4])),
                held=held,
                ages_min=tuple(ages),
                start_min=times["start_min"],
                up_min=times["up_min"],
                down_min=times["down_min"],
            )
        )
    return made


def starts_and_stops(one: Held, pool: NodePool) -> tuple[list[int], list[int]]:
    moves = [after - before for before, after in itertools.pairwise((pool.held, *one.nodes))]
    return [max(0, move) for move in moves], [max(0, -move) for move in moves]


def check(made: Commitment, kinds: list[NodePool], need: list[float]) -> None:
    by_name = {pool.name: pool for pool in kinds}
    for step, wanted in enumerate(need):
        served = sum(one.serving[step] * by_name[one.name].node_rps for one in made.pools)
        assert served + made.short_rps[step] >= wanted - 1e-6
        if step * STEP_MIN >= max(pool.start_min for pool in kinds):
            assert made.short_rps[step] == 0.0
    for one in made.pools:
        pool = by_name[one.name]
        starts, stops = starts_and_stops(one, pool)
        for step, nodes in enumerate(one.nodes):
            lately = sum(n for at, n in enumerate(starts[: step + 1]) if (step - at) * STEP_MIN < pool.up_min)
            young = sum(age + step * STEP_MIN < pool.up_min for age in pool.ages_min)
            assert nodes >= lately + young
            just_begun = sum(
                n for at, n in enumerate(starts[: step + 1]) if (step - at) * STEP_MIN < pool.start_min
            )
            starting = sum(age + step * STEP_MIN < pool.start_min for age in pool.ages_min)
            assert one.serving[step] <= nodes - just_begun - starting
            if starts[step] and step:
                assert stops[step] == 0


@given(pools(), needs)
@settings(max_examples=60)
def test_the_need_is_carried_and_times_hold(kinds: list[NodePool], need: list[float]) -> None:
    check(commit(kinds, need, STEP_MIN), kinds, need)


@given(pools(), needs, st.integers(0, 7), st.sampled_from([1.0, 90.0, 400.0]))
@settings(max_examples=60)
def test_more_need_never_costs_less_and_names_do_not_matter(
    kinds: list[NodePool], need: list[float], at: int, more: float
) -> None:
    less = commit(kinds, need, STEP_MIN)
    raised = [rps + more * (step == at % len(need)) for step, rps in enumerate(need)]
    bigger = commit(kinds, raised, STEP_MIN)
    dread = 1e4 * sum(max(0.0, b - a) for a, b in zip(less.short_rps, bigger.short_rps, strict=True))
    assert bigger.cost + dread >= less.cost - 1e-6
    assert sum(bigger.short_rps) >= sum(less.short_rps) - 1e-6
    renamed = [replace(pool, name=f"z-{pool.name}") for pool in reversed(kinds)]
    assert abs(commit(renamed, need, STEP_MIN).cost - less.cost) < 1e-6


def test_nodes_are_started_in_time_and_given_back_when_that_pays() -> None:
    pool = NodePool(name="spot", node_rps=100.0, per_hour=0.6, held=1, start_min=10.0, up_min=10.0)
    made = commit([pool], [50.0, 50.0, 250.0, 250.0, 0.0, 0.0, 0.0, 0.0], STEP_MIN)
    assert made.pools[0].nodes == (3, 3, 3, 3, 0, 0, 0, 0)
    assert made.pools[0].serving == (1, 1, 3, 3, 0, 0, 0, 0)
    assert abs(made.cost - 12 * 0.05) < 1e-9
    assert made.reason == "250 rps beyond the edge at the most: hold 3 spot (now 1)"
    bounded = commit([replace(pool, most=2)], [250.0] * 4, STEP_MIN)
    assert bounded.short_rps[-1] == 50.0
    assert bounded.reason.endswith("150 rps can't be carried in time")
    assert commit([], [5.0], STEP_MIN).short_rps == (5.0,)


def test_a_pause_shorter_than_its_start_is_held_through() -> None:
    pool = NodePool(name="spot", node_rps=100.0, per_hour=0.6, held=1, start_min=10.0, up_min=5.0)
    assert commit([pool], [80.0, 0.0, 80.0, 80.0], STEP_MIN).pools[0].nodes == (1, 1, 1, 1)
