"""Promise 1: a forecast may only raise capacity early, whatever it says."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_governor.boards import load_profile
from tidewatt_governor.decide import Decision, GovernorState, decide
from tidewatt_governor.forecast.layout import OUTPUTS
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.points import usable_rps
from tidewatt_governor.sample import Load
from tidewatt_wire.messages import Policy

BOARD = load_profile("orin-nano-super")
NAMES = [point.name for point in BOARD.points]
POLICY = Policy()


def foreseen(rps: float, *, minute: int = 9, trusted: bool = True) -> Forecast:
    return Forecast(minute, ((rps, rps, rps),) * OUTPUTS, trusted, "because")


def decided(rate: float, forecast: Forecast | None, point: str = "15W", policy: Policy = POLICY) -> Decision:
    state = GovernorState(point=point, since_s=-1e6)
    load = Load(requests=round(60 * rate), interval_s=60.0)
    return decide(state, load, policy, BOARD.points, BOARD.vendor_default, 600.0, forecast=forecast)[1]


anything = st.floats(allow_nan=True, allow_infinity=True)
rows = st.tuples(anything, anything, anything)
forecasts = st.builds(
    Forecast,
    minute=st.integers(0, 20),
    rps=st.lists(rows, min_size=OUTPUTS, max_size=OUTPUTS).map(tuple),
    trusted=st.booleans(),
    reason=st.text(max_size=5),
)


@given(st.floats(0, 500), forecasts, st.sampled_from(NAMES), st.sampled_from(["p50", "p90", "p99"]))
@settings(max_examples=500)
def test_no_forecast_takes_capacity_away(rate: float, forecast: Forecast, point: str, quantile: str) -> None:
    policy = Policy(forecast_quantile=quantile)  # type: ignore[arg-type]
    without, with_it = decided(rate, None, point, policy), decided(rate, forecast, point, policy)
    slo = policy.slo_p95_ms
    assert usable_rps(BOARD.point(with_it.point), slo) >= usable_rps(BOARD.point(without.point), slo)


def test_a_trusted_one_raises_early_and_says_so() -> None:
    decision = decided(100.0, foreseen(250.0))
    assert (decision.point, decision.rule) == ("25W", "forecast")
    assert decision.reason == (
        "demand 255 rps (forecast p90 of the next 3 min + 2%, above 115 by the last minutes) fits 25W "
        "with 19% to spare: step up from 15W"
    )


@pytest.mark.parametrize(
    "forecast",
    [
        None,
        foreseen(250.0, trusted=False),
        foreseen(250.0, minute=7),
        foreseen(250.0, minute=11),
        foreseen(math.nan),
        foreseen(math.inf),
        foreseen(-5.0),
    ],
    ids=["none", "untrusted", "stale", "of the future", "nan", "infinite", "negative"],
)
def test_what_can_not_be_followed_leaves_the_reactive_rule(forecast: Forecast | None) -> None:
    assert decided(100.0, forecast) == decided(100.0, None)


def test_a_limit_is_a_limit_to_a_forecast_too() -> None:
    policy = Policy(allowed_points=["7W", "15W"])
    assert decided(100.0, foreseen(1000.0), policy=policy).point == "15W"
