"""Backends and classes as arrays, with all that may not be relied on taken off. Pure.

n backends, K classes; rates in requests/s, costs in currency per request.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidewatt_coordinator.dispatch.backends import Backend, Histogram
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.latency import slow_share
from tidewatt_coordinator.dispatch.quantise import parts_for
from tidewatt_coordinator.dispatch.staleness import capacity_floor, demand_ceiling
from tidewatt_coordinator.dispatch.terms import Terms

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """What the optimiser sees."""

    capacity: Floats
    """(n,) that may be planned on: discounted by age, at the fill."""
    cost: Floats
    """(n,) of one request without egress."""
    egress: Floats
    """(n,) cost of a byte."""
    bytes: Floats
    """(K,) per answer."""
    demand: Floats
    """(K,) upper bound until the next table."""
    slow: Floats
    """(n, K) share of requests that is slower than the class's limit, at most."""
    bearable: Floats
    """(K,) share that may be."""
    served: Flags
    """(n, K) whether the backend may serve the class at all: region, capacity, known latency."""
    shed_price: Floats
    """(K,) of one refused request."""

    @property
    def keeps(self) -> Flags:
        """(n, K) whether the backend alone keeps the class's promise."""
        return self.served & (self.slow <= self.bearable[None, :])

    def costs(self) -> Floats:
        """(n, K) of one request."""
        return np.asarray(self.cost[:, None] + self.egress[:, None] * self.bytes[None, :])

    def flat_cost(self) -> tuple[Floats, Floats] | None:
        """Cost as (n,) by backend plus (K,) by class, where it is such a sum; else None."""
        if np.all(self.bytes == self.bytes[:1]):
            sent = float(self.bytes[0]) if len(self.bytes) else 0.0
            return self.cost + self.egress * sent, np.zeros(len(self.bytes))
        if np.all(self.egress == self.egress[:1]):
            return self.cost, self.bytes * (float(self.egress[0]) if len(self.egress) else 0.0)
        return None


def survey(backends: Sequence[Backend], classes: Sequence[RequestClass], terms: Terms) -> Pool:
    """The arrays; row i is backends[i], column k is classes[k]. Rounding to whole parts is taken off the
    capacities, and off the promise of a mixture, so that rounded weights keep to them too.
    """
    demand = np.array([demand_ceiling(asked, terms) for asked in classes], dtype=np.float64)
    parts = parts_for(len(backends), terms.parts)
    part = float(demand.sum()) / parts
    rounding = len(backends) / parts if terms.mixture else 0.0
    capacity = np.array([capacity_floor(backend, terms) for backend in backends], dtype=np.float64) - part
    slow = _slow(backends, classes, terms)
    served = _regions(backends, classes) & (capacity > 0.0)[:, None] & (slow < 1.0)
    return Pool(
        capacity=np.maximum(capacity, 0.0),
        cost=np.array([backend.marginal_cost for backend in backends], dtype=np.float64),
        egress=np.array([backend.egress_cost for backend in backends], dtype=np.float64),
        bytes=np.array([asked.egress_bytes for asked in classes], dtype=np.float64),
        demand=demand,
        slow=slow,
        bearable=np.array([1.0 - asked.percentile - rounding for asked in classes], dtype=np.float64),
        served=served,
        shed_price=np.array([asked.shed_price for asked in classes], dtype=np.float64),
    )


def _slow(backends: Sequence[Backend], classes: Sequence[RequestClass], terms: Terms) -> Floats:
    """Many devices share a histogram (of their site, of their kind): each is looked at once."""
    known: dict[int, list[float]] = {}

    def row(latency: Histogram | None) -> list[float]:
        key = id(latency)
        if key not in known:
            known[key] = [slow_share(latency, asked.limit_s, terms.doubt) for asked in classes]
        return known[key]

    return np.array([row(backend.latency) for backend in backends], dtype=np.float64).reshape(
        len(backends), len(classes)
    )


def _regions(backends: Sequence[Backend], classes: Sequence[RequestClass]) -> Flags:
    known: dict[frozenset[str], list[bool]] = {}

    def row(regions: frozenset[str]) -> list[bool]:
        if regions not in known:
            known[regions] = [not regions or not asked.region or asked.region in regions for asked in classes]
        return known[regions]

    return np.array([row(backend.regions) for backend in backends], dtype=np.bool_).reshape(
        len(backends), len(classes)
    )
