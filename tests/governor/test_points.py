"""Operating points: power and latency rise with load; the usable rate is where the promise ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatt_governor.points import cheapest, p95_at, strongest, usable_rps, watts_at
from tidewatt_wire.messages import OperatingPoint

points = st.builds(
    OperatingPoint,
    name=st.just("x"),
    mode_id=st.just(0),
    capacity_rps=st.floats(1, 1e4),
    idle_watts=st.floats(0, 50),
    joules_per_request=st.floats(0, 10),
    light_p95_ms=st.floats(0.1, 500),
    queueing=st.floats(0, 5),
)


@given(points, st.floats(0, 2e4), st.floats(0, 2e4))
def test_more_load_never_costs_less_nor_answers_faster(
    point: OperatingPoint, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert watts_at(point, low) <= watts_at(point, high)
    assert p95_at(point, low) <= p95_at(point, high)


@given(points, st.floats(0.1, 5000))
def test_usable_rate_is_where_the_promise_ends(point: OperatingPoint, slo: float) -> None:
    usable = usable_rps(point, slo)
    assert 0 <= usable < point.capacity_rps
    if usable > 0:
        assert p95_at(point, usable) <= slo
        assert p95_at(point, usable * 1.0001 + 1e-6) >= slo * 0.999 or usable > 0.99 * point.capacity_rps
    else:
        assert point.light_p95_ms > slo


def test_lowest_mode_is_not_always_the_cheapest() -> None:
    def point(name: str, idle: float, each: float, capacity: float) -> OperatingPoint:
        return OperatingPoint(
            name=name, mode_id=0, capacity_rps=capacity, idle_watts=idle,
            joules_per_request=each, light_p95_ms=10, queueing=0.3,
        )  # fmt: skip

    low, high = point("low", 4, 0.05, 200), point("high", 5, 0.03, 300)
    assert cheapest([low, high], 10) is low
    assert cheapest([low, high], 150) is high
    assert strongest([low, high], 50) is high
    with pytest.raises(ValueError, match="empty|arg"):
        cheapest([], 1)
