"""What is enough by a board's own rate is told when a change matters, by the share it was seen with."""

import math
import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.hinting.enough import HIGHER, LOWER, stands, told
from tidewatt_coordinator.hinting.saying import Said
from tidewatt_governor.hints import Enough
from tidewatt_wire.planned import EnoughAt, PlanHint

POINTS = ("7W", "15W", "25W")


def hint(*edges: float, point: str = "25W", at_ms: int = 0) -> PlanHint:
    rows = [EnoughAt(most_rps=rps, point=name) for rps, name in zip(edges, POINTS, strict=False)]
    return PlanHint(
        fleet="f", device="a", plan=1, issued_at_ms=at_ms, expires_at_ms=at_ms + 300_000, point=point,
        guarded=True, enough=rows or msgspec.UNSET,
    )  # fmt: skip


def test_rows_go_by_the_share_that_was_seen_and_never_beyond_what_was_planned() -> None:
    rows = (Enough(-3.0, "7W"), Enough(40.0, "7W"), Enough(math.inf, "15W"))
    assert told(rows, 0.5, 0.25) == [
        EnoughAt(most_rps=20.0, point="7W"),
        EnoughAt(most_rps=None, point="15W"),
    ]
    assert told(rows, 0.5, 0.75) == told(rows, 0.5, 0.5)
    assert told(rows, 0.5, None) is told(rows, 0.0, 0.5) is told((), 0.5, 0.5) is msgspec.UNSET


def test_small_moves_are_no_news_and_those_to_the_worse_are_sooner() -> None:
    was = hint(50.0, 80.0)
    assert stands(was, hint(49.2, 84.0), 60.0)
    assert not stands(was, hint(48.0, 80.0), 49.0), "at 49 rps it would stand too low"
    assert not stands(was, hint(54.0, 80.0), 52.0)
    assert stands(was, hint(54.0, 120.0), 15.0), "so much it doesn't see"
    assert not stands(was, hint(), 49.0)
    assert not stands(hint(), hint(50.0), 49.0)


edges = st.lists(st.floats(1.0, 200.0), max_size=2).map(sorted)


@given(edges, edges, st.floats(1.0, 200.0), st.floats(0.85, 1.2))
@settings(max_examples=200)
def test_what_stands_is_never_far_off_at_a_rate_that_is_expected(
    was: list[float], now: list[float], expected: float, by: float
) -> None:
    def asked(of: PlanHint, rps: float) -> int:
        rows = of.enough or []
        return POINTS.index(next((one.point for one in rows if rps <= (one.most_rps or 0.0)), of.point))

    before, after, rps = hint(*was), hint(*now), expected * by
    if stands(before, after, expected):
        assert asked(before, rps) >= asked(after, rps / (1.0 + LOWER) * (1.0 - 1e-6))
        assert asked(before, rps) <= asked(after, rps * (1.0 + HIGHER) * (1.0 + 1e-6))


def test_noise_costs_few_messages() -> None:
    chance, said, messages, level = random.Random(4), Said("f"), 0, 100.0
    for minute in range(600):
        level *= math.exp(chance.gauss(0.0, 0.005))
        edge = 100.0 * math.exp(chance.gauss(0.0, 0.01))
        now = hint(0.55 * edge, edge, at_ms=minute * 60_000)
        due = said.due({"a": now}, "a", minute * 60_000, {"a": level})
        for one in due:
            said.note(one)
        messages += len(due)
    assert messages < 0.4 * 600, "a third is what renewing alone takes"
