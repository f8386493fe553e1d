"""Rounding: exact where it can be, never off by a part, never alive from nothing."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from tidewatt_router import rounding

NAMES = st.text("abcdefghij", min_size=1, max_size=3)
PARTS = st.dictionaries(NAMES, st.integers(0, 2**53), min_size=1, max_size=40)
SMALL = st.dictionaries(NAMES, st.integers(0, 10_000), min_size=1, max_size=40)
TOTALS = st.integers(1, 1_000_000)


def close(parts: Mapping[str, int], weights: Mapping[str, int]) -> bool:
    """Each share within one part of the sum, in whole numbers: no rounding in the test of rounding."""
    whole, total = sum(parts.values()), sum(weights.values())
    return whole == 0 or all(
        abs(weights[name] * whole - part * total) < whole for name, part in parts.items()
    )


@given(PARTS | SMALL, TOTALS)
def test_a_total(parts: Mapping[str, int], total: int) -> None:
    for weights in (rounding.of_total(parts, total), rounding.to_total(parts, total)):
        assert weights.keys() == parts.keys()
        assert all(weights[name] == 0 for name, part in parts.items() if part == 0)
        assert sum(weights.values()) <= total
        assert any(weights.values()) == any(parts.values())
        assert close(parts, weights)
    assert sum(rounding.to_total(parts, total).values()) in ({total} if any(parts.values()) else {0})


@given(PARTS | SMALL, st.integers(1, 256))
def test_a_largest(parts: Mapping[str, int], largest: int) -> None:
    weights = rounding.of_largest(parts, largest)
    assert max(weights.values()) <= largest
    assert all(weights[name] == 0 for name, part in parts.items() if part == 0)
    assert any(weights.values()) == any(parts.values())
    assert close(parts, weights)
    # The scale is used up, unless the shares are exact without.
    whole, total = sum(parts.values()), sum(weights.values())
    exact = all(weights[name] * whole == part * total for name, part in parts.items())
    assert exact or max(weights.values()) >= largest - 1


@given(SMALL, st.integers(1, 50), st.integers(10_000 * 40, 1_000_000))
def test_what_fits_is_exact_and_multiples_are_the_same(
    parts: Mapping[str, int], factor: int, total: int
) -> None:
    weights = rounding.of_total(parts, total)
    assert rounding.of_total({name: part * factor for name, part in parts.items()}, total) == weights
    assert rounding.shares(weights) == rounding.shares(parts)


@given(SMALL, st.permutations(range(40)), TOTALS)
def test_the_order_of_backends_says_nothing(parts: Mapping[str, int], order: list[int], total: int) -> None:
    items = list(parts.items())
    shuffled = dict(items[place] for place in order if place < len(items))
    assert rounding.of_total(shuffled, total) == rounding.of_total(parts, total)


def test_shares() -> None:
    assert rounding.shares({"a": 1, "b": 3}) == {"a": 0.25, "b": 0.75}
    assert rounding.shares({"a": 0}) == {"a": 0.0}
    assert rounding.of_largest({"a": 9_999, "b": 1}, 256) == {"a": 256, "b": 0}
    assert rounding.of_total({"a": 5000, "b": 5000}, 100) == {"a": 1, "b": 1}
    assert rounding.to_total({"a": 1, "b": 2}, 10_000) == {"a": 3333, "b": 6667}
