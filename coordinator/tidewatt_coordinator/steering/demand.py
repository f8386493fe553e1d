"""How much is asked for, by class. Pure."""

from collections.abc import Callable, Sequence

import msgspec

from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.steering.pools import Fetched
from tidewatt_coordinator.steering.settings import Class

#: With less than this of all requests the edge shows too little of them to tell how many there are.
LEAST_EDGE_SHARE = 0.02


class Demand(msgspec.Struct, frozen=True):
    """All requests of the fleet."""

    rps: float
    at_ms: int
    """When that was known."""


def whole(
    edge_rps: float | None, edge_share: float | None, last: Demand | None, now_ms: int
) -> Demand | None:
    """All requests, by what the edge serves and the share of them that it was given; the last known where
    nothing can be told. `edge_share` None: no table is in force, so the edge has all there is.
    """
    if edge_rps is None:
        return last
    if edge_share is None:
        edge_share = 1.0
    return Demand(edge_rps / edge_share, now_ms) if edge_share >= LEAST_EDGE_SHARE else last


def classes_of(
    asked: Sequence[Class], demand: Demand | None, number: Callable[[str], Fetched], now_ms: int
) -> tuple[list[RequestClass], list[str]]:
    """The classes, and the names of those of which no rate is known: theirs is 0."""
    left = max(0.0, 1.0 - sum(one.share or 0.0 for one in asked))
    open_ones = sum(1 for one in asked if one.share is None and not one.rate_query)
    found: list[RequestClass] = []
    unknown: list[str] = []
    for one in asked:
        share = one.share if one.share is not None else left / max(open_ones, 1)
        rate = number(one.rate_query) if one.rate_query else _part(demand, share, now_ms)
        if rate is None and one.expected_rps is not None:
            rate = one.expected_rps, 0.0
        if rate is None:
            unknown.append(one.name)
        forecast = number(one.forecast_query) if one.forecast_query else None
        found.append(_class(one, rate or (0.0, 0.0), forecast))
    return found, unknown


def _class(one: Class, rate: tuple[float, float], forecast: Fetched) -> RequestClass:
    return RequestClass(
        name=one.name,
        rate_rps=rate[0],
        limit_s=None if one.limit_ms is None else one.limit_ms / 1000.0,
        percentile=one.percentile,
        region=one.region,
        egress_bytes=one.egress_bytes,
        forecast_rps=forecast[0] if forecast else None,
        age_s=rate[1],
        shed_price=one.shed_price,
    )


def _part(demand: Demand | None, share: float, now_ms: int) -> Fetched:
    return None if demand is None else (demand.rps * share, max(0.0, (now_ms - demand.at_ms) / 1000.0))
