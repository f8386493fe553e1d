"""Weights in whole parts."""

from hypothesis import given
from hypothesis import strategies as st

from tidewatt_coordinator.dispatch import PARTS, largest_remainder


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(1e-6, 1e6), min_size=1, max_size=30))
def test_largest_remainder_is_within_one_part(shares: dict[str, float]) -> None:
    parts = largest_remainder(shares)
    total = sum(shares.values())
    assert sum(parts.values()) == PARTS
    assert all(abs(parts[name] - share / total * PARTS) < 1 + 1e-6 for name, share in shares.items())
