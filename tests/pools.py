"""Random backends and classes for the tests of dispatch."""

from hypothesis import strategies as st

from tidewatt_coordinator.dispatch.backends import Backend, Histogram
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.terms import Terms

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.2)
#: Quick, middling, slow, unreliable: what 10,000 requests waited.
LATENCIES = (
    Histogram(BOUNDS, (9900, 100, 0, 0, 0, 0)),
    Histogram(BOUNDS, (1000, 8000, 900, 100, 0, 0)),
    Histogram(BOUNDS, (0, 1000, 6000, 2900, 100, 0)),
    Histogram(BOUNDS, (5000, 3000, 1000, 300, 200, 500)),
)
REGIONS = ("", "eu", "us")


def backends(*, most: int = 12) -> st.SearchStrategy[list[Backend]]:
    """Unlike ones, some alike, some old, some draining, some unknown."""
    one = st.builds(
        Backend,
        name=st.from_regex("[a-z]{1,5}", fullmatch=True),
        usable_rps=st.sampled_from([0.0, 40.0, 100.0, 250.0]) | st.floats(1.0, 500.0),
        marginal_cost=st.sampled_from([0.0, 1e-6, 2e-6]) | st.floats(1e-8, 1e-4),
        kind=st.sampled_from(["edge", "spot", "lambda"]),
        age_s=st.floats(0.0, 80.0),
        latency=st.sampled_from([*LATENCIES, None]),
        egress_cost=st.sampled_from([0.0, 0.0, 9e-11]),
        regions=st.frozensets(st.sampled_from(["eu", "us"]), max_size=1),
        domain=st.sampled_from(["", "a", "b", "c"]),
        draining=st.sampled_from([False] * 9 + [True]),
    )
    return st.lists(one, max_size=most, unique_by=lambda backend: backend.name)


def classes() -> st.SearchStrategy[list[RequestClass]]:
    """One to four."""
    one = st.builds(
        RequestClass,
        name=st.sampled_from(["p", "q", "r", "s"]),
        rate_rps=st.just(0.0) | st.floats(0.1, 600.0),
        limit_s=st.sampled_from([None, *BOUNDS]),
        percentile=st.sampled_from([0.9, 0.95]),
        region=st.sampled_from(REGIONS),
        egress_bytes=st.sampled_from([0.0, 2e4, 1e6]),
        forecast_rps=st.none() | st.floats(0.0, 600.0),
        age_s=st.floats(0.0, 30.0),
        shed_price=st.sampled_from([0.5, 1.0, 2.0]),
    )
    return st.lists(one, min_size=1, max_size=4, unique_by=lambda asked: asked.name)


def terms() -> st.SearchStrategy[Terms]:
    """Every combination of what changes the way."""
    return st.builds(
        Terms,
        fill=st.floats(0.5, 1.0),
        held=st.booleans(),
        absorb_loss=st.booleans(),
        mixture=st.booleans(),
        explore=st.sampled_from([0.0, 0.002, 0.05]),
        spread=st.sampled_from([0.0, 0.001, 0.05]),
        motion=st.sampled_from([0.05, 0.25, 2.0]),
        hysteresis=st.sampled_from([0.0, 0.01]),
    )
